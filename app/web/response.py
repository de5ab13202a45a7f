"""Answers in one piece, where they are complete when the view returns them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.datastructures import Headers

_WITHOUT_BODY = (204, 304)


class Answer(Response):
    """Flask's, which hands a body that is all there to the web server as a list.

    PEP 3333 says of one thing only how long it is: a list. granian sends it at once; of any other iterable it takes
    piece by piece, each from another thread.
    """

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        if (
            self.is_sequence
            and not self._on_close
            and environ["REQUEST_METHOD"] != "HEAD"
            and self.status_code >= 200
            and self.status_code not in _WITHOUT_BODY
        ):
            return list(self.iter_encoded())
        return super().get_app_iter(environ)


class CompleteAnswer(Answer):
    """With a body, and no address in its headers: they go out as they are.

    Werkzeug copies and searches the headers of others for what it may have to add.
    """

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers
