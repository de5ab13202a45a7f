"""How keys and new rows go to PostgreSQL (see statements.py): as arrays, a column each, or as a JSON document.

Numbers and ids go as arrays, which take PostgreSQL and the line between half of what a document does; rows with text
in them go as documents. Of both orjson writes the text: psycopg takes ten times as long for a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson


def document(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as one JSON document for json_to_recordset: ids, days and instants as they are.

    Text that PostgreSQL cannot hold (NUL) is refused before.
    """
    return orjson.dumps(list(rows)).decode()


def array(values: list[Any]) -> str:
    """Numbers, ids, days, or text without any mark as an array literal; None as NULL."""
    return f"{{{orjson.dumps(values)[1:-1].decode()}}}"
