"""What a client's row may say, whoever writes it: the office at a terminal, or a developer by RFC 7591.

Each rule has one sentence for the person who broke it, in the translations under `client.rule.<field>`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from app.oauth import jws, redirects
from app.oauth.errors import InvalidClientMetadata, InvalidRedirectUri
from app.oauth.profiles import PROFILES
from app.oauth.scopes import ONLY_FOR, SCOPES, Consent, of_kind

ID_FORM = re.compile(r"[a-z][a-z0-9_]{2,63}")
NOT_FOR_CLIENTS = frozenset({"kumiai"})
"""Ids that name somebody else in the ledger: the server itself asks for expiries, releases, closings, settlements as
`kumiai`, by names that anybody can work out (`app.wallet.postings.SYSTEM`)."""
ID_TOKEN_ALGS = ("ES256", "PS256", "EdDSA")
MAX_NAME_LENGTH = 60
MAX_URIS = 20
MAX_URI_LENGTH = 2_000

_NOT_FOR_NAMES = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
"""Unicode categories of what cannot be seen, or turns the writing around: the consent page shows these names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """All that can be said of a client when it is registered or changed, its shops apart."""

    name_ja: str
    name_en: str
    profile: str
    scopes: Sequence[str]
    redirect_uris: Sequence[str] = ()
    jwks: dict[str, Any] | None = None
    post_logout_redirect_uris: Sequence[str] = ()
    backchannel_logout_uri: str | None = None
    id_token_alg: str = "ES256"  # noqa: S105  # the name of an algorithm


def check(metadata: Metadata, *, production: bool) -> None:
    """Raises InvalidClientMetadata naming the first field that is wrong (RFC 7591 section 3.2.2)."""
    if metadata.profile not in PROFILES:
        raise InvalidClientMetadata(field="profile")
    for field in ("name_ja", "name_en"):
        if not presentable(getattr(metadata, field)):
            raise InvalidClientMetadata(field=field)
    if not scopes_for(metadata.profile).issuperset(metadata.scopes):
        raise InvalidClientMetadata(field="scopes")
    if not _places_to_return_to(metadata.redirect_uris, profile=metadata.profile):
        raise InvalidRedirectUri(field="redirect_uris")
    if not _credential(metadata.jwks, profile=metadata.profile):
        raise InvalidClientMetadata(field="jwks")
    after_logout = metadata.post_logout_redirect_uris
    if after_logout and not _places_to_return_to(after_logout, profile=metadata.profile):
        raise InvalidClientMetadata(field="post_logout_redirect_uris")
    if not _tellable(metadata.backchannel_logout_uri, profile=metadata.profile, production=production):
        raise InvalidClientMetadata(field="backchannel_logout_uri")
    if metadata.id_token_alg not in ID_TOKEN_ALGS:
        raise InvalidClientMetadata(field="id_token_alg")


def scopes_for(profile: str) -> frozenset[str]:
    """The scopes a client of this profile may have: what members are asked for, or what a program does for itself."""
    if PROFILES[profile].acts_for_members:
        return frozenset(scope for scope, consent in SCOPES.items() if consent is not Consent.NONE)
    mine = of_kind(SCOPES, Consent.NONE)
    return frozenset(scope for scope in mine if ONLY_FOR.get(scope, profile) == profile)


def presentable(name: str) -> bool:
    """Whether a page may show this as somebody's name: a line of visible text, not too long."""
    return (
        0 < len(name) <= MAX_NAME_LENGTH
        and name == name.strip()
        and not any(unicodedata.category(character) in _NOT_FOR_NAMES for character in name)
    )


def _places_to_return_to(uris: Collection[str], *, profile: str) -> bool:
    """Whether these may be registered as redirect URIs: some for a client of members, none for one of its own."""
    if not PROFILES[profile].acts_for_members:
        return not uris
    return 0 < len(uris) <= MAX_URIS and all(
        len(uri) <= MAX_URI_LENGTH and redirects.registrable(uri, profile=profile) for uri in uris
    )


def _credential(jwks: dict[str, Any] | None, *, profile: str) -> bool:
    """Whether a client of this profile proves itself so: with keys it must have, may have, or may not."""
    methods = PROFILES[profile].auth_methods
    if jwks is None:
        return methods != {"private_key_jwt"}
    return "private_key_jwt" in methods and jws.registrable(jwks)


def _tellable(uri: str | None, *, profile: str, production: bool) -> bool:
    """Whether the server may post word of a sign-out there (OpenID Connect Back-Channel Logout 1.0 section 2.2).

    It is this very server that calls the address, so in production it may not be one on its own machine.
    """
    if uri is None:
        return True
    if not PROFILES[profile].acts_for_members or len(uri) > MAX_URI_LENGTH:
        return False
    if not redirects.registrable(uri, profile="web"):  # https, or http to this machine
        return False
    return not production or redirects.belongs_to_one_program(uri)
