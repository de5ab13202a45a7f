"""What webhooks tell of. Names are for programs: they never change, and new ones may be added."""

from __future__ import annotations

OF_KIND = {
    "charge": "charge.created",
    "payment": "payment.created",
    "move": "move.created",
    "refund": "refund.created",
    "expiry": "expiry.created",
    "adjustment": "adjustment.created",
    "hold": "hold.created",
    "capture": "hold.captured",
    "release": "hold.released",
    "close": "wallet.closed",
    "settlement": "settlement.created",
}
"""The event that a transaction of this kind is."""

GRANT_REVOKED = "grant.revoked"
WALLET_SUSPENDED = "wallet.suspended"
WALLET_RESUMED = "wallet.resumed"
BULK_DONE = "bulk.done"

CHARGE_OF_STATE = {
    "pending": "charge.pending",
    "paid": "charge.paid",
    "failed": "charge.failed",
    "cancelled": "charge.cancelled",
    "expired": "charge.expired",
    "late_paid": "charge.late_paid",
    "duplicate_paid": "charge.duplicate_paid",
}
"""The event that an order to charge becomes in this state. `charge.created` is the transaction that credits it."""

EVENT_TYPES = (*OF_KIND.values(), GRANT_REVOKED, WALLET_SUSPENDED, WALLET_RESUMED, BULK_DONE, *CHARGE_OF_STATE.values())
"""What an endpoint may choose from."""

TEST = "webhook.test"
"""Sent when its developer asks for it, to whatever an endpoint listens."""
