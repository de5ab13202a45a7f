"""Encrypt at rest what must be readable again: signing keys, queued mail. Tokens and codes are hashed instead."""

import base64

from cryptography.fernet import Fernet, InvalidToken


class SealBroken(Exception):
    """The sealing key is not the one this was sealed with, or the value was altered."""


def seal(key: bytes, plain: bytes) -> bytes:
    """Encrypt and authenticate `plain` with a 32-byte key (Fernet: AES-128-CBC with HMAC-SHA-256)."""
    return Fernet(base64.urlsafe_b64encode(key)).encrypt(plain)


def unseal(key: bytes, sealed: bytes) -> bytes:
    """The inverse of `seal`. Raises SealBroken."""
    try:
        return Fernet(base64.urlsafe_b64encode(key)).decrypt(sealed)
    except InvalidToken as error:
        raise SealBroken("sealed with another KUMIAI_SEALING_KEY, or altered") from error
