"""The root of every refusal: a class with a stable code and an HTTP status.

The sentence a person reads lives in the translations, under `error.<code>` (what happened) and
`error.<code>.cure` (what to do), in Japanese and English; `detail` fills their placeholders and is shown to
the caller, so it never carries anything the caller may not know. What is for the log goes to the log.
"""

from typing import ClassVar

Detail = str | int | bool | None | list[str]


class DomainError(Exception):
    """A refusal with a reason. Subclasses fix `code` and `status`."""

    code: ClassVar[str]
    status: ClassVar[int]
    keeps_changes: ClassVar[bool] = False
    """True where what was written before the refusal must stay: a counted wrong code, a revoked token family."""

    def __init__(self, **detail: Detail) -> None:
        super().__init__(self.code)
        self.detail = detail

    @property
    def headers(self) -> dict[str, str]:
        """Response headers the refusal needs, such as `WWW-Authenticate`."""
        return {}


class NotFound(DomainError):
    code, status = "not_found", 404


class TooManyRequests(DomainError):
    """A door a stranger can knock at was knocked at too often; `retry_after_s` says when it opens again."""

    code, status = "too_many_requests", 429
    keeps_changes = True
