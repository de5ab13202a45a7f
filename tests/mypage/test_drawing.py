"""What machines read off a page is what was drawn: by a reader that nobody here wrote."""

from __future__ import annotations

import random
import re

import pytest
import zxingcpp
from PIL import Image

from app.mypage.drawing import barcode

_WIDE, _HIGH = 3, 120
"""Pixels of one module, and of a bar."""


def read_back(digits: str) -> str:
    """What a reader makes of the bars of a drawing."""
    drawing = barcode(digits)
    box = re.search(r'viewBox="0 0 (\d+) ', drawing)
    assert box is not None
    picture = Image.new("L", (int(box[1]) * _WIDE, _HIGH), 255)
    for at, width in re.findall(r"M(\d+) 0h(\d+)v1", drawing.partition('fill="#000"')[2]):
        picture.paste(0, (int(at) * _WIDE, 0, (int(at) + int(width)) * _WIDE, _HIGH))
    [found] = zxingcpp.read_barcodes(picture)
    assert found.format == zxingcpp.BarcodeFormat.Code128
    return found.text


@pytest.mark.parametrize("length", [6, 11, 12, 13, 20])
def test_a_barcode_is_read_as_its_number_whatever_it_begins_with(length: int) -> None:
    """99 at the beginning is also a code of the barcode's own: with a library that took it for one, another's slip
    would have been paid."""
    made = random.Random(length)
    rest = range(10 ** (length - 2))
    for pair in range(100):
        digits = f"{pair:02d}{made.choice(rest):0{length - 2}d}"
        assert read_back(digits) == digits
