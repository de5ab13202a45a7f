"""The API of terminals: taps, and what a till needs to read cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from flask import request
from webargs.flaskparser import abort

from app import problem
from app.member import service as members
from app.oauth.protector import Bearer, current_access
from app.reader import cards, proofs, taps, voiding
from app.reader.cards import Reading
from app.reader.proofs import Proof
from app.reader.schemas import ChallengeView, PreviewView, ProfilesView, TapBody, TapHeaders
from app.wallet import examples, views
from app.wallet.postings import Accepted
from app.wallet.schemas import TransactionView
from app.web.arguments import Blueprint
from app.web.locale import current_locale
from app.web.protection import protected_by

blueprint = Blueprint("reader", __name__, url_prefix="/v1", description="Student cards touched at a shop's terminal.")


@blueprint.post("/taps")
@blueprint.arguments(TapHeaders, location="headers")
@blueprint.arguments(TapBody)
@blueprint.response(201, TransactionView, example=examples.TAP)
@protected_by(Bearer("till"))
def tap(headers: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Take a payment by student card at this client's terminal

    Make the tap_id and store it before you send. Where the reply is lost, or is 503, send the very same tap again:
    it moves nothing twice, and answers what happened. A PIN need not be sent again.

    What the tap proves is in `metadata.assurance`: `idm`, `fcf`, `pin` or `mac`, each with limits of its own.
    `pin_required` says that it would be paid with a PIN: ask for it, and send a new tap.
    """
    if headers.get("idempotency_key", body["tap_id"]) != body["tap_id"]:
        abort(422, messages={"headers": {"Idempotency-Key": ["Must be the tap_id."]}})
    taken = taps.accept_tap(_tap(body), client_id=current_access().client_id, path=request.path)
    outcome = views.accepted(taken.outcome, may_see_balance=True)  # shown to the member who taps
    shown = views.of_outcome(
        outcome,
        names=views.Names(current_locale()),
        request_id=body["tap_id"],
        may_see_balance=True,
        metadata=taken.metadata,
        taken_at=body["taken_at"],
    )
    return shown, 201, views.hit_headers(outcome)


@blueprint.post("/taps/preview")
@blueprint.arguments(TapBody)
@blueprint.response(200, PreviewView)
@protected_by(Bearer("till"))
def preview(body: Mapping[str, Any]) -> dict[str, Any]:
    """Whose card it is, and whether a tap would be paid

    Nothing moves, and the tap_id stays free. A PIN is not looked at here.
    """
    asked = _tap({**body, "evidence": {**body["evidence"], "pin": None}})
    taken = taps.accept_tap(asked, client_id=current_access().client_id, path="/v1/taps", dry_run=True)
    outcome = taken.outcome
    passes = isinstance(outcome, Accepted)
    refused: dict[str, Any] = {}
    if not isinstance(outcome, Accepted):
        error = views.refusal(outcome, may_see_balance=True)
        refused = problem.described(code=error.code, status=error.status, detail=error.detail)
    return {
        "passes": passes,
        "member_name": members.family_name_of(taken.member_id) if taken.member_id else None,
        "assurance": taken.metadata["assurance"],
        "balance_yen": outcome.balance_yen if isinstance(outcome, Accepted) else refused.get("balance_yen"),
        "money": views.Names(current_locale()).money(outcome.money) if isinstance(outcome, Accepted) else None,
        "code": refused.get("code"),
        "title": refused.get("title"),
        "detail": refused.get("detail"),
    }


@blueprint.post("/taps/<string:tap_id>/void")
@blueprint.response(201, TransactionView, example=examples.VOID)
@protected_by(Bearer("till"))
def void(tap_id: str) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Undo a tap of this terminal, within five minutes

    All of it goes back to where it came from. Again it moves nothing, and answers the same. 404 says that no such tap
    was paid so far: one whose result is not known is asked for first, by sending it again, or it may be paid later.
    """
    voided, original_id = voiding.void(tap_id, client_id=current_access().client_id)
    outcome = views.accepted(voided, may_see_balance=True)
    shown = views.of_outcome(
        outcome,
        names=views.Names(current_locale()),
        request_id=voiding.name_of(tap_id),
        may_see_balance=True,
        reverses=original_id,
    )
    return shown, 201, views.hit_headers(outcome)


@blueprint.post("/taps/challenges")
@blueprint.response(201, ChallengeView)
@protected_by(Bearer("till"))
def challenge() -> dict[str, Any]:
    """A nonce for a card that can prove itself

    Fetch it before the touch. The card is challenged with the first 16 bytes of SHA-256(nonce, 00, tap_id, 00,
    amount_yen in decimal digits), which go into its block 80; then read its blocks 82 and 81 in one command.
    """
    nonce, expires_at = proofs.new_nonce(current_access().client_id, key=cards.settings().secret_key)
    return {"nonce": nonce.hex(), "expires_at": expires_at.isoformat()}


@blueprint.get("/reader-profiles")
@blueprint.response(200, ProfilesView)
@protected_by(Bearer("till"))
def reader_profiles() -> dict[str, Any]:
    """The kinds of cards a till reads, in the order in which to look for them"""
    return {"profiles": [profile.view(current_locale()) for profile in cards.all_profiles().values()]}


def reading_of(card: Mapping[str, Any], *, place: str = "card") -> Reading:
    """A card's reading out of a body, with all blocks of its profile or none. Refuses the request otherwise."""
    profile = cards.all_profiles().get(card["profile"])
    if profile is None:
        _refuse(place, "profile", "No such profile: see GET /v1/reader-profiles.")
    blocks = {int(number): bytes.fromhex(value) for number, value in card["blocks"].items()}
    if blocks and set(blocks) != set(profile.blocks):
        numbers = ", ".join(map(str, profile.blocks))
        _refuse(place, "blocks", f"Send the blocks {numbers}, and no other." if numbers else "Send none.")
    return Reading(idm=card["idm"], blocks=blocks, profile=profile.code)


def _refuse(place: str, field: str, said: str) -> NoReturn:
    wrong: dict[str, Any] = {field: [said]}
    abort(422, messages={"json": {place: wrong} if place else wrong})


def _tap(body: Mapping[str, Any]) -> taps.Tap:
    reading = reading_of(body["card"])
    evidence = body["evidence"]
    mac = evidence.get("mac")
    return taps.Tap(
        tap_id=body["tap_id"],
        amount_yen=body["amount_yen"],
        idm=reading.idm,
        blocks=reading.blocks,
        profile=reading.profile,
        money=body["money"],
        items=body["items"],
        taken_at=body["taken_at"],
        pin=evidence.get("pin"),
        photo_checked=evidence.get("photo_checked", False),
        proof=None
        if mac is None
        else Proof(
            nonce=bytes.fromhex(mac["nonce"]),
            blocks={0x82: bytes.fromhex(mac["block_82"]), 0x81: bytes.fromhex(mac["block_81"])},
        ),
    )
