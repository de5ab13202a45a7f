"""Writes the table of errors into docs/api.md: `python docs/include_errors.py`. The translations are the source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po

from app.charge import errors as charge
from app.errors import DomainError, NotFound, TooManyRequests
from app.oauth.errors import InsufficientScope, InsufficientUserAuthentication, InvalidToken, MissingToken
from app.reader import errors as reader
from app.wallet.bulk import errors as bulk
from app.wallet.errors import STATUS_OF
from app.wallet.statement.monthly import StatementTooLong
from app.wallet.suspension import AccountClosed
from app.wallet.webhooks import errors as webhooks

HERE = Path(__file__).parent
PAGE = HERE / "api.md"
_PLACE = re.compile(r"<!-- errors -->\n.*?<!-- /errors -->", re.DOTALL)

NOT_TOLD = frozenset(
    {
        "hold_not_expired",
        "already_expired",
        "nothing_expired",
        "wallet_awaits_charges",
        "wallet_has_holds",
        "payout_quota_exceeded",
    }
)
"""Refusals of what only the office and the worker ask for."""

_OF_HTTP = {
    "invalid_fields": 422,
    "bad_request": 400,
    "forbidden": 403,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "too_large": 413,
    "unsupported_media_type": 415,
    "internal_error": 500,
}
_CLASSES: dict[str, tuple[type[DomainError], ...]] = {
    "Who asks": (MissingToken, InvalidToken, InsufficientScope, InsufficientUserAuthentication, AccountClosed),
    "Any call": (NotFound, TooManyRequests),
    "Charges": (
        charge.ChargesClosed,
        charge.MethodNotOffered,
        charge.ChargeLimitExceeded,
        charge.ChargeUnknown,
        charge.ChargeNotOpen,
        charge.ChargeLinkUnknown,
        charge.ChargeLinksTooMany,
        charge.ReceiverNotChargeable,
        charge.IdentityCheckFailed,
        charge.IdentityUnknown,
        charge.GatewayAway,
    ),
    "Cards and PINs": (
        reader.CardUnreadable,
        reader.CardTaken,
        reader.ProfileUnknown,
        reader.PinWrongForm,
        reader.PinGuessable,
        reader.RegistrationCodeUnusable,
    ),
    "Statements, bulk jobs, webhooks": (
        StatementTooLong,
        bulk.BulkStateWrong,
        bulk.BulkHasBadLines,
        bulk.BulkSumDiffers,
        bulk.BulkSameFile,
        bulk.BulkTooManyJobs,
        bulk.BulkResultsGone,
        webhooks.TooManyEndpoints,
        webhooks.UrlRefused,
        webhooks.EndpointDisabled,
        webhooks.PayloadGone,
    ),
}


def statuses() -> dict[str, dict[str, int]]:
    """Every code that the API answers with, and its status, by subject."""
    found = {subject: {each.code: each.status for each in classes} for subject, classes in _CLASSES.items()}
    found["Any call"] |= _OF_HTTP
    money = {code: status for code, status in STATUS_OF.items() if code not in NOT_TOLD}
    return {"Who asks": found.pop("Who asks"), "Any call": found.pop("Any call"), "Money": money, **found}


def included(page: str) -> str:
    """The page with its table as the sentences are now."""
    tables = "\n".join(_tables())
    return _PLACE.sub(lambda _: f"<!-- errors -->\n\n{tables}\n<!-- /errors -->", page)


def _tables() -> Iterator[str]:
    for subject, codes in statuses().items():
        yield f"### {subject}\n"
        yield "| code | status | what it means | what to do |\n|---|---|---|---|"
        yield from _rows(codes.items())
        yield ""


def _rows(codes: Iterable[tuple[str, int]]) -> Iterator[str]:
    for code, status in sorted(codes, key=lambda one: (one[1], one[0])):
        page, cure = f"http://localhost:8000/docs/errors/{code}", _said(f"{code}.cure")
        yield f"| [`{code}`]({page}) | {status} | {_said(code)} | {cure} |"


def _said(key: str) -> str:
    said = _sentences()[f"error.{key}"]
    return re.sub(r"%\((\w+)\)s", lambda name: _sentences().get(f"docs.any.{name[1]}", f"`{name[1]}`"), said)


@cache
def _sentences() -> dict[str, str]:
    found = {}
    for path in sorted((HERE.parent / "app/translations/en").glob("*.po")):
        with path.open("rb") as file:
            found.update({str(message.id): str(message.string) for message in read_po(file)})
    return found


if __name__ == "__main__":
    PAGE.write_text(included(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
