"""The ledger's front: `post` is the one way value moves."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import Any

import rfc8785

from app import db
from app.wallet.poster import Poster
from app.wallet.postings import Outcome, Posting

_posters: dict[str, Poster] = {}
_making = threading.Lock()


def post(posting: Posting) -> Outcome:
    """Post and wait for the answer.

    The caller must have ended its own transaction: a row it holds while it waits for the poster, which may want
    that row, is a deadlock that PostgreSQL cannot see. Raises TemporarilyUnavailable, RequestInProgress or
    OutcomeUnknown (app/wallet/errors.py); every other refusal is an outcome.
    """
    assert not db.in_transaction(), "end the transaction before posting"
    return _poster(db.database_url()).post(posting)


def params_hash(params: Mapping[str, Any]) -> bytes:
    """SHA-256 over the canonical JSON (RFC 8785) of what is asked: path, member, body as loaded."""
    return hashlib.sha256(rfc8785.dumps(dict(params))).digest()


def close() -> None:
    """End this process's posters (for tests and orderly shutdown)."""
    with _making:
        while _posters:
            _posters.popitem()[1].close()


def _poster(database_url: str) -> Poster:
    """This process's poster for a database, made at its first posting (so never before a fork)."""
    poster = _posters.get(database_url)
    if poster is None:
        with _making:
            poster = _posters.get(database_url) or Poster(database_url)
            _posters[database_url] = poster
    return poster
