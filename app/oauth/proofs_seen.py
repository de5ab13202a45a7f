"""Client assertions and DPoP proofs are accepted once: the `jti` of each is kept until the thing itself is too old."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.dialects.postgresql import insert

from app.db import autocommit, in_transaction
from app.ids import secret_hash
from app.oauth.models import ProofSeen

_KEPT_LONGER = timedelta(seconds=60)
"""The database deletes by its own clock, which may be ahead of this host's."""


def first_time(*, whose: str, jti: str, until: datetime) -> bool:
    """Whether `jti` was not accepted before from `whose`; `until` is when its bearer is too old to be accepted at all.

    It commits by itself, so of many at once one gets True, and an exchange that fails afterwards does not free it.
    """
    assert not in_transaction(), "note a proof before the transaction: its roll-back must not free it"
    row = {"proof_hash": secret_hash(f"{whose}\0{jti}"), "expires_at": until + _KEPT_LONGER}
    statement = insert(ProofSeen).values(row).on_conflict_do_nothing().returning(ProofSeen.proof_hash)
    with autocommit().connect() as connection:
        return connection.execute(statement).one_or_none() is not None
