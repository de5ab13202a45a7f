"""What this server says of itself to programs (RFC 8414, OpenID Connect Discovery 1.0): only what is there."""

from __future__ import annotations

from typing import Any

from app.oauth import keys
from app.oauth.identity import CLAIMS
from app.oauth.profiles import PROFILES
from app.oauth.scopes import SCOPES
from app.web.locale import LOCALES


def metadata(issuer_url: str) -> dict[str, Any]:
    """The one document behind both well-known addresses."""
    grant_types = frozenset[str]().union(*(profile.grant_types for profile in PROFILES.values()))
    auth_methods = sorted(frozenset[str]().union(*(profile.auth_methods for profile in PROFILES.values())))
    return {
        "issuer": issuer_url,
        "authorization_endpoint": f"{issuer_url}/oauth/authorize",
        "token_endpoint": f"{issuer_url}/oauth/token",
        "userinfo_endpoint": f"{issuer_url}/oauth/userinfo",
        "revocation_endpoint": f"{issuer_url}/oauth/revoke",
        "end_session_endpoint": f"{issuer_url}/oauth/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "jwks_uri": f"{issuer_url}/oauth/jwks.json",
        "service_documentation": f"{issuer_url}/docs",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": sorted(grant_types),
        "token_endpoint_auth_methods_supported": auth_methods,
        "revocation_endpoint_auth_methods_supported": auth_methods,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "authorization_details_types_supported": ["payment"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [keys.ALG],
        "claims_supported": [
            *("iss", "aud", "iat", "exp", "auth_time", "nonce", "at_hash"),
            *(claim for claims in CLAIMS.values() for claim in claims),
        ],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "ui_locales_supported": list(LOCALES),
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,  # left out, it would mean true
    }
