"""What a shop took in a period is found by indexes, however many transfers others have."""

from __future__ import annotations

from uuid import uuid4

from flask import Flask
from sqlalchemy import text

from app.db import autocommit
from app.wallet.settlement.takings import MOVEMENTS


def test_no_table_is_read_through(app: Flask) -> None:
    parameters = {"shop": uuid4(), "after": 5_000_000, "through": 5_000_100, "zone": "Asia/Tokyo"}
    with app.app_context(), autocommit().connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")  # where there is an index to use, it is used now
        plan = "\n".join(connection.execute(text(f"EXPLAIN {MOVEMENTS.text}"), parameters).scalars())
        connection.exec_driver_sql("RESET enable_seqscan")
    assert "Seq Scan" not in plan, plan
    for index in ("ix_transfer_credit", "ix_transfer_debit", "uq_account_takings", "pk_transaction"):
        assert index in plan
    assert plan.count('("position" > 5000000)') == plan.count('("position" <= 5000100)') == 2, plan
