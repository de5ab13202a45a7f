"""DPoP: tokens that are good only together with a key (RFC 9449), at the token endpoint and at the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from flask import Flask
from joserfc.jwk import ECKey, OctKey, RSAKey
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from app.oauth import dpop
from app.oauth.jws import ALGS
from tests.oauth.conftest import RESOURCE, Member, ThirdParty
from tests.oauth.keyholder import (
    ISSUER,
    SCOPES,
    TOKEN,
    USERINFO,
    Keyholder,
    Signer,
    at_token,
    b64,
    error,
    invalid_token,
    now,
)
from tests.oauth.test_races import THREADS, at_once, statuses

DPOP = f'DPoP realm="kumiai", algs="ES256 PS256 EdDSA", {RESOURCE}'


@pytest.fixture
def key() -> Signer:
    """The DPoP key of the app."""
    return Signer.new()


@pytest.fixture
def web(new_third_party: Callable[..., ThirdParty]) -> Keyholder:
    return Keyholder(new_third_party())


@pytest.fixture
def spa(new_third_party: Callable[..., ThirdParty]) -> Keyholder:
    return Keyholder(new_third_party(profile="spa"))


@pytest.fixture
def bound(web: Keyholder, member: Member, key: Signer) -> str:
    """An access token of `web` that is bound to `key`."""
    answer = web.redeem(web.party.code(member, **SCOPES), proof=key.proof())
    return str(answer.get_json()["access_token"])


def at_resource(response: TestResponse, parameter: str) -> None:
    """Refused at the API (RFC 9449 section 7.1)."""
    body = response.get_json()
    assert (response.status_code, body["code"]) == (401, "invalid_dpop_proof"), body
    assert body["parameter"] == parameter
    assert response.headers["WWW-Authenticate"] == DPOP.replace("algs", 'error="invalid_dpop_proof", algs')


@pytest.mark.parametrize("alg", ALGS)
def test_a_proof_binds_the_tokens_of_a_code(web: Keyholder, member: Member, alg: str) -> None:
    key = Signer.new(alg)

    answer = web.redeem(web.party.code(member, **SCOPES), proof=key.proof()).get_json()

    assert answer["token_type"] == "DPoP"
    token = answer["access_token"]
    told = web.call(token, proof=key.proof(USERINFO, method="GET", token=token))
    assert told.get_json()["sub"] == str(member.id)


def test_without_a_proof_tokens_stay_bearer_tokens(web: Keyholder, member: Member) -> None:
    answer = web.redeem(web.party.code(member, **SCOPES)).get_json()

    assert answer["token_type"] == "Bearer"
    assert web.call(answer["access_token"], scheme="Bearer").status_code == 200


def test_a_program_acting_for_itself_may_bind_its_token(
    new_third_party: Callable[..., ThirdParty], key: Signer
) -> None:
    signer = Signer.new("EdDSA")
    till = Keyholder(new_third_party(profile="till", jwks=signer.jwks), signer)

    answer = till.post(proof=key.proof(), grant_type="client_credentials").get_json()

    assert answer["token_type"] == "DPoP"
    token, url = answer["access_token"], f"{ISSUER}/v1/me"
    assert till.call(token, proof=key.proof(url, method="GET", token=token), path="/v1/me").status_code == 200
    invalid_token(till.call(token, scheme="Bearer", path="/v1/me"), "DPoP")


PRIVATE = Signer.new()
OTHER = Signer.new()

WRONG = [
    ({"header": {"typ": None}}, "typ"),
    ({"header": {"typ": "JWT"}}, "typ"),
    ({"header": {"typ": ["dpop+jwt"]}}, "typ"),
    ({"header": {"jwk": None}}, "jwk"),
    ({"header": {"jwk": {}}}, "jwk"),
    ({"header": {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}}, "jwk"),
    ({"header": {"jwk": {"kty": ["EC"], "crv": {}, "x": 1}}}, "jwk"),
    ({"header": {"jwk": ECKey.generate_key("P-384").as_dict(private=False)}}, "jwk"),
    ({"header": {"jwk": PRIVATE.key.as_dict(private=True)}, "key": PRIVATE.key}, "jwk"),
    ({"header": {"jwk": {**PRIVATE.jwk, "k": "secret"}}, "key": PRIVATE.key}, "jwk"),
    ({"header": {"jwk": OTHER.jwk}}, "signature"),
    ({"htm": "GET_"}, "htm"),
    ({"htm": "post"}, "htm"),
    ({"htm": None}, "htm"),
    ({"htu": f"{ISSUER}/oauth/par"}, "htu"),
    ({"htu": f"{ISSUER}/oauth/token/"}, "htu"),
    ({"htu": "http://localhost:8001/oauth/token"}, "htu"),
    ({"htu": "https://localhost:8000/oauth/token"}, "htu"),
    ({"htu": "http://other.example:8000/oauth/token"}, "htu"),
    ({"htu": "http://user@localhost:8000/oauth/token"}, "htu"),
    ({"htu": "http://localhost:99999/oauth/token"}, "htu"),
    ({"htu": "/oauth/token"}, "htu"),
    ({"htu": ""}, "htu"),
    ({"htu": "http://[/oauth/token"}, "htu"),
    ({"htu": "http://localhost:8000/oauth/to\nken"}, "htu"),
    ({"htu": "http://localhost:8000/oauth/トークン"}, "htu"),
    ({"htu": [TOKEN]}, "htu"),
    ({"htu": None}, "htu"),
    ({"iat": None}, "iat"),
    ({"iat": "now"}, "iat"),
    ({"iat": 10**400}, "iat"),
    ({"iat": 1e300}, "iat"),
    ({"jti": None}, "jti"),
    ({"jti": ""}, "jti"),
    ({"jti": "x" * 257}, "jti"),
    ({"jti": "lone \ud800"}, "jti"),
    ({"exp": now() - 5}, "exp"),
    ({"nbf": now() + 6_000}, "nbf"),
]
"""Changes to a proof, and what they make wrong."""


@pytest.mark.parametrize(("changes", "at"), WRONG)
def test_a_wrong_proof_at_the_token_endpoint(spa: Keyholder, key: Signer, changes: dict[str, Any], at: str) -> None:
    at_token(spa.post(proof=key.proof(**changes), grant_type="refresh_token", refresh_token="krt_x"), at)


@pytest.mark.parametrize(("changes", "at"), WRONG)
def test_a_wrong_proof_at_the_api(web: Keyholder, bound: str, key: Signer, changes: dict[str, Any], at: str) -> None:
    good = {"url": USERINFO, "method": "GET", "token": bound}
    at_resource(web.call(bound, proof=key.proof(**{**good, **changes})), at)

    assert web.call(bound, proof=key.proof(**good)).status_code == 200


@pytest.mark.usefixtures("still_clock")
def test_a_proof_is_good_for_a_minute_either_way(web: Keyholder, key: Signer, bound: str) -> None:
    def call(iat: int) -> TestResponse:
        return web.call(bound, proof=key.proof(USERINFO, method="GET", token=bound, iat=iat))

    assert call(now() + 60).status_code == 200
    at_resource(call(now() + 61), "iat")
    assert call(now() - 59).status_code == 200
    at_resource(call(now() - 61), "iat")
    at_token(web.post(proof=key.proof(iat=now() + 61), grant_type="refresh_token", refresh_token="x"), "iat")
    at_token(web.post(proof=key.proof(iat=now() - 61), grant_type="refresh_token", refresh_token="x"), "iat")


@pytest.mark.parametrize("alg", ["RS256", "PS384", "ES384", "HS256", "none"])
def test_other_algorithms_are_refused_though_the_signature_is_right(web: Keyholder, bound: str, alg: str) -> None:
    keys: dict[str, Any] = {
        "ES384": ECKey.generate_key("P-384"),
        "HS256": OctKey.import_key("a secret that is written into the header"),
        "none": None,
    }
    signing = keys.get(alg, Signer.new("PS256").key)
    shown = PRIVATE.jwk if signing is None else signing.as_dict(private=alg == "HS256")
    how = {"header": {"alg": alg, "jwk": shown}}
    key = Signer(alg, signing or PRIVATE.key)

    at_token(web.post(proof=key.proof(**how), grant_type="refresh_token", refresh_token="x"), "alg")
    at_resource(web.call(bound, proof=key.proof(USERINFO, method="GET", token=bound, **how)), "alg")


def test_a_short_rsa_key_is_no_key(web: Keyholder) -> None:
    with pytest.warns(match="2048"):
        short = Signer("PS256", RSAKey.generate_key(1024))

    at_token(web.post(proof=short.proof(), grant_type="refresh_token", refresh_token="x"), "jwk")


@pytest.mark.parametrize("header", ["", "a.b.c", "nonsense", "DPoP x", "é", "x" * 9_000])
def test_nonsense_for_a_proof(web: Keyholder, bound: str, header: str) -> None:
    at_token(web.post(proof=header, grant_type="refresh_token", refresh_token="x"), "JWT")
    at_resource(web.call(bound, proof=header), "JWT")


def test_exactly_one_proof(app: Flask, web: Keyholder, bound: str, key: Signer) -> None:
    headers = Headers({"Authorization": f"DPoP {bound}"})
    for _ in range(2):
        headers.add("DPoP", key.proof(USERINFO, method="GET", token=bound))
    at_resource(app.test_client().get("/oauth/userinfo", headers=headers), "JWT")

    twice = Headers([("DPoP", key.proof()), ("DPoP", key.proof())])
    form = {"grant_type": "refresh_token", "client_id": web.party.id, "client_secret": web.party.secret or ""}
    at_token(app.test_client().post("/oauth/token", data={**form, "refresh_token": "x"}, headers=twice), "JWT")


@pytest.mark.parametrize(
    ("htu", "url"),
    [
        (f"{TOKEN}?a=b", TOKEN),
        (f"{TOKEN}#part", TOKEN),
        ("HTTP://LOCALHOST:8000/oauth/token", TOKEN),
        ("http://localhost:8000/oauth/%74oken", TOKEN),
        ("https://coop.example:443/oauth/token", "https://coop.example/oauth/token"),
        ("https://coop.example", "https://coop.example/"),
        ("https://coop.example/v1/wallets/%E9%A3%9F", "https://coop.example/v1/wallets/%e9%a3%9f"),
    ],
)
def test_addresses_are_compared_in_normal_form(key: Signer, htu: str, url: str) -> None:
    assert dpop.check(key.proof(htu=htu), method="POST", url=url).jkt == key.jkt


@pytest.mark.parametrize("ath", [None, "", 7, "ä", b64(b"x" * 32)])
def test_the_proof_names_the_token_it_is_for(web: Keyholder, bound: str, key: Signer, ath: Any) -> None:
    at_resource(web.call(bound, proof=key.proof(USERINFO, method="GET", token=bound, ath=ath)), "ath")


def test_a_proof_made_for_the_token_endpoint_is_none_for_the_api(web: Keyholder, bound: str, key: Signer) -> None:
    at_resource(web.call(bound, proof=key.proof()), "htm")


def test_another_key_does_not_open_the_token(web: Keyholder, bound: str) -> None:
    thief = Signer.new()

    invalid_token(web.call(bound, proof=thief.proof(USERINFO, method="GET", token=bound)), "DPoP")


def test_a_bound_token_is_none_without_its_proof(web: Keyholder, bound: str, key: Signer) -> None:
    at_resource(web.call(bound), "DPoP")
    invalid_token(web.call(bound, scheme="Bearer"), "DPoP")  # trap 10
    proof = key.proof(USERINFO, method="GET", token=bound)
    invalid_token(web.call(bound, scheme="Bearer", proof=proof), "DPoP")
    assert web.call(bound, proof=proof).status_code == 200, "what was refused before was not spent"


def test_an_unbound_token_cannot_be_shown_as_bound(web: Keyholder, member: Member, key: Signer) -> None:
    token = web.redeem(web.party.code(member, **SCOPES)).get_json()["access_token"]

    invalid_token(web.call(token, proof=key.proof(USERINFO, method="GET", token=token)), "Bearer")
    assert web.call(token, scheme="bearer").status_code == 200


def test_an_unknown_token_is_refused_in_its_own_scheme(web: Keyholder) -> None:
    invalid_token(web.call("kat_x"), "DPoP")
    invalid_token(web.call("kat_x", scheme="Bearer"), "Bearer")


def test_a_permission_that_is_missing_is_said_in_the_scheme(web: Keyholder, bound: str, key: Signer) -> None:
    url = f"{ISSUER}/v1/wallets"
    response = web.call(bound, proof=key.proof(url, method="GET", token=bound), path="/v1/wallets")

    assert (response.status_code, response.get_json()["code"]) == (403, "insufficient_scope")
    expected = DPOP.replace("algs", 'error="insufficient_scope", scope="balance", algs')
    assert response.headers["WWW-Authenticate"] == expected


def test_a_proof_is_accepted_once(web: Keyholder, spa: Keyholder, bound: str, key: Signer) -> None:
    proof = key.proof(USERINFO, method="GET", token=bound)
    assert web.call(bound, proof=proof).status_code == 200
    at_resource(web.call(bound, proof=proof), "jti")

    again = key.proof(jti="the same")
    assert error(spa.refresh("krt_x", proof=again)) == "invalid_grant"
    at_token(spa.refresh("krt_x", proof=again), "jti")  # an exchange that failed does not free it
    assert error(spa.refresh("krt_x", proof=OTHER.proof(jti="the same"))) == "invalid_grant", "a jti is its key's own"


def test_of_twenty_calls_with_one_proof_one_is_answered(web: Keyholder, bound: str, key: Signer) -> None:
    proof = key.proof(USERINFO, method="GET", token=bound)

    assert statuses(at_once(lambda _: web.call(bound, proof=proof))) == {200: 1, 401: THREADS - 1}


def test_of_twenty_refreshes_with_one_proof_one_is_answered(spa: Keyholder, member: Member, key: Signer) -> None:
    token = spa.redeem(spa.party.code(member, **SCOPES), proof=key.proof()).get_json()["refresh_token"]
    proof = key.proof()

    answers = at_once(lambda _: spa.refresh(token, proof=proof))

    assert Counter(answer.get_json().get("error") for answer in answers) == {None: 1, "invalid_dpop_proof": THREADS - 1}


def test_a_stranger_without_a_token_writes_nothing(web: Keyholder, rows: Callable[..., list[Any]], key: Signer) -> None:
    before = rows("SELECT count(*) FROM oauth_proof_seen")

    for scheme in ("DPoP", "Bearer"):
        web.call("kat_x", scheme=scheme, proof=key.proof(USERINFO, method="GET", token="kat_x"))

    assert rows("SELECT count(*) FROM oauth_proof_seen") == before


def test_behind_a_proxy_the_public_address_counts(app: Flask, bound: str, key: Signer) -> None:
    def call(htu: str) -> TestResponse:
        headers = {"Authorization": f"DPoP {bound}", "DPoP": key.proof(htu, method="GET", token=bound)}
        return app.test_client().get("/oauth/userinfo", base_url="http://10.0.0.7:5000", headers=headers)

    assert call(USERINFO).status_code == 200
    at_resource(call("http://10.0.0.7:5000/oauth/userinfo"), "htu")


@pytest.mark.parametrize("sent", ["a%3Ab", "a:b", "%E6%96%99", "a%2541", "100%25"])
def test_an_address_with_escapes(web: Keyholder, bound: str, key: Signer, sent: str) -> None:
    path = f"/v1/transactions/by-request/{sent}"
    proof = key.proof(f"{ISSUER}{path}?x=%20", method="GET", token=bound)

    assert web.call(bound, proof=proof, path=f"{path}?x=%20").status_code == 404


def test_the_rest_of_a_check_is_still_one_query(
    app: Flask, web: Keyholder, bound: str, key: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    execute = psycopg.Cursor.execute

    def note(cursor: psycopg.Cursor[Any], query: Any, *args: Any, **kwargs: Any) -> psycopg.Cursor[Any]:
        statements.append(query.decode() if isinstance(query, bytes) else str(query))
        return execute(cursor, query, *args, **kwargs)

    proof = key.proof(f"{ISSUER}/v1/me", method="GET", token=bound)
    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    assert web.call(bound, proof=proof, path="/v1/me").status_code == 200

    assert [statement.split()[0] for statement in statements] == ["SELECT", "INSERT"]


def test_a_page_of_a_registered_origin_may_send_a_proof(app: Flask, new_third_party: Callable[..., ThirdParty]) -> None:
    new_third_party(profile="spa", redirect_uris=["https://dpop-spa.example/done"])
    headers = {"Origin": "https://dpop-spa.example", "Access-Control-Request-Headers": "DPoP"}

    for path in ("/oauth/token", "/oauth/userinfo"):
        asked = app.test_client().options(path, headers=headers)
        assert "DPoP" in asked.headers["Access-Control-Allow-Headers"]
    refused = app.test_client().get("/oauth/userinfo", headers=headers)
    assert "WWW-Authenticate" in refused.headers["Access-Control-Expose-Headers"]
