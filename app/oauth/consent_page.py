"""アクセス許可 on the way in and out: the form as it was sent, and what the page shows, whoever asks the member."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flask import render_template, request

from app.errors import DomainError
from app.issuer import current_issuer, issuer_today
from app.member.sessions import SignedInMember
from app.oauth import consent, grants_service, mandate_form
from app.oauth.clients import Client
from app.oauth.errors import InvalidMandate
from app.oauth.grants_service import Given
from app.oauth.models import OAuthGrant
from app.oauth.ports import Mandate
from app.oauth.schemas import ConsentForm
from app.oauth.scopes import in_order
from app.oauth.server import server
from app.web.locale import current_locale, translate


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the member pressed and ticked."""

    allows: bool
    ticked: frozenset[str]


def answer() -> Answer:
    """The form of this request."""
    form = ConsentForm().load({**request.form.to_dict(), "permission": request.form.getlist("permission")})
    return Answer(allows=form["decision"] == "allow", ticked=frozenset(form["permission"]))


def mandate(plan: consent.Plan, answer: Answer) -> Mandate | None:
    """The limits of payment, if its box was there and ticked. Raises InvalidMandate, ShopsChanged."""
    if "payment" not in answer.ticked or "payment" not in plan.boxes:
        return None
    return mandate_form.read(request.form, within=plan.offer, today=issuer_today())


def write(
    plan: consent.Plan, *, member: SignedInMember, client: Client, new: Collection[str], mandate: Mandate | None
) -> tuple[OAuthGrant, tuple[str, ...]]:
    """Write what the member allows anew; returns the grant, locked, and the scopes that this very answer gives."""
    grant = grants_service.allow(
        member_id=member.id, client_id=client.id, scopes=new, mandate=mandate, controls=server().controls
    )
    return grant, in_order({*plan.before, *new}.intersection(grant.scopes))


def render(
    template: str,
    *,
    client: Client,
    member: SignedInMember,
    given: Given,
    plan: consent.Plan,
    ticked: Collection[str] | None = None,
    refusal: DomainError | None = None,
    **more: object,
) -> str:
    """The page. At first every box is ticked but payment's."""
    return render_template(
        template,
        client_name=client.name(current_locale()),
        issuer_name=current_issuer().name(current_locale()),
        member=member,
        plan=plan,
        identity=[translate(f"oauth.scope.{scope}") for scope in plan.identity],
        given=given,
        names_before=mandate_names(given.mandate),
        ticked=[scope for scope in plan.boxes if scope != "payment"] if ticked is None else ticked,
        refusal=refusal,
        **_limits(plan, refusal if isinstance(refusal, InvalidMandate) else None),
        **more,
    )


def _limits(plan: consent.Plan, refusal: InvalidMandate | None) -> dict[str, object]:
    """What templates/oauth/mandate_fields.html needs, where payment is asked."""
    if "payment" not in plan.boxes:
        return {}
    return {
        "offer": plan.offer,
        "names": mandate_names(plan.offer),
        "shown": mandate_form.shown(plan.offer, request.form if refusal else None),
        "wrong": refusal.detail["fields"] if refusal else (),
        "today": issuer_today(),
    }


def mandate_names(mandate: Mandate | None) -> dict[str, dict[str, str]]:
    """What the shops and monies of a mandate are called, in their order on pages; no money where it may be any."""
    if mandate is None:
        return {}
    controls, locale = server().controls, current_locale()
    return {
        "shops": {str(shop): name for shop, name in controls.shop_names(mandate.shops, locale).items()},
        "monies": {code: name for code, name in controls.monies(locale).items() if code in (mandate.monies or ())},
    }
