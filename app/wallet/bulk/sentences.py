"""The sentence for what is wrong with a file or a line, in its reader's language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def reason(found: dict[str, Any], say: Callable[..., str]) -> str:
    """For a problem of the examination, or a refusal of the ledger. `say` is `translate`, or a terminal's."""
    code = found["code"]
    detail = {name: value for name, value in found.items() if name not in ("code", "field", "line")}
    key = f"bulk.problem.{code}"
    said = say(key, **detail)
    return said if said != key else say(f"error.{code}", **detail)
