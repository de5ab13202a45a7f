"""Challenges for cards that can prove themselves: made for one terminal, good for two minutes, kept nowhere.

A nonce is its last second, sixteen random bytes, and a keyed hash over both and the terminal's client. What the card is
asked follows from the nonce, the tap's id and its amount (app/reader/lite_s.py), so an answer is good for one tap: sent
again it is the same tap, and moves nothing twice. The nonce keeps anybody from asking a card today about taps of
tomorrow.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app import clock
from app.ids import keyed_hash, same
from app.reader import lite_s

LIFE = timedelta(minutes=2)
"""Longer than a clerk takes from the amount to the touch; the till asks for a new one before that."""

NONCE_BYTES = 8 + 16 + 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the till brings: the nonce it was given, and the blocks the card answered with, by number (0x82, 0x81)."""

    nonce: bytes
    blocks: Mapping[int, bytes]


def new_nonce(client_id: str, *, key: bytes) -> tuple[bytes, datetime]:
    """A nonce for a terminal, and its last moment."""
    ends_at = (clock.now() + LIFE).replace(microsecond=0)
    said = int(ends_at.timestamp()).to_bytes(8, "big") + secrets.token_bytes(16)
    return said + _seal(said, client_id, key), ends_at


def ends_at(nonce: bytes, client_id: str, *, key: bytes) -> datetime | None:
    """Until when a nonce is good; None where it was not made here for this terminal."""
    said, seal = nonce[:24], nonce[24:]
    if len(nonce) != NONCE_BYTES or not same(seal, _seal(said, client_id, key)):
        return None
    return datetime.fromtimestamp(int.from_bytes(said[:8], "big"), UTC)


def proves(proof: Proof, *, master_key: bytes, idm: str, tap_id: str, amount_yen: int) -> bool:
    """Whether the card with this IDm holds the key we gave to it, and was asked about this very tap."""
    return lite_s.proves(
        master_key,
        idm=bytes.fromhex(idm),
        rc=lite_s.challenge(proof.nonce, tap_id, amount_yen),
        block_82=proof.blocks.get(0x82, b""),
        block_81=proof.blocks.get(0x81, b""),
    )


def _seal(said: bytes, client_id: str, key: bytes) -> bytes:
    return keyed_hash(key, purpose="tap.nonce", value=f"{said.hex()}\0{client_id}")[:16]
