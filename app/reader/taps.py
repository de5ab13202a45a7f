"""The tap: one query finds out whose card touched which terminal, then the ledger decides.

What the tap proves of who pays is its assurance (app/reader/assurance.py); it is kept with the payment, and the ledger
holds that level's limits. Evidence that is brought and is wrong refuses the tap: it never counts as less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text

from app import clock
from app.db import autocommit
from app.ids import keyed_hash, same
from app.reader import assurance, pins, profiles, proofs
from app.reader.cards import all_profiles, idm_hash, is_over, settings, text_hash
from app.reader.errors import CardUnreadable
from app.reader.proofs import Proof
from app.wallet import directory, ledger
from app.wallet.models import Transaction
from app.wallet.payments import items, metadata
from app.wallet.postings import Accepted, Declined, Outcome, Payment, Posting, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """One reading of a card at a terminal, and what else proves who pays.

    `idm` is 16 hex digits in capitals, `blocks` those of the profile or none, `taken_at` the terminal's own time;
    `items` have group, amount_yen and name, as a payment's.
    """

    tap_id: str
    amount_yen: int
    idm: str
    blocks: Mapping[int, bytes]
    profile: str = "fcf"
    money: str | None = None
    items: Sequence[Mapping[str, Any]] = ()
    taken_at: datetime | None = None
    pin: str | None = None
    photo_checked: bool = False
    proof: Proof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a tap. `metadata` is what is kept with it: the level it was judged at, and what was paid for."""

    outcome: Outcome
    metadata: Mapping[str, Any]
    member_id: UUID | None


# What is known of the terminal and the card: one round trip.
_SITUATION = text("""
    SELECT terminal.id AS terminal_id, terminal.status AS terminal_status, terminal.shop_id, terminal.default_money,
           card.id AS card_id, card.status AS card_status, card.member_id, card.profile, card.blocks_hash,
           card.valid_until, member.status AS member_status,
           (SELECT true FROM request WHERE requester = :client_id AND request_id = :tap_id) AS decided
      FROM terminal
      LEFT JOIN card ON card.issuer_id = terminal.issuer_id AND card.idm_hash = :idm_hash
      LEFT JOIN member ON member.id = card.member_id
     WHERE terminal.client_id = :client_id
""")


def accept_tap(tap: Tap, *, client_id: str, path: str, dry_run: bool = False) -> Taken:
    """Let the registered card pay at the terminal of `client_id`. The same tap again gets the same answer.

    With `dry_run` it is only judged. Never called inside a transaction.
    """
    with autocommit().connect() as connection:
        situation = {"client_id": client_id, "idm_hash": idm_hash(tap.idm), "tap_id": tap.tap_id}
        found = connection.execute(_SITUATION, situation).one_or_none()
    named: dict[str, Any] = {
        "requester": client_id,
        "request_id": tap.tap_id,
        "params_hash": _params_hash(tap, path),
    }
    member_id = found.member_id if found else None
    refused = _refusal(tap, found)
    level = _read_level(tap)
    if refused is None and found is not None and (dry_run or not found.decided):
        level, refused = _proven(tap, found, client_id=client_id)
    kept = metadata({"metadata": {"assurance": level}, "items": tap.items})
    if found is None or refused is not None:
        assert refused is not None
        if dry_run:
            return Taken(outcome=refused, metadata=kept, member_id=member_id)
        posting: Posting = Declined(**named, member_id=member_id, refused=refused)
    else:
        posting = Payment(
            **named,
            member_id=found.member_id,
            money=tap.money or found.default_money,
            shop_id=found.shop_id,
            amount_yen=tap.amount_yen,
            controls=(found.terminal_id, found.card_id, assurance.control_of(found.card_id, level)),
            items=items({"items": tap.items}),
            terminal_id=found.terminal_id,
            card_id=found.card_id,
            metadata=kept,
            taken_at=tap.taken_at,
            dry_run=dry_run,
        )
    outcome = ledger.post(posting)
    if isinstance(outcome, Accepted) and outcome.hit:  # it was paid as what it was then, whatever is known now
        kept = _kept_with(outcome.transaction_id)
    return Taken(outcome=outcome, metadata=kept, member_id=member_id)


