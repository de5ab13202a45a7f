"""Initial access tokens (RFC 7591 section 3): with one, whoever holds it registers clients, of certain kinds only.

Without any, nobody registers anything but the office.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import update

from app import clock
from app.db import session
from app.ids import new_secret, secret_hash
from app.issuer import current_issuer
from app.oauth import client_rules
from app.oauth.errors import InvalidClientMetadata, RegistrationRefused
from app.oauth.models import InitialAccessToken
from app.oauth.profiles import PROFILES
from app.oauth.scopes import in_order

MAX_USES = 1_000
MAX_DAYS = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What a client may be that is registered by it."""

    profiles: frozenset[str]
    scopes: frozenset[str]


def invite(*, profiles: Sequence[str], scopes: Sequence[str], uses: int, days: int, note: str) -> str:
    """A new initial access token; shown this once, only its hash is kept. Raises InvalidClientMetadata."""
    if not profiles or not PROFILES.keys() >= set(profiles):
        raise InvalidClientMetadata(field="profile")
    if not frozenset[str]().union(*map(client_rules.scopes_for, profiles)).issuperset(scopes):
        raise InvalidClientMetadata(field="scopes")
    if not 1 <= uses <= MAX_USES:
        raise InvalidClientMetadata(field="uses")
    if not 1 <= days <= MAX_DAYS:
        raise InvalidClientMetadata(field="days")
    if not client_rules.presentable(note):
        raise InvalidClientMetadata(field="note")
    secret = new_secret("kit_")
    session().add(
        InitialAccessToken(
            token_hash=secret_hash(secret),
            issuer_id=current_issuer().id,
            note=note,
            profiles=[profile for profile in PROFILES if profile in profiles],
            scopes=list(in_order(scopes)),
            uses_left=uses,
            expires_at=clock.now() + timedelta(days=days),
        )
    )
    session().flush()
    return secret


def claim(secret: str) -> Invitation:
    """Use an initial access token once. Raises RegistrationRefused.

    The use is given back where the caller's transaction fails: a registration that was refused costs none. Until that
    transaction ends, others who hold the same token wait.
    """
    statement = (
        update(InitialAccessToken)
        .where(
            InitialAccessToken.token_hash == secret_hash(secret),
            InitialAccessToken.uses_left > 0,
            InitialAccessToken.expires_at > clock.now(),
        )
        .values(uses_left=InitialAccessToken.uses_left - 1)
        .returning(InitialAccessToken.profiles, InitialAccessToken.scopes)
    )
    row = session().execute(statement).one_or_none()
    if row is None:
        raise RegistrationRefused
    return Invitation(profiles=frozenset(row.profiles), scopes=frozenset(row.scopes))
