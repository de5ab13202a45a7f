"""The address of a receipt's page: the transaction's id and a keyed hash of it, so nobody guesses one from another.

Nothing is stored. With another KUMIAI_SECRET_KEY the addresses given out before lead nowhere, which is what one wants
of a key that leaked; the member's app and the member page then show new ones.
"""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

from flask import current_app

from app.errors import NotFound
from app.ids import keyed_hash, same
from app.settings import Settings

_MAC_BYTES = 16


def receipt_url(transaction_id: UUID) -> str:
    """Where anyone who is shown the receipt sees that it is true: what its QR code leads to."""
    return f"{_settings().issuer_url}/receipts/{link(transaction_id)}"


def link(transaction_id: UUID) -> str:
    """The last part of that address."""
    return base64.urlsafe_b64encode(transaction_id.bytes + _mac(transaction_id)).decode().rstrip("=")


def transaction_of(shown: str) -> UUID:
    """The transaction that a link of this server leads to. Raises NotFound."""
    try:
        raw = base64.b64decode(shown + "=" * (-len(shown) % 4), altchars=b"-_", validate=True)
        transaction_id = UUID(bytes=raw[:16])
    except (binascii.Error, ValueError):
        raise NotFound from None
    if not same(link(transaction_id).encode(), shown.encode()):
        raise NotFound
    return transaction_id


def _mac(transaction_id: UUID) -> bytes:
    return keyed_hash(_settings().secret_key, purpose="receipt", value=str(transaction_id))[:_MAC_BYTES]


def _settings() -> Settings:
    settings: Settings = current_app.extensions["kumiai.settings"]
    return settings
