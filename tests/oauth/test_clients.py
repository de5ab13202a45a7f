"""Registering clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from joserfc.jwk import ECKey
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.db import transaction
from app.ids import secret_hash
from app.oauth.clients import find_client, register_client
from app.oauth.errors import InvalidClientMetadata
from app.oauth.profiles import PROFILES
from app.wallet.postings import SYSTEM

GOOD: dict[str, Any] = {
    "client_id": "unused_id",
    "name_ja": "アプリ",
    "name_en": "App",
    "profile": "web",
    "scopes": ["openid", "balance"],
    "redirect_uris": ["https://app.example/cb"],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_id", "App"),
        ("client_id", "ab"),
        ("client_id", "a" * 65),
        ("client_id", "01a20872-2f32-7586-be4a-9321f2c52add"),
        ("client_id", "app\n"),
        ("profile", "desktop"),
        ("scopes", ["openid", "everything"]),
        ("redirect_uris", []),
        ("redirect_uris", ["http://app.example/cb"]),
        ("redirect_uris", ["https://app.example/cb#fragment"]),
        ("redirect_uris", ["https://user@app.example/cb"]),
        ("redirect_uris", ["https://*.example/cb"]),
        ("redirect_uris", ["https://app.example; script-src *"]),
        ("redirect_uris", ["https://"]),
        ("redirect_uris", ["https://["]),
        ("redirect_uris", ["https://app..example/cb"]),
        ("redirect_uris", [f"https://{'a' * 64}.example/cb"]),
        ("redirect_uris", ["https://app.example:0/cb"]),
        ("redirect_uris", ["https://app.example:65536/cb"]),
        ("redirect_uris", ["https://app.example:８０/cb"]),
        ("redirect_uris", ["http://localhost:99999/cb"]),
        ("redirect_uris", ["javascript:alert(1)"]),
        ("redirect_uris", ["data:text/html,x"]),
        ("redirect_uris", ["jp.example.app:/cb"]),
        ("redirect_uris", ["/cb"]),
        ("redirect_uris", ["https://app.example/あ"]),
        ("redirect_uris", ["https://app.example/cb\n"]),
        ("redirect_uris", ["https://app.example/cb", "http://app.example/cb"]),
    ],
)
def test_what_cannot_be_registered(app: Flask, field: str, value: Any) -> None:
    with app.app_context():
        with pytest.raises(InvalidClientMetadata) as refusal, transaction():
            register_client(**{**GOOD, field: value})
        assert refusal.value.detail == {"field": field}
        assert find_client("unused_id") is None


@pytest.mark.parametrize(
    "uri",
    ["jp.example.app:/cb", "http://127.0.0.1/cb", "http://[::1]:80/cb", "https://app.example", "https://a.b:65535/cb"],
)
def test_what_a_native_app_may_register(app: Flask, uri: str) -> None:
    with app.app_context(), transaction() as session:
        register_client(**{**GOOD, "profile": "native", "redirect_uris": [uri]})
        session.rollback()


@pytest.mark.parametrize("uri", ["jp.example.app://cb", "app:/cb", "javascript.x:alert(1)", "jp.example.app:"])
def test_what_a_native_app_may_not_register(app: Flask, uri: str) -> None:
    with app.app_context(), pytest.raises(InvalidClientMetadata), transaction():
        register_client(**{**GOOD, "profile": "native", "redirect_uris": [uri]})


def test_nobody_is_registered_by_the_name_that_the_server_has_in_the_ledger(app: Flask) -> None:
    """It could take the names of the server's own requests first: then no hold would end, no wallet be closed."""
    with app.app_context(), pytest.raises(InvalidClientMetadata) as refusal, transaction():
        register_client(**{**GOOD, "client_id": SYSTEM})
    assert refusal.value.detail == {"field": "client_id"}


def test_a_till_has_no_redirect_uri(app: Flask) -> None:
    with app.app_context(), pytest.raises(InvalidClientMetadata), transaction():
        register_client(**{**GOOD, "profile": "till", "scopes": ["till"]})


KEYS = {"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_secret_is_shown_once_and_kept_as_a_hash(app: Flask, profile: str, rows: Callable[..., list[Any]]) -> None:
    client_id = f"profile_{profile}"
    for_members = PROFILES[profile].acts_for_members
    uris, scopes = (GOOD["redirect_uris"], GOOD["scopes"]) if for_members else ([], ["till"])
    jwks = KEYS if profile == "fapi2" else None
    with app.app_context(), transaction():
        row, secret = register_client(
            **{
                **GOOD,
                "client_id": client_id,
                "profile": profile,
                "scopes": scopes,
                "redirect_uris": uris,
                "jwks": jwks,
            }
        )
        assert row.id == client_id

    stored = rows("SELECT secret_hash FROM oauth_client WHERE id = :id", id=client_id)[0][0]
    if profile in ("native", "spa", "fapi2"):
        assert secret is stored is None
    else:
        assert secret is not None
        assert secret.startswith("kcs_")
        assert stored == secret_hash(secret)


@pytest.mark.parametrize(("profile", "jwks"), [("fapi2", None), ("native", KEYS), ("spa", KEYS), ("oidc_basic", KEYS)])
def test_keys_where_the_profile_has_assertions_and_nowhere_else(app: Flask, profile: str, jwks: Any) -> None:
    with app.app_context(), pytest.raises(InvalidClientMetadata) as refusal, transaction():
        register_client(**{**GOOD, "profile": profile, "jwks": jwks})
    assert refusal.value.detail == {"field": "jwks"}


def test_the_database_refuses_an_id_like_a_members(app: Flask, third_party: Any) -> None:
    statement = text("UPDATE oauth_client SET id = gen_random_uuid()::text WHERE id = :id")
    with app.app_context(), pytest.raises(IntegrityError, match="id_form"), transaction() as session:
        session.execute(statement, {"id": third_party.id})
