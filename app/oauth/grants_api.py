"""A grant, for the app it was given to: what is allowed, and its end (Grant Management for OAuth 2.0, draft 03).

The draft leaves open how a client shows that it may. Here it shows an access token of that very grant, which every
kind of client has, bound to its key or not, and which opens nothing but its own grant. A client with a secret may show
that instead, as at the token endpoint: it can then still end a grant whose tokens ran out, and see that it has ended.
"""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, g, jsonify, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from app.db import transaction
from app.errors import NotFound
from app.oauth import apps, cors
from app.oauth.protector import Bearer, current_access
from app.oauth.request import OAuthRequest
from app.oauth.server import server
from app.web.csrf import csrf
from app.web.protection import protected_by

grants = Blueprint("oauth_grants", __name__, url_prefix="/oauth/grants")
csrf.exempt(grants)  # no cookie means anything here
grants.after_request(cors.allow_registered)


class GrantHolder:
    """A protection: an access token, or the client's secret in the Authorization header."""

    _token = Bearer()

    def check(self) -> None:
        """Sets whose grants may be looked at. Raises what token or client authentication raise."""
        if request.headers.get("Authorization", "").partition(" ")[0].lower() == "basic":
            # nothing but the header: a query would end up in logs, and a GET has no body
            client = server().authenticate_client(OAuthRequest(MultiDict()), (), "grants")
            g.grants_of = client.id
            return
        self._token.check()
        access = current_access()
        if access.grant_id is None or access.grant_id != (request.view_args or {}).get("grant_id"):
            raise NotFound
        g.grants_of = access.client_id

    def describe(self) -> str:
        return "a token of that grant, or the secret of its client"


@grants.get("/<uuid:grant_id>")
@protected_by(GrantHolder())
def query(grant_id: UUID) -> Response:
    return jsonify(apps.described_to_client(client_id=g.grants_of, grant_id=grant_id, controls=server().controls))


@grants.delete("/<uuid:grant_id>")
@protected_by(GrantHolder())
def revoke(grant_id: UUID) -> Response:
    with transaction():
        apps.revoke_for_client(client_id=g.grants_of, grant_id=grant_id, controls=server().controls)
    return Response(status=204)
