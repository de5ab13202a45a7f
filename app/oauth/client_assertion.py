"""private_key_jwt: a client proves who it is with a JWT it signed (RFC 7523 section 3, OpenID Connect Core 9).

Held to FAPI 2.0 Security Profile 5.3.2.1 for every client, since nobody gains from the looser forms of RFC 7523:
an assertion that names several audiences, or another server's token endpoint, can be used at another server.
"""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.oauth import jws, proofs_seen
from app.oauth.clients import Client
from app.oauth.jws import BadJwt, Jwt

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_LIFE_S = 300
"""How far ahead `exp` may lie. An assertion is made for one request, so a minute would do; five leave room for a
client's clock that is behind. What is longer would be a password: good to whoever finds it in a log."""


def claimed_client_id(assertion: Jwt) -> str | None:
    """Which client an assertion says it is of, not yet to be believed."""
    subject = assertion.claims.get("sub")
    return subject if isinstance(subject, str) else None


def check(assertion: Jwt, *, client: Client, issuer_url: str) -> None:
    """Raises BadJwt where the assertion does not prove, here and now and for the first time, that it is `client`."""
    claims = assertion.claims
    for name in ("iss", "sub"):
        if claims.get(name) != client.id:
            raise BadJwt(name)
    if claims.get("aud") != issuer_url:  # one string: an array is refused, the token endpoint's address too
        raise BadJwt("aud")
    expires_at = jws.instant(claims, "exp")
    if expires_at is None or expires_at > clock.now() + timedelta(seconds=MAX_LIFE_S):
        raise BadJwt("exp")
    jws.check_times(claims)
    jti = jws.jti(claims)
    _check_signature(assertion, client=client)
    if not proofs_seen.first_time(whose=f"assertion {client.id}", jti=jti, until=expires_at):
        raise BadJwt("jti")


def _check_signature(assertion: Jwt, *, client: Client) -> None:
    """Raises BadJwt where none of the client's keys signed it."""
    keys = jws.keys_for(client.jwks or {"keys": []}, assertion)
    if not keys:
        raise BadJwt("kid" if "kid" in assertion.header else "alg")
    for key in keys:
        try:
            return assertion.verify(key)
        except BadJwt:
            continue
    raise BadJwt("signature")
