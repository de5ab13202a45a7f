"""The pages of a document while they are drawn, from top to bottom; a new page begins where one is full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from app.money import format_yen
from app.paper.document import Block, Cell, Column, Document, Facts, Note, QrCode, Table
from app.paper.font import MAX_CHARACTERS, NAME, printable, width_pt, wrapped
from app.paper.qr import squares

PAGE_WIDTH, PAGE_HEIGHT = A4  # points: 1/72 inch
MARGIN = 48.0
WIDTH = PAGE_WIDTH - 2 * MARGIN
BOTTOM = MARGIN + 16
SIZE = 9.0
SMALL = 7.5
LEADING = 1.45
"""From one line to the next, in sizes: Japanese needs more air than Latin."""

MAX_CELL_LINES = 4
QR_SIDE = 96.0
_GREY = 0.35
_PAD = 3.0


class Sheet:
    """Where the next thing goes: `y` is the top of what is still free on this page."""

    def __init__(self, out: BinaryIO, document: Document) -> None:
        self.document = document
        self.canvas = Canvas(out, pagesize=A4, pageCompression=1, invariant=1, lang=document.language)
        self.canvas.setTitle(printable(document.title))
        self.canvas.setAuthor(printable(document.issuer))
        self.canvas.setSubject(printable(document.period))
        self.page = 1
        self.y = PAGE_HEIGHT - MARGIN
        self._head()

    def add(self, block: Block) -> None:
        """Draw a block below what is there."""
        match block:
            case Table():
                self._table(block)
            case Facts():
                self._facts(block)
            case Note():
                self._note(block)
            case QrCode():
                self._qr_code(block)
        self.y -= SIZE

    def finish(self) -> None:
        """Write the file. The number of all pages, which each page shows, is known only now."""
        self._foot()
        self.canvas.showPage()
        for page in range(1, self.page + 1):
            self.canvas.beginForm(f"number{page}")
            self._write(f"{page} / {self.page}", x=MARGIN + WIDTH, y=MARGIN - 12, size=SMALL, align_right=True)
            self.canvas.endForm()
        self.canvas.save()

    def _head(self) -> None:
        document = self.document
        if self.page > 1:
            self._head_line(" ".join((document.title, document.period)), size=SMALL, right=document.issuer)
        else:
            self._head_line(document.to, size=11, right=document.number)
            self._head_line(document.title, size=17, right="", bold=True)
            self.y -= SIZE / 2
            self._head_line(document.period, size=10, right=document.issuer)
        self.y -= SIZE / 2
        self._rule(weight=1.0)
        self.y -= SIZE

    def _head_line(self, left: str, *, size: float, right: str, bold: bool = False) -> None:
        """Text at the left and a name at the right; nothing where both are empty."""
        if not (left or right):
            return
        for line in wrapped(left, width_pt=WIDTH * (0.62 if right else 1.0), size_pt=size, max_lines=2):
            self.y -= size * LEADING
            self._write(line, x=MARGIN, y=self.y, size=size, bold=bold)
        (name,) = wrapped(right, width_pt=WIDTH * 0.36, size_pt=min(size, SIZE), max_lines=1)
        self._write(name, x=MARGIN + WIDTH, y=self.y, size=min(size, SIZE), align_right=True)

    def _foot(self) -> None:
        (footer,) = wrapped(self.document.footer, width_pt=WIDTH * 0.85, size_pt=SMALL, max_lines=1)
        self._write(footer, x=MARGIN, y=MARGIN - 12, size=SMALL, grey=_GREY)
        self.canvas.doForm(f"number{self.page}")  # drawn by `finish`

    def _need(self, height: float) -> bool:
        """Make room of this height; whether a new page had to begin."""
        if self.y - height >= BOTTOM:
            return False
        self._foot()
        self.canvas.showPage()
        self.page += 1
        self.y = PAGE_HEIGHT - MARGIN
        self._head()
        return True

    def _title(self, text: str) -> None:
        if text:
            self._need(SIZE * 10)  # with something under it: a title never ends a page
            self.y -= 11 * LEADING
            (line,) = wrapped(text, width_pt=WIDTH, size_pt=11, max_lines=1)
            self._write(line, x=MARGIN, y=self.y, size=11, bold=True)
            self.y -= SIZE * 0.7

    def _table(self, table: Table) -> None:
        self._title(table.title)
        shares = sum(column.share for column in table.columns)
        widths = [WIDTH * column.share / shares for column in table.columns]
        titles = [_cell(column, column.title, width) for column, width in zip(table.columns, widths, strict=True)]

        def header() -> None:
            self._row(table.columns, widths, titles, bold=True)
            self._rule(weight=0.8)

        self._need(SIZE * 6)
        header()
        for rows, bold in ((table.rows, False), (table.totals, True)):
            if bold and rows:
                self._rule(weight=0.8)
            for row in rows:
                cells = [_cell(*one) for one in zip(table.columns, row, widths, strict=True)]
                if self._need(_height(cells)):
                    header()
                self._row(table.columns, widths, cells, bold=bold)
                self._rule(weight=0.25)

    def _row(
        self, columns: Sequence[Column], widths: Sequence[float], cells: Sequence[Sequence[str]], *, bold: bool
    ) -> None:
        x = MARGIN
        for column, lines, width in zip(columns, cells, widths, strict=True):
            right = column.kind != "text"
            at = x + width - _PAD if right else x + _PAD
            for n, line in enumerate(lines, start=1):
                self._write(line, x=at, y=self.y - n * SIZE * LEADING, size=SIZE, align_right=right, bold=bold)
            x += width
        self.y -= _height(cells)

    def _facts(self, facts: Facts) -> None:
        self._title(facts.title)
        names_width = WIDTH * 0.3
        for name, value in facts.pairs:
            size = 13.0 if name in facts.strong else SIZE
            names = wrapped(name, width_pt=names_width - _PAD, size_pt=SIZE, max_lines=MAX_CELL_LINES)
            said = value if isinstance(value, str) else format_yen(value)
            values = wrapped(said, width_pt=WIDTH - names_width, size_pt=size, max_lines=MAX_CELL_LINES)
            height = max(len(names) * SIZE, len(values) * size) * LEADING + SIZE * 0.3
            self._need(height)
            for n, line in enumerate(names):
                self._write(line, x=MARGIN, y=self.y - (size + n * SIZE) * LEADING, size=SIZE, grey=_GREY)
            for n, line in enumerate(values, start=1):
                self._write(line, x=MARGIN + names_width, y=self.y - n * size * LEADING, size=size, bold=size > SIZE)
            self.y -= height

    def _note(self, note: Note) -> None:
        for paragraph in note.text[:MAX_CHARACTERS].splitlines() or [""]:
            for line in wrapped(paragraph, width_pt=WIDTH, size_pt=SIZE):
                self._need(SIZE * LEADING)
                self.y -= SIZE * LEADING
                self._write(line, x=MARGIN, y=self.y, size=SIZE)

    def _qr_code(self, code: QrCode) -> None:
        self._need(QR_SIDE + SIZE * LEADING)
        for x, y, length, side in squares(code.content, side=QR_SIDE):
            self.canvas.rect(MARGIN + x, self.y - y - side, length, side, stroke=0, fill=1)
        self.y -= QR_SIDE
        (caption,) = wrapped(code.caption, width_pt=WIDTH, size_pt=SMALL, max_lines=1)
        self.y -= SMALL * LEADING
        self._write(caption, x=MARGIN, y=self.y, size=SMALL)

    def _rule(self, *, weight: float) -> None:
        self.y -= 1
        self.canvas.setLineWidth(weight)
        self.canvas.setStrokeGray(0.6 if weight < 0.5 else 0)
        self.canvas.line(MARGIN, self.y, MARGIN + WIDTH, self.y)

    def _write(
        self,
        line: str,
        *,
        x: float,
        y: float,
        size: float,
        align_right: bool = False,
        bold: bool = False,
        grey: float = 0,
    ) -> None:
        """One line of printable text. Bold is the same font with its outlines drawn too: half the megabytes."""
        if align_right:
            x -= width_pt(line, size_pt=size)
        self.canvas.saveState()  # of the colours and the way of drawing letters
        text = self.canvas.beginText(x, y)
        text.setFont(NAME, size)
        text.setFillGray(grey)
        if bold:
            text.setStrokeGray(grey)
            self.canvas.setLineWidth(size * 0.035)
            text.setTextRenderMode(2)
        text.textOut(line)
        self.canvas.drawText(text)
        self.canvas.restoreState()


def _height(cells: Sequence[Sequence[str]]) -> float:
    return max(map(len, cells)) * SIZE * LEADING + SIZE * 0.6


def _cell(column: Column, cell: Cell, width: float) -> list[str]:
    if isinstance(cell, int):
        cell = format_yen(cell) if column.kind == "yen" else f"{cell:,}"
    return wrapped(cell, width_pt=width - 2 * _PAD, size_pt=SIZE, max_lines=MAX_CELL_LINES)
