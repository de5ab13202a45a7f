"""The three ways in which a visitor does not get on. None of them is a fault of the member page."""

from __future__ import annotations


class ServerAway(Exception):
    """The server cannot be reached, or answers that it cannot serve now."""


class AccessEnded(Exception):
    """The server no longer takes the tokens: revoked by the member or the office, or too old."""


class SignInFailed(Exception):
    """A sign-in did not come to its end. `notice` names the sentence for the visitor, `reason` is for the log."""

    def __init__(self, notice: str, reason: str) -> None:
        super().__init__(reason)
        self.notice = notice
