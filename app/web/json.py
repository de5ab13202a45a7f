"""A JSON answer written as it is: for bodies that are already in the shape their schema describes.

flask-smorest would dump them through the schema once more. The contract tests hold every answer against the
document instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.web.response import Answer, CompleteAnswer

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def json_response(body: Mapping[str, Any], *, status: int, headers: Mapping[str, str] | None = None) -> Answer:
    """`body` as application/json."""
    return CompleteAnswer(_ENCODER.encode(body), status=status, headers=headers, mimetype="application/json")
