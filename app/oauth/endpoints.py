"""What programs call: PAR, token, device authorization, revocation, introspection, userinfo, keys, discovery."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask import request as http_request
from werkzeug.wrappers import Response

from app.db import transaction
from app.limits import Door, knock_at, network
from app.oauth import (
    client_auth,
    cors,
    device,
    discovery,
    dpop,
    identity,
    keys,
    par,
    protected_resource,
    pushed,
    refusals,
)
from app.oauth.errors import InvalidGrant
from app.oauth.protector import Bearer, current_access
from app.oauth.request import from_body
from app.oauth.server import server
from app.web.csrf import csrf
from app.web.protection import Public, protected_by

clients = Blueprint("oauth", __name__)
"""Where clients prove who they are. Refusals have the form of RFC 6749."""
refusals.answer_for(clients)
resource = Blueprint("oauth_resource", __name__)
"""Where they show a token. Refusals have the form of the resource API."""
everyone = Blueprint("oauth_public", __name__)
for _blueprint in (clients, resource, everyone):
    csrf.exempt(_blueprint)  # no cookie means anything here
for _blueprint in (clients, resource):  # browsers call these only from where a single-page app is registered
    _blueprint.after_request(cors.allow_registered)
everyone.after_request(cors.allow_everyone)


@everyone.after_request
def _may_be_kept(response: Response) -> Response:
    """Programs may keep what is public anyway; a rotation of the keys reckons with how long."""
    if response.status_code == 200:
        response.headers["Cache-Control"] = f"public, max-age={keys.JWKS_MAX_AGE_S}"
    return response


@clients.post("/oauth/par")
@protected_by(Public("clients prove who they are in the request itself; what they push is counted"))
def push() -> tuple[Response, int]:
    request = from_body()
    client, _ = client_auth.authenticate(request)
    request_uri, parameters = par.accepted(request, client=client, dpop_jkt=dpop.key_for_code(request))
    with transaction():
        expires_in_s = pushed.save(request_uri, client_id=client.id, parameters=parameters)
    return jsonify(request_uri=request_uri, expires_in=expires_in_s), 201


@clients.post("/oauth/token")
@protected_by(Public("clients prove who they are in the request itself; failures are counted"))
def token() -> Response:
    request = from_body()
    try:
        with transaction():
            response: Response = server().create_token_response(request)
    except InvalidGrant:
        if not request.client.profile.confidential:
            _knock_with_grant(request.client.id)
        raise
    return response


def _knock_with_grant(client_id: str) -> None:
    """Count a code or token that was no good. Anyone may try some in the name of a public client.

    Only what fails is counted, and only what fails is refused: nobody is kept from tokens by another's tries. A client
    that proved who it is must always hear which of its members' tokens are over.
    """
    caller = network(http_request.remote_addr)
    knock_at(
        Door(name="token_grant", caller=f"{client_id} {caller}", limit=100, window_s=600),
        Door(name="token_grant_network", caller=caller, limit=600, window_s=600),
    )


@clients.post("/oauth/device_authorization")
@protected_by(Public("clients prove who they are in the request itself; their devices are counted per network"))
def device_authorization() -> Response:
    request = from_body()
    client, _ = client_auth.authenticate(request)
    _knock_with_device(client.id)
    asked = {"scope": request.form.get("scope"), "details": request.form.get("authorization_details")}
    settings = server().settings
    with transaction():
        begun = device.begin(client=client, **asked, key=settings.secret_key, controls=server().controls)
    return jsonify(begun.as_answer(verification_uri=f"{settings.issuer_url}/oauth/device"))


def _knock_with_device(client_id: str) -> None:
    """Count a device. Anyone may speak for a public client, so how many codes live at a time is bounded here."""
    caller = network(http_request.remote_addr)
    knock_at(
        Door(name="device", caller=f"{client_id} {caller}", limit=60, window_s=600),
        Door(name="device_network", caller=caller, limit=300, window_s=600),
    )


@clients.post("/oauth/revoke")
@protected_by(Public("clients prove who they are in the request itself; failures are counted"))
def revoke() -> Response:
    request = from_body()
    with transaction():
        response: Response = server().create_endpoint_response("revocation", request)
    return response


@clients.post("/oauth/introspect")
@protected_by(Public("clients prove who they are in the request itself; failures are counted"))
def introspect() -> Response:
    response: Response = server().create_endpoint_response("introspection", from_body())
    return response


@resource.route("/oauth/userinfo", methods=["GET", "POST"])
@protected_by(Bearer("openid"))
def userinfo() -> Response:
    access = current_access()
    assert access.member_id is not None, "only members are asked for openid"
    return jsonify(identity.claims(access.member_id, access.scopes))


@everyone.get("/oauth/jwks.json")
@protected_by(Public("the public halves of the signing keys"))
def jwks() -> Response:
    return jsonify(keys.public_keys(sealing_key=server().settings.sealing_key))


@everyone.get("/.well-known/openid-configuration")
@everyone.get("/.well-known/oauth-authorization-server")
@protected_by(Public("what this server says of itself"))
def metadata() -> Response:
    known = server()
    return jsonify(discovery.metadata(known.settings.issuer_url, grant_types=known.grant_types))


@everyone.get("/.well-known/oauth-protected-resource")
@protected_by(Public("what the API says of itself"))
def resource_metadata() -> Response:
    return jsonify(protected_resource.metadata(server().settings.issuer_url))
