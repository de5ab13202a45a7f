"""The keys that sign: made when first needed, kept sealed, published as a JWK set (RFC 7517), replaced without a break.

A key is next, then current, then retired. It is published in all three states: long enough before it signs that
every set of keys a client may still keep holds it, and after it has signed until the last it signed has expired.
The private half ends with the signing.
What is written here commits by itself, so that no process signs with a key that a roll-back could take away again;
a rotation alone runs in its caller's transaction.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from sqlalchemy import ColumnElement, Row, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.db import autocommit, extension, session
from app.oauth.models import OAuthClient, SigningKey
from app.seal import seal, unseal

_GENERATE: dict[str, Callable[[], Key]] = {
    "ES256": lambda: ECKey.generate_key("P-256"),
    "PS256": lambda: RSAKey.generate_key(2048),  # FAPI 2.0 Security Profile 5.4.1 asks for no fewer bits
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
}
# RFC 9864 renames it Ed25519, which clients do not know yet: FAPI 2.0 and OpenID Connect say EdDSA.
JWSRegistry.algorithms["EdDSA"].security_warning = None

ALGS = tuple(_GENERATE)
"""What may sign. A client is registered with one of them."""
ALG = "ES256"
"""What signs for a client that was registered with no other."""

JWKS_MAX_AGE_S = 300
"""How long the published set may be kept (`Cache-Control: max-age`)."""
MAX_LIFE_S = 600
"""The longest life of anything that is signed here: an ID token's. What a client checks at once has none."""
KEPT_FOR_S = 5.0
"""How long a process signs with the key it knows before it looks whether that is still the current one."""
_ON_ITS_WAY_S = 60
"""What a commit, a slow answer and the clocks of two hosts may take."""

PUBLISHED_BEFORE = timedelta(seconds=JWKS_MAX_AGE_S + _ON_ITS_WAY_S)
"""How long a key is published before it may sign."""
PUBLISHED_AFTER = timedelta(seconds=KEPT_FOR_S + MAX_LIFE_S + JWKS_MAX_AGE_S)
"""How long it stays published after it was retired."""


KEPT_AFTER = timedelta(days=365)
"""How long its public half is kept: apps show an ID token long after it expired, to say whom they mean
(`id_token_hint`; OpenID Connect Core 3.1.2.1, RP-Initiated Logout 2)."""


class NextKeyTooYoung(Exception):
    """A client may still keep a set of keys without the next one; from `ready_at` on none does."""

    def __init__(self, ready_at: datetime) -> None:
        super().__init__(f"not before {ready_at}")
        self.ready_at = ready_at


class KeysRotatedMeanwhile(Exception):
    """Somebody else rotated the keys of this algorithm at the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """The current key as a process keeps it, unsealed."""

    kid: str
    key: Key
    read_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a rotation did, by `kid`."""

    retired: str
    current: str
    next: str


def current_key(*, alg: str = ALG, sealing_key: bytes) -> Key:
    """The private key that signs now; its `kid` is its thumbprint (RFC 7638). Makes it where there is none.

    One query every few seconds. Raises SealBroken where KUMIAI_SEALING_KEY is not the one it was sealed with.
    """
    kept: dict[tuple[str, bytes], _Kept] = extension("kumiai.signing_keys", dict)
    known = kept.get((alg, sealing_key))
    if known is None or time.monotonic() - known.read_at > KEPT_FOR_S:
        known = kept[alg, sealing_key] = _read(alg, sealing_key=sealing_key, known=known)
    return known.key


def sign(claims: Mapping[str, Any], *, typ: str, alg: str, sealing_key: bytes) -> str:
    """A JWT of `claims`, whose header tells what it is (`typ`, RFC 8725 section 3.11) and which key signed it."""
    key = current_key(alg=alg, sealing_key=sealing_key)
    return jwt.encode({"typ": typ, "alg": alg, "kid": key.kid}, dict(claims), key, [alg])


def public_keys(*, sealing_key: bytes) -> dict[str, Any]:
    """Every key that a token may be signed with, soon, now or until lately, as a JWK set.

    Makes what is missing for the algorithms that clients are registered with, so that it is known before it signs.
    """
    rows = _published()
    there = {(row.alg, row.state) for row in rows}
    missing = [alg for alg in _asked_for() if not {(alg, "current"), (alg, "next")} <= there]
    for alg in missing:
        _make_missing(alg, sealing_key=sealing_key)
    return {"keys": [row.public_jwk for row in (_published() if missing else rows)]}


