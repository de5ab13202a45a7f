"""What this server says of itself to programs (RFC 8414, OpenID Connect Discovery 1.0): only what is there.

One function per subject, made of the tables the server itself obeys. A test holds the addresses against the url map.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.oauth import jws, keys
from app.oauth.identity import CLAIMS
from app.oauth.profiles import PROFILES
from app.oauth.scopes import SCOPES
from app.web.locale import LOCALES


def metadata(issuer_url: str, *, grant_types: Collection[str]) -> dict[str, Any]:
    """The one document behind both well-known addresses; `grant_types` are what the token endpoint takes."""
    return {
        "issuer": issuer_url,
        **_addresses(issuer_url),
        **_authorization_requests(),
        "grant_types_supported": sorted(grant_types),
        **_client_authentication(),
        **_signatures(),
        **_members(),
    }


def _addresses(issuer_url: str) -> dict[str, Any]:
    return {
        "authorization_endpoint": f"{issuer_url}/oauth/authorize",
        "pushed_authorization_request_endpoint": f"{issuer_url}/oauth/par",
        "require_pushed_authorization_requests": False,  # of most clients; a profile may
        "device_authorization_endpoint": f"{issuer_url}/oauth/device_authorization",
        "token_endpoint": f"{issuer_url}/oauth/token",
        "userinfo_endpoint": f"{issuer_url}/oauth/userinfo",
        "registration_endpoint": f"{issuer_url}/oauth/register",
        "revocation_endpoint": f"{issuer_url}/oauth/revoke",
        "end_session_endpoint": f"{issuer_url}/oauth/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "introspection_endpoint": f"{issuer_url}/oauth/introspect",
        "jwks_uri": f"{issuer_url}/oauth/jwks.json",
        "protected_resources": [issuer_url],
        "grant_management_endpoint": f"{issuer_url}/oauth/grants",
        "grant_management_actions_supported": ["query", "revoke"],
        "service_documentation": f"{issuer_url}/docs",
    }


def _authorization_requests() -> dict[str, Any]:
    return {
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "authorization_details_types_supported": ["payment"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,  # left out, it would mean true
    }


def _client_authentication() -> dict[str, Any]:
    """How a client proves who it is. Without a proof nobody introspects."""
    methods = sorted(frozenset[str]().union(*(profile.auth_methods for profile in PROFILES.values())))
    return {
        **_authentication("token", methods),
        **_authentication("revocation", methods),
        **_authentication("introspection", [method for method in methods if method != "none"]),
    }


def _authentication(endpoint: str, methods: list[str]) -> dict[str, Any]:
    """RFC 8414 section 2: where private_key_jwt is supported, so must its algorithms be said."""
    return {
        f"{endpoint}_endpoint_auth_methods_supported": methods,
        f"{endpoint}_endpoint_auth_signing_alg_values_supported": list(jws.ALGS),
    }


def _signatures() -> dict[str, Any]:
    return {
        "id_token_signing_alg_values_supported": list(keys.ALGS),
        "introspection_signing_alg_values_supported": list(keys.ALGS),
        "dpop_signing_alg_values_supported": list(jws.ALGS),
    }


def _members() -> dict[str, Any]:
    return {
        "subject_types_supported": ["public"],
        "claims_supported": [
            *("iss", "aud", "iat", "exp", "auth_time", "nonce", "at_hash", "sid"),
            *(claim for claims in CLAIMS.values() for claim in claims),
        ],
        "ui_locales_supported": list(LOCALES),
    }
