"""What machines read off a page: black on white, whatever the colours of the page, since a reader needs both."""

from __future__ import annotations

import segno
from markupsafe import Markup


def qr(text: str) -> Markup:
    """A QR code with its white edge, as an SVG that takes the width it is given. `text` is in its squares only."""
    drawn = segno.make(text, error="m", micro=False)
    return Markup(drawn.svg_inline(border=4, dark="#000", light="#fff", omitsize=True))  # noqa: S704  # squares only
