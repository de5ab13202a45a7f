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


def bars_of(digits: str) -> tuple[int, list[tuple[int, int]]]:
    """How many modules a drawing is wide, and where each of its bars begins and how wide it is."""
    drawing = barcode(digits)
    box = re.search(r'viewBox="0 0 (\d+) 1"', drawing)
    assert box is not None
    paths = dict(re.findall(r'<path fill="(#\w+)" d="([^"]+)"/>', drawing))
    assert paths["#fff"] == f"M0 0h{box[1]}v1h-{box[1]}z", "white from edge to edge"
    assert re.sub(r"M\d+ 0h(\d+)v1h-\1z", "", paths["#000"]) == ""
    return int(box[1]), [(int(at), int(width)) for at, width in re.findall(r"M(\d+) 0h(\d+)", paths["#000"])]


def read_back(digits: str) -> str:
    """What a reader makes of the bars of a drawing."""
    modules, bars = bars_of(digits)
    picture = Image.new("L", (modules * _WIDE, _HIGH), 255)
    for at, width in bars:
        picture.paste(0, (at * _WIDE, 0, (at + width) * _WIDE, _HIGH))
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


def test_thirteen_digits_fit_a_small_phone_with_ten_modules_of_white_at_both_ends() -> None:
    modules, bars = bars_of("1234567890123")
    assert (modules, bars[0][0], modules - sum(bars[-1])) == (143, 10, 10)
    assert 'width="286"' in barcode("1234567890123")  # of 320, inside the card and its edges: two for each module


def test_no_style_that_the_policy_of_the_pages_forbids() -> None:
    assert "style" not in barcode("1234567890123")
