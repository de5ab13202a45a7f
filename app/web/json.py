"""A JSON answer written as it is: for bodies that are already in the shape their schema describes.

flask-smorest would dump them through the schema once more. The contract tests hold every answer against the
document instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from app.web.response import Answer, CompleteAnswer


def json_response(body: Mapping[str, Any], *, status: int, headers: Mapping[str, str] | None = None) -> Answer:
    """`body` as application/json."""
    return CompleteAnswer(orjson.dumps(body), status=status, headers=headers, mimetype="application/json")
