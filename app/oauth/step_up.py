"""Step-up (RFC 9470): what a session that somebody left open must not do needs a sign-in of the last few minutes."""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.oauth.errors import InsufficientUserAuthentication
from app.oauth.protector import Access

FRESH = timedelta(seconds=300)
"""How old the sign-in may be: time to come back from signing in and do it, not to leave a phone on the table."""


def is_fresh(access: Access) -> bool:
    """Whether the member has just signed in."""
    return access.auth_time is not None and clock.now() - access.auth_time <= FRESH


def require_fresh_sign_in(access: Access) -> None:
    """Raises InsufficientUserAuthentication, which says how old a sign-in may be."""
    if not is_fresh(access):
        raise InsufficientUserAuthentication(scheme=access.scheme, max_age_s=int(FRESH.total_seconds()))
