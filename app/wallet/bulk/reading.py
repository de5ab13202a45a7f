"""A file's rows: CSV with a header line, or one JSON object a line. As a stream, whatever the file is.

Numbers of lines are those an editor shows. What is wrong with one line is a problem of its row, and reading goes on;
what makes the rest of the file doubtful is a FileProblem.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, BinaryIO

from app.wallet.bulk import text_file
from app.wallet.bulk.columns import FIELDS, REQUIRED, field_of
from app.wallet.bulk.problems import FileProblem, problem
from app.wallet.bulk.rows import Row, row_of

MAX_ROWS = 100_000
MAX_COLUMNS = 50
MAX_LINES_OF_A_RECORD = 50
_SHOWN = 40


def rows(file: BinaryIO, *, file_format: str, encoding: str) -> Iterator[Row]:
    """Every row that says something. Raises FileProblem."""
    count = 0
    with closing(text_file.lines(file, encoding)) as lines:
        for row in csv_rows(lines) if file_format == "csv" else json_rows(lines):
            count += 1
            if count > MAX_ROWS:
                raise FileProblem("too_many_rows", line=row.line, most=MAX_ROWS)
            yield row
    if not count:
        raise FileProblem("no_rows")


class _Lines:
    """Feeds the CSV reader, and stops it where one record eats too much of the file (a quote that never ends)."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.number = 0
        self.record_begins = 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        if self.number - self.record_begins >= MAX_LINES_OF_A_RECORD:
            raise FileProblem("quote_not_closed", line=self.record_begins)
        return line


def records(lines: Iterator[str]) -> Iterator[tuple[int, list[str] | None]]:
    """The records of CSV (RFC 4180), each with the number of its first line; None: it breaks the rules of quoting."""
    fed = _Lines(lines)
    reader = csv.reader(fed, strict=True)
    while True:
        fed.record_begins = fed.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error) or "field larger" in str(error):  # what is inside is no record
                raise FileProblem("quote_not_closed", line=fed.record_begins) from None
            yield fed.record_begins, None
        else:
            yield fed.record_begins, cells


def csv_rows(lines: Iterator[str]) -> Iterator[Row]:
    found = ((line, cells) for line, cells in records(lines) if cells is None or any(map(str.strip, cells)))
    header = next(found, None)
    if header is None:
        raise FileProblem("no_rows")
    fields = _fields(*header)
    for line, cells in found:
        if cells is None:
            yield Row(line, problems=[problem("quoting")])
        elif len(cells) != len(fields):
            yield Row(line, problems=[problem("cells", expected=len(fields), found=len(cells))])
        else:
            yield row_of(line, dict(zip(fields, cells, strict=True)))


def _fields(line: int, cells: list[str] | None) -> list[str]:
    """Which field each column holds."""
    if cells is None or len(cells) > MAX_COLUMNS:
        raise FileProblem("no_header", line=line)
    fields = []
    for cell in cells:
        field = field_of(cell)
        if field is None:
            raise FileProblem("column_unknown", line=line, column=_shown(cell))
        if field in fields:
            raise FileProblem("column_repeated", line=line, column=_shown(cell))
        fields.append(field)
    if missing := [name for name in REQUIRED if name not in fields]:
        raise FileProblem("column_missing", line=line, column=missing[0])
    return fields


def _shown(text: str) -> str:
    """So much of a stranger's text as a sentence may quote."""
    return "".join(character if character.isprintable() else "·" for character in text[:_SHOWN])


class _Repeated(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str)
"""Numbers stay the digits they were written in; `row_of` reads them."""


def json_rows(lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _json_row(number, line)


def _json_row(number: int, line: str) -> Row:
    try:
        found = _DECODER.decode(line.strip())
    except _Repeated:
        return Row(number, problems=[problem("json_repeated")])
    except (ValueError, RecursionError):
        return Row(number, problems=[problem("json")])
    if not isinstance(found, dict):
        return Row(number, problems=[problem("json")])
    if unknown := [name for name in found if name not in FIELDS]:
        return Row(number, problems=[problem("json_unknown", column=_shown(unknown[0]))])
    return _checked(number, found)


def _checked(number: int, found: Mapping[str, Any]) -> Row:
    wrong = [name for name, value in found.items() if not isinstance(value, str | None)]
    row = row_of(number, {name: value for name, value in found.items() if isinstance(value, str)})
    if wrong:
        row.problems = [each for each in row.problems if each["field"] not in wrong]
        row.problems += [problem("json_text", field=name) for name in wrong]
    return row
