"""What can be wrong with a file: all of it (`FileProblem`), or one line (`problem`). Codes, no sentences."""

from __future__ import annotations

from typing import Any

Problem = dict[str, Any]
"""`field` (None: the line as a whole), `code`, and what its sentence needs."""


def problem(code: str, *, field: str | None = None, **detail: str | int) -> Problem:
    return {"field": field, "code": code, **detail}


class FileProblem(Exception):
    """Nothing of the file can be used. `line` is where that shows, where it is one line."""

    def __init__(self, code: str, *, line: int | None = None, **detail: str | int) -> None:
        super().__init__(code)
        self.stored: dict[str, Any] = {"code": code, "line": line, **detail}
