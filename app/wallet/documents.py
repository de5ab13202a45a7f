"""Rows as JSON documents: how keys and new rows go to PostgreSQL (see statements.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import orjson


def document(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as one JSON document for json_to_recordset: ids, days and instants as they are.

    Text that PostgreSQL cannot hold (NUL) is refused before.
    """
    return orjson.dumps(list(rows)).decode()


def id_array(ids: Iterable[UUID]) -> str:
    """Ids as an array literal for `::uuid[]`, which takes psycopg ten times as long to write out of a list."""
    return f"{{{','.join([one.hex for one in ids])}}}"
