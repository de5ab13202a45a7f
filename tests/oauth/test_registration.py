"""Dynamic registration (RFC 7591) and its management (RFC 7592), for developers whom the office invited."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from flask import Flask
from joserfc.jwk import ECKey
from werkzeug.test import TestResponse

from app.db import transaction
from app.ids import secret_hash
from app.oauth import invitations, registration_endpoints
from app.oauth.clients import find_client
from app.settings import Settings
from tests.live import Live
from tests.oauth.conftest import Member, ThirdParty
from tests.oauth.office import kumiai_for

KEY = ECKey.generate_key("P-256")
JWKS: dict[str, Any] = {"keys": [KEY.as_dict(private=False)]}
WEB = {"client_name": "学食アプリ", "redirect_uris": ["https://dev.example/cb"], "scope": "openid balance"}
SCOPES = ("openid", "balance", "payment", "shop:read")

pytestmark = pytest.mark.usefixtures("still_clock")


@pytest.fixture
def invite(app: Flask) -> Callable[..., str]:
    def make(**changes: Any) -> str:
        kinds = ["web", "native", "spa", "service", "fapi2"]
        how = {"profiles": kinds, "scopes": SCOPES, "uses": 1, "days": 7, "note": "開発者", **changes}
        with app.app_context(), transaction():
            return invitations.invite(**how)

    return make


@pytest.fixture
def register(app: Flask, invite: Callable[..., str]) -> Callable[..., TestResponse]:
    """Registers WEB with changes, by an invitation of its own; None leaves a member out."""

    def send(*, token: str | None = None, **changes: Any) -> TestResponse:
        body = {name: value for name, value in {**WEB, **changes}.items() if value is not None}
        return post(app, json.dumps(body), token=token or invite())

    return send


def post(app: Flask, body: str | bytes, *, token: str, address: str = "192.0.2.1", **headers: str) -> TestResponse:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", **headers}
    return app.test_client().post(
        "/oauth/register", data=body, headers=headers, environ_overrides={"REMOTE_ADDR": address}
    )


def manage(app: Flask, method: str, client_id: str, *, token: str, body: Any = None) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return app.test_client().open(f"/oauth/register/{client_id}", method=method, json=body, headers=headers)


def refusal(response: TestResponse, status: int = 400) -> str:
    """The error of an answer in the form of RFC 7591 section 3.2.2."""
    assert response.status_code == status, response.text
    body = response.get_json()
    assert body["error_description"].isascii()
    assert response.headers["Cache-Control"] == "no-store"
    return str(body["error"])


def test_a_developer_registers_an_app_that_works(
    app: Flask, register: Callable[..., TestResponse], member: Member, rows: Callable[..., list[Any]]
) -> None:
    answer = register()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    said = answer.get_json()
    assert {name: said[name] for name in WEB} == WEB
    assert said["kumiai_profile"] == "web"
    assert said["token_endpoint_auth_method"] == "client_secret_basic"
    assert said["registration_client_uri"].endswith(f"/oauth/register/{said['client_id']}")
    assert said["client_secret_expires_at"] == 0

    ((secret, token, shops),) = rows(
        "SELECT secret_hash, registration_hash, allowed_shops FROM oauth_client WHERE id = :id", id=said["client_id"]
    )
    assert (secret, token) == (secret_hash(said["client_secret"]), secret_hash(said["registration_access_token"]))
    assert shops == [], "no payment until the office names shops"
    app_of_theirs = ThirdParty(
        app=app, id=said["client_id"], secret=said["client_secret"], redirect_uri=WEB["redirect_uris"][0]
    )
    assert app_of_theirs.tokens(member, scope="openid balance", ticked=["balance"])["scope"] == "openid balance"


@pytest.mark.parametrize(
    ("metadata", "profile"),
    [
        ({}, "web"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "web"),
        ({"jwks": JWKS}, "web"),
        ({"token_endpoint_auth_method": "none"}, "spa"),
        ({"application_type": "native", "redirect_uris": ["jp.example.app:/cb"]}, "native"),
        (
            {"grant_types": ["client_credentials"], "redirect_uris": None, "scope": "shop:read", "response_types": []},
            "service",
        ),
        ({"require_pushed_authorization_requests": True, "jwks": JWKS}, "fapi2"),
        ({"dpop_bound_access_tokens": True, "jwks": JWKS, "token_endpoint_auth_method": "private_key_jwt"}, "fapi2"),
        ({"kumiai_profile": "native"}, "native"),
        ({"unknown": {"member": [1]}, "logo_uri": "https://evil.example/logo"}, "web"),
    ],
)
def test_the_profile_is_deduced_from_what_is_asked(
    register: Callable[..., TestResponse], metadata: dict[str, Any], profile: str
) -> None:
    answer = register(**metadata)
    assert answer.status_code == 201, answer.text
    said = answer.get_json()
    assert said["kumiai_profile"] == profile
    confidential_by_secret = profile in ("web", "service") and "jwks" not in metadata
    assert ("client_secret" in said) == confidential_by_secret
    assert "logo_uri" not in said
    asked = {name: value for name, value in metadata.items() if value is not None and name in said}
    assert {name: said[name] for name in asked if name != "grant_types"} == {
        name: value for name, value in asked.items() if name != "grant_types"
    }


@pytest.mark.parametrize(
    ("field", "metadata"),
    [
        ("redirect_uris", {"redirect_uris": ["http://dev.example/cb"]}),
        ("redirect_uris", {"redirect_uris": None}),
        ("redirect_uris", {"redirect_uris": "https://dev.example/cb"}),
        ("redirect_uris", {"redirect_uris": [["https://dev.example/cb"]]}),
        ("redirect_uris", {"redirect_uris": [f"https://dev.example/{n}" for n in range(21)]}),
        ("client_name", {"client_name": None}),
        ("client_name", {"client_name": 7}),
        ("client_name", {"client_name": "a\x07b"}),
        ("client_name", {"client_name#en": "x" * 61}),
        ("scope", {"scope": "openid everything"}),
        ("scope", {"scope": "openid history"}),
        ("scope", {"scope": ["openid"]}),
        ("scope", {"scope": "shop:read"}),
        ("jwks", {"jwks": {"keys": [KEY.as_dict(private=True)]}}),
        ("jwks", {"jwks": "keys"}),
        ("jwks", {"kumiai_profile": "fapi2"}),
        ("jwks", {"jwks": JWKS, "kumiai_profile": "spa"}),
        ("jwks_uri", {"jwks_uri": "http://169.254.169.254/"}),
        ("token_endpoint_auth_method", {"token_endpoint_auth_method": "client_secret_jwt"}),
        ("token_endpoint_auth_method", {"token_endpoint_auth_method": "private_key_jwt"}),
        ("token_endpoint_auth_method", {"token_endpoint_auth_method": "client_secret_basic", "jwks": JWKS}),
        ("token_endpoint_auth_method", {"token_endpoint_auth_method": "none", "kumiai_profile": "web"}),
        ("grant_types", {"grant_types": ["implicit"]}),
        ("grant_types", {"grant_types": ["client_credentials"], "kumiai_profile": "spa"}),
        ("response_types", {"response_types": ["token"]}),
        ("application_type", {"application_type": "desktop"}),
        ("dpop_bound_access_tokens", {"dpop_bound_access_tokens": True, "kumiai_profile": "web"}),
        ("dpop_bound_access_tokens", {"dpop_bound_access_tokens": "true"}),
        ("require_pushed_authorization_requests", {"require_pushed_authorization_requests": 1}),
        ("id_token_signed_response_alg", {"id_token_signed_response_alg": "none"}),
        ("post_logout_redirect_uris", {"post_logout_redirect_uris": ["javascript:alert(1)"]}),
        ("backchannel_logout_uri", {"backchannel_logout_uri": "file:///etc/passwd"}),
        ("kumiai_profile", {"kumiai_profile": "till"}),
        ("kumiai_profile", {"kumiai_profile": "desktop"}),
    ],
)
def test_what_is_refused_is_named_and_costs_no_use(
    app: Flask,
    invite: Callable[..., str],
    register: Callable[..., TestResponse],
    field: str,
    metadata: dict[str, Any],
) -> None:
    token = invite()
    refused = register(token=token, **metadata)
    assert refusal(refused) == ("invalid_redirect_uri" if field == "redirect_uris" else "invalid_client_metadata")
    assert f": {field}" in refused.get_json()["error_description"]
    assert register(token=token).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", "body"),
        ("[]", "body"),
        ("null", "body"),
        ("{", "body"),
        ("[" * 100_000, "body"),
        ('{"client_name": "a", "client_name": "b"}', "body"),
        ('{"client_name": NaN}', "body"),
        ('{"client_name": "\\ud800"}', "body"),
        ('{"client_name": "a\\u0000b"}', "body"),
        ('{"\\u0000": 1}', "body"),
        (b'{"client_name": "\xff"}', "body"),
        ('{"client_name": ' + "9" * 5_000 + "}", "client_name"),
        ('{"redirect_uris": {"a": 1}}', "redirect_uris"),
        ('{"jwks": {"keys": {"keys": []}}, "client_name": "a", "redirect_uris": ["https://a.example/"]}', "jwks"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_hostile_json(app: Flask, invite: Callable[..., str], body: str | bytes, field: str) -> None:
    refused = post(app, body, token=invite())
    refusal(refused)
    assert f": {field}" in refused.get_json()["error_description"]


def test_json_only(app: Flask, invite: Callable[..., str]) -> None:
    form = post(app, "client_name=a", token=invite(), **{"Content-Type": "application/x-www-form-urlencoded"})
    refusal(form)
    assert "Content-Type" in form.get_json()["error_description"]


def test_nobody_registers_without_an_invitation(app: Flask, register: Callable[..., TestResponse]) -> None:
    bare = app.test_client().post("/oauth/register", json=WEB)
    refusal(bare, 401)
    assert bare.headers["WWW-Authenticate"] == 'Bearer realm="kumiai"'
    wrong = register(token="kit_unknown")
    assert refusal(wrong, 401) == "invalid_token"
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]


def test_an_invitation_ends(app: Flask, invite: Callable[..., str], rows: Callable[..., list[Any]]) -> None:
    token = invite()
    rows(
        "UPDATE oauth_initial_access_token SET expires_at = now() - interval '1 second' WHERE token_hash = :hash",
        hash=secret_hash(token),
    )
    refusal(post(app, json.dumps(WEB), token=token), 401)


def test_of_twenty_at_once_one_uses_the_last_use(app: Flask, invite: Callable[..., str]) -> None:
    token, together = invite(uses=3), threading.Barrier(20)

    def one(number: int) -> int:
        together.wait(30)
        return post(app, json.dumps(WEB), token=token, address=f"198.51.100.{number}").status_code

    with ThreadPoolExecutor(20) as threads:
        assert Counter(threads.map(one, range(20))) == {201: 3, 401: 17}


def test_guesses_are_counted_per_network(app: Flask, invite: Callable[..., str]) -> None:
    def guess(address: str) -> TestResponse:
        return post(app, json.dumps(WEB), token="kit_guess", address=address)

    for _ in range(registration_endpoints.FAILURES):
        assert guess("203.0.113.9").status_code == 401
    stopped = guess("203.0.113.9")
    assert refusal(stopped, 429) == "temporarily_unavailable"
    assert int(stopped.headers["Retry-After"]) > 0
    assert guess("203.0.113.10").status_code == 401
    assert post(app, json.dumps(WEB), token=invite(), address="203.0.113.9").status_code == 201, "no guess"


def test_the_client_reads_changes_and_ends_itself(
    app: Flask, register: Callable[..., TestResponse], member: Member, rows: Callable[..., list[Any]]
) -> None:
    said = register(scope="openid balance").get_json()
    client_id, token = said["client_id"], said["registration_access_token"]
    read = manage(app, "GET", client_id, token=token)
    once = {"client_secret", "client_secret_expires_at"}
    assert read.get_json() == {name: value for name, value in said.items() if name not in once}

    body = {
        "client_id": client_id,
        "client_name": "改名",
        "redirect_uris": ["https://new.example/cb"],
        "scope": "openid",
    }
    changed = manage(app, "PUT", client_id, token=token, body=body)
    assert changed.status_code == 200, changed.text
    answer = changed.get_json()
    assert (answer["client_name"], answer["redirect_uris"], answer["scope"]) == (
        "改名",
        body["redirect_uris"],
        "openid",
    )
    assert answer["registration_access_token"] == token
    assert "client_secret" not in answer

    theirs = ThirdParty(app=app, id=client_id, secret=said["client_secret"], redirect_uri="https://new.example/cb")
    access = theirs.tokens(member, scope="openid", ticked=[])["access_token"]
    assert manage(app, "DELETE", client_id, token=token).status_code == 204
    assert theirs.userinfo(access).status_code == 401
    refusal(manage(app, "GET", client_id, token=token), 401)
    assert rows("SELECT status FROM oauth_client WHERE id = :id", id=client_id) == [("revoked",)]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("client_id", {"client_id": None}),
        ("client_id", {"client_id": "another"}),
        ("client_secret", {"client_secret": "kcs_wrong"}),
        ("scope", {"scope": "openid balance payment"}),
        ("kumiai_profile", {"kumiai_profile": "spa"}),
        ("redirect_uris", {"redirect_uris": None}),
        ("client_name", {"client_name": None}),
    ],
)
def test_what_a_client_may_not_change(
    app: Flask, register: Callable[..., TestResponse], field: str, changes: dict[str, Any]
) -> None:
    said = register().get_json()
    body = {**WEB, "client_id": said["client_id"], **changes}
    refused = manage(app, "PUT", said["client_id"], token=said["registration_access_token"], body=body)
    refusal(refused)
    assert f": {field}" in refused.get_json()["error_description"]
    assert (
        manage(app, "GET", said["client_id"], token=said["registration_access_token"]).get_json()["scope"]
        == (WEB["scope"])
    )


def test_from_a_secret_to_keys_and_back(app: Flask, register: Callable[..., TestResponse]) -> None:
    said = register().get_json()
    client_id, token = said["client_id"], said["registration_access_token"]

    def put(**changes: Any) -> Any:
        return manage(app, "PUT", client_id, token=token, body={**WEB, "client_id": client_id, **changes}).get_json()

    with_keys = put(jwks=JWKS)
    assert (with_keys["token_endpoint_auth_method"], "client_secret" in with_keys) == ("private_key_jwt", False)
    with app.app_context():
        client = find_client(client_id)
        assert client is not None
        assert (client.secret_hash, client.jwks) == (None, JWKS)
    back = put(jwks=None)
    assert back["client_secret"] not in (None, said["client_secret"])
    assert "jwks" not in back


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_with_its_own_registration_access_token(
    app: Flask, register: Callable[..., TestResponse], third_party: ThirdParty, method: str
) -> None:
    one, other = register().get_json(), register().get_json()
    body = {**WEB, "client_id": one["client_id"]} if method == "PUT" else None
    for token in (other["registration_access_token"], one["client_secret"], "kra_x"):
        assert refusal(manage(app, method, one["client_id"], token=token, body=body), 401) == "invalid_token"
    token = one["registration_access_token"]
    for client_id in (third_party.id, "no_such_client", "あ", "x" * 500):
        refusal(manage(app, method, client_id, token=token, body=body), 401)
    bare = app.test_client().open(f"/oauth/register/{one['client_id']}", method=method, json=body)
    refusal(bare, 401)


def test_another_method_is_refused_in_the_same_form(app: Flask) -> None:
    for path in ("/oauth/register", "/oauth/register/some_client"):
        answer = app.test_client().patch(path)
        assert (answer.status_code, answer.get_json()["error"]) == (405, "invalid_request")


def test_over_http_from_the_invitation_to_the_end(live_server: Live) -> None:
    """What a developer does, against a running server found by discovery."""
    made = kumiai_for(live_server.settings)(
        "client", "invite", "--profile", "service", "--scope", "shop:read", "--note", "研究室"
    )
    token = made.output.splitlines()[0]
    assert token.startswith("kit_"), made.output
    found = requests.get(f"{live_server.url}/.well-known/openid-configuration", timeout=10).json()
    body = {"client_name": "集計", "grant_types": ["client_credentials"]}
    invited = {"Authorization": f"Bearer {token}"}
    said = requests.post(found["registration_endpoint"], json=body, headers=invited, timeout=10).json()
    assert said["scope"] == "shop:read"
    assert requests.post(found["registration_endpoint"], json=body, headers=invited, timeout=10).status_code == 401

    own = {"Authorization": f"Bearer {said['registration_access_token']}"}
    credentials = (said["client_id"], said["client_secret"])
    ask = {"grant_type": "client_credentials", "scope": "shop:read"}
    issued = requests.post(found["token_endpoint"], data=ask, auth=credentials, timeout=10)
    assert issued.status_code == 200, issued.text
    assert requests.delete(said["registration_client_uri"], headers=own, timeout=10).status_code == 204
    assert requests.post(found["token_endpoint"], data=ask, auth=credentials, timeout=10).status_code == 401


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("uses", {"--uses": "0"}),
        ("uses", {"--uses": "1001"}),
        ("days", {"--days": "366"}),
        ("note", {"--note": " "}),
        ("scopes", {"--scope": "till"}),
    ],
)
def test_an_invitation_has_limits(app: Flask, settings: Settings, field: str, options: dict[str, str]) -> None:
    words = {"--profile": "web", "--scope": "openid", "--note": "x", **options}
    refused = kumiai_for(settings)("client", "invite", *(word for option in words.items() for word in option))
    assert (refused.exit_code, f"{field}: " in refused.output) == (1, True), refused.output
