"""Clients (連携アプリ): finding one, and registering one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc6749 import ClientMixin
from sqlalchemy import text

from app.db import autocommit, session
from app.ids import new_secret, same, secret_hash
from app.issuer import current_issuer, in_production
from app.oauth import client_rules, redirects
from app.oauth.client_rules import ID_FORM, NOT_FOR_CLIENTS, Metadata
from app.oauth.errors import ClientIdTaken, InvalidClientMetadata
from app.oauth.models import OAuthClient
from app.oauth.profiles import PROFILES, Profile
from app.oauth.scopes import in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(ClientMixin):  # type: ignore[misc]  # Authlib ships no types
    """A registered client, answering what Authlib asks of one (its ready mixin would keep the secret in clear)."""

    id: str
    name_ja: str
    name_en: str
    profile_name: str
    secret_hash: bytes | None
    jwks: dict[str, Any] | None
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]
    scopes: frozenset[str]
    allowed_shops: tuple[UUID, ...]
    id_token_alg: str

    @property
    def profile(self) -> Profile:
        return PROFILES[self.profile_name]

    def name(self, locale: str) -> str:
        return self.name_en if locale == "en" else self.name_ja

    def get_client_id(self) -> str:
        return self.id

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """`scope` if each part of it may be asked for, else None: nothing is dropped in silence."""
        asked = (scope or "").split()
        if not asked or not self.askable.issuperset(asked):
            return None
        return " ".join(in_order(asked))

    @property
    def askable(self) -> frozenset[str]:
        """The scopes it may ask for. A client without shops cannot take payments, so it cannot ask to."""
        return self.scopes if self.allowed_shops else self.scopes - {"payment"}

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        native = self.profile_name == "native"
        return redirects.matches(redirect_uri, self.redirect_uris, any_loopback_port=native)

    def identified_at(self, redirect_uri: str) -> bool:
        """Whether only this program can have the code sent there: it needs a secret for it, or the place is its own."""
        return self.profile.confidential or redirects.belongs_to_one_program(redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        return self.secret_hash is not None and same(secret_hash(client_secret), self.secret_hash)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in self.profile.auth_methods and (method == "private_key_jwt") == (self.jwks is not None)

    def check_response_type(self, response_type: str) -> bool:
        return response_type in self.profile.response_types

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.profile.grant_types


_ACTIVE = text("""
    SELECT id, name_ja, name_en, profile, secret_hash, jwks, redirect_uris, post_logout_redirect_uris, scopes,
           allowed_shops, id_token_alg
      FROM oauth_client
     WHERE id = :client_id AND status = 'active'
""")


def find_client(client_id: str | None) -> Client | None:
    """The active client of this id, or None. One query."""
    if client_id is None or not ID_FORM.fullmatch(client_id):
        return None
    with autocommit().connect() as connection:
        row = connection.execute(_ACTIVE, {"client_id": client_id}).one_or_none()
    if row is None:
        return None
    return Client(
        id=row.id,
        name_ja=row.name_ja,
        name_en=row.name_en,
        profile_name=row.profile,
        secret_hash=row.secret_hash,
        jwks=row.jwks,
        redirect_uris=tuple(row.redirect_uris),
        post_logout_redirect_uris=tuple(row.post_logout_redirect_uris),
        scopes=frozenset(row.scopes),
        allowed_shops=tuple(row.allowed_shops),
        id_token_alg=row.id_token_alg,
    )


def register_client(
    *,
    client_id: str,
    name_ja: str,
    name_en: str,
    profile: str,
    scopes: Sequence[str],
    redirect_uris: Sequence[str] = (),
    allowed_shops: Sequence[UUID] = (),
    jwks: dict[str, Any] | None = None,
    post_logout_redirect_uris: Sequence[str] = (),
    backchannel_logout_uri: str | None = None,
    id_token_alg: str = "ES256",  # noqa: S107  # the name of an algorithm
) -> tuple[OAuthClient, str | None]:
    """Add a client of this server's issuer; returns its row and its secret (None for one with keys, or public).

    The secret is shown this once: only its hash is kept. `scopes` is the most the client can ever be given,
    `allowed_shops` the shops it may take payments for, `jwks` its public keys where it signs assertions instead of
    using a secret. Runs in the caller's transaction.
    Raises InvalidClientMetadata naming the field (RFC 7591 section 3.2.2); ClientIdTaken.
    """
    if not ID_FORM.fullmatch(client_id) or client_id in NOT_FOR_CLIENTS:
        raise InvalidClientMetadata(field="client_id")
    metadata = Metadata(
        name_ja=name_ja,
        name_en=name_en,
        profile=profile,
        scopes=scopes,
        redirect_uris=redirect_uris,
        jwks=jwks,
        post_logout_redirect_uris=post_logout_redirect_uris,
        backchannel_logout_uri=backchannel_logout_uri,
        id_token_alg=id_token_alg,
    )
    client_rules.check(metadata, production=in_production())
    if session().get(OAuthClient, client_id) is not None:
        raise ClientIdTaken
    has_secret = PROFILES[profile].confidential and jwks is None
    secret = new_secret("kcs_") if has_secret else None
    client = OAuthClient(
        id=client_id,
        issuer_id=current_issuer().id,
        name_ja=name_ja,
        name_en=name_en,
        profile=profile,
        secret_hash=None if secret is None else secret_hash(secret),
        redirect_uris=list(redirect_uris),
        scopes=list(in_order(scopes)),
        allowed_shops=list(allowed_shops),
        jwks=jwks,
        post_logout_redirect_uris=list(post_logout_redirect_uris),
        backchannel_logout_uri=backchannel_logout_uri,
        id_token_alg=id_token_alg,
    )
    session().add(client)
    session().flush()
    return client, secret
