"""ID tokens, userinfo, keys, discovery."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet

from app import clock
from app.oauth.scopes import SCOPES
from app.settings import Settings
from tests.oauth.conftest import Member, ThirdParty, sent_back


def decode(app: Flask, id_token: str) -> jwt.Token:
    """The ID token, checked against the published keys."""
    key_set = KeySet.import_key_set(app.test_client().get("/oauth/jwks.json").get_json())
    return jwt.decode(id_token, key_set, algorithms=["ES256"])


def test_the_id_token(
    app: Flask, third_party: ThirdParty, new_member: Callable[..., Member], settings: Settings
) -> None:
    member = new_member(auth_time=clock.now() - timedelta(minutes=3))
    answer = third_party.tokens(member, scope="openid email", ticked=[], nonce="n" * 64)

    token = decode(app, answer["id_token"])

    digest = hashlib.sha256(answer["access_token"].encode()).digest()
    claims = token.claims
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "at_hash", "sid"}
    assert claims["iss"] == settings.issuer_url
    assert claims["sub"] == str(member.id)
    assert claims["aud"] == third_party.id
    assert claims["nonce"] == "n" * 64
    assert claims["at_hash"] == base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
    assert abs(claims["iat"] - time.time()) < 10
    assert claims["exp"] == claims["iat"] + 600
    assert abs(claims["auth_time"] - (time.time() - 180)) < 10
    assert token.header["alg"] == "ES256"


def test_no_nonce_is_made_up(app: Flask, third_party: ThirdParty, member: Member) -> None:
    assert "nonce" not in decode(app, third_party.tokens(member)["id_token"]).claims


def test_no_id_token_without_openid(third_party: ThirdParty, member: Member) -> None:
    assert "id_token" not in third_party.tokens(member, scope="balance")


def test_the_auth_time_is_of_the_session_that_consented(
    app: Flask, third_party: ThirdParty, new_member: Callable[..., Member], rows: Callable[..., list[Any]]
) -> None:
    member = new_member(auth_time=clock.now() - timedelta(hours=2))
    third_party.tokens(member)

    stored = rows("SELECT auth_time FROM oauth_token WHERE client_id = :id", id=third_party.id)
    assert timedelta(minutes=119) < clock.now() - stored[0][0] < timedelta(minutes=121)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("scope", "names"),
    [
        ("openid", set()),
        ("openid profile", {"name", "family_name", "given_name", "locale"}),
        ("openid email", {"email", "email_verified"}),
    ],
)
def test_userinfo_gives_claims_by_scope(
    app: Flask, third_party: ThirdParty, member: Member, method: str, scope: str, names: set[str]
) -> None:
    headers = {"Authorization": f"Bearer {third_party.tokens(member, scope=scope, ticked=[])['access_token']}"}

    claims = getattr(app.test_client(), method)("/oauth/userinfo", headers=headers).get_json()

    assert set(claims) == {"sub", *names}
    assert claims["sub"] == str(member.id)
    assert claims.get("name", "組合 花子") == "組合 花子"


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"])
def test_discovery_is_valid_and_true(app: Flask, settings: Settings, path: str) -> None:
    metadata = app.test_client().get(path).get_json()

    AuthorizationServerMetadata({**metadata, **_https(metadata)}).validate()
    # OpenID Connect Discovery wants RS256 among the algorithms, FAPI 2.0 forbids it: that one check is filled in
    with_rs256 = {**_https(metadata), "id_token_signing_alg_values_supported": ["RS256"]}
    OpenIDProviderMetadata({**metadata, **with_rs256}).validate()
    assert metadata["id_token_signing_alg_values_supported"] == ["ES256", "PS256", "EdDSA"]
    assert metadata["issuer"] == settings.issuer_url
    assert metadata["scopes_supported"] == list(SCOPES)
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert metadata["request_uri_parameter_supported"] is False
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    for name, address in metadata.items():
        if name.endswith(("_endpoint", "_uri")) and name != "grant_management_endpoint":  # that one is a prefix
            assert address.removeprefix(settings.issuer_url) in rules, name


def _https(metadata: dict[str, Any]) -> dict[str, str]:
    """Authlib's own check wants https everywhere; the issuer of the tests is on this machine."""
    return {
        name: value.replace("http://localhost:8000", "https://pay.example")
        for name, value in metadata.items()
        if isinstance(value, str)
    }


def test_the_claims_supported_are_the_claims_given(
    app: Flask, new_third_party: Callable[..., ThirdParty], member: Member, rows: Callable[..., list[Any]]
) -> None:
    rows("UPDATE member SET phone_number = '+819012345678' WHERE id = :id", id=member.id)
    third_party = new_third_party(scopes=["openid", "profile", "email", "phone"])
    answer = third_party.tokens(member, scope="openid profile email phone", ticked=[], nonce="n")
    given = {*decode(app, answer["id_token"]).claims, *third_party.userinfo(answer["access_token"]).get_json()}

    supported = app.test_client().get("/.well-known/openid-configuration").get_json()["claims_supported"]

    assert given == set(supported)
    assert len(supported) == len(set(supported))


def test_an_id_token_does_not_come_with_a_refresh(third_party: ThirdParty, member: Member) -> None:
    code = sent_back(third_party.answer(member, scope="openid offline_access", ticked=[]))["code"]
    token = third_party.redeem(code).get_json()["refresh_token"]

    assert "id_token" not in third_party.refresh(token).get_json()
