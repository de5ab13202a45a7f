"""What machines read off a page: black on white, whatever the colours of the page, since a reader needs both."""

from __future__ import annotations

from typing import Any

import segno
from markupsafe import Markup
from reportlab.graphics.barcode.code128 import Code128

_EDGE = 10
"""Modules of white on both sides of a barcode (ISO/IEC 15417)."""
_MODULE_PX = 2
"""Of a barcode's thinnest bar. Whole pixels, so that none is blurred; some 0.3 mm on a phone, 0.5 mm on paper."""
_TALL_PX = 72


def qr(text: str) -> Markup:
    """A QR code with its white edge, as an SVG that takes the width it is given. `text` is in its squares only."""
    drawn = segno.make(text, error="m", micro=False)
    return Markup(drawn.svg_inline(border=4, dark="#000", light="#fff", omitsize=True))  # noqa: S704  # squares only


def barcode(digits: str) -> Markup:
    """Code 128 with its white edges, as an SVG of its own size: it is made smaller only where it would not fit."""
    code: Any = Code128(digits, quiet=0)
    code.validate()
    code.encode()
    code.decompose()
    bars, at = "", _EDGE
    for run in code.decomposed:  # a bar is a capital letter, a space a small one: A is one module wide, B two
        width = ord(run.upper()) - ord("A") + 1
        bars += f"M{at} 0h{width}v1h-{width}z" if run.isupper() else ""
        at += width
    wide = at + _EDGE
    size = f'width="{wide * _MODULE_PX}" height="{_TALL_PX}" viewBox="0 0 {wide} 1" preserveAspectRatio="none"'
    drawn = f'<path fill="#fff" d="M0 0h{wide}v1h-{wide}z"/><path fill="#000" d="{bars}"/>'
    return Markup(f'<svg {size} aria-hidden="true" focusable="false">{drawn}</svg>')  # noqa: S704  # bars only
