"""What machines read off a page: black on white, whatever the colours of the page, since a reader needs both."""

from __future__ import annotations

from typing import Any

import segno
from markupsafe import Markup
from reportlab.graphics.barcode.code128 import Code128

_EDGE = 10
"""Modules of white on both sides of a barcode (ISO/IEC 15417)."""


def qr(text: str) -> Markup:
    """A QR code with its white edge, as an SVG that takes the width it is given. `text` is in its squares only."""
    drawn = segno.make(text, error="m", micro=False)
    return Markup(drawn.svg_inline(border=4, dark="#000", light="#fff", omitsize=True))  # noqa: S704  # squares only


def barcode(digits: str) -> Markup:
    """Code 128 with its white edges, as an SVG that takes the width it is given."""
    code: Any = Code128(digits, quiet=0)
    code.validate()
    code.encode()
    code.decompose()
    bars, at = "", _EDGE
    for run in code.decomposed:  # a bar is a capital letter, a space a small one: A is one module wide, B two
        width = ord(run.upper()) - ord("A") + 1
        bars += f"M{at} 0h{width}v60h-{width}z" if run.isupper() else ""
        at += width
    size = f'viewBox="0 0 {at + _EDGE} 60" preserveAspectRatio="none" aria-hidden="true"'
    return Markup(f'<svg {size}><path fill="#fff" d="M0 0h999v60h-999z"/><path fill="#000" d="{bars}"/></svg>')  # noqa: S704  # bars only
