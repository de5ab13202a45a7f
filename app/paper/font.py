"""The letters on paper: one embedded Japanese font, and how text of any kind is made fit for it.

The font is BIZ UDPGothic (SIL Open Font License 1.1, see fonts/OFL.txt): made to be read easily, with the kana,
the Latin letters and some 9,000 kanji, those of names among them. It lies in the package, since a server may have no
fonts; only the letters a document uses are embedded in it.

Known limit: the 314 kanji beyond U+FFFF that it has are drawn rightly, but reportlab writes their code in a form that
copying text from the file does not understand.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from importlib.resources import as_file, files

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

NAME = "BIZ UDPGothic"
MISSING = "〓"
"""The geta mark: how Japanese printers have always shown a letter they do not have."""

MAX_CHARACTERS = 20_000
"""Of one text; the rest is cut off, so that no text can hold up a server."""

# か + U+3099 is what some systems send for が; composed only there, since composing all would change kanji of names
# (the compatibility ideographs have canonical decompositions).
_TO_COMPOSE = re.compile(r".[\u0300-\u036f\u3099\u309a]+", re.DOTALL)
_NOT_AT_LINE_START = frozenset(
    "、。，．・：；？！」』）］｝〕〉》】ーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ々,.:;?!)]}%"
)


@cache
def font() -> TTFont:
    """The font, read once in a process and known to reportlab by NAME."""
    with as_file(files("app.paper") / "fonts" / "BIZUDPGothic-Regular.ttf") as path:
        loaded = TTFont(NAME, str(path))
    pdfmetrics.registerFont(loaded)
    return loaded


def printable(text: str) -> str:
    """The text in letters that the font has. Line ends and tabs become spaces; what is never seen falls away."""
    composed = _TO_COMPOSE.sub(lambda found: unicodedata.normalize("NFC", found[0]), text[:MAX_CHARACTERS])
    return "".join(map(_printable, composed))


def width_pt(text: str, *, size_pt: float) -> float:
    """How wide a printable text is."""
    return sum(map(_width, text)) * size_pt / 1000


def wrapped(text: str, *, width_pt: float, size_pt: float, max_lines: int | None = None) -> list[str]:
    """The text in lines no wider than `width_pt`, at least one; an ellipsis where it has more than `max_lines`.

    Latin words stay whole where they can; Japanese breaks anywhere, but no line begins with a closing mark.
    """
    lines: list[str] = []
    rest = printable(text).strip()
    while rest and (max_lines is None or len(lines) < max_lines):
        cut = _line_end(rest, room=width_pt * 1000 / size_pt)
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    if rest:
        lines[-1] = _with_ellipsis(lines[-1], room=width_pt * 1000 / size_pt)
    return lines or [""]


def _line_end(text: str, *, room: float) -> int:
    """How many characters of the text make its first line."""
    fit = 0
    for character in text:
        room -= _width(character)
        if room < 0:
            break
        fit += 1
    if fit == len(text):
        return fit
    fit = max(fit, 1)
    space = text.rfind(" ", 0, fit + 1)
    if space > 0 and text[fit - 1 : fit + 1].strip().isascii() and text[fit] != " ":
        return space
    while fit > 1 and text[fit] in _NOT_AT_LINE_START and text[fit - 1] != " ":
        fit -= 1
    return fit


def _with_ellipsis(line: str, *, room: float) -> str:
    room -= _width("…")
    while line and sum(map(_width, line)) > room:
        line = line[:-1]
    return f"{line}…"


@lru_cache(maxsize=20_000)
def _width(character: str) -> float:
    """In thousandths of the size."""
    face = font().face
    return float(face.charWidths.get(ord(character), face.defaultWidth))


@lru_cache(maxsize=20_000)
def _printable(character: str) -> str:
    if character.isspace():
        return character if character == "\u3000" else " "
    category = unicodedata.category(character)
    if category in ("Cc", "Cf"):  # controls, joiners, marks of writing direction
        return ""
    if _has(character):
        return character
    plain = unicodedata.normalize("NFKC", character)
    if plain != character and all(map(_has, plain)):
        return plain
    return "" if category == "Mn" else MISSING


def _has(character: str) -> bool:
    return ord(character) in font().face.charToGlyph
