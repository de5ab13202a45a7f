"""What machines read off a page: black on white, whatever the colours of the page, since a reader needs both."""

from __future__ import annotations

import segno
from barcode import Code128
from markupsafe import Markup

_EDGE = 10
"""Modules of white on both sides of a barcode (ISO/IEC 15417)."""


def qr(text: str) -> Markup:
    """A QR code with its white edge, as an SVG that takes the width it is given. `text` is in its squares only."""
    drawn = segno.make(text, error="m", micro=False)
    return Markup(drawn.svg_inline(border=4, dark="#000", light="#fff", omitsize=True))  # noqa: S704  # squares only


def barcode(digits: str) -> Markup:
    """Code 128 with its white edges, as an SVG that takes the width it is given."""
    [modules] = Code128(digits).build()
    bars = "".join(f"M{at} 0h1v60h-1z" for at, bar in enumerate(modules, start=_EDGE) if bar == "1")
    size = f'viewBox="0 0 {len(modules) + 2 * _EDGE} 60" preserveAspectRatio="none" aria-hidden="true"'
    return Markup(f'<svg {size}><path fill="#fff" d="M0 0h999v60h-999z"/><path fill="#000" d="{bars}"/></svg>')  # noqa: S704  # bars only
