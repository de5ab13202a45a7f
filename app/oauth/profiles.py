"""What each kind of client must do, as one short table. A client has one profile and no switches of its own.

The office registers a client by choosing one. Where two rows differ, the docstring of the column says why.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The rules of one kind of client."""

    grant_types: frozenset[str]
    auth_methods: frozenset[str]
    """How it may prove who it is. With keys registered it is private_key_jwt alone, else a secret, or nothing."""
    pkce: bool = True
    """PKCE S256 (RFC 9700 section 2.1.1). Off only for `oidc_basic`: its certification plan sends none."""
    nonce: bool = False
    """An ID token must carry the client's nonce; what stands in for PKCE where that is off (RFC 9700, 2.1.1)."""
    pushed: bool = False
    """Authorization requests come by PAR only (FAPI 2.0 Security Profile 5.3.2.2)."""
    bound: bool = False
    """Access tokens are bound to a DPoP key (FAPI 2.0 Security Profile 5.3.2.1). Others may bind theirs."""

    @property
    def acts_for_members(self) -> bool:
        return "authorization_code" in self.grant_types

    @property
    def response_types(self) -> frozenset[str]:
        return frozenset({"code"}) if self.acts_for_members else frozenset()

    @property
    def confidential(self) -> bool:
        return "none" not in self.auth_methods


_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_FOR_MEMBERS = frozenset({"authorization_code", "refresh_token"})
_FOR_ITSELF = frozenset({"client_credentials"})
"""An app that members sign in to has it too, for nothing but the payments they let it take while they are away
(`app.oauth.scopes.own`): it must prove who it is, so `native` and `spa` have not."""
_SECRET = frozenset({"client_secret_basic", "client_secret_post"})
_KEYS = frozenset({"private_key_jwt"})
_PUBLIC = frozenset({"none"})

PROFILES: dict[str, Profile] = {
    "web": Profile(grant_types=_FOR_MEMBERS | {_DEVICE} | _FOR_ITSELF, auth_methods=_SECRET | _KEYS),
    "native": Profile(grant_types=_FOR_MEMBERS | {_DEVICE}, auth_methods=_PUBLIC),
    "spa": Profile(grant_types=_FOR_MEMBERS, auth_methods=_PUBLIC),
    "service": Profile(grant_types=_FOR_ITSELF, auth_methods=_SECRET | _KEYS),
    "till": Profile(grant_types=_FOR_ITSELF, auth_methods=_SECRET | _KEYS),
    "fapi2": Profile(grant_types=_FOR_MEMBERS | _FOR_ITSELF, auth_methods=_KEYS, pushed=True, bound=True),
    "oidc_basic": Profile(grant_types=_FOR_MEMBERS, auth_methods=_SECRET, pkce=False, nonce=True),
}
