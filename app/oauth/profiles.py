"""What each kind of client may do. A client has one profile and no switches of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Its grant types, its response types, and how it proves who it is at the token endpoint."""

    grant_types: frozenset[str]
    response_types: frozenset[str]
    auth_methods: frozenset[str]

    @property
    def has_secret(self) -> bool:
        return "none" not in self.auth_methods


_MEMBER_GRANTS = frozenset({"authorization_code", "refresh_token"})
_OWN_GRANTS = frozenset({"client_credentials"})
_CODE = frozenset({"code"})
_SECRET = frozenset({"client_secret_basic", "client_secret_post"})
_PUBLIC = frozenset({"none"})

PROFILES: dict[str, Profile] = {
    "web": Profile(grant_types=_MEMBER_GRANTS, response_types=_CODE, auth_methods=_SECRET),
    "native": Profile(grant_types=_MEMBER_GRANTS, response_types=_CODE, auth_methods=_PUBLIC),
    "spa": Profile(grant_types=_MEMBER_GRANTS, response_types=_CODE, auth_methods=_PUBLIC),
    "service": Profile(grant_types=_OWN_GRANTS, response_types=frozenset(), auth_methods=_SECRET),
    "till": Profile(grant_types=_OWN_GRANTS, response_types=frozenset(), auth_methods=_SECRET),
}
