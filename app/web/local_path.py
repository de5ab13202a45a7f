"""Where a page may send a person back to: a path of this very site, never another host."""

from __future__ import annotations

import re

_LOCAL_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
"""One slash, not two. Browsers read a backslash as a slash and drop tabs and line ends, so none may appear."""


def local_path(value: str | None) -> str | None:
    """`value` if it is a path (and query) of this site, else None. Keeps redirects from being open."""
    return value if value is not None and _LOCAL_PATH.fullmatch(value) else None
