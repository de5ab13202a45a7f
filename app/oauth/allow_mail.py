"""The mail that tells a member what an app was allowed: whoever did it, the member learns of it, and how to undo it.

It goes out when an app is first allowed, and when payment is allowed, or allowed beyond the limits it had, since that
is what a thief would want. Asking again for what is allowed brings none: a mail that comes each time is not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babel.dates import format_date, format_datetime
from sqlalchemy import Row, select

from app import clock, outbox
from app.db import session
from app.issuer import apps_page_url, issuer_zone, mypage_url
from app.member.models import Member
from app.messaging.compose import compose_mail
from app.money import format_yen
from app.oauth import redirects
from app.oauth.models import OAuthClient, OAuthGrant
from app.oauth.ports import Mandate, SpendControls
from app.web.locale import translate

if TYPE_CHECKING:
    from app.oauth.grants_service import Given


def send_if_new(grant: OAuthGrant, *, before: Given, mandate: Mandate | None, controls: SpendControls) -> None:
    """Queue the mail in this transaction, if it is called for. `grant` is locked: of two consents one is the first.

    `mandate` are the limits of payment given just now. The co-op's own page is no news to a member who signs in to it
    with a code that was mailed a minute before; payments would be.
    """
    pays_more = mandate is not None and not (before.mandate and mandate.within(before.mandate))
    if before.scopes and not pays_more:
        return
    told = _told(grant)
    if pays_more or not redirects.all_at(told.redirect_uris, mypage_url()):
        message = "payment_allowed" if before.scopes else "app_allowed"
        outbox.emit("mail", _mail(message, grant=grant, told=told, controls=controls))


def _told(grant: OAuthGrant) -> Row[*tuple[Any, ...]]:
    columns = (
        *(Member.email, Member.family_name, Member.given_name, Member.locale),
        *(OAuthClient.name_ja, OAuthClient.name_en, OAuthClient.redirect_uris),
    )
    statement = select(*columns).join_from(OAuthGrant, Member).join(OAuthClient).where(OAuthGrant.id == grant.id)
    return session().execute(statement).one()


def _mail(message: str, *, grant: OAuthGrant, told: Row[*tuple[Any, ...]], controls: SpendControls) -> dict[str, str]:
    locale = told.locale
    mandate = Mandate.from_stored(grant.mandate) if grant.mandate else None
    return compose_mail(
        to=told.email,
        message=message,
        locale=locale,
        family_name=told.family_name,
        given_name=told.given_name,
        # on one line, whatever it was registered as: it stands in a mail's subject
        client=" ".join((told.name_en if locale == "en" else told.name_ja).split()),
        at=format_datetime(
            clock.now().astimezone(issuer_zone()), translate("web.moment_with_year", locale), locale=locale
        ),
        permissions=[translate(f"oauth.scope.{scope}", locale) for scope in grant.scopes],
        limits=_limits(mandate, locale=locale, controls=controls) if mandate else [],
        apps_page_url=apps_page_url(),
    )


def _limits(mandate: Mandate, *, locale: str, controls: SpendControls) -> list[str]:
    """The limits of payment, one a line."""
    comma = translate("consent.comma", locale)
    lines = [
        translate("mail.limits.per_payment", locale, amount=format_yen(mandate.max_per_payment_yen)),
        translate("mail.limits.per_day", locale, amount=format_yen(mandate.max_per_day_yen)),
        translate("mail.limits.per_month", locale, amount=format_yen(mandate.max_per_month_yen)),
        translate("mail.limits.shops", locale, shops=comma.join(controls.shop_names(mandate.shops, locale).values())),
    ]
    if mandate.monies is not None:
        names = controls.monies(locale)
        known = comma.join(names.get(code, code) for code in mandate.monies)
        lines.append(translate("mail.limits.monies", locale, monies=known))
    if mandate.until is not None:
        day = format_date(mandate.until, translate("mail.limits.day", locale), locale=locale)
        lines.append(translate("mail.limits.until", locale, day=day))
    return lines
