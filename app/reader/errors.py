"""Refusals of cards and terminals that are decided before the ledger is asked."""

from app.errors import DomainError


class CardUnknown(DomainError):
    code, status = "card_unknown", 404


class CardUnreadable(DomainError):
    """The blocks are not those of a student card."""

    code, status = "card_unreadable", 422


class CardChanged(DomainError):
    """The number is registered, but the card says something else than at registration: re-issued, or a copy."""

    code, status = "card_changed", 403


class CardExpired(DomainError):
    code, status = "card_expired", 403


class CardTaken(DomainError):
    """Another member has registered this card."""

    code, status = "card_taken", 409
