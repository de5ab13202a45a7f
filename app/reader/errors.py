"""Refusals of registering a card. Those of a tap are the ledger's: it keeps them (app/wallet/errors.py)."""

from app.errors import DomainError


class CardUnreadable(DomainError):
    """The blocks are not those of a student card."""

    code, status = "card_unreadable", 422


class CardTaken(DomainError):
    """Another member has registered this card."""

    code, status = "card_taken", 409
