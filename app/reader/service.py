"""Cards and terminals, and the tap: one query finds out whose card touched which terminal, then the ledger decides.

A card's number and what its blocks say are kept as keyed hashes only. The blocks identify a card, they do not prove
it (both can be copied); a tap therefore carries its assurance, here always `fcf`: the number and the blocks are those
of the registered card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import Row, select, text, update
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.db import autocommit, session
from app.errors import NotFound
from app.ids import keyed_hash, new_id, same
from app.issuer import current_issuer
from app.reader import fcf
from app.reader.errors import CardTaken, CardUnreadable
from app.reader.models import Card, Terminal
from app.settings import Settings
from app.wallet import directory, ledger, spend_control
from app.wallet.postings import Declined, Outcome, Payment, Refused

ASSURANCE = "fcf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """One reading of a card at a terminal. `idm` is 16 hex digits in capitals, `taken_at` the terminal's own time."""

    tap_id: str
    amount_yen: int
    idm: str
    blocks: Mapping[int, bytes]
    money: str | None = None
    taken_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Till:
    """A terminal at work: whose it is, and the money it takes where nobody says."""

    id: UUID
    client_id: str
    shop_id: UUID
    default_money: str


def till_of(client_id: str) -> Till | None:
    """The terminal that this client is; None where it is none, or was revoked."""
    query = select(Terminal.id, Terminal.shop_id, Terminal.default_money)
    with autocommit().connect() as connection:
        row = connection.execute(
            query.where(Terminal.client_id == client_id, Terminal.status == "active")
        ).one_or_none()
    if row is None:
        return None
    return Till(id=row.id, client_id=client_id, shop_id=row.shop_id, default_money=row.default_money)


# What is known of the terminal and the card: one round trip.
_SITUATION = text("""
    SELECT terminal.id AS terminal_id, terminal.status AS terminal_status, terminal.shop_id, terminal.default_money,
           card.id AS card_id, card.member_id, card.blocks_hash, card.valid_until, member.status AS member_status
      FROM terminal
      LEFT JOIN card ON card.issuer_id = terminal.issuer_id AND card.idm_hash = :idm_hash
      LEFT JOIN member ON member.id = card.member_id
     WHERE terminal.client_id = :client_id
""")


def accept_tap(tap: Tap, *, client_id: str, path: str) -> Outcome:
    """Let the registered card pay at the terminal of `client_id`. The same tap again gets the same answer.

    Never called inside a transaction.
    """
    with autocommit().connect() as connection:
        situation = {"client_id": client_id, "idm_hash": _idm_hash(tap.idm)}
        found = connection.execute(_SITUATION, situation).one_or_none()
    params_hash = _params_hash(tap, path)
    refused = _refusal(tap, found)
    if found is None or refused is not None:
        assert refused is not None
        return ledger.post(
            Declined(
                requester=client_id,
                request_id=tap.tap_id,
                params_hash=params_hash,
                member_id=found.member_id if found else None,
                refused=refused,
            )
        )
    money = tap.money or found.default_money
    return ledger.post(
        Payment(
            requester=client_id,
            request_id=tap.tap_id,
            params_hash=params_hash,
            member_id=found.member_id,
            money=money,
            shop_id=found.shop_id,
            amount_yen=tap.amount_yen,
            controls=(found.terminal_id, found.card_id),
            terminal_id=found.terminal_id,
            card_id=found.card_id,
            metadata={"assurance": ASSURANCE},
            taken_at=tap.taken_at,
        )
    )


def _refusal(tap: Tap, found: Row[Any] | None) -> Refused | None:
    """What the ledger cannot know. That the card is not lost, nor the terminal revoked, it checks under lock."""
    if found is None or found.terminal_status != "active":
        return Refused(code="terminal_revoked")
    if found.card_id is None:
        return Refused(code="card_unknown")
    if not _says_what_was_registered(tap, found):
        return Refused(code="card_changed")
    if found.valid_until is not None and found.valid_until < clock.now().astimezone(_settings().zone).date():
        return Refused(code="card_expired")
    if found.member_status != "active":
        return Refused(code="wallet_suspended")
    if tap.money is not None and directory.money(tap.money) is None:
        return Refused(code="money_not_accepted", detail={"money": tap.money})
    return None


