"""The baseline: the payment every textbook writes, by pgbench with prepared statements and eight clients."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psycopg

from bench.place import Place
from bench.population import MEMBERS, START_YEN

_DATABASE = "textbook"

_TABLES = f"""
CREATE TABLE textbook_account (id int PRIMARY KEY, balance_yen bigint NOT NULL CHECK (balance_yen >= 0));
CREATE TABLE textbook_transaction (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, member_id int NOT NULL, amount_yen bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE textbook_entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, transaction_id bigint NOT NULL REFERENCES textbook_transaction,
    account_id int NOT NULL REFERENCES textbook_account, amount_yen bigint NOT NULL);
INSERT INTO textbook_account SELECT n, CASE n WHEN 0 THEN 0 ELSE {START_YEN} END FROM generate_series(0, {MEMBERS}) n;
"""

_PAYMENT = f"""\\set member random(1, {MEMBERS})
BEGIN;
UPDATE textbook_account SET balance_yen = balance_yen + 1 WHERE id = 0;
UPDATE textbook_account SET balance_yen = balance_yen - 1 WHERE id = :member;
INSERT INTO textbook_transaction (member_id, amount_yen) VALUES (:member, 1) RETURNING id \\gset
INSERT INTO textbook_entry (transaction_id, account_id, amount_yen) VALUES (:id, :member, -1), (:id, 0, 1);
COMMIT;
"""


def prepare(place: Place) -> Path:
    """Make the textbook's tables, at the first call; returns the pgbench script."""
    script = place.directory / "textbook.sql"
    if place.postgres.create_database(_DATABASE):
        with psycopg.connect(place.postgres.url(_DATABASE)) as connection:
            connection.execute(_TABLES.encode())
        script.write_text(_PAYMENT)
    return script


def run(place: Place, script: Path) -> float:
    """Payments per second."""
    pgbench, url = place.postgres.bin_path / "pgbench", place.postgres.url(_DATABASE)
    done = subprocess.run(
        [pgbench, "-M", "prepared", "-n", "-c", "8", "-j", "2", "-T", str(place.seconds), "-f", script, url],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])