def _kept_with(transaction_id: UUID) -> Mapping[str, Any]:
    with autocommit().connect() as connection:
        return connection.scalar(select(Transaction.extra).where(Transaction.id == transaction_id)) or {}


def _refusal(tap: Tap, found: Row[Any] | None) -> Refused | None:
    """What the ledger cannot know. That the card is not lost, nor the terminal revoked, it checks under lock.

    A lost card is refused here too, before its finder can try a PIN.
    """
    if found is None or found.terminal_status != "active":
        return Refused(code="terminal_revoked")
    if found.card_id is None:
        return Refused(code="card_unknown")
    if found.card_status != "active":
        return Refused(code="card_lost")
    if tap.profile != found.profile or (tap.blocks and not _says_what_was_registered(tap, found)):
        return Refused(code="card_changed")
    if is_over(found.valid_until):
        return Refused(code="card_expired")
    if found.member_status != "active":
        return Refused(code="wallet_suspended")
    if tap.money is not None and directory.money(tap.money) is None:
        return Refused(code="money_not_accepted", detail={"money": tap.money})
    return None


def _says_what_was_registered(tap: Tap, found: Row[Any]) -> bool:
    profile = all_profiles().get(tap.profile)
    if profile is None or found.blocks_hash is None:
        return False
    try:
        return same(found.blocks_hash, text_hash(profiles.parse(tap.blocks, profile)))
    except CardUnreadable:
        return False


def _read_level(tap: Tap) -> str:
    """What the reading alone proves, where the blocks are those registered."""
    return assurance.FCF if tap.blocks else assurance.IDM


def _proven(tap: Tap, found: Row[Any], *, client_id: str) -> tuple[str, Refused | None]:
    """The level of what is proven; and the refusal, where something that was brought is wrong."""
    if tap.proof is not None:
        wrong = _proof_refusal(tap, tap.proof, found, client_id=client_id)
        return assurance.MAC, wrong
    level = _read_level(tap)
    if level == assurance.IDM and tap.idm.upper().startswith(assurance.PHONE_IDM):
        return level, Refused(code="assurance_too_low")  # not even with a PIN: it is nobody's number
    if tap.pin is not None:
        answer, left = pins.check(found.member_id, tap.pin)
        if answer != "right":
            code = {"wrong": "pin_wrong", "locked": "pin_locked", "none": "pin_not_set"}[answer]
            return level, Refused(code=code, detail={"tries_left": left} if answer == "wrong" else {})
        return assurance.PIN, None
    return (assurance.PIN if tap.photo_checked else level), None


def _proof_refusal(tap: Tap, proof: Proof, found: Row[Any], *, client_id: str) -> Refused | None:
    profile = all_profiles().get(found.profile)
    master_key = settings().lite_s_key
    if profile is None or profile.proof is None or master_key is None:
        return Refused(code="card_proof_wrong")
    ends_at = proofs.ends_at(proof.nonce, client_id, key=settings().secret_key)
    if ends_at is None or not proofs.proves(
        proof, master_key=master_key, idm=tap.idm, tap_id=tap.tap_id, amount_yen=tap.amount_yen
    ):
        return Refused(code="card_proof_wrong")
    return Refused(code="card_proof_expired") if ends_at < clock.now() else None


def _params_hash(tap: Tap, path: str) -> bytes:
    """The fingerprint of what is asked. The card goes in as keyed hashes: its number is guessable from a plain one.

    A PIN and a proof are no part of it: a till that asks again after a restart has forgotten the one, and the same tap
    is the same whatever proved it.
    """
    blocks = " ".join(f"{number}:{block.hex()}" for number, block in sorted(tap.blocks.items()))
    asked: dict[str, Any] = {
        "path": path,
        "amount_yen": tap.amount_yen,
        "card": idm_hash(tap.idm).hex(),
        "blocks": keyed_hash(settings().card_pepper, purpose="card.raw", value=blocks).hex(),
        "money": tap.money,
        "taken_at": tap.taken_at.isoformat() if tap.taken_at else None,
    }
    if tap.profile != "fcf":  # fields that came later, as of payments (app/wallet/payments.py)
        asked["profile"] = tap.profile
    if tap.items:
        asked["items"] = [dict(item) for item in tap.items]
    return ledger.params_hash(asked)
