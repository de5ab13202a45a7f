"""DPoP proofs: a JWT by which a client shows, at each request, that it holds the key a token is bound to (RFC 9449).

This server hands out no nonces (RFC 9449 sections 8, 9). They would guard against proofs that somebody made ahead, in
a moment when they could use the client's key. Such a proof is good for nothing by itself: at the API it carries the
hash of an access token that lives for ten minutes, at the token endpoint it needs a code or refresh token and the
client's own authentication. Against replay every `jti` is kept, so a nonce would only cost each client a round trip.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote, urlsplit

from flask import request as http_request

from app import clock
from app.ids import same, secret_hash
from app.limits import knock, network
from app.oauth import jws, proofs_seen
from app.oauth.clients import Client
from app.oauth.errors import InvalidDpopProof
from app.oauth.jws import BadJwt, BadKey, Jwt
from app.oauth.request import OAuthRequest

HEADER = "DPoP"
WINDOW = timedelta(seconds=jws.SKEW_S)
"""How far a proof's `iat` may be from now, either way."""
BY_PUBLIC_NETWORK = 6_000
"""Proofs that public clients show for tokens in `COUNTED_FOR_S`: one such app each on the phones of a whole campus."""
COUNTED_FOR_S = 600
JKT = re.compile(r"[A-Za-z0-9_-]{43}")
"""RFC 9449 section 6.1: the base64url SHA-256 thumbprint (RFC 7638) of a public key."""
_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"[\x21-\x7e]{1,2048}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof in good order: whoever made it holds the key of this thumbprint."""

    jkt: str
    jti: str
    until: datetime
    """When it is too old to be accepted."""

    def spend(self) -> None:
        """It was not shown before, and will not be accepted again. Raises InvalidDpopProof."""
        if not proofs_seen.first_time(whose=f"dpop {self.jkt}", jti=self.jti, until=self.until):
            raise InvalidDpopProof(parameter="jti")


def proof_of(request: OAuthRequest) -> Proof | None:
    """The proof of a request to an endpoint of this server, spent; None where there is none. Raises InvalidDpopProof.

    Call it before `transaction()` holds anything.
    """
    header = request.headers.get(HEADER)
    if header is None:
        return None
    proof = check(header, method=request.method, url=request.uri)
    proof.spend()
    return proof


def key_for_tokens(request: OAuthRequest, *, client: Client) -> str | None:
    """The thumbprint of the key that the tokens of a token request are bound to. Raises InvalidDpopProof.

    Each proof leaves a row, and anybody can make one in the name of a public client: those are counted by network.
    Raises TooManyRequests.
    """
    if HEADER in request.headers and not client.profile.confidential:
        knock(
            door="dpop_public",
            caller=network(http_request.remote_addr),
            limit=BY_PUBLIC_NETWORK,
            window_s=COUNTED_FOR_S,
        )
    proof = proof_of(request)
    if proof is None and client.profile.bound:
        raise InvalidDpopProof(parameter=HEADER)
    return None if proof is None else proof.jkt


def key_for_code(request: OAuthRequest) -> str | None:
    """The thumbprint a pushed authorization request binds its code to, by `dpop_jkt` or by a proof beside it.

    Both must name the same key (RFC 9449 section 10.1). Raises InvalidDpopProof.
    """
    proof = proof_of(request)
    named: str | None = request.form.get("dpop_jkt")
    if proof is not None and named not in (None, proof.jkt):
        raise InvalidDpopProof(parameter="dpop_jkt")
    return named if proof is None else proof.jkt


def check(header: str, *, method: str, url: str, token: str | None = None) -> Proof:
    """The proof in a DPoP header (RFC 9449 section 4.3), not spent yet. Raises InvalidDpopProof naming what is wrong.

    `url` is the public address of the request without its query; `token` the access token shown beside the proof.
    Two headers come as one with a comma in it, which no JWT has.
    """
    try:
        jwt = jws.parse(header)
        jkt = _signer(jwt)
        _check_claims(jwt, method=method, url=url, token=token)
        issued_at = jws.instant(jwt.claims, "iat")
        if issued_at is None or abs(clock.now() - issued_at) > WINDOW:
            raise BadJwt("iat")
        return Proof(jkt=jkt, jti=jws.jti(jwt.claims), until=issued_at + WINDOW)
    except BadJwt as bad:
        raise InvalidDpopProof(parameter=bad.part) from bad


def _signer(jwt: Jwt) -> str:
    """The thumbprint of the key in the header, which signed the proof."""
    if jwt.header.get("typ") != "dpop+jwt":
        raise BadJwt("typ")
    try:
        key = jws.public_key(jwt.header.get("jwk"), alg=jwt.alg)
    except BadKey as error:
        raise BadJwt("jwk") from error
    jwt.verify(key)
    return key.thumbprint()


def _check_claims(jwt: Jwt, *, method: str, url: str, token: str | None) -> None:
    if jwt.claims.get("htm") != method:
        raise BadJwt("htm")
    if _place(jwt.claims.get("htu")) != _place(url):
        raise BadJwt("htu")
    if token is not None and not _is_hash_of(token, jwt.claims.get("ath")):
        raise BadJwt("ath")
    jws.check_times(jwt.claims)


def _is_hash_of(token: str, ath: object) -> bool:
    expected = base64.urlsafe_b64encode(secret_hash(token)).rstrip(b"=")
    return isinstance(ath, str) and ath.isascii() and same(ath.encode(), expected)


def _place(url: object) -> tuple[str, str, int | None, str]:
    """What counts of an address, in normal form (RFC 3986 section 6.2): neither query nor fragment (RFC 9449, 4.3).

    The web server hands the path on decoded, so decoded paths are what can be compared. Raises BadJwt.
    """
    if not isinstance(url, str) or not (url.isascii() and _URL.fullmatch(url)):
        raise BadJwt("htu")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError as error:
        raise BadJwt("htu") from error
    if not host or parts.username is not None:
        raise BadJwt("htu")
    return parts.scheme, host, port, unquote(parts.path) or "/"
