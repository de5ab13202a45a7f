"""Deny by default: every view says, where it is registered, who may call it; a view that says nothing is refused.

    @blueprint.get("/me")
    @protected_by(Bearer("balance"))
    def me(): ...

`enforce` runs before every request and asks the declared protection. A test walks the url map and fails on a
view without one, so that "refused at run time" never reaches a user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from flask import Flask, current_app, request
from werkzeug.exceptions import Forbidden

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE = "__protection__"


class Protection(Protocol):
    """Decides whether the current request may go on. Raises a refusal, or returns."""

    def check(self) -> None: ...

    def describe(self) -> str:
        """One line for the list of endpoints (`kumiai routes`)."""


class Public:
    """Anyone may call. `why` says what makes that right; it is shown in the list of endpoints."""

    def __init__(self, why: str) -> None:
        self.why = why

    def check(self) -> None:
        return None

    def describe(self) -> str:
        return f"public: {self.why}"


def protected_by(protection: Protection) -> Callable[[View], View]:
    """Declare a view's protection. Put it next to the route; wrappers made with functools.wraps keep it."""

    def declare(view: View) -> View:
        setattr(view, _ATTRIBUTE, protection)
        return view

    return declare


def protection_of(view: Callable[..., Any]) -> Protection | None:
    """The protection a view declared, or None."""
    return getattr(view, _ATTRIBUTE, None)


def enforce() -> None:
    """Ask the protection of the view about to run; refuse a view that declared none."""
    if request.endpoint is None or _flask_answers():
        return  # no view runs: the router's own 404 or 405 follows, or the list of methods
    protection = protection_of(current_app.view_functions[request.endpoint])
    if protection is None:
        current_app.logger.error("endpoint %s declares no protection", request.endpoint)
        raise Forbidden
    protection.check()


def _flask_answers() -> bool:
    """Whether this is a browser's question before it sends a token (CORS): it has none yet, and no view runs."""
    return request.method == "OPTIONS" and bool(getattr(request.url_rule, "provide_automatic_options", False))


def init_app(app: Flask) -> None:
    app.before_request(enforce)
    if "static" in app.view_functions:
        protected_by(Public("style sheets, scripts and pictures of the pages"))(app.view_functions["static"])
