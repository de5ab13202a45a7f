"""private_key_jwt: which signed assertions prove a client, and which do not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from joserfc.jwk import ECKey, OctKey, OKPKey
from werkzeug.test import TestResponse

from app.oauth import client_assertion, client_auth
from app.oauth.errors import InvalidClientMetadata
from app.oauth.jws import ALGS
from tests import factories
from tests.oauth.conftest import Member, ThirdParty
from tests.oauth.keyholder import ISSUER, TOKEN, Keyholder, Signer, b64, by_assertion, caller, now, sign
from tests.oauth.test_races import THREADS, at_once

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def signer() -> Signer:
    return Signer.new()


@pytest.fixture
def till(new_third_party: Callable[..., ThirdParty], signer: Signer) -> ThirdParty:
    return new_third_party(profile="till", jwks=signer.jwks)


@pytest.fixture
def send(app: Flask) -> Callable[..., TestResponse]:
    """Ask for tokens with an assertion."""

    def post(assertion: str, **form: str) -> TestResponse:
        return caller(app).post("/oauth/token", data={**GRANT, **by_assertion(assertion), **form})

    return post


def refused(response: TestResponse, at: str) -> None:
    """The client is told what is wrong, and nothing else."""
    body = response.get_json()
    assert (response.status_code, body["error"]) == (401, "invalid_client"), body
    assert body["error_description"] == f"The client assertion is not accepted: {at}"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("alg", ALGS)
def test_an_assertion_proves_a_client(
    new_third_party: Callable[..., ThirdParty], send: Callable[..., TestResponse], alg: str
) -> None:
    signer = Signer.new(alg)
    till = new_third_party(profile="till", jwks=signer.jwks)

    assert till.secret is None
    assert send(signer.assertion(till.id)).status_code == 200
    assert send(signer.assertion(till.id), client_id=till.id).status_code == 200


def at_this_moment(changes: dict[str, Any]) -> dict[str, Any]:
    """Instants are those of the test, not of when it was collected: minutes may lie between."""
    return {name: value() if callable(value) else value for name, value in changes.items()}


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize(
    "changes",
    [
        {"header": {"kid": None}},
        {"header": {"typ": "JWT"}},
        {"header": {"x-unknown": "is ignored"}},
        {"iat": None},
        {"iat": lambda: now() + 10},
        {"nbf": lambda: now() + 10},
        {"iat": 1.5},
        {"nbf": lambda: now() - 60},
        {"exp": lambda: now() + client_assertion.MAX_LIFE_S - 1},
        {"jti": "x" * 256},
        {"colour": "red"},
    ],
)
def test_what_may_differ(
    till: ThirdParty, signer: Signer, send: Callable[..., TestResponse], changes: dict[str, Any]
) -> None:
    assert send(signer.assertion(till.id, **at_this_moment(changes))).status_code == 200


YEARS = 3 * 365 * 86_400


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"aud": [ISSUER]}, "aud"),
        ({"aud": [ISSUER, "https://other.example"]}, "aud"),
        ({"aud": TOKEN}, "aud"),
        ({"aud": f"{ISSUER}/oauth/par"}, "aud"),
        ({"aud": f"{ISSUER}/"}, "aud"),
        ({"aud": None}, "aud"),
        ({"iss": "someone_else"}, "iss"),
        ({"iss": None}, "iss"),
        ({"exp": None}, "exp"),
        ({"exp": lambda: now() - 1}, "exp"),
        ({"exp": lambda: now() + client_assertion.MAX_LIFE_S + 600}, "exp"),
        ({"exp": lambda: now() + YEARS}, "exp"),
        ({"exp": lambda: str(now() + 60)}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"exp": [60]}, "exp"),
        ({"iat": "now"}, "iat"),
        ({"nbf": {}}, "nbf"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "jti"),
        ({"jti": "x" * 257}, "jti"),
        ({"jti": "nul \0"}, "jti"),
        ({"jti": "lone \ud800"}, "jti"),
        ({"header": {"kid": "another"}}, "kid"),
        ({"header": {"kid": ""}}, "kid"),
        ({"header": {"crit": ["exp"]}}, "crit"),
        ({"header": {"crit": 5}}, "crit"),
        ({"header": {"b64": True}}, "b64"),
    ],
)
def test_what_is_refused(
    till: ThirdParty, signer: Signer, changes: dict[str, Any], at: str, send: Callable[..., TestResponse]
) -> None:
    refused(send(signer.assertion(till.id, **at_this_moment(changes))), at)


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_clock_may_be_a_minute_ahead_and_no_more(
    till: ThirdParty, signer: Signer, send: Callable[..., TestResponse], claim: str
) -> None:
    assert send(signer.assertion(till.id, **{claim: now() + 60})).status_code == 200
    refused(send(signer.assertion(till.id, **{claim: now() + 61})), claim)


def test_another_subject_is_another_client(till: ThirdParty, signer: Signer, send: Callable[..., TestResponse]) -> None:
    for subject in ("someone_else", None, 7, "ム", "x" * 2_000):
        response = send(signer.assertion(till.id, sub=subject))
        assert (response.status_code, response.get_json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("alg", ["RS256", "PS384", "ES384", "HS256", "none", "Ed25519", "ML-DSA-44", "", None, 7])
def test_other_algorithms_are_refused_whatever_signs(
    new_third_party: Callable[..., ThirdParty], send: Callable[..., TestResponse], alg: Any
) -> None:
    """Even a signature that is right; HS256 with the public key for a secret is an old trick."""
    signer = Signer.new("PS256")
    till = new_third_party(profile="till", jwks=signer.jwks)
    keys = {
        "HS256": OctKey.import_key(json.dumps(signer.jwk)),
        "ES384": ECKey.generate_key("P-384"),
        "Ed25519": OKPKey.generate_key("Ed25519"),
        "none": None,
    }
    claims = {"iss": till.id, "sub": till.id, "aud": ISSUER, "exp": now() + 60, "jti": "a"}
    header = {"alg": alg, "kid": signer.jkt}
    if alg in ("RS256", "PS384", *keys):
        assertion = sign(header, claims, keys.get(alg, signer.key))
    else:
        assertion = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}.{b64(b'x' * 64)}"

    refused(send(assertion), "alg")


def test_the_key_must_be_one_of_the_clients_and_fit_the_algorithm(
    new_third_party: Callable[..., ThirdParty], send: Callable[..., TestResponse]
) -> None:
    old, new, stranger, other = Signer.new(), Signer.new(), Signer.new(), Signer.new("EdDSA")
    keys = [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "eA"},
        {**stranger.jwk, "kid": "for encryption", "use": "enc"},
        {**stranger.jwk, "kid": "for another algorithm", "alg": "ES384"},
        *old.jwks["keys"],
        {**new.jwk, "kid": "new", "use": "sig", "alg": "ES256"},
    ]
    till = new_third_party(profile="till", jwks={"keys": keys})

    assert send(old.assertion(till.id)).status_code == 200
    assert send(new.assertion(till.id, header={"kid": "new"})).status_code == 200
    assert send(new.assertion(till.id, header={"kid": None})).status_code == 200
    refused(send(stranger.assertion(till.id, header={"kid": None})), "signature")
    refused(send(stranger.assertion(till.id, header={"kid": "new"})), "signature")
    refused(send(stranger.assertion(till.id, header={"kid": "for encryption"})), "kid")
    refused(send(stranger.assertion(till.id, header={"kid": "for another algorithm"})), "kid")
    refused(send(other.assertion(till.id, header={"kid": "new"})), "kid")
    refused(send(other.assertion(till.id, header={"kid": None})), "alg")


def test_a_changed_assertion_has_no_signature(
    till: ThirdParty, signer: Signer, send: Callable[..., TestResponse]
) -> None:
    header, _, signature = signer.assertion(till.id).split(".")
    claims = b64(json.dumps({"iss": till.id, "sub": till.id, "aud": ISSUER, "exp": now() + 60, "jti": "a"}).encode())

    refused(send(f"{header}.{claims}.{signature}"), "signature")
    refused(send(f"{header}.{claims}."), "signature")
    refused(send(f"{header}.{claims}.{'A' * 2_000}"), "signature")


def _dotted(*parts: bytes) -> str:
    return ".".join(b64(part) for part in parts)


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "x" * 100,
        "ア.イ.ウ",
        "e30.e30.e30.e30",
        _dotted(b"[]", b"{}", b"x"),
        _dotted(b'"alg"', b"{}", b"x"),
        _dotted(b"7", b"{}", b"x"),
        _dotted(b"null", b"{}", b"x"),
        _dotted(b'{"alg": "ES256"}', b"[]", b"x"),
        _dotted(b'{"alg": "ES256"}', b"\xff", b"x"),
        _dotted(b'{"alg": "ES256"}', b'{"exp": NaN}', b"x"),
        _dotted(b'{"alg": "ES256"}', b'{"exp": ' + b"9" * 5_000 + b"}", b"x"),
        _dotted(b'{"alg": "ES256"}', b"[" * 5_000, b"x"),
        _dotted(b'{"alg": "ES256"}', b"x" * 20_000, b"x"),
    ],
    ids=lambda nonsense: nonsense[:20] or "nothing",
)
def test_nonsense_is_refused_by_name(send: Callable[..., TestResponse], nonsense: str) -> None:
    refused(send(nonsense), "JWT")


def test_the_type_of_the_assertion_is_said(app: Flask, till: ThirdParty, signer: Signer) -> None:
    for type_ in (None, "", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"):
        form = {**GRANT, "client_assertion": signer.assertion(till.id)}
        if type_ is not None:
            form["client_assertion_type"] = type_
        response = caller(app).post("/oauth/token", data=form)
        assert (response.status_code, response.get_json()["error"]) == (400, "invalid_request")
        assert "client_assertion_type" in response.get_json()["error_description"]


def test_not_more_than_one_method_in_a_request(
    app: Flask, till: ThirdParty, signer: Signer, send: Callable[..., TestResponse], third_party: ThirdParty
) -> None:
    def wrong(response: TestResponse, parameter: str) -> None:
        body = response.get_json()
        assert (response.status_code, body["error"]) == (400, "invalid_request")
        assert parameter in body["error_description"]

    wrong(send(signer.assertion(till.id), client_secret="x"), "client_secret")
    wrong(send(signer.assertion(till.id), client_id="someone_else"), "client_id")
    wrong(third_party.post(**GRANT, **by_assertion(signer.assertion(till.id))), "client_assertion")
    wrong(third_party.post(**GRANT, client_assertion_type="x"), "client_assertion")
    twice = {**GRANT, "client_assertion_type": client_assertion.TYPE, "client_assertion": ["a", "b"]}
    wrong(app.test_client().post("/oauth/token", data=twice), "client_assertion")


def test_keys_and_secrets_do_not_stand_in_for_each_other(
    app: Flask,
    till: ThirdParty,
    third_party: ThirdParty,
    new_third_party: Callable[..., ThirdParty],
    send: Callable[..., TestResponse],
) -> None:
    signer = Signer.new()
    public = new_third_party(profile="spa")
    answers = [
        caller(app).post("/oauth/token", data={**GRANT, "client_id": till.id}),
        caller(app).post("/oauth/token", data={**GRANT, "client_id": till.id, "client_secret": ""}),
        caller(app).post("/oauth/token", data={**GRANT, "client_id": till.id, "client_secret": "kcs_x"}),
        send(signer.assertion(third_party.id)),
        send(signer.assertion(public.id)),
        send(signer.assertion("nobody_here")),
    ]

    assert {(answer.status_code, answer.get_json()["error"]) for answer in answers} == {(401, "invalid_client")}


def test_an_assertion_is_accepted_once(
    till: ThirdParty,
    signer: Signer,
    send: Callable[..., TestResponse],
    new_third_party: Callable[..., ThirdParty],
    rows: Callable[..., list[Any]],
) -> None:
    first = signer.assertion(till.id, jti="the same")

    assert send(first).status_code == 200
    refused(send(first), "jti")
    refused(send(signer.assertion(till.id, jti="the same", exp=now() + 200)), "jti")

    neighbour = new_third_party(profile="till", jwks=signer.jwks)
    assert send(signer.assertion(neighbour.id, jti="the same")).status_code == 200, "a jti is its client's own"
    kept = rows("SELECT count(*) FROM oauth_proof_seen WHERE expires_at BETWEEN now() AND now() + interval '10 min'")
    assert kept[0][0] >= 2


def test_of_twenty_at_once_one_is_accepted(till: ThirdParty, signer: Signer, send: Callable[..., TestResponse]) -> None:
    assertion = signer.assertion(till.id)

    answers = at_once(lambda _: send(assertion))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: THREADS - 1}


def test_an_exchange_that_fails_does_not_free_its_assertion(
    new_third_party: Callable[..., ThirdParty], signer: Signer, send: Callable[..., TestResponse]
) -> None:
    web = new_third_party(profile="web", jwks=signer.jwks)
    assertion = signer.assertion(web.id)

    failed = send(assertion, grant_type="authorization_code", code="kac_x")

    assert failed.get_json()["error"] == "invalid_grant"
    refused(send(assertion, grant_type="authorization_code", code="kac_x"), "jti")


def test_a_refused_assertion_is_not_spent(till: ThirdParty, signer: Signer, send: Callable[..., TestResponse]) -> None:
    """Or a stranger who guesses what a client will send next could shut it out."""
    refused(send(Signer.new().assertion(till.id, header={"kid": None}, jti="next")), "signature")

    assert send(signer.assertion(till.id, jti="next")).status_code == 200


def test_it_is_needed_on_every_request(
    new_third_party: Callable[..., ThirdParty], member: Member, signer: Signer
) -> None:
    app = Keyholder(new_third_party(profile="web", jwks=signer.jwks), signer)
    tokens = app.redeem(app.party.code(member, scope="openid offline_access", ticked=[])).get_json()

    unproven = app.party.post(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (unproven.status_code, unproven.get_json()["error"]) == (401, "invalid_client")
    refreshed = app.refresh(tokens["refresh_token"]).get_json()
    assert refreshed["refresh_token"] != tokens["refresh_token"]

    assert app.party.post("/oauth/revoke", token=refreshed["refresh_token"]).status_code == 401
    assert app.call(refreshed["access_token"], scheme="Bearer").status_code == 200
    assert app.post(path="/oauth/revoke", token=refreshed["refresh_token"]).status_code == 200
    assert app.call(refreshed["access_token"], scheme="Bearer").status_code == 401


@pytest.mark.usefixtures("still_clock")
def test_failures_are_counted_per_address(
    app: Flask, till: ThirdParty, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_auth, "FAILURES", 2)

    def send(assertion: str) -> int:
        form = {**GRANT, **by_assertion(assertion)}
        address = {"REMOTE_ADDR": "192.0.2.99"}
        return app.test_client().post("/oauth/token", data=form, environ_base=address).status_code

    assert [send(signer.assertion(till.id, aud=TOKEN)), send("nonsense"), send("nonsense")] == [401, 401, 429]
    assert send(signer.assertion(till.id)) == 200


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": {}},
        {"keys": ["x"]},
        {"keys": [{"kty": "EC"}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
        {"keys": [{"kty": "EC", "crv": ["P-256"], "x": 1, "y": None}]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]},
        {"keys": [Signer.new().key.as_dict(private=True)]},
        {"keys": [ECKey.generate_key("P-384").as_dict(private=False)]},
        {"keys": [{**Signer.new().jwk, "use": "enc"}]},
        {"keys": [Signer.new().jwk] * 11},
        {"keys": [{"kty": "RSA", "n": b64(b"\xff" * 128), "e": "AQAB"}]},
    ],
)
def test_keys_that_cannot_be_registered(app: Flask, jwks: dict[str, Any]) -> None:
    with app.app_context(), pytest.raises(InvalidClientMetadata) as refusal:
        factories.oauth_client(profile="till", jwks=jwks)
    assert refusal.value.detail == {"field": "jwks"}


def test_discovery_names_the_algorithms(app: Flask) -> None:
    said = app.test_client().get("/.well-known/openid-configuration").get_json()

    for name in ("token_endpoint_auth", "revocation_endpoint_auth", "dpop"):
        listed = said.get(f"{name}_signing_alg_values_supported")
        assert listed == ["ES256", "PS256", "EdDSA"]
    assert "private_key_jwt" in said["token_endpoint_auth_methods_supported"]
