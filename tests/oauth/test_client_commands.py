"""`kumiai client` and `kumiai issuer`: the office registers an app by choosing a profile, and looks after it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from joserfc.jwk import ECKey, OKPKey, RSAKey
from sqlalchemy import text

from app.db import autocommit
from app.ids import new_id
from app.oauth import jws
from app.oauth.client_rules import Metadata, check
from app.oauth.clients import find_client
from app.oauth.errors import InvalidClientMetadata
from app.oauth.profiles import PROFILES
from app.settings import Settings
from tests import factories
from tests.live import server_env
from tests.oauth.conftest import Member, ThirdParty, sent_back
from tests.oauth.office import Kumiai, kumiai_for

EC = ECKey.generate_key("P-256")
PUBLIC: dict[str, Any] = EC.as_dict(private=False)


@pytest.fixture
def kumiai(app: Flask, settings: Settings) -> Kumiai:
    return kumiai_for(settings)


@pytest.fixture
def client_id() -> str:
    return f"office_{new_id().hex}"


@pytest.fixture
def add(kumiai: Kumiai, client_id: str) -> Callable[..., Any]:
    def run(*more: str, profile: str = "web", scopes: tuple[str, ...] = ("openid", "balance")) -> Any:
        scope = [word for name in scopes for word in ("--scope", name)]
        names = ("--name-ja", "学食オーダー", "--name-en", "Canteen Order")
        redirect = ("--redirect-uri", "https://order.example/cb") if PROFILES[profile].acts_for_members else ()
        return kumiai("client", "add", "--profile", profile, "--id", client_id, *names, *scope, *redirect, *more)

    return run


def secret_in(output: str) -> str:
    found = re.search(r"client_secret\s+(kcs_\S+)", output)
    assert found, output
    return found[1]


def test_a_client_is_registered_and_can_prove_itself(app: Flask, add: Callable[..., Any], client_id: str) -> None:
    done = add(profile="service", scopes=("shop:read",))
    assert done.exit_code == 0, done.output
    assert f"client_id      {client_id}" in done.output
    assert "once" in done.output

    known = ThirdParty(app=app, id=client_id, secret=secret_in(done.output), redirect_uri="")
    assert known.post(grant_type="client_credentials", scope="shop:read").status_code == 200


def test_shops_are_named_by_their_code(
    app: Flask, kumiai: Kumiai, add: Callable[..., Any], client_id: str, rows: Callable[..., list[Any]]
) -> None:
    with app.app_context():
        shop_id = factories.shop(accepts=[factories.money()])
    ((code,),) = rows("SELECT code FROM shop WHERE id = :id", id=shop_id)

    assert "no shop" in add(scopes=("openid", "payment")).output
    done = kumiai("client", "set", client_id, "--shop", code)
    assert (done.exit_code, f"+ shop  {code}" in done.output) == (0, True), done.output
    with app.app_context():
        found = find_client(client_id)
        assert found is not None
        assert found.allowed_shops == (shop_id,)
    unknown = kumiai("client", "set", client_id, "--shop", "nowhere")
    assert (unknown.exit_code, "allowed_shops" in unknown.output) == (1, True)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("redirect_uris", ("--redirect-uri", "http://order.example/cb")),
        ("redirect_uris", tuple(word for n in range(21) for word in ("--redirect-uri", f"https://a.example/{n}"))),
        ("redirect_uris", ("--redirect-uri", f"https://a.example/{'x' * 2_000}")),
        ("name_en", ("--name-en", "x" * 61)),
        ("name_en", ("--name-en", "Canteen\N{RIGHT-TO-LEFT OVERRIDE}redrO")),
        ("name_en", ("--name-en", "  ")),
        ("post_logout_redirect_uris", ("--post-logout-redirect-uri", "https://order.example/#out")),
        ("backchannel_logout_uri", ("--backchannel-logout-uri", "http://order.example/out")),
        ("id_token_alg", ("--id-token-alg", "RS256")),
        ("scopes", ("--scope", "till")),
    ],
)
def test_a_wrong_field_is_named_with_its_rule(
    app: Flask, add: Callable[..., Any], client_id: str, field: str, options: tuple[str, ...]
) -> None:
    refused = add(*options)
    assert refused.exit_code == 1
    assert re.search(rf"{field}: \S", refused.output), refused.output
    with app.app_context():
        assert find_client(client_id) is None


def test_in_japanese(settings: Settings, kumiai: Kumiai) -> None:
    env = {**server_env(settings), "LANG": "ja_JP.UTF-8"}
    refused = kumiai("client", "show", "no_such_client", env=env)
    assert (refused.exit_code, "有効なクライアント no_such_client はありません" in refused.output) == (1, True)


def test_an_id_is_given_once(kumiai: Kumiai, add: Callable[..., Any], client_id: str) -> None:
    assert add().exit_code == 0
    assert "is taken" in add().output
    assert kumiai("client", "revoke", client_id, "--yes").exit_code == 0
    assert "is taken" in add().output


@pytest.mark.parametrize(
    ("jwks", "good"),
    [
        ({"keys": [PUBLIC]}, True),
        ({"keys": [RSAKey.generate_key(2048).as_dict(private=False)]}, True),
        ({"keys": [OKPKey.generate_key("Ed25519").as_dict(private=False)]}, True),
        ({"keys": [{**PUBLIC, "kid": "a", "use": "sig", "alg": "ES256"}]}, True),
        ({"keys": [EC.as_dict(private=True)]}, False),
        ({"keys": [{"kty": "RSA", "n": "_" * 170 + "w", "e": "AQAB"}]}, False),
        ({"keys": [ECKey.generate_key("P-384").as_dict(private=False)]}, False),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}, False),
        ({"keys": [{**PUBLIC, "y": PUBLIC["x"]}]}, False),
        ({"keys": [{**PUBLIC, "use": "enc"}]}, False),
        ({"keys": [{**PUBLIC, "alg": "RS256"}]}, False),
        ({"keys": [{**PUBLIC, "kid": "a"}, {**PUBLIC, "kid": "a"}]}, False),
        ({"keys": [PUBLIC] * 11}, False),
        ({"keys": []}, False),
        ({"keys": [{"kty": ["EC"]}]}, False),
        ({"keys": [{"kty": "RSA", "n": "あ", "e": 3}]}, False),
        ({"keys": "all"}, False),
        ({}, False),
    ],
)
def test_which_keys_may_be_registered(jwks: dict[str, Any], good: bool) -> None:
    assert jws.registrable(jwks) is good


def test_keys_come_from_a_file(
    app: Flask, kumiai: Kumiai, add: Callable[..., Any], client_id: str, tmp_path: Path
) -> None:
    public, private, garbage = (tmp_path / name for name in ("public.json", "private.json", "garbage.json"))
    public.write_text(json.dumps({"keys": [PUBLIC]}))
    private.write_text(json.dumps({"keys": [EC.as_dict(private=True)]}))
    garbage.write_text("[" * 100_000)

    assert "jwks" in add("--jwks", str(private), profile="fapi2").output
    assert "not a JSON object" in add("--jwks", str(garbage), profile="fapi2").output
    done = add("--jwks", str(public), profile="fapi2")
    assert (done.exit_code, "kcs_" in done.output) == (0, False), done.output
    assert kumiai("client", "secret", client_id).exit_code == 1, "it has keys"


def test_a_change_is_shown_and_counts_at_once(
    app: Flask, kumiai: Kumiai, third_party: ThirdParty, member: Member
) -> None:
    access = third_party.tokens(member)["access_token"]
    done = kumiai("client", "set", third_party.id, "--scope", "balance", "--redirect-uri", "https://new.example/cb")

    assert done.exit_code == 0, done.output
    assert {"- scope  openid", "- scope  history", "+ redirect_uri  https://new.example/cb"} <= set(
        done.output.splitlines()
    )
    assert "- scope  balance" not in done.output
    assert third_party.userinfo(access).status_code == 403, "openid was taken away"
    assert third_party.app.test_client().get(third_party.address()).status_code == 400, "it was sent back there before"
    assert "Nothing changes" in kumiai("client", "set", third_party.id, "--scope", "balance").output


def test_a_new_secret_ends_the_old_one(app: Flask, kumiai: Kumiai, third_party: ThirdParty, member: Member) -> None:
    access = third_party.tokens(member)["access_token"]
    new = secret_in(kumiai("client", "secret", third_party.id).output)

    code = sent_back(member.browser.get(third_party.address()))["code"]
    assert third_party.redeem(code).status_code == 401
    renewed = ThirdParty(app=app, id=third_party.id, secret=new, redirect_uri=third_party.redirect_uri)
    assert renewed.redeem(code).status_code == 200
    assert third_party.userinfo(access).status_code == 200, "tokens live on"


def test_revoking_stops_everything_at_once(
    app: Flask,
    kumiai: Kumiai,
    third_party: ThirdParty,
    member: Member,
    rows: Callable[..., list[Any]],
    living: Callable[[str], int],
) -> None:
    how: dict[str, Any] = {"scope": "openid payment offline_access", "ticked": ["payment"]}
    tokens = third_party.tokens(member, **how)
    code = sent_back(member.browser.get(third_party.address(scope=how["scope"])))["code"]
    controls = """
        SELECT control.status FROM spend_control control JOIN oauth_grant ON oauth_grant.id = control.id
         WHERE client_id = :id
    """
    assert rows(controls, id=third_party.id) == [("active",)]

    asked = kumiai("client", "revoke", third_party.id, input="n\n")
    assert (asked.exit_code, "Its 1 grants" in asked.output) == (1, True), asked.output
    assert third_party.userinfo(tokens["access_token"]).status_code == 200

    assert kumiai("client", "revoke", third_party.id, input="y\n").exit_code == 0
    assert third_party.userinfo(tokens["access_token"]).status_code == 401
    assert third_party.refresh(tokens["refresh_token"]).status_code == 401
    assert third_party.redeem(code).status_code == 401
    assert member.browser.get(third_party.address()).status_code == 400
    assert living(third_party.id) == 0
    assert rows(controls, id=third_party.id) == [("revoked",)]
    assert rows("SELECT count(*) FROM oauth_grant WHERE client_id = :id AND revoked_at IS NULL", id=third_party.id) == [
        (0,)
    ]
    assert kumiai("client", "revoke", third_party.id, "--yes").exit_code == 1, "there is none any more"


def test_ten_thousand_tokens_end_in_one_update(app: Flask, kumiai: Kumiai, third_party: ThirdParty) -> None:
    insert = """
        INSERT INTO oauth_token (token_hash, kind, family_id, client_id, scopes, expires_at)
        SELECT uuid_send(gen_random_uuid()), 'access', gen_random_uuid(), :id, '{openid}', now() + interval '1 hour'
          FROM generate_series(1, 10000)
    """
    with app.app_context(), autocommit().connect() as connection:
        connection.execute(text(insert), {"id": third_party.id})
    assert kumiai("client", "revoke", third_party.id, "--yes").exit_code == 0
    with app.app_context(), autocommit().connect() as connection:
        ends = connection.execute(
            text(
                "SELECT count(*), count(DISTINCT revoked_at), count(DISTINCT xmin::text) FROM oauth_token"
                " WHERE client_id = :id"
            ),
            {"id": third_party.id},
        ).one()
    assert tuple(ends) == (10_000, 1, 1)


def test_the_list_and_one_client(kumiai: Kumiai, third_party: ThirdParty, member: Member) -> None:
    third_party.tokens(member)
    (line,) = (line for line in kumiai("client", "list").output.splitlines() if line.startswith(third_party.id))
    assert re.search(r"試験アプリ +web +active +1 +openid ", line)
    shown = kumiai("client", "show", third_party.id).output
    assert f"redirect_uri  {third_party.redirect_uri}" in shown
    assert "kcs_" not in shown


def test_profiles_in_words(kumiai: Kumiai) -> None:
    said = kumiai("client", "profiles").output
    assert all(re.search(rf"^{name}  \S", said, re.MULTILINE) for name in PROFILES)
    fapi2 = said.partition("\nfapi2  ")[2].partition("\noidc_basic")[0]
    assert all(word in fapi2 for word in ("PKCE", "PAR", "DPoP", "private_key_jwt"))
    assert "nonce" in said.partition("\noidc_basic")[2]


@pytest.mark.parametrize("uri", ["http://localhost:9000/out", "https://localhost/out", "https://127.0.0.1/out"])
def test_in_production_no_word_of_a_sign_out_is_posted_to_this_machine(uri: str) -> None:
    metadata = Metadata(
        name_ja="アプリ",
        name_en="App",
        profile="web",
        scopes=("openid",),
        redirect_uris=("https://a.example/cb",),
        backchannel_logout_uri=uri,
    )
    check(metadata, production=False)
    with pytest.raises(InvalidClientMetadata) as refusal:
        check(metadata, production=True)
    assert refusal.value.detail == {"field": "backchannel_logout_uri"}


def test_the_issuer_is_made_once_and_changed(fresh_database: str, make_settings: Callable[[str], Settings]) -> None:
    kumiai = kumiai_for(make_settings(fresh_database))
    first = ("client", "add", "--profile", "till", "--id", "till_one", "--name-ja", "レジ", "--name-en", "Till")
    assert "kumiai issuer init" in kumiai(*first, "--scope", "till").output
    assert "kumiai issuer init" in kumiai("issuer", "show").output

    names = ("--name-ja", "みどり生協", "--name-en", "Midori Co-op")
    assert "in order" in kumiai("issuer", "init", *names, "--max-per-day-yen", "1000").output
    assert kumiai("issuer", "init", *names).exit_code == 0
    assert kumiai("issuer", "init", *names).exit_code == 1
    changed = kumiai("issuer", "set", "--step-up-yen", "5000", "--name-en", "Midori University Co-op")
    assert "- step_up_yen  10000\n+ step_up_yen  5000" in changed.output
    assert "name_ja" not in changed.output
    assert re.search(r"fresh sign-in.* 5000$", kumiai("issuer", "show").output, re.MULTILINE)
    assert kumiai(*first, "--scope", "till").exit_code == 0
