"""Refusals around cards and PINs. Those of a tap are the ledger's: it keeps them (app/wallet/errors.py)."""

from app.errors import DomainError


class CardUnreadable(DomainError):
    """The blocks are not those of a card of that profile."""

    code, status = "card_unreadable", 422


class CardTaken(DomainError):
    """Another member has registered this card."""

    code, status = "card_taken", 409


class ProfileUnknown(DomainError):
    """The issuer reads no such cards."""

    code, status = "card_profile_unknown", 422


class PinWrongForm(DomainError):
    """A PIN has four to eight digits."""

    code, status = "pin_wrong_form", 422


class PinGuessable(DomainError):
    """What a finder of the card would try first."""

    code, status = "pin_guessable", 422


class RegistrationCodeUnusable(DomainError):
    """No such code of a member who wants to register a card, or not any more."""

    code, status = "registration_code_unusable", 404
