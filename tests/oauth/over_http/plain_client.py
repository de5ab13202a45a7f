"""A client made of `requests` and joserfc alone, against a running server: every value it sends can be bent."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.live import Live
from tests.oauth.browser import TIMEOUT_S, Browser
from tests.oauth.conftest import CHALLENGE, VERIFIER
from tests.oauth.keyholder import Signer, by_assertion

CALLBACK = "https://app.example/callback"
BOX = ["balance"]
"""What the member ticks on the consent page, unless a test says otherwise."""


@dataclass(frozen=True)
class PlainClient:
    """A registered client. With a `signer` it proves itself by assertions; with a `dpop` key its tokens are bound.

    Wherever a request can be bent, `changes` replace single parameters of one in good order; None leaves one out.
    """

    live: Live
    id: str
    redirect_uri: str
    secret: str | None = None
    signer: Signer | None = None
    dpop: Signer | None = None

    # --- What it says

    def request(self, **changes: str | None) -> dict[str, str]:
        """An authorization request."""
        return _without_none(
            {
                "response_type": "code",
                "client_id": self.id,
                "redirect_uri": self.redirect_uri,
                "scope": "openid balance offline_access",
                "state": "st4te",
                "nonce": "n0nce",
                "code_challenge": CHALLENGE,
                "code_challenge_method": "S256",
                **changes,
            }
        )

    def address(self, **changes: str | None) -> str:
        """The authorization request as a link."""
        return f"{self.live.url}/oauth/authorize?{urlencode(self.request(**changes))}"

    def assertion(self, **changes: Any) -> str:
        """A client assertion; `header` and `key` bend what is not a claim."""
        assert self.signer is not None
        return self.signer.assertion(self.id, **{"aud": self.live.url, **changes})

    def proof(self, path: str, *, method: str = "POST", token: str | None = None, **changes: Any) -> str:
        """A DPoP proof for a path of the server."""
        assert self.dpop is not None
        return self.dpop.proof(f"{self.live.url}{path}", method=method, token=token, **changes)

    # --- To the endpoints for clients

    def post(
        self, path: str, form: Mapping[str, str | None], *, proof: str | None = "", assertion: str | None = ""
    ) -> requests.Response:
        """A request with the client's credentials, and its proof at the token endpoint.

        `proof` and `assertion` stand in for those in good order; None leaves one out.
        """
        credentials, auth = self._credentials(assertion)
        if proof == "":
            proof = self.proof(path) if self.dpop is not None and path == "/oauth/token" else None
        headers = {} if proof is None else {"DPoP": proof}
        data = {**credentials, **_without_none(form)}
        return requests.post(f"{self.live.url}{path}", data, auth=auth, headers=headers, timeout=TIMEOUT_S)

    def push(self, *, proof: str | None = "", assertion: str | None = "", **changes: str | None) -> requests.Response:
        """The authorization request by PAR."""
        return self.post("/oauth/par", self.request(**changes), proof=proof, assertion=assertion)

    def pushed(self, *, proof: str | None = "", **changes: str | None) -> str:
        """The link to a request that was pushed."""
        answer = self.push(proof=proof, **changes)
        assert answer.status_code == 201, answer.text
        return self.link(answer.json()["request_uri"])

    def link(self, request_uri: str, **changes: str) -> str:
        query = {"client_id": self.id, "request_uri": request_uri, **changes}
        return f"{self.live.url}/oauth/authorize?{urlencode(query)}"

    def token(self, *, proof: str | None = "", assertion: str | None = "", **form: str | None) -> requests.Response:
        return self.post("/oauth/token", form, proof=proof, assertion=assertion)

    def redeem(self, code: str, *, proof: str | None = "", **changes: str | None) -> requests.Response:
        form = {"code": code, "redirect_uri": self.redirect_uri, "code_verifier": VERIFIER, **changes}
        return self.token(proof=proof, grant_type="authorization_code", **form)

    def refresh(self, token: str, *, proof: str | None = "", assertion: str | None = "") -> requests.Response:
        return self.token(proof=proof, assertion=assertion, grant_type="refresh_token", refresh_token=token)

    # --- With a member

    def answer(
        self, browser: Browser, address: str | None = None, *, ticked: Sequence[str] = BOX, **changes: str | None
    ) -> dict[str, str]:
        """What comes back to the client once the member, signed in, has allowed what the page asks (if it asks)."""
        back = browser.open(address or self.address(**changes))
        if "Location" not in back.headers:
            assert back.status_code == 200, back.text
            back = browser.send(back, decision="allow", permission=list(ticked))
        return sent_back(back, to=self.redirect_uri)

    def tokens(self, browser: Browser, address: str | None = None, **how: Any) -> dict[str, Any]:
        """The tokens of a consent."""
        response = self.redeem(self.answer(browser, address, **how)["code"])
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    # --- With a token

    def call(
        self,
        token: str,
        *,
        path: str = "/oauth/userinfo",
        method: str = "GET",
        scheme: str | None = None,
        proof: str | None = "",
    ) -> requests.Response:
        """Call the API with a token, and with a proof if it is bound."""
        if proof == "":
            proof = None if self.dpop is None else self.proof(path, method=method, token=token)
        headers = {"Authorization": f"{scheme or ('Bearer' if self.dpop is None else 'DPoP')} {token}"}
        if proof is not None:
            headers["DPoP"] = proof
        return requests.request(method, f"{self.live.url}{path}", headers=headers, timeout=TIMEOUT_S)

    def id_token(self, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of the ID token, its signature and audience checked."""
        keys = requests.get(f"{self.live.url}/oauth/jwks.json", timeout=TIMEOUT_S).json()
        token = jwt.decode(tokens["id_token"], KeySet.import_key_set(keys), algorithms=["ES256"])
        assert (token.claims["iss"], token.claims["aud"]) == (self.live.url, self.id)
        return dict(token.claims)

    def other(self, **changes: Any) -> PlainClient:
        """The same client with something of it exchanged."""
        return replace(self, **changes)

    def _credentials(self, assertion: str | None) -> tuple[dict[str, str], tuple[str, str] | None]:
        if self.signer is not None:
            assertion = self.assertion() if assertion == "" else assertion
            return ({"client_id": self.id} if assertion is None else by_assertion(assertion)), None
        if self.secret is not None:
            return {}, (self.id, self.secret)
        return {"client_id": self.id}, None


def sent_back(response: requests.Response, *, to: str) -> dict[str, str]:
    """The parameters that a redirect gives back to the client."""
    assert response.status_code == 303, (response.status_code, response.text)
    location = response.headers["Location"]
    assert location.startswith(f"{to}?"), location
    parameters = parse_qs(urlsplit(location).query, strict_parsing=True)
    assert all(len(values) == 1 for values in parameters.values()), parameters
    return {name: values[0] for name, values in parameters.items()}


def refusal(response: requests.Response) -> tuple[int, str]:
    """Status and error code of an endpoint for clients."""
    return response.status_code, response.json()["error"]


def header_of(token: str) -> dict[str, Any]:
    """The JOSE header of a JWT."""
    segment = token.split(".")[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return header


def _without_none(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
