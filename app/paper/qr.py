"""A QR code as rectangles."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import segno

QUIET_ZONE = 4
"""Modules of white around the code (ISO/IEC 18004, 9.1)."""


def squares(content: str, *, side: float) -> Iterator[tuple[float, float, float, float]]:
    """The dark runs of the code's rows within a square of this side: x, y from the top, length, height.

    Nothing where the content is longer than a code can hold.
    """
    try:
        matrix = segno.make_qr(content, error="m").matrix
    except ValueError:  # too long; or half a surrogate, which has no bytes
        return
    module = side / (len(matrix) + 2 * QUIET_ZONE)
    for row, cells in enumerate(matrix, start=QUIET_ZONE):
        column = QUIET_ZONE
        for dark, run in groupby(cells):
            length = len(list(run))
            if dark:
                yield column * module, row * module, length * module, module
            column += length
