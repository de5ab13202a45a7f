"""機器の連携: where a member types the code a device shows, and decides what the device may do.

Whoever sends a member here wants their device allowed, not the member's own (RFC 8628 section 5.4). So the code is
never taken from the address alone, the page says which app asks and shows the code again, and no app passes
without its page. Typing the code leads on by a ticket in the address, signed, of this code and this member; the
answer is given for that ticket, whatever is open in another tab.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from uuid import UUID

from flask import Blueprint, abort, redirect, render_template, request, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from app.db import transaction
from app.errors import DomainError
from app.issuer import current_issuer, issuer_today
from app.limits import Door, Knock, give_back, knock_at, network
from app.member.sessions import SignedIn, SignedInMember, current_member, hold_session
from app.oauth import consent, consent_page, device, grants_service
from app.oauth.authorization_request import Ask
from app.oauth.clients import Client, find_client
from app.oauth.details import PaymentAsk
from app.oauth.errors import InvalidMandate, ShopsChanged, UserCodeUnusable
from app.oauth.grants_service import Given
from app.oauth.ports import Mandate
from app.oauth.schemas import UserCodeForm
from app.oauth.server import server
from app.oauth.typed_codes import shown
from app.web.locale import current_locale
from app.web.protection import protected_by

pages = Blueprint("oauth_device", __name__, template_folder="templates")

Answer = Response | str | tuple[str, int]
_TYPED = 30
"""Characters of what was typed that the form shows again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """A device that waits, and a signed-in member who typed its code, with what it asks them."""

    asked: device.Asked
    client: Client
    member: SignedInMember
    given: Given
    plan: consent.Plan


@pages.get("/oauth/device")
@protected_by(SignedIn())
def enter() -> str:
    """The code may come with the address (section 3.3.1); sending it stays with the member."""
    return _entry(typed=request.args.get("user_code", ""))


@pages.post("/oauth/device")
@protected_by(SignedIn())
def give_user_code() -> Answer:
    try:
        letters: str = UserCodeForm().load(request.form.to_dict())["user_code"]
    except ValidationError:
        return _entry(typed=request.form.get("user_code", ""), malformed=True), 422
    member = _member()
    knocks = _knock_with_user_code(member.id)
    asked = device.find(letters, key=_key())
    if asked is None or asked.status != "pending" or find_client(asked.client_id) is None:
        return _entry(typed=request.form["user_code"], refusal=UserCodeUnusable()), UserCodeUnusable.status
    give_back(knocks)
    ticket = _tickets().dumps([letters, str(member.id)])
    return redirect(url_for(".question", ticket=ticket), code=303)


@pages.get("/oauth/device/consent")
@protected_by(SignedIn())
def question() -> Answer:
    asked = _asked()
    if asked.status != "pending":
        return _answered(asked)
    return _page(_visit(asked))


@pages.post("/oauth/device/consent")
@protected_by(SignedIn())
def decide() -> Answer:
    answer = consent_page.answer()
    asked = _asked()
    if asked.status != "pending":
        return _answered(asked)
    visit = _visit(asked)
    try:
        _write(visit, answer)
    except (InvalidMandate, ShopsChanged) as refusal:
        return _page(visit, answer=answer, refusal=refusal), refusal.status
    except UserCodeUnusable as refusal:
        return _entry(typed="", refusal=refusal), refusal.status
    return redirect(request.full_path, code=303)


def _knock_with_user_code(member_id: UUID) -> list[Knock]:
    """Count a try before it is made. Raises TooManyRequests.

    There are 20^8 = 2.6 * 10^10 codes. Were 10,000 of them alive at a time (one network can have 300, see
    `endpoints`), a try would hit one with a chance of 4 * 10^-7: a member's 20 tries a day with 8 * 10^-6, and all
    that one network can make, 7,200 a day by at least 360 members, with 0.3 %. A hit shows which app waits, and lets
    the guesser's own account be used on a stranger's device; nobody else's. RFC 8628 section 5.1 takes five tries
    against one such code for enough, which is what a member has while that code lives.
    """
    return knock_at(
        Door(name="user_code", caller=str(member_id), limit=5, window_s=600),
        Door(name="user_code_day", caller=str(member_id), limit=20, window_s=86_400),
        Door(name="user_code_network", caller=network(request.remote_addr), limit=50, window_s=600),
    )


def _asked() -> device.Asked:
    """The device of this address's ticket; else the way back to where its code is typed."""
    try:
        letters, member_id = _tickets().loads(request.args.get("ticket", ""), max_age=int(device.LIFE.total_seconds()))
    except BadSignature:
        abort(redirect(url_for(".enter"), code=303))
    asked = device.find(letters, key=_key()) if member_id == str(_member().id) else None
    if asked is None or asked.member_id not in (None, _member().id):
        abort(redirect(url_for(".enter"), code=303))
    return asked


def _visit(asked: device.Asked) -> _Visit:
    client, member = find_client(asked.client_id), _member()
    if client is None:
        abort(redirect(url_for(".enter"), code=303))
    given = grants_service.given(member_id=member.id, client_id=client.id)
    plan = consent.plan(
        ask=_ask(asked, client), client=client, given=given, issuer=current_issuer(), today=issuer_today()
    )
    return _Visit(asked=asked, client=client, member=member, given=given, plan=plan)


def _ask(asked: device.Asked, client: Client) -> Ask:
    """What the device asks, as an authorization request would. What the office took from the client is left out."""
    detail, scopes = PaymentAsk.from_stored(asked.detail), asked.scopes & client.askable
    if detail.shops is not None:
        detail = replace(detail, shops=tuple(shop for shop in detail.shops if shop in client.allowed_shops))
    return Ask(
        scopes=scopes - {"payment"} if detail.shops == () else scopes,
        code_challenge="",
        nonce=None,
        prompt=frozenset(),
        max_age_s=None,
        detail=detail,
    )


def _write(visit: _Visit, answer: consent_page.Answer) -> None:
    """Write the member's answer, for the device to fetch. Raises InvalidMandate, ShopsChanged, UserCodeUnusable."""
    new = consent.allowed(visit.plan, ticked=answer.ticked)
    allows = answer.allows and consent.useful({*visit.plan.before, *new})
    mandate = consent_page.mandate(visit.plan, answer) if allows else None
    with transaction():
        if not hold_session(visit.member):
            abort(redirect(url_for(".enter"), code=303))
        row = device.take(visit.asked.letters, key=_key())
        if allows:
            device.approve(row, _approval(visit, new, mandate))
        else:
            device.deny(row)


def _approval(visit: _Visit, new: Collection[str], mandate: Mandate | None) -> device.Approval:
    grant, scopes = consent_page.write(visit.plan, member=visit.member, client=visit.client, new=new, mandate=mandate)
    return device.Approval(grant=grant, scopes=scopes, auth_time=visit.member.auth_time)


def _entry(*, typed: str, refusal: DomainError | None = None, malformed: bool = False) -> str:
    return render_template("oauth/device.html", typed=typed[:_TYPED], refusal=refusal, malformed=malformed)


def _page(visit: _Visit, *, answer: consent_page.Answer | None = None, refusal: DomainError | None = None) -> str:
    return consent_page.render(
        "oauth/device_consent.html",
        client=visit.client,
        member=visit.member,
        given=visit.given,
        plan=visit.plan,
        ticked=None if answer is None else answer.ticked,
        refusal=refusal,
        user_code=shown(visit.asked.letters),
    )


def _answered(asked: device.Asked) -> str:
    client = find_client(asked.client_id)
    name = asked.client_id if client is None else client.name(current_locale())
    return render_template("oauth/device_answered.html", allowed=asked.status == "approved", client_name=name)


def _member() -> SignedInMember:
    member = current_member()
    assert member is not None, "every page here is for signed-in members"
    return member


def _key() -> bytes:
    return server().settings.secret_key


def _tickets() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(_key(), salt="oauth.user_code")
