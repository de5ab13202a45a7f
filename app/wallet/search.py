"""Pages of transactions, newest first, and what is looked for in them. A page costs the same wherever it is.

Pages go by position, so nothing is counted and nothing skipped over. What narrows a search has no index of its own
(each would cost every payment something): a page goes through so many transactions of its owner and no more, says how
far that was, and the next page goes on from there.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, Subquery, or_, select

from app.wallet import as_of, directory
from app.wallet.directory import MoneyEntry
from app.wallet.instants import LEAST
from app.wallet.models import Request, Transaction, named
from app.wallet.views import receipt_no

LOOKED_AT = 2_000
"""The most transactions that one page of a search goes through."""


LookedAt = Select[*tuple[Any, ...]]

COLUMNS = (
    Transaction.id,
    Transaction.position,
    Transaction.created_at,
    Transaction.kind,
    Transaction.money_id,
    Transaction.shop_id,
    Transaction.amount_yen,
    Transaction.description,
    Transaction.requester,
    Transaction.request_id,
    Transaction.extra.label("extra"),
)
"""What a search looks at. It is read with the transactions themselves, never joined: a plan that joins may well read
the whole ledger for it."""


class BadCursor(ValueError):
    """A cursor that this server did not make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for: everything that is given must hold. `words` are folded; those in a request's name or
    metadata count only where `requester` asked for it."""

    money: MoneyEntry | None = None
    kinds: Sequence[str] = ()
    shop_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_yen: int | None = None
    max_yen: int | None = None
    words: Sequence[str] = ()
    requester: str = ""

    @property
    def narrows(self) -> bool:
        """Whether it may pass over any number of transactions (which its times do not)."""
        bounds = (self.money, self.shop_id, self.min_yen, self.max_yen)
        return bool(self.kinds or self.words) or any(bound is not None for bound in bounds)


@dataclass(frozen=True, slots=True)
class Page:
    """The ids found, newest first; the position before which the next page goes on (None: there is none), and up to
    where this one has looked (None: at everything)."""

    ids: list[UUID]
    before: int | None
    looked_back_to: datetime | None


@dataclass(frozen=True, slots=True)
class Span:
    """Positions after `after` up to `upto`, which may be looked at."""

    after: int
    upto: int


def span(connection: Connection, *, issuer_id: UUID, search: Search, before: int | None) -> Span:
    """Where a page looks: within the search's times, and before the page before."""
    after = 0
    if search.since is not None:
        after = as_of.position_by(connection, issuer_id=issuer_id, at=search.since - LEAST)
    upto = as_of.position_by(connection, issuer_id=issuer_id, at=search.until)
    return Span(after, upto if before is None else min(upto, before - 1))


def page(connection: Connection, *, looked_at: LookedAt, search: Search, limit: int) -> Page:
    """The page of a search among `looked_at` (COLUMNS, newest first), of which it goes through LOOKED_AT at most."""
    scope = looked_at.limit(LOOKED_AT).subquery("scope")
    query = _narrowed(scope, search)
    if search.words:
        rows = [row for row in connection.execute(query) if _has_words(row, search)][: limit + 1]
    else:
        rows = list(connection.execute(query.limit(limit + 1)))
    ids = [row.id for row in rows[:limit]]
    if len(rows) > limit:
        return Page(ids, rows[limit - 1].position, rows[limit - 1].created_at)
    if not search.narrows:
        return Page(ids, None, None)
    end = connection.execute(looked_at.offset(LOOKED_AT - 1).limit(1)).one_or_none()
    return Page(ids, end.position, end.created_at) if end is not None else Page(ids, None, None)


def words(text: str) -> tuple[str, ...]:
    """The words of a search, as they are compared."""
    return tuple(dict.fromkeys(fold(text).split()))


def fold(text: str) -> str:
    """Without what is no difference to who searches: full and half width, upper and lower case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def encode_cursor(position: int) -> str:
    """An opaque mark for the next page."""
    return base64.urlsafe_b64encode(f"p{position}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """The inverse of `encode_cursor`. Raises BadCursor."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        position = int(text[1:])
    except (binascii.Error, ValueError) as error:
        raise BadCursor(cursor) from error
    if text != f"p{position}" or not 0 < position < 2**63:
        raise BadCursor(cursor)
    return position


def _narrowed(scope: Subquery, search: Search) -> LookedAt:
    texts = (scope.c.description, scope.c.shop_id, scope.c.requester, scope.c.request_id, scope.c.extra)
    columns = (scope.c.id, scope.c.position, scope.c.created_at)
    query: LookedAt = select(*columns, *texts) if search.words else select(*columns)
    return query.where(*_conditions(scope, search)).order_by(scope.c.position.desc())


def _conditions(scope: Subquery, search: Search) -> Iterable[ColumnElement[bool]]:
    if search.money is not None:
        parts = select(Request.answer["parts"]).where(named(scope.c)).scalar_subquery()
        yield or_(scope.c.money_id == search.money.id, parts.contains([[search.money.code]]))
    if search.kinds:
        yield scope.c.kind.in_(search.kinds)
    if search.shop_id is not None:
        yield scope.c.shop_id == search.shop_id
    if search.min_yen is not None:
        yield scope.c.amount_yen >= search.min_yen
    if search.max_yen is not None:
        yield scope.c.amount_yen <= search.max_yen


def _has_words(row: Row[Any], search: Search) -> bool:
    text = fold("\n".join(_texts(row, search)))
    return all(word in text for word in search.words)


def _texts(row: Row[Any], search: Search) -> Iterable[str]:
    number = receipt_no(row.position)
    yield from (row.description, number, number.replace("-", ""))
    if row.shop_id is not None:
        shop = directory.shop_by_id(row.shop_id)
        yield from (shop.code, shop.name_ja, shop.name_en)
    if row.requester == search.requester:
        yield row.request_id
        yield from (value for value in row.extra.values() if isinstance(value, str))