def rotate(*, alg: str, sealing_key: bytes, at_once: bool = False) -> Rotation:
    """The next key becomes the current one, the current one retires without its private half, a new one is next.

    Runs in the caller's transaction; other processes follow within `KEPT_FOR_S` of its commit. Raises
    NextKeyTooYoung where clients may not know the next key yet (unless `at_once`), KeysRotatedMeanwhile where
    somebody else was faster, SealBroken where one of the two was sealed with another KUMIAI_SEALING_KEY.
    """
    _make_missing(alg, sealing_key=sealing_key)
    rows = {row.state: row for row in session().scalars(select(SigningKey).where(SigningKey.alg == alg, _in_use()))}
    check_seals(rows.values(), sealing_key=sealing_key)
    current, following = rows["current"].kid, rows["next"].kid
    ready_at = signs_from(rows["next"].created_at)
    if clock.now() < ready_at and not at_once:
        raise NextKeyTooYoung(ready_at)
    newest = _new_row(alg, "next", sealing_key=sealing_key)  # before anything is locked: an RSA key takes a while
    _hand_over(retiring=current, following=following)
    session().execute(insert(SigningKey).values(newest))
    forget_retired()
    return Rotation(retired=current, current=following, next=newest["kid"])


def forget_retired() -> int:
    """Delete the keys nobody needs any more; returns how many. Runs in the caller's transaction."""
    statement = delete(SigningKey).where(SigningKey.retired_at <= clock.now() - KEPT_AFTER)
    return len(session().scalars(statement.returning(SigningKey.kid)).all())


def every_key() -> Sequence[SigningKey]:
    """All keys that are kept, by algorithm, the newest first. Runs in the caller's transaction."""
    return session().scalars(select(SigningKey).order_by(SigningKey.alg, SigningKey.created_at.desc())).all()


def check_seals(rows: Iterable[SigningKey], *, sealing_key: bytes) -> None:
    """Raises SealBroken where one of these keys was sealed with another KUMIAI_SEALING_KEY."""
    for row in rows:
        if row.private_sealed is not None:
            unseal(sealing_key, row.private_sealed)


def signs_from(published_at: datetime) -> datetime:
    """When a key that was published then may begin to sign."""
    return published_at + PUBLISHED_BEFORE


def _read(alg: str, *, sealing_key: bytes, known: _Kept | None) -> _Kept:
    read_at = time.monotonic()
    row = _current(alg)
    if row is None:
        _make_missing(alg, sealing_key=sealing_key)
        row = _current(alg)
    assert row is not None, "just made, here or by a process that was faster"
    if known is not None and known.kid == row.kid:
        key = known.key
    else:
        assert row.private_sealed is not None, "the database holds a current key to its private half"
        key = JWKRegistry.import_key(json.loads(unseal(sealing_key, row.private_sealed)))
        key.ensure_kid()
    return _Kept(kid=row.kid, key=key, read_at=read_at)


def _current(alg: str) -> Row[str, bytes | None] | None:
    statement = select(SigningKey.kid, SigningKey.private_sealed)
    with autocommit().connect() as connection:
        return connection.execute(statement.where(SigningKey.alg == alg, SigningKey.state == "current")).one_or_none()


def _published() -> list[Row[str, str, dict[str, Any]]]:
    statement = select(SigningKey.alg, SigningKey.state, SigningKey.public_jwk).order_by(SigningKey.created_at)
    with autocommit().connect() as connection:
        return list(
            connection.execute(statement.where(or_(_in_use(), SigningKey.retired_at > clock.now() - PUBLISHED_AFTER)))
        )


def _asked_for() -> set[str]:
    """The algorithms in use: the usual one, and what else an active client was registered with."""
    statement = select(OAuthClient.id_token_alg).where(OAuthClient.status == "active").distinct()
    with autocommit().connect() as connection:
        return {ALG, *connection.scalars(statement)}


def _in_use() -> ColumnElement[bool]:
    return SigningKey.state != "retired"


def _make_missing(alg: str, *, sealing_key: bytes) -> None:
    """Insert a current and a next key where there is none, unless another process does so first."""
    with autocommit().connect() as connection:
        there = set(connection.scalars(select(SigningKey.state).where(SigningKey.alg == alg, _in_use())))
        for state in ("current", "next"):
            if state not in there:
                row = _new_row(alg, state, sealing_key=sealing_key)
                connection.execute(insert(SigningKey).values(row).on_conflict_do_nothing())


def _hand_over(*, retiring: str, following: str) -> None:
    """Raises KeysRotatedMeanwhile. Of many at a time, one finds the key it retires still current."""
    now = clock.now()
    retired = session().execute(
        update(SigningKey)
        .where(SigningKey.kid == retiring, SigningKey.state == "current")
        .values(state="retired", retired_at=now, private_sealed=None)
        .returning(SigningKey.kid)
    )
    if retired.one_or_none() is None:
        raise KeysRotatedMeanwhile
    session().execute(update(SigningKey).where(SigningKey.kid == following).values(state="current", current_at=now))


def _new_row(alg: str, state: str, *, sealing_key: bytes) -> dict[str, Any]:
    key = _GENERATE[alg]()
    kid = key.thumbprint()
    now = clock.now()
    return {
        "kid": kid,
        "alg": alg,
        "state": state,
        "private_sealed": seal(sealing_key, json.dumps(key.as_dict(private=True)).encode()),
        "public_jwk": {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": alg},
        "created_at": now,
        "current_at": now if state == "current" else None,
    }
