"""Plain functions that make rows, with keyword-only defaults. Each runs in its own transaction, in an app context."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from app.db import transaction
from app.issuer import Issuer


def issuer(*, name_ja: str = "試験生協", name_en: str = "Test Co-op") -> UUID:
    """The one issuer of the database; made at the first call."""
    with transaction() as session:
        known = session.scalar(select(Issuer.id))
        if known is not None:
            return known
        row = Issuer(name_ja=name_ja, name_en=name_en, default_max_per_payment_yen=3_000)
        session.add(row)
        session.flush()
        return row.id
