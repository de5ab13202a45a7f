"""How many SQL statements a request costs, counted where they leave for PostgreSQL.

Below SQLAlchemy, so that the connections of `app.lookup` and of the ledger count too. BEGIN, COMMIT and ROLLBACK are
kept apart: they are not what a query plan or an index could make cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import psycopg


@dataclass
class Sent:
    """What this process sent to PostgreSQL, in order."""

    statements: list[str] = field(default_factory=list)
    transaction_control: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.statements)


@contextmanager
def sent() -> Iterator[Sent]:
    """Note what every connection of this process sends while the block lasts.

    Do once beforehand what is counted: the first request opens connections and reads what the process keeps.
    """
    seen = Sent()
    execute, executemany = psycopg.Cursor.execute, psycopg.Cursor.executemany
    control = psycopg.Connection._exec_command

    def note_one(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        seen.statements.append(_text(query))
        return execute(self, query, *arguments, **options)

    def note_many(self: Any, query: Any, parameters: Any, **options: Any) -> Any:
        parameters = list(parameters)
        seen.statements.extend(_text(query) for _ in parameters)
        return executemany(self, query, parameters, **options)

    def note_control(self: Any, command: Any, *arguments: Any, **options: Any) -> Any:
        seen.transaction_control.append(_text(command))
        return control(self, command, *arguments, **options)

    with (
        patch.object(psycopg.Cursor, "execute", note_one),
        patch.object(psycopg.Cursor, "executemany", note_many),
        patch.object(psycopg.Connection, "_exec_command", note_control),
    ):
        yield seen


def _text(query: Any) -> str:
    return " ".join((query.decode() if isinstance(query, bytes) else str(query)).split())
