"""Mail to members whose value expires soon: once for each lot and date, in the transaction that remembers it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from babel.dates import format_date
from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import insert

from app.db import session, transaction
from app.issuer import current_issuer
from app.money import format_yen
from app.wallet import directory, notices
from app.wallet.housekeeping.models import ExpiryNotice
from app.web.locale import translate

BATCH = 100
"""Members told in one transaction."""

# By the indexes of the two dates, once: what is sorted and read a batch at a time is the members.
_MEMBERS = text("""
SELECT w.member_id
  FROM account a
  JOIN wallet w ON w.id = a.wallet_id
 WHERE a.expires_on BETWEEN :today AND :until AND a.posted_yen > a.pending_yen
   AND NOT EXISTS (SELECT FROM expiry_notice n WHERE n.account_id = a.id AND n.expires_on = a.expires_on)
 UNION
SELECT w.member_id
  FROM wallet w
  JOIN account a ON a.wallet_id = w.id AND a.expires_on IS NULL
 WHERE w.expires_on BETWEEN :today AND :until AND a.posted_yen > a.pending_yen
   AND NOT EXISTS (SELECT FROM expiry_notice n WHERE n.account_id = a.id AND n.expires_on = w.expires_on)
""")
_EXPIRING = text("""
SELECT w.member_id, m.locale, a.id, a.money_id, coalesce(a.expires_on, w.expires_on), a.posted_yen - a.pending_yen
  FROM wallet w
  JOIN member m ON m.id = w.member_id
  JOIN account a ON a.wallet_id = w.id
 WHERE w.member_id = ANY(:members) AND a.posted_yen > a.pending_yen
   AND coalesce(a.expires_on, w.expires_on) BETWEEN :today AND :until
 ORDER BY 1, 5, 3
""").bindparams(bindparam("members", type_=ARRAY(Uuid())))


class Expiring(NamedTuple):
    """A lot whose value expires soon."""

    member_id: UUID
    locale: str
    account_id: int
    money_id: int
    expires_on: date
    free_yen: int


def tell(*, today: date, days: int, batch: int = BATCH) -> Iterator[int]:
    """Queue mail about what expires within `days`; yields to how many members, `batch` at a time. In an app context.

    Each batch is a transaction: its mails and the memory of them come together or not at all.
    """
    values = {"today": today, "until": today + timedelta(days=days)}
    with transaction():
        waiting = session().scalars(_MEMBERS, values).all()
    for first in range(0, len(waiting), batch):
        with transaction():
            rows = session().execute(_EXPIRING, {**values, "members": waiting[first : first + batch]})
            members = _tell([Expiring(*row) for row in rows])
        if members:
            yield members


def _tell(found: Sequence[Expiring]) -> int:
    """Tell those whom nobody told meanwhile; returns how many members."""
    fresh = _remember(found)
    told = [one for one in found if (one.account_id, one.expires_on) in fresh]
    members = 0
    for member_id, lots in groupby(told, key=lambda one: one.member_id):
        notices.send(member_id, "value_expires", lines=[_line(lot) for lot in lots])
        members += 1
    return members


def _remember(found: Sequence[Expiring]) -> set[tuple[int, date]]:
    if not found:
        return set()
    issuer_id = current_issuer().id
    rows = [{"account_id": one.account_id, "expires_on": one.expires_on, "issuer_id": issuer_id} for one in found]
    statement = insert(ExpiryNotice).values(rows).on_conflict_do_nothing()
    returned: Any = session().execute(statement.returning(ExpiryNotice.account_id, ExpiryNotice.expires_on))
    return {(account_id, expires_on) for account_id, expires_on in returned}


def _line(lot: Expiring) -> str:
    locale = lot.locale
    return translate(
        "mail.value_expires.line",
        locale,
        money=directory.money_by_id(lot.money_id).view(locale)["name"],
        amount=format_yen(lot.free_yen),
        day=format_date(lot.expires_on, translate("mail.limits.day", locale), locale=locale),
    )
