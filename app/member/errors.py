"""What can be refused while a person signs in or chooses a new password."""

from app.errors import DomainError


class InvalidCredentials(DomainError):
    """Unknown e-mail address or wrong password: one refusal for both, so that nobody learns who is a member."""

    code, status = "invalid_credentials", 403


class MemberSuspended(DomainError):
    """The member stopped the account. Said only to somebody who gave the right password."""

    code, status = "member_suspended", 403


class WrongCode(DomainError):
    """Not the six digits that were sent; `tries_left` says how often one may still try. The try stays counted."""

    code, status = "wrong_code", 422
    keeps_changes = True


class CodeExhausted(WrongCode):
    """Not the six digits either, and that was the last try. It stays counted."""

    code = "code_exhausted"


class CodeUnusable(DomainError):
    """Used, replaced by a newer one, expired or tried too often: only a new code helps."""

    code, status = "code_unusable", 422


class WrongPassword(DomainError):
    """Not the member's present password, which they must give to set a new one."""

    code, status = "wrong_password", 422


class ResetRefused(DomainError):
    """No new password for this code. One refusal for a wrong code, a spent one, and an address that is nobody's."""

    code, status = "reset_refused", 422


class PasswordRefused(DomainError):
    """The new password cannot be taken; the subclass says why."""

    status = 422


class PasswordTooShort(PasswordRefused):
    code = "password_too_short"


class PasswordGuessable(PasswordRefused):
    """It is among the first that anybody would try: much used elsewhere, or the member's own address."""

    code = "password_guessable"


class PasswordUnchanged(PasswordRefused):
    """It is the present one."""

    code = "password_unchanged"