def _says_what_was_registered(tap: Tap, found: Row[Any]) -> bool:
    try:
        return same(found.blocks_hash, _text_hash(fcf.parse(tap.blocks)))
    except CardUnreadable:
        return False


def register_card(*, member_id: UUID, idm: str, blocks: Mapping[int, bytes]) -> UUID:
    """Register a card to a member; returns the card's id. Again for the same member: takes over what it says now.

    Call inside `transaction()`. Raises CardUnreadable and CardTaken.
    """
    read = fcf.parse(blocks)
    issuer_id = current_issuer().id
    values = {"blocks_hash": _text_hash(read), "valid_until": read.valid_until}
    new: UUID | None = session().scalar(
        insert(Card)
        .values(
            id=new_id(),
            issuer_id=issuer_id,
            member_id=member_id,
            idm_hash=_idm_hash(idm),
            last4=idm[-4:].upper(),
            **values,
        )
        .on_conflict_do_nothing()
        .returning(Card.id)
    )
    if new is not None:
        spend_control.put_control(control_id=new, kind="card")
        return new
    card = session().scalars(select(Card).filter_by(issuer_id=issuer_id, idm_hash=_idm_hash(idm))).one()
    if card.member_id != member_id:
        raise CardTaken
    session().execute(update(Card).where(Card.id == card.id).values(**values))
    return card.id


def report_lost(card_id: UUID) -> None:
    """Stop a card: no payment decided after the commit spends by it. Call inside `transaction()`. Raises NotFound."""
    lost = session().scalar(update(Card).where(Card.id == card_id).values(status="lost").returning(Card.id))
    if lost is None:
        raise NotFound
    spend_control.set_status(card_id, "lost")


def register_terminal(*, shop_id: UUID, client_id: str, name: str, default_money: str) -> UUID:
    """Make the client a terminal of a shop; returns the terminal's id. Again: keeps its id, takes the new values.

    Call inside `transaction()`.
    """
    values = {"shop_id": shop_id, "name": name, "default_money": default_money, "status": "active"}
    terminal_id: UUID | None = session().scalar(
        insert(Terminal)
        .values(id=new_id(), issuer_id=current_issuer().id, client_id=client_id, **values)
        .on_conflict_do_update(index_elements=["client_id"], set_=values)
        .returning(Terminal.id)
    )
    assert terminal_id is not None
    spend_control.put_control(control_id=terminal_id, kind="terminal", shops=[shop_id])
    return terminal_id


def revoke_terminal(terminal_id: UUID) -> None:
    """Stop a terminal: no tap decided after the commit counts. Call inside `transaction()`. Raises NotFound."""
    statement = update(Terminal).where(Terminal.id == terminal_id).values(status="revoked").returning(Terminal.id)
    if session().scalar(statement) is None:
        raise NotFound
    spend_control.set_status(terminal_id, "revoked")


def _params_hash(tap: Tap, path: str) -> bytes:
    """The fingerprint of what is asked. The card goes in as keyed hashes: its number is guessable from a plain one."""
    blocks = " ".join(f"{number}:{block.hex()}" for number, block in sorted(tap.blocks.items()))
    return ledger.params_hash(
        {
            "path": path,
            "amount_yen": tap.amount_yen,
            "card": _idm_hash(tap.idm).hex(),
            "blocks": keyed_hash(_settings().card_pepper, purpose="card.raw", value=blocks).hex(),
            "money": tap.money,
            "taken_at": tap.taken_at.isoformat() if tap.taken_at else None,
        }
    )


def _idm_hash(idm: str) -> bytes:
    return keyed_hash(_settings().card_pepper, purpose="card.idm", value=idm.upper())


def _text_hash(read: fcf.CardText) -> bytes:
    return keyed_hash(_settings().card_pepper, purpose="card.fcf", value=read.identity())


def _settings() -> Settings:
    settings = current_app.extensions["kumiai.settings"]
    assert isinstance(settings, Settings)
    return settings
