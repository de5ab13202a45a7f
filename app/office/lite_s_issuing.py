"""Making a FeliCa Lite-S card one of ours: its key is written, tried, and locked in for good.

Only where the master key is: a till never holds a key. Until the last step nothing is final, so a card that was taken
away too early is simply held again. Blocks and what their bytes mean: nfcpy 1.0.4, `FelicaLiteS.protect`, whose own
way there (a password in ASCII) cannot write every key.
"""

from __future__ import annotations

import secrets
from enum import Enum

from nfc.tag.tt3 import BlockCode, ServiceCode, Type3Tag

from app.reader import lite_s
from app.reader.agent.lite_s import BLOCK_BYTES, prove
from app.reader.agent.source import card_answers

CKV, CK, MC = 0x86, 0x87, 0x88
"""Blocks: the key's version, the key, the memory's configuration."""

KEY_VERSION = 1

_MC_SYSTEM, _MC_KEY_BY_MAC = 2, 5
"""Bytes of MC. The first: FF while ID, key, key version and these bytes may be written; 00 never again. The second: 1
if even so somebody who knows the card's key may write key and version, which leaves a way to another master key."""

_OPEN = 0xFF
_READING, _WRITING = ServiceCode(0, 0b001011), ServiceCode(0, 0b001001)


class Issued(Enum):
    """What became of a card."""

    NOW = "issued"
    BEFORE = "already"
    """It was ours already, or its last step got no answer."""
    NOT_OURS = "not_ours"
    """It is locked with a key that is not ours: it belongs to somebody else, or was made with another master key."""
    FAULTY = "faulty"
    """It took the key and cannot prove it. It was not locked."""


def issue(tag: Type3Tag, master_key: bytes) -> Issued:
    """Write the card's own key into it, let it prove it, lock it. Raises HoldAgain, WrongCard, NoReader."""
    config = _read(tag, MC)
    if config[_MC_SYSTEM] != _OPEN:
        return Issued.BEFORE if _proves(tag, master_key) else Issued.NOT_OURS
    _write(tag, CKV, KEY_VERSION.to_bytes(2, "little").ljust(BLOCK_BYTES, b"\0"))
    _write(tag, CK, lite_s.key_block(lite_s.diversified_key(master_key, bytes(tag.idm))))
    if not _proves(tag, master_key):
        return Issued.FAULTY
    config[_MC_SYSTEM], config[_MC_KEY_BY_MAC] = 0x00, 0x01
    _write(tag, MC, bytes(config))
    return Issued.NOW


def _proves(tag: Type3Tag, master_key: bytes) -> bool:
    rc = secrets.token_bytes(BLOCK_BYTES)
    blocks = {number: bytes.fromhex(block) for number, block in prove(tag, rc).items()}
    return lite_s.proves(master_key, idm=bytes(tag.idm), rc=rc, block_82=blocks["82"], block_81=blocks["81"])


def _read(tag: Type3Tag, number: int) -> bytearray:
    with card_answers():
        return bytearray(tag.read_without_encryption([_READING], [BlockCode(number)]))


def _write(tag: Type3Tag, number: int, data: bytes) -> None:
    with card_answers():
        tag.write_without_encryption([_WRITING], [BlockCode(number)], data)
