"""FeliCa Lite-S cards of the co-op, as the till sees them: it carries a challenge to the card and the answer back.

There is no key here, and nothing to compare: only the server can tell whether the card's MAC is right. What makes a
challenge is said twice, here and in app/reader/lite_s.py, because the till installs without the server.
"""

from __future__ import annotations

import hashlib

from nfc.tag.tt3 import BlockCode, ServiceCode, Type3Tag

from app.reader.agent.source import CardProfile, card_answers

SERVICE = 0x000B
"""Reading without a key; writing is 0x0009."""

RC, MAC, ID = 0x80, 0x81, 0x82
"""The blocks of a Lite-S card: what it is challenged with, its MAC over what is read with it, its number."""

BLOCK_BYTES = 16

_READING = ServiceCode(SERVICE >> 6, SERVICE & 0x3F)
_WRITING = ServiceCode(0, 0b001001)


def challenge(nonce: bytes, tap_id: str, amount_yen: int) -> bytes:
    """What a card is challenged with for one tap: SHA-256(nonce 00 tap_id 00 amount), its first 16 bytes.

    The nonce is the server's, or without a line the hash of the tap's own record. All three are known before the card
    is held.
    """
    said = b"\0".join((nonce, tap_id.encode("ascii"), str(amount_yen).encode("ascii")))
    return hashlib.sha256(said).digest()[:BLOCK_BYTES]


def prove(tag: Type3Tag, rc: bytes) -> dict[str, str]:
    """Have the card answer the challenge `rc`: its blocks ID and MAC, by their numbers in hex ("82", "81").

    Raises HoldAgain, WrongCard, NoReader. Sent again after a lost step, the same challenge does no harm.
    """
    if len(rc) != BLOCK_BYTES:
        raise ValueError(f"a challenge is {BLOCK_BYTES} bytes, not {len(rc)}")
    with card_answers():
        tag.write_without_encryption([_WRITING], [BlockCode(RC)], rc)
        # One command: the MAC covers what is read before it in the same one, and both are of one card.
        read = tag.read_without_encryption([_READING], [BlockCode(ID), BlockCode(MAC)])
    return {f"{ID:02X}": read[:BLOCK_BYTES].hex(), f"{MAC:02X}": read[BLOCK_BYTES:].hex()}


LITE_S = CardProfile(name="lite_s", system=0x88B4, service=SERVICE, blocks=(), prove=prove)
"""Without a challenge only its IDm is read, which every copy has too."""
