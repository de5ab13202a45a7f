"""Writes each example into the guides: `python docs/include_examples.py`. The files are the source, not the blocks.

A line `<!-- examples: web.py web.mjs web.sh -->` is followed by one folded block per file, up to the line
`<!-- /examples -->`.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGES = (HERE / "oauth.md", HERE / "api.md")
_PLACE = re.compile(r"<!-- examples: ([^>]*) -->\n.*?<!-- /examples -->", re.DOTALL)
_LANGUAGES = {"py": "python", "mjs": "javascript", "js": "javascript", "sh": "bash", "html": "html"}
_NAMES = {"py": "Python", "mjs": "JavaScript", "js": "JavaScript", "sh": "curl", "html": "HTML"}


def included(page: str) -> str:
    """The page with its blocks as the files are now."""
    return _PLACE.sub(lambda place: _blocks(place[1].split()), page)


def named(page: str) -> list[str]:
    """The files that it shows."""
    return [name for place in _PLACE.finditer(page) for name in place[1].split()]


def _blocks(names: list[str]) -> str:
    blocks = "\n".join(_block(name) for name in names)
    return f"<!-- examples: {' '.join(names)} -->\n\n{blocks}\n<!-- /examples -->"


def _block(name: str) -> str:
    kind = name.rpartition(".")[2]
    code = (HERE / "examples" / name).read_text(encoding="utf-8")
    summary = f'<summary>{_NAMES[kind]}: <a href="examples/{name}">{name}</a></summary>'
    return f"<details>{summary}\n\n```{_LANGUAGES[kind]}\n{code}```\n\n</details>\n"


if __name__ == "__main__":
    for written in PAGES:
        written.write_text(included(written.read_text(encoding="utf-8")), encoding="utf-8")
