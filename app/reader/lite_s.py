"""FeliCa Lite-S cards that the co-op issued: their keys, and whether a card proved that it holds its own.

A card of ours carries nothing about its bearer, only a secret: the card key, in block 0x87, which can be written and
never read. The till writes a challenge into the card (RC, block 0x80) and reads the card's ID and the MAC over it
(blocks 0x82 and 0x81, in one command). A copied card has the same ID and cannot make the MAC; a MAC of yesterday was
made for another challenge. Neither till nor reader holds a key: what is here runs on the server, without input or
output.

The arithmetic and the byte order are those of nfcpy 1.0.4 (`FelicaLite.authenticate`, nfc/tag/tt3_sony.py):

    SK  = 3DES-CBC(CK, iv 0) of RC                        16 bytes; two-key 3DES
    MAC = the last 8 bytes of 3DES-CBC(SK, iv RC1) of the blocks read, RC1 being the first half of RC

where the card counts from the other end: in its blocks, each half of RC, of CK, of the data, and the MAC stand in
reverse. Here whatever is called a block, and `rc`, is as the card has it; a `card_key` is as a 3DES library and
nfcpy's `authenticate` take it. `key_block` turns one round.

3DES is what these cards speak. Asked of it is only that nobody without the key makes the one right MAC of 64 bits,
at the first try, for a challenge that is never the same twice.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from app.ids import keyed_hash, same

BLOCK_BYTES = 16
IDM_BYTES = 8
KEY_BYTES = 16
MASTER_KEY_BYTES = 32

_HALF = 8
"""Bytes of half a block; also of a DES block, and of the MAC."""


def diversified_key(master_key: bytes, idm: bytes) -> bytes:
    """The card key (16 bytes) of the card with this IDm (8 bytes), from the issuer's master key (32 bytes).

    HMAC-SHA-256(master key, "card.lite_s.key" 00 IDm as 16 capital hex digits), its first 16 bytes: a pseudo-random
    function of the standard library. Who takes one card apart learns that card's key and nothing of any other.
    (AES-CMAC, as NXP's AN10922 has it, would do as well, and from `cryptography`.)

    3DES ignores the lowest bit of every byte of a key, the parity: 112 of the 128 bits count.
    """
    _expect(master_key, MASTER_KEY_BYTES, "master key")
    _expect(idm, IDM_BYTES, "IDm")
    return keyed_hash(master_key, purpose="card.lite_s.key", value=idm.hex().upper())[:KEY_BYTES]


def key_block(card_key: bytes) -> bytes:
    """What block 0x87 (CK) is written with, so that the card's key is `card_key` (16 bytes)."""
    _expect(card_key, KEY_BYTES, "card key")
    return _turned(card_key)


def challenge(nonce: bytes, tap_id: str, amount_yen: int) -> bytes:
    """The challenge of one tap, 16 bytes: what the till writes into block 0x80 (RC).

    SHA-256(nonce 00 tap_id 00 amount), its first 16 bytes; `tap_id` in ASCII without NUL, the amount in decimal digits.
    The nonce may hold any byte: read from the end, there is one way to take the three apart. A MAC is therefore good
    for one tap of one amount, and only while the nonce is. Raises ValueError.
    """
    if "\0" in tap_id or amount_yen < 0:
        raise ValueError("a tap has a name without NUL, and an amount")
    said = b"\0".join((nonce, tap_id.encode("ascii"), str(amount_yen).encode("ascii")))
    return hashlib.sha256(said).digest()[:BLOCK_BYTES]


def proves(master_key: bytes, *, idm: bytes, rc: bytes, block_82: bytes, block_81: bytes) -> bool:
    """Whether the card that says it is `idm` holds the key that we gave to that card, and answered `rc`."""
    card_key = diversified_key(master_key, idm)
    right = mac_is_right(card_key, rc, block_82, block_81)
    return same(block_82[:IDM_BYTES], idm) and right


def mac_is_right(card_key: bytes, rc: bytes, block_82: bytes, block_81: bytes) -> bool:
    """Whether a card with this key made the MAC in `block_81` over `block_82` for `rc`. All are 16 bytes.

    The first 8 bytes of `block_81` are the MAC; the others say nothing and are not looked at, as nfcpy does not.
    Compared in constant time. A block of another length proves nothing; any other length is the caller's fault, and
    raises ValueError.
    """
    _expect(card_key, KEY_BYTES, "card key")
    _expect(rc, BLOCK_BYTES, "RC")
    if len(block_82) != BLOCK_BYTES or len(block_81) != BLOCK_BYTES:
        return False
    rc_turned = _turned(rc)
    session_key = _encrypted(card_key, iv=bytes(_HALF), plain=rc_turned)
    mac_turned = _encrypted(session_key, iv=rc_turned[:_HALF], plain=_turned(block_82))[-_HALF:]
    return same(block_81[:_HALF], _turned(mac_turned))


def _turned(data: bytes) -> bytes:
    """Each 8 bytes in reverse."""
    return b"".join(data[i : i + _HALF][::-1] for i in range(0, len(data), _HALF))


def _encrypted(key: bytes, *, iv: bytes, plain: bytes) -> bytes:
    """3DES-CBC with a key of two halves, 16 bytes: the first is used twice."""
    encryptor = Cipher(TripleDES(key + key[:_HALF]), modes.CBC(iv)).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


def _expect(value: bytes, length: int, name: str) -> None:
    if len(value) != length:
        raise ValueError(f"{name}: {length} bytes, not {len(value)}")
