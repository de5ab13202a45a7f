"""An uploaded file as lines of text: how it is encoded, and lines no longer than a line may be.

What Excel in Japan writes is Shift_JIS (code page 932), which almost any bytes can be read as. So a file is UTF-8
wherever it can be, and one that nearly is UTF-8 is called broken rather than read as nonsense.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Generator, Iterator
from typing import BinaryIO

from app.wallet.bulk.problems import FileProblem

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_LINE_CHARACTERS = 16 * 1024
MAX_LINES = 250_000
"""Blank ones and those inside quotation marks, too."""

_CHUNK_BYTES = 64 * 1024
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_KANA_AND_KANJI_IN_UTF_8 = re.compile(rb"[\xe1-\xef][\x80-\xbf]{2}")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def encoding_of(file: BinaryIO) -> str:
    """`utf-8`, `utf-8-sig` or `cp932`. Raises FileProblem."""
    file.seek(0)
    first = file.read(3)
    if first.startswith(_UTF_16):
        raise FileProblem("utf_16")
    if any(b"\0" in chunk for chunk in _chunks(file)):
        raise FileProblem("not_text")
    if (line := _first_broken_line(file, "utf-8")) is None:
        return "utf-8-sig" if first == codecs.BOM_UTF8 else "utf-8"
    if first == codecs.BOM_UTF8 or _is_mostly_utf_8(file):
        raise FileProblem("broken_utf_8", line=line)
    if (line := _first_broken_line(file, "cp932")) is not None:
        raise FileProblem("unknown_encoding", line=line)
    return "cp932"


def lines(file: BinaryIO, encoding: str) -> Generator[str]:
    """The lines of a file, each with its end (LF, CRLF or CR). Raises FileProblem at one that is too long."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        number = 0
        while line := text.readline(MAX_LINE_CHARACTERS + 1):
            number += 1
            if number > MAX_LINES:
                raise FileProblem("too_many_rows", line=number, most=MAX_LINES)
            if len(line) > MAX_LINE_CHARACTERS:
                raise FileProblem("line_too_long", line=number, most=MAX_LINE_CHARACTERS)
            yield line
    finally:
        if not file.closed:
            text.detach()  # else it would close the file when it is forgotten


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _first_broken_line(file: BinaryIO, encoding: str) -> int | None:
    """The number of the first line that is not in this encoding; None where all are."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number = 1
    for chunk in _chunks(file):
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return number + error.object.count(b"\n", 0, error.start)
        number += chunk.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return number
    return None


def _is_mostly_utf_8(file: BinaryIO) -> bool:
    """Whether most of what is not ASCII is Japanese in UTF-8, which in Shift_JIS would be rare characters only."""
    in_utf_8 = beyond_ascii = 0
    for chunk in _chunks(file):
        in_utf_8 += 3 * len(_KANA_AND_KANJI_IN_UTF_8.findall(chunk))
        beyond_ascii += len(_NOT_ASCII.findall(chunk))
    return 2 * in_utf_8 > beyond_ascii
