"""The ways in which a visitor does not get on. None of them is a fault of the member page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ServerAway(Exception):
    """The server cannot be reached, or answers that it cannot serve now."""


class AccessEnded(Exception):
    """The server no longer takes the tokens: revoked by the member or the office, or too old."""


class SignInFailed(Exception):
    """A sign-in did not come to its end. `notice` names the sentence for the visitor, `reason` is for the log."""

    def __init__(self, notice: str, reason: str) -> None:
        super().__init__(reason)
        self.notice = notice


class AskedTooMuch(Exception):
    """The office has not registered this client for everything that it asked for."""


class NotAllowed(Exception):
    """The member has not given this page the permission (`scope`) that it needs for this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"the scope {scope} was not given")
        self.scope = scope


class Refused(Exception):
    """The server answered no, for a reason that the member should hear (RFC 9457)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("code")))
        self.problem = problem

    @property
    def code(self) -> str:
        return str(self.problem.get("code"))


class SignInAgain(Exception):
    """The member must have signed in within `max_age_s` seconds for this (RFC 9470)."""

    def __init__(self, max_age_s: int) -> None:
        super().__init__(f"a sign-in of the last {max_age_s} s is needed")
        self.max_age_s = max_age_s


class Unsure(Exception):
    """What became of a request that moves value is not known. Sent again with the same key it moves nothing twice."""
