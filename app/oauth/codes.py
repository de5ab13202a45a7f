"""Authorization codes (RFC 6749 section 4.1): made at consent, redeemed once within a minute.

Authlib takes a code as good until its tokens are saved, so five redemptions at a time all succeed, and a wrong
verifier leaves it good. Here the first redemption claims the code, whatever comes of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import AuthorizationCodeMixin
from sqlalchemy import Row, select, text, update

from app import clock
from app.db import session
from app.ids import new_id, new_secret, same, secret_hash
from app.oauth import tokens
from app.oauth.errors import GrantBurnt, InvalidGrant
from app.oauth.models import AuthorizationCode

LIFE = timedelta(seconds=60)
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")

# As text: putting such a statement together out of columns costs more than PostgreSQL takes to run it.
_CLAIM = text("""
    WITH claimed AS (
        UPDATE oauth_code SET used_at = :now
         WHERE code_hash = :code_hash AND client_id = :client_id AND used_at IS NULL AND expires_at > :now
        RETURNING *
    ), remembered AS (
        INSERT INTO oauth_session_client (session_id, client_id)
        SELECT signed_in.id, claimed.client_id
          FROM member_session AS signed_in JOIN claimed ON claimed.session_id = signed_in.id
         WHERE 'openid' = ANY(claimed.scopes)
           FOR KEY SHARE OF signed_in
        ON CONFLICT DO NOTHING
    )
    SELECT family_id, grant_id, member_id, scopes, redirect_uri, code_challenge, nonce, auth_time, session_id, dpop_jkt
      FROM claimed
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed(AuthorizationCodeMixin):  # type: ignore[misc]  # Authlib ships no types
    """A code that was redeemed just now, answering what Authlib asks of one."""

    family_id: UUID
    grant_id: UUID
    member_id: UUID
    scopes: tuple[str, ...]
    redirect_uri: str
    nonce: str | None
    auth_time: datetime
    session_id: UUID | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return " ".join(self.scopes)

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(self.auth_time.timestamp())


def new_code() -> str:
    return new_secret("kac_")


def save(
    code: str,
    *,
    client_id: str,
    grant_id: UUID,
    member_id: UUID,
    scopes: Sequence[str],
    redirect_uri: str,
    code_challenge: str | None,
    nonce: str | None,
    auth_time: datetime,
    session_id: UUID | None = None,
    family_id: UUID | None = None,
    dpop_jkt: str | None = None,
) -> None:
    """Keep the hash of a new code, with what it stands for.

    `family_id` is that of the tokens it will become, `dpop_jkt` the key that its redeemer must show.
    """
    session().add(
        AuthorizationCode(
            code_hash=secret_hash(code),
            client_id=client_id,
            grant_id=grant_id,
            member_id=member_id,
            scopes=list(scopes),
            redirect_uri=redirect_uri,
            code_challenge=code_challenge,
            nonce=nonce,
            auth_time=auth_time,
            dpop_jkt=dpop_jkt,
            session_id=session_id,
            family_id=family_id or new_id(),
            expires_at=clock.now() + LIFE,
        )
    )
    session().flush()


def redeem(code: str, *, client_id: str, redirect_uri: str, verifier: str, jkt: str | None = None) -> Redeemed:
    """Spend a code of this client, which holds the DPoP key `jkt`.

    Raises InvalidGrant where there is none to spend; GrantBurnt where the attempt spent it (wrong redirect URI,
    wrong PKCE verifier, another DPoP key than it was asked for with, RFC 9449 section 10) or where it was spent
    before, which revokes all that came of it (RFC 6749 section 4.1.2).
    """
    row = _claim(code, client_id=client_id)
    if row is None:
        _punish_replay(code, client_id=client_id)
        raise InvalidGrant
    if row.redirect_uri != redirect_uri or not _answers(verifier, row.code_challenge):
        raise GrantBurnt
    if row.dpop_jkt not in (None, jkt):
        raise GrantBurnt
    return Redeemed(
        family_id=row.family_id,
        grant_id=row.grant_id,
        member_id=row.member_id,
        scopes=tuple(row.scopes),
        redirect_uri=row.redirect_uri,
        nonce=row.nonce,
        auth_time=row.auth_time,
        session_id=row.session_id,
    )


def void(family_id: UUID) -> None:
    """Spend the code of this family, where it is still good: nobody gets tokens for it any more."""
    now = clock.now()
    session().execute(
        update(AuthorizationCode)
        .where(
            AuthorizationCode.family_id == family_id,
            AuthorizationCode.used_at.is_(None),
            AuthorizationCode.expires_at > now,  # so that an index leads to the few codes of the last minute
        )
        .values(used_at=now)
    )


def _answers(verifier: str, challenge: str | None) -> bool:
    """Whether the verifier is well-formed and its S256 transform is the challenge (RFC 7636 section 4.6).

    A verifier to a code that was asked for without a challenge is a downgrade (RFC 9700 section 2.1.1).
    """
    if challenge is None:
        return not verifier
    if not _VERIFIER.fullmatch(verifier):
        return False
    return same(create_s256_code_challenge(verifier).encode(), challenge.encode())


def _claim(code: str, *, client_id: str) -> Row[Any] | None:
    """Mark the code as used if nobody did; of many at a time, one gets it.

    With `openid` its client signs the member in, so the session remembers the client, to tell it when it ends. The
    session's row is locked for that: one that is being deleted is passed over.
    """
    parameters = {"code_hash": secret_hash(code), "client_id": client_id, "now": clock.now()}
    return session().execute(_CLAIM, parameters).one_or_none()


def _punish_replay(code: str, *, client_id: str) -> None:
    spent = session().scalar(
        select(AuthorizationCode).where(
            AuthorizationCode.code_hash == secret_hash(code),
            AuthorizationCode.client_id == client_id,
            AuthorizationCode.used_at.is_not(None),
        )
    )
    if spent is not None:
        tokens.revoke_family(family_id=spent.family_id, grant_id=spent.grant_id)
        raise GrantBurnt
