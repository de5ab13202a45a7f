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
from sqlalchemy import event, update

from app import clock
from app.db import db, session, transaction
from app.oauth import keys
from app.oauth.models import SigningKey
from app.oauth.scopes import SCOPES
from app.seal import SealBroken
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
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "at_hash"}
    assert claims["iss"] == settings.issuer_url
    assert claims["sub"] == str(member.id)
    assert claims["aud"] == third_party.id
    assert claims["nonce"] == "n" * 64
    assert claims["at_hash"] == base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
    assert abs(claims["iat"] - time.time()) < 10
    assert claims["exp"] == claims["iat"] + 600
    assert abs(claims["auth_time"] - (time.time() - 180)) < 10
    assert token.header["alg"] == "ES256"


def test_the_signing_key_is_looked_up_once(app: Flask, third_party: ThirdParty, member: Member) -> None:
    code = third_party.code(member)
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        id_token = third_party.redeem(code).get_json()["id_token"]
    finally:
        event.remove(engine, "before_cursor_execute", note)

    (published,) = app.test_client().get("/oauth/jwks.json").get_json()["keys"]
    assert decode(app, id_token).header["kid"] == published["kid"]
    assert len([each for each in statements if "private_sealed" in each]) == 1


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


def test_the_published_key_is_public_and_named_by_its_thumbprint(app: Flask) -> None:
    jwks = app.test_client().get("/oauth/jwks.json").get_json()

    (jwk,) = jwks["keys"]
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (jwk["alg"], jwk["use"], jwk["crv"]) == ("ES256", "sig", "P-256")
    assert jwk["kid"] == KeySet.import_key_set(jwks).keys[0].thumbprint()


def test_the_private_key_is_stored_sealed(app: Flask, settings: Settings, rows: Callable[..., list[Any]]) -> None:
    with app.app_context(), transaction():
        private = keys.current_key(sealing_key=settings.sealing_key).as_dict(private=True)

    stored = rows("SELECT signing_key::text FROM signing_key")[0][0]
    assert private["d"] not in stored
    assert private["d"].encode().hex() not in stored
    with app.app_context(), pytest.raises(SealBroken), transaction():
        keys.current_key(sealing_key=b"another key of thirty-two bytes!")


def test_a_retired_key_is_still_published(app: Flask, settings: Settings) -> None:
    with app.app_context(), transaction():
        before = keys.current_key(sealing_key=settings.sealing_key).kid
        session().execute(update(SigningKey).where(SigningKey.kid == before).values(state="retired"))
        after = keys.current_key(sealing_key=settings.sealing_key).kid
        published = [jwk["kid"] for jwk in keys.public_keys(sealing_key=settings.sealing_key)["keys"]]
        session().rollback()  # the other tests keep the one key

    assert before != after
    assert {before, after} <= set(published)


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"])
def test_discovery_is_valid_and_true(app: Flask, settings: Settings, path: str) -> None:
    metadata = app.test_client().get(path).get_json()

    AuthorizationServerMetadata({**metadata, **_https(metadata)}).validate()
    # OpenID Connect Discovery wants RS256 among the algorithms; ours is ES256 alone, so that one check is filled in
    with_rs256 = {**_https(metadata), "id_token_signing_alg_values_supported": ["RS256"]}
    OpenIDProviderMetadata({**metadata, **with_rs256}).validate()
    assert metadata["id_token_signing_alg_values_supported"] == ["ES256"]
    assert metadata["issuer"] == settings.issuer_url
    assert metadata["scopes_supported"] == list(SCOPES)
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert metadata["request_uri_parameter_supported"] is False
    assert set(metadata["grant_types_supported"]) == {"authorization_code", "refresh_token", "client_credentials"}
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    for name, address in metadata.items():
        if name.endswith(("_endpoint", "_uri")):
            assert address.removeprefix(settings.issuer_url) in rules, name


def _https(metadata: dict[str, Any]) -> dict[str, str]:
    """Authlib's own check wants https everywhere; the issuer of the tests is on this machine."""
    return {
        name: value.replace("http://localhost:8000", "https://pay.example")
        for name, value in metadata.items()
        if isinstance(value, str)
    }


def test_the_claims_supported_are_the_claims_given(app: Flask, third_party: ThirdParty, member: Member) -> None:
    answer = third_party.tokens(member, scope="openid profile email", ticked=[], nonce="n")
    given = {*decode(app, answer["id_token"]).claims, *third_party.userinfo(answer["access_token"]).get_json()}

    supported = app.test_client().get("/.well-known/openid-configuration").get_json()["claims_supported"]

    assert given == set(supported)
    assert len(supported) == len(set(supported))


def test_an_id_token_does_not_come_with_a_refresh(third_party: ThirdParty, member: Member) -> None:
    code = sent_back(third_party.answer(member, scope="openid offline_access", ticked=[]))["code"]
    token = third_party.redeem(code).get_json()["refresh_token"]

    assert "id_token" not in third_party.refresh(token).get_json()
