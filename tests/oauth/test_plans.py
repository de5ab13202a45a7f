"""What ends everything of one member finds it by an index, however many rows others have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import event

from app.db import autocommit, db, transaction
from app.oauth import account, grants_service
from app.oauth.suspension import suspend_member
from app.wallet.spend_control import GrantControls
from tests.oauth.conftest import Member, ThirdParty

EVERYTHING: dict[str, Callable[[UUID], None]] = {
    "sign out everywhere": account.sign_out_everywhere,
    "suspend": suspend_member,
    "revoke all": lambda member_id: grants_service.revoke_all(member_id, controls=GrantControls()),
}


@contextmanager
def noted() -> Iterator[list[tuple[str, Any]]]:
    """The statements that the block sends in its transaction, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        seen.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("ending", EVERYTHING.values(), ids=EVERYTHING)
def test_no_table_is_read_through(
    app: Flask, third_party: ThirdParty, member: Member, ending: Callable[[UUID], None]
) -> None:
    third_party.tokens(member, scope="openid offline_access payment", ticked=["payment"])

    with app.app_context(), noted() as statements, transaction():
        ending(member.id)

    assert len(statements) > 2
    with app.app_context(), autocommit().connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")  # where there is an index to use, it is used now
        for statement, parameters in statements:
            if not statement.lstrip().startswith("INSERT"):
                plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
                assert "Seq Scan" not in plan, (statement, plan)
        connection.exec_driver_sql("RESET enable_seqscan")
