"""What stands on paper: a document as plain values, given to `app.paper.render.render`.

Text may be anything at all (a member's own words, a shop's name): what the font cannot write is drawn as 〓.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Cell = str | int
"""Text, or a whole number: written as yen or as a plain number, as its column says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table. `share` is its part of the page's width, beside the shares of the others."""

    title: str
    share: float = 1.0
    kind: Literal["text", "yen", "number"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a header that every page repeats; `totals` are rows in bold at the end. A cell shows four lines."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    totals: Sequence[Sequence[Cell]] = ()
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Names and values, one pair a line. An int is yen. The pairs of `strong` names are in large bold letters."""

    pairs: Sequence[tuple[str, Cell]]
    title: str = ""
    strong: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Running text, wrapped to the page. Line ends of the text are kept."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """A QR code with words under it. Content above 2,331 bytes (ISO/IEC 18004, level M) leaves its place empty."""

    content: str
    caption: str = ""


Block = Table | Facts | Note | QrCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Pages of A4. `language` is its BCP 47 tag, `number` a document's number, `to` whom it is for."""

    title: str
    issuer: str
    period: str = ""
    number: str = ""
    to: str = ""
    footer: str = ""
    language: str = "ja"
    blocks: Sequence[Block] = field(default=())
