"""A client that holds keys: it signs assertions and DPoP proofs with joserfc, as right or as wrong as a test wants."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from werkzeug.test import TestResponse

from app import clock
from app.oauth.client_assertion import TYPE
from tests.oauth.conftest import VERIFIER, ThirdParty

ISSUER = "http://localhost:8000"
SCOPES: dict[str, Any] = {"scope": "openid offline_access", "ticked": []}
"""What an app asks for that wants a refresh token and nothing that is asked box by box."""
TOKEN = f"{ISSUER}/oauth/token"
USERINFO = f"{ISSUER}/oauth/userinfo"


class _Anything(JWSRegistry):
    """Signs whatever header it is given, with every algorithm there is."""

    def check_header(self, header: dict[str, Any]) -> None:
        """Nonsense is signed too."""


_ANYTHING = _Anything(algorithms=list(JWSRegistry.algorithms))


def sign(header: dict[str, Any], claims: dict[str, Any], key: Key | None) -> str:
    """A JWT. What has the value None is left out."""
    said = {name: value for name, value in header.items() if value is not None}
    payload = json.dumps({name: value for name, value in claims.items() if value is not None})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of algorithms that are deprecated
        return jws.serialize_compact(said, payload, key, registry=_ANYTHING)


@dataclass(frozen=True)
class Signer:
    """A key pair, and the algorithm it signs with."""

    alg: str
    key: Key

    @classmethod
    def new(cls, alg: str = "ES256") -> Signer:
        match alg:
            case "ES256":
                return cls(alg, ECKey.generate_key("P-256"))
            case "EdDSA":
                return cls(alg, OKPKey.generate_key("Ed25519"))
            case _:
                return cls(alg, _rsa(secrets.randbelow(3)))

    @property
    def jwk(self) -> dict[str, Any]:
        return dict(self.key.as_dict(private=False))

    @property
    def jkt(self) -> str:
        return self.key.thumbprint()

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**self.jwk, "kid": self.jkt}]}

    def proof(
        self,
        url: str = TOKEN,
        *,
        method: str = "POST",
        token: str | None = None,
        header: dict[str, Any] | None = None,
        key: Key | None = None,
        **changes: Any,
    ) -> str:
        """A DPoP proof in good order, with changes; `token` is the access token beside it."""
        claims = {"jti": secrets.token_urlsafe(), "htm": method, "htu": url, "iat": now()}
        if token is not None:
            claims["ath"] = b64(hashlib.sha256(token.encode()).digest())
        said = {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk, **(header or {})}
        return sign(said, {**claims, **changes}, key or self.key)

    def assertion(self, client_id: str, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A client assertion in good order, with changes."""
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": ISSUER,
            "iat": now(),
            "exp": now() + 60,
            "jti": secrets.token_urlsafe(),
        }
        return sign({"alg": self.alg, "kid": self.jkt, **(header or {})}, {**claims, **changes}, self.key)


@dataclass(frozen=True)
class Keyholder:
    """An app at the token endpoint: it signs assertions if it has keys, and shows a proof if it is given one."""

    party: ThirdParty
    signer: Signer | None = None

    def post(self, *, proof: str | None = None, path: str = "/oauth/token", **form: str) -> TestResponse:
        headers = {} if proof is None else {"DPoP": proof}
        if self.signer is not None:
            form = {**by_assertion(self.signer.assertion(self.party.id)), **form}
        elif self.party.secret is None:
            form = {"client_id": self.party.id, **form}
        else:
            headers["Authorization"] = f"Basic {b64_basic(self.party)}"
        return caller(self.party.app).post(path, data=form, headers=headers)

    def redeem(self, code: str, *, proof: str | None = None) -> TestResponse:
        form = {"code": code, "redirect_uri": self.party.redirect_uri, "code_verifier": VERIFIER}
        return self.post(proof=proof, grant_type="authorization_code", **form)

    def refresh(self, token: str, *, proof: str | None = None, **form: str) -> TestResponse:
        return self.post(proof=proof, grant_type="refresh_token", refresh_token=token, **form)

    def call(
        self, token: str, *, proof: str | None = None, scheme: str = "DPoP", path: str = "/oauth/userinfo"
    ) -> TestResponse:
        headers = {"Authorization": f"{scheme} {token}"}
        if proof is not None:
            headers["DPoP"] = proof
        return caller(self.party.app).get(path, headers=headers)


def caller(app: Flask) -> FlaskClient:
    """An HTTP client at an address of its own, whose failures count for nobody else."""
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = (
        f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
    )
    return client


def by_assertion(assertion: str) -> dict[str, str]:
    return {"client_assertion_type": TYPE, "client_assertion": assertion}


def at_token(response: TestResponse, parameter: str) -> None:
    """Refused at the token endpoint (RFC 9449 section 5), with what is wrong by name."""
    body = response.get_json()
    assert (response.status_code, body["error"]) == (400, "invalid_dpop_proof"), body
    assert body["error_description"] == f"The DPoP proof is not accepted: {parameter}"


def invalid_token(response: TestResponse, scheme: str) -> None:
    assert (response.status_code, response.get_json()["code"]) == (401, "invalid_token"), response.text
    assert response.headers["WWW-Authenticate"].startswith(f'{scheme} realm="kumiai", error="invalid_token"')


def error(response: TestResponse) -> str:
    assert response.status_code == 400, response.text
    return str(response.get_json()["error"])


def b64_basic(party: ThirdParty) -> str:
    return base64.b64encode(f"{party.id}:{party.secret}".encode()).decode()


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def now() -> int:
    return int(clock.now().timestamp())


@cache
def _rsa(_: int) -> RSAKey:
    return RSAKey.generate_key(2048)
