"""The one protected resource, this server's API: how a client names it (RFC 8707), what it says of itself (RFC 9728).

A token is good for all of it, so naming it changes nothing; naming another is refused, since the client would believe
it got a token for that one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.oauth import keys
from app.oauth.scopes import SCOPES


def is_ours(resources: Iterable[str], *, issuer_url: str) -> bool:
    """Whether each `resource` parameter is this very resource, character by character."""
    return all(resource == issuer_url for resource in resources)


def metadata(issuer_url: str) -> dict[str, Any]:
    """The document of RFC 9728 section 2."""
    return {
        "resource": issuer_url,
        "authorization_servers": [issuer_url],
        "scopes_supported": list(SCOPES),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(keys.ALGS),
        "dpop_bound_access_tokens_required": False,
        "resource_documentation": f"{issuer_url}/docs",
    }
