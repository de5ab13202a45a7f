"""Cards and their life: registered → active → lost → replaced, or expired by the date on them.

A card's number and what its blocks say are kept as keyed hashes only. Wallets are the member's, so a new card finds
them as they are. Whatever stops a card stops it in the ledger too, by its spend control, for every payment decided
after the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.db import session
from app.errors import NotFound
from app.ids import keyed_hash, new_id
from app.issuer import current_issuer, issuer_today
from app.reader import assurance, profiles
from app.reader.errors import CardTaken, ProfileUnknown
from app.reader.models import Card
from app.reader.profiles import CardText, ReaderProfile
from app.settings import Settings
from app.wallet import spend_control


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader read off a card: the code of its profile, the IDm in 16 hex digits, blocks of 16 bytes."""

    idm: str
    blocks: Mapping[int, bytes]
    profile: str = "fcf"


def id_of(idm: str, *, member_id: UUID | None = None) -> UUID | None:
    """The card of this number, of that member where one is named. Call inside `transaction()`."""
    known = select(Card.id).filter_by(issuer_id=current_issuer().id, idm_hash=idm_hash(idm))
    found: UUID | None = session().scalar(known if member_id is None else known.filter_by(member_id=member_id))
    return found


def profile_of(code: str) -> ReaderProfile:
    """Raises ProfileUnknown."""
    found = all_profiles().get(code)
    if found is None:
        raise ProfileUnknown(profile=code)
    return found


def all_profiles() -> Mapping[str, ReaderProfile]:
    """The issuer's profiles, by code."""
    return profiles.profiles(settings().reader_profiles)


def register(reading: Reading, *, member_id: UUID, take_over: bool = False) -> UUID:
    """Register a card to a member; returns the card's id. Again for the same member: takes over what it says now.

    A lost card stays lost. `take_over`: staff has the card in hand and its bearer before them, so it is this member's
    whoever registered it. Call inside `transaction()`. Raises ProfileUnknown, CardUnreadable and CardTaken.
    """
    profile = profile_of(reading.profile)
    said = profiles.parse(reading.blocks, profile) if profile.places else None
    issuer_id = current_issuer().id
    values = {
        "profile": profile.code,
        "blocks_hash": None if said is None else text_hash(said),
        "valid_until": None if said is None else said.valid_until,
    }
    new: UUID | None = session().scalar(
        insert(Card)
        .values(
            id=new_id(),
            issuer_id=issuer_id,
            member_id=member_id,
            idm_hash=idm_hash(reading.idm),
            last4=reading.idm[-4:].upper(),
            **values,
        )
        .on_conflict_do_nothing()
        .returning(Card.id)
    )
    if new is not None:
        spend_control.put_control(control_id=new, kind="card")
        assurance.put_controls(new)
        return new
    known = select(Card).filter_by(issuer_id=issuer_id, idm_hash=idm_hash(reading.idm))
    card = session().scalars(known.with_for_update(key_share=True)).one()
    if card.member_id != member_id and not take_over:
        raise CardTaken
    session().execute(update(Card).where(Card.id == card.id).values(**values, member_id=member_id))
    return card.id


def report_lost(card_id: UUID, *, member_id: UUID | None = None) -> None:
    """Stop a card, of that member where one is named: no payment decided after the commit spends by it.

    Again it changes nothing. Call inside `transaction()`. Raises NotFound.
    """
    card = _card(card_id, member_id)
    if card.status not in ("lost", "replaced"):
        card.status, card.stopped_at = "lost", clock.now()
    spend_control.set_status(card_id, "lost")


def found_again(card_id: UUID) -> None:
    """Staff has a lost card in hand, and whose it is before them. Call inside `transaction()`. Raises NotFound."""
    card = _card(card_id, None)
    if card.status != "lost":
        raise NotFound
    card.status, card.stopped_at = "active", None
    spend_control.set_status(card_id, "active")


def replace(card_id: UUID, reading: Reading, *, member_id: UUID | None = None) -> UUID:
    """A new card in the place of one, which is stopped if it was not; returns the new card's id.

    Call inside `transaction()`. Raises NotFound, and what `register` does.
    """
    old = _card(card_id, member_id)
    new = register(reading, member_id=old.member_id)
    if new == old.id:
        return new
    old.status, old.replaced_by, old.stopped_at = "replaced", new, old.stopped_at or clock.now()
    spend_control.set_status(card_id, "lost")
    return new


def of_member(member_id: UUID) -> Sequence[Card]:
    """The member's cards, those in use first, newest first. Call inside `transaction()`."""
    rows = session().scalars(select(Card).where(Card.member_id == member_id).order_by(Card.id.desc())).all()
    return sorted(rows, key=lambda card: state(card) != "active")


def state(card: Card) -> str:
    """`active`, `lost`, `replaced`, or `expired` from the day after the last one on it."""
    if card.status == "active" and is_over(card.valid_until):
        return "expired"
    return card.status


def is_over(valid_until: date | None) -> bool:
    """Whether a card's last day has passed, by the issuer's calendar."""
    return valid_until is not None and valid_until < issuer_today()


def view(card: Card, locale: str) -> dict[str, Any]:
    """A card as its member sees it."""
    profile = all_profiles().get(card.profile)
    return {
        "id": str(card.id),
        "last4": card.last4,
        "profile": card.profile,
        "kind": card.profile if profile is None else profile.view(locale)["name"],
        "status": state(card),
        "valid_until": _iso(card.valid_until),
        "registered_at": _iso(card.created_at),
        "stopped_at": _iso(card.stopped_at),
        "replaced_by": str(card.replaced_by) if card.replaced_by else None,
    }


def idm_hash(idm: str) -> bytes:
    """By what a card is known: the keyed hash of its number."""
    return keyed_hash(settings().card_pepper, purpose="card.idm", value=idm.upper())


def text_hash(said: CardText) -> bytes:
    """By what its blocks are known."""
    return keyed_hash(settings().card_pepper, purpose="card.fcf", value=said.identity())


def settings() -> Settings:
    """The server's settings."""
    found = current_app.extensions["kumiai.settings"]
    assert isinstance(found, Settings)
    return found


def _card(card_id: UUID, member_id: UUID | None) -> Card:
    """The card, locked. Another member's is there for nobody. Raises NotFound."""
    card = session().get(Card, card_id, with_for_update={"key_share": True}, populate_existing=True)
    if card is None or member_id not in (None, card.member_id):
        raise NotFound
    return card


def _iso(value: date | datetime | None) -> str | None:
    return value.isoformat() if value else None
