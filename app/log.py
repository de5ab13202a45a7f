"""What the log says of an error: where it happened and which rule of the database it broke, and not the row.

A database error quotes what it refused: a unique violation the key, a check the whole row, a bad value the value; so
names, addresses and descriptions. Whoever looks into the log needs the constraint and the place. PostgreSQL's own log
says the rest where its operator wants it to (`log_error_verbosity`).
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from typing import Any

import psycopg
from flask import has_request_context

from app.web.request_id import request_id

_QUOTES_A_VALUE = "22"
"""The class of SQLSTATE (data exception) whose first line, too, holds what was refused."""


class _Record(logging.LogRecord):
    """A record that names its request, and whose traceback is written here, before a formatter writes its own."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        if has_request_context():
            self.msg = f"{self.msg} [request {request_id()}]"
        if self.exc_info and self.exc_info[1] is not None:
            self.exc_text = told(self.exc_info[1])


def init() -> None:
    """From now on in this process, whoever logs."""
    logging.setLogRecordFactory(_Record)


def told(error: BaseException) -> str:
    """The traceback of an error, with what led to it, without the values that a database error quotes."""
    text = "".join(traceback.format_exception(error)).rstrip("\n")
    for refused in _database_errors(error):
        if said := str(refused):
            text = text.replace(said, _without_values(refused))
    return text


def _database_errors(error: BaseException | None) -> Iterator[psycopg.Error]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, psycopg.Error) and one.sqlstate:
            yield one
        waiting += [one.__cause__, one.__context__]


def _without_values(error: psycopg.Error) -> str:
    diag, state = error.diag, error.sqlstate or ""
    what = None if state.startswith(_QUOTES_A_VALUE) else diag.message_primary
    where = ".".join(filter(None, (diag.table_name, diag.column_name or diag.constraint_name)))
    return " ".join(filter(None, (what, where, f"(SQLSTATE {state})")))
