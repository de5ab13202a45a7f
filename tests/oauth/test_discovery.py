"""What the server says of itself is there, and what is there it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app.oauth.profiles import PROFILES
from app.settings import Settings
from tests.oauth.conftest import ThirdParty

ADDRESSES = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
STANDARD = {
    "authorization_endpoint": "/oauth/authorize",
    "token_endpoint": "/oauth/token",
    "userinfo_endpoint": "/oauth/userinfo",
    "revocation_endpoint": "/oauth/revoke",
    "introspection_endpoint": "/oauth/introspect",
    "jwks_uri": "/oauth/jwks.json",
    "pushed_authorization_request_endpoint": "/oauth/par",
    "device_authorization_endpoint": "/oauth/device_authorization",
    "registration_endpoint": "/oauth/register",
    "end_session_endpoint": "/oauth/logout",
}
"""Names of RFC 8414, 9126, 8628, 7591 and OpenID Connect, and where this server has them, if it has them."""


@pytest.fixture
def metadata(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get(ADDRESSES[0]).get_json()
    return found


@pytest.mark.parametrize("name", STANDARD)
def test_an_endpoint_is_advertised_where_it_is_there_and_only_then(
    app: Flask, settings: Settings, metadata: dict[str, Any], name: str
) -> None:
    there = any(rule.rule == STANDARD[name] for rule in app.url_map.iter_rules())
    assert metadata.get(name) == (f"{settings.issuer_url}{STANDARD[name]}" if there else None)


def test_no_other_address_of_ours_is_advertised(app: Flask, settings: Settings, metadata: dict[str, Any]) -> None:
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    others = {
        name: value.removeprefix(settings.issuer_url)
        for name, value in metadata.items()
        if isinstance(value, str) and value.startswith(f"{settings.issuer_url}/") and name not in STANDARD
    }
    grants = others.pop("grant_management_endpoint")  # Grant Management for OAuth 2.0, draft 03: `/{grant_id}` follows
    assert f"{grants}/<uuid:grant_id>" in rules
    assert set(others.values()) <= rules, others
    assert not [name for name in others if name.endswith("_endpoint")], "an endpoint whose name no standard knows"


def test_every_advertised_endpoint_answers(app: Flask, settings: Settings, metadata: dict[str, Any]) -> None:
    for name, value in metadata.items():
        if name in STANDARD:
            path = value.removeprefix(settings.issuer_url)
            statuses = {app.test_client().open(path, method=method).status_code for method in ("GET", "POST")}
            assert not statuses & {404, 500}, name
            assert statuses != {405}, name


@pytest.mark.parametrize("path", ADDRESSES)
def test_it_may_be_kept_for_five_minutes_by_everyone(app: Flask, path: str) -> None:
    answer = app.test_client().get(path)
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers.get("Vary", "")


def test_a_refusal_is_not_kept(app: Flask) -> None:
    assert app.test_client().post(ADDRESSES[0]).headers["Cache-Control"] == "no-store"
    assert app.test_client().get("/.well-known/nothing").headers["Cache-Control"] == "no-store"


def test_both_addresses_say_the_same(app: Flask) -> None:
    first, second = (app.test_client().get(path).get_json() for path in ADDRESSES)
    assert first == second


def test_every_advertised_grant_type_is_known_to_the_token_endpoint(
    third_party: ThirdParty, metadata: dict[str, Any]
) -> None:
    for grant_type in metadata["grant_types_supported"]:
        assert third_party.post(grant_type=grant_type).get_json().get("error") != "unsupported_grant_type", grant_type
    assert third_party.post(grant_type="password").get_json()["error"] == "unsupported_grant_type"


def test_every_way_to_prove_who_one_is_belongs_to_a_kind_of_client(metadata: dict[str, Any]) -> None:
    of_profiles = {method for profile in PROFILES.values() for method in profile.auth_methods}
    assert set(metadata["token_endpoint_auth_methods_supported"]) == of_profiles
    assert metadata["revocation_endpoint_auth_methods_supported"] == metadata["token_endpoint_auth_methods_supported"]
    assert set(metadata["introspection_endpoint_auth_methods_supported"]) == of_profiles - {"none"}
    for endpoint in ("token", "revocation", "introspection"):
        algs = metadata[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert algs == ["ES256", "PS256", "EdDSA"]  # FAPI 2.0 Security Profile 5.4.1; RFC 8414 forbids none here


def test_what_is_not_there_is_not_claimed(metadata: dict[str, Any]) -> None:
    assert "tls_client_certificate_bound_access_tokens" not in metadata
    for name, values in metadata.items():
        if name.endswith("alg_values_supported"):
            assert not {"none", "RS256", "HS256"} & set(values), name
    assert "implicit" not in metadata["grant_types_supported"]


def test_the_advertised_algorithms_are_those_a_client_can_be_registered_with(
    new_third_party: Callable[..., ThirdParty], metadata: dict[str, Any]
) -> None:
    assert metadata["id_token_signing_alg_values_supported"] == metadata["introspection_signing_alg_values_supported"]
    for alg in metadata["id_token_signing_alg_values_supported"]:
        assert new_third_party(id_token_alg=alg).id
