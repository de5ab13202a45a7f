"""Where the gateway tells of payments: `POST /charge/webhooks/<gateway>`."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.charge import inbox
from app.web.csrf import csrf
from app.web.protection import Public, protected_by

MAX_EVENT_BYTES = 64 * 1024

blueprint = Blueprint("charge", __name__, url_prefix="/charge/webhooks")
csrf.exempt(blueprint)


@blueprint.post("/<gateway>")
@protected_by(Public("a gateway's event: its signature is checked, and it only says what to look up"))
def event(gateway: str) -> Response:
    """204 once it is kept: what cannot be followed now, the worker follows."""
    request.max_content_length = MAX_EVENT_BYTES
    inbox.take(gateway, headers=dict(request.headers), body=request.get_data())
    return Response(status=204)
