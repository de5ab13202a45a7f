"""The resource API, version 1: a member's cards and PIN; and at a till, registering a card and stopping one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response

from app.db import session, transaction
from app.errors import NotFound
from app.limits import knock
from app.member import service as members
from app.oauth import cors
from app.oauth.protector import Bearer, current_access
from app.oauth.step_up import require_fresh_sign_in
from app.reader import cards, pins, registrations
from app.reader.api import reading_of
from app.reader.models import Card
from app.reader.schemas import (
    CardsView,
    HandedInBody,
    HandedInView,
    NewCardBody,
    PinBody,
    RegisteredView,
    RegistrationBody,
    RegistrationCodeView,
    StudentCardView,
)
from app.reader.terminals import till_of
from app.wallet.errors import LedgerRefusal
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale
from app.web.protection import protected_by

blueprint = Blueprint(
    "cards", __name__, url_prefix="/v1", description="A member's cards and PIN, with the scope `card`; cards at a till."
)
blueprint.after_request(cors.allow_registered)

GUESSES_PER_MINUTE = 20
"""Registration codes that one till may try."""


@blueprint.get("/cards")
@blueprint.response(200, CardsView())
@protected_by(Bearer("card"))
def mine() -> Response:
    """The member's cards, those in use first; and whether they have a PIN"""
    member_id = current_access().member
    with transaction():
        found = [cards.view(card, current_locale()) for card in cards.of_member(member_id)]
    return json_response({"cards": found, "pin": pins.state(member_id)}, status=200)


@blueprint.post("/cards")
@blueprint.arguments(NewCardBody())
@blueprint.response(201, StudentCardView())
@protected_by(Bearer("card"))
def register(body: Mapping[str, Any]) -> Response:
    """Register a card of the member

    The same card again takes over what it says now (a re-issued one). With `replaces` it comes in the place of an
    earlier card, which stops. Wallets are the member's, so nothing has to be moved. The member must have signed in
    within five minutes: whoever holds the card pays from their wallets.
    """
    reading, member_id = reading_of(body, place=""), current_access().member
    require_fresh_sign_in(current_access())
    with transaction():
        if body["replaces"] is None:
            card_id = cards.register(reading, member_id=member_id)
        else:
            card_id = cards.replace(body["replaces"], reading, member_id=member_id)
        shown = _shown(card_id)
    return json_response(shown, status=201)


@blueprint.post("/cards/<uuid:card_id>/lost")
@blueprint.response(
    200, StudentCardView(), example={"status": "lost", "stopped_at": "2026-11-23T03:34:56.123456+00:00"}
)
@protected_by(Bearer("card"))
def lost(card_id: UUID) -> Response:
    """Report a card lost

    At once nothing is paid by it any more. Again it changes nothing. Only the co-op's staff can take it back.
    """
    with transaction():
        cards.report_lost(card_id, member_id=current_access().member)
        shown = _shown(card_id)
    return json_response(shown, status=200)


@blueprint.put("/cards/pin")
@blueprint.arguments(PinBody())
@blueprint.response(204)
@protected_by(Bearer("card"))
def set_pin(body: Mapping[str, Any]) -> Response:
    """Set the member's PIN

    It is asked for at a till above what a card alone may pay. After five wrong tries it is locked,
    until it is set anew. The member must have signed in within five minutes.
    """
    require_fresh_sign_in(current_access())
    with transaction():
        pins.put(current_access().member, body["pin"])
    return Response(status=204)


@blueprint.post("/cards/registration-codes")
@blueprint.response(201, RegistrationCodeView())
@protected_by(Bearer("card"))
def registration_code() -> Response:
    """A code for registering a card at a till

    Good once, for ten minutes: the clerk types it and the card is touched. An earlier one of the member is void. The
    member must have signed in within five minutes.
    """
    require_fresh_sign_in(current_access())
    with transaction():
        made = registrations.new_code(current_access().member)
    return json_response({"code": made.shown, "expires_at": made.expires_at.isoformat()}, status=201)


@blueprint.post("/card-registrations")
@blueprint.arguments(RegistrationBody())
@blueprint.response(201, RegisteredView())
@protected_by(Bearer("till"))
def register_at_till(body: Mapping[str, Any]) -> Response:
    """Register the card that was touched here to the member who shows a code

    The same code with the same card again answers the same, so a till that lost the reply may ask again.
    """
    _at_a_terminal()
    knock(door="till.card", caller=current_access().client_id, limit=GUESSES_PER_MINUTE, window_s=60)
    reading = reading_of(body["card"])
    with transaction():
        card_id, member_id = registrations.register(body["code"], reading)
        shown = _shown(card_id)
    name = members.family_name_of(member_id)
    return json_response({"last4": shown["last4"], "kind": shown["kind"], "member_name": name}, status=201)


@blueprint.post("/cards/handed-in")
@blueprint.arguments(HandedInBody())
@blueprint.response(200, HandedInView())
@protected_by(Bearer("till"))
def handed_in(body: Mapping[str, Any]) -> Response:
    """Stop a card that somebody found and handed in here

    404 `card_unknown` where nobody registered it.
    """
    _at_a_terminal()
    reading = reading_of(body["card"])
    with transaction():
        card_id = cards.id_of(reading.idm)
        if card_id is None:
            raise LedgerRefusal("card_unknown")
        cards.report_lost(card_id)
        shown = _shown(card_id)
    return json_response({"last4": shown["last4"], "status": shown["status"]}, status=200)


def _at_a_terminal() -> None:
    if till_of(current_access().client_id) is None:
        raise LedgerRefusal("terminal_revoked")


def _shown(card_id: UUID) -> dict[str, Any]:
    session().flush()
    card = session().get(Card, card_id, populate_existing=True)
    if card is None:
        raise NotFound
    return cards.view(card, current_locale())
