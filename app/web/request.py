"""The request, with its query string as RFC 3986 section 3.4 has it: ASCII only.

A client may send raw UTF-8 there, and a stranger bytes that are no UTF-8 at all, over which Werkzeug stumbles wherever
it looks at the query. Percent-encoded here, once, they mean the same and pass through redirects and forms unchanged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_MARKS = "/?:@!$&'()*+,;=%[]"
"""What may stand in a query beside letters, digits and `-._~`. The brackets should not, and many send them."""
_PLAIN = re.compile(rb"[A-Za-z0-9._~/?:@!$&'()*+,;=%\[\]-]*")


class PlainRequest(Request):
    """Flask's request, whose `query_string` is ASCII."""

    def __init__(self, environ: WSGIEnvironment, *args: Any, **options: Any) -> None:
        super().__init__(environ, *args, **options)
        if not _PLAIN.fullmatch(self.query_string):
            self.query_string = quote(self.query_string, safe=_MARKS).encode()
