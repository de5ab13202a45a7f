"""How keys and new rows go to PostgreSQL (see statements.py): as arrays, a column each, or as a JSON document.

Arrays take PostgreSQL and the line between half of what a document does, so what every batch has goes as arrays; what
only some have goes as documents. Of both orjson writes the text: psycopg takes ten times as long for a list.
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
    """Numbers, ids, days or texts as an array literal; None as NULL."""
    written = orjson.dumps(values)
    if b"\\" in written:  # JSON escapes some character: an array literal knows two escapes, of `"` and of `\`
        return f"{{{','.join(map(_quoted, values))}}}"
    return f"{{{written[1:-1].decode()}}}"


def sparse(values: list[Any]) -> str:
    """As `array`, of a column that is mostly empty: unnest fills up with NULL what is missing at the end."""
    return array(values) if any(value is not None for value in values) else "{}"


def _quoted(value: Any) -> str:
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    marked = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{marked}"'
