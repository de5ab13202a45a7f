"""The ledger's front: `post` is the one way value moves."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app import db
from app.issuer import issuer_zone
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


def post_many(postings: Sequence[Posting]) -> list[Outcome]:
    """Post many and wait for all their answers, which come in their order. As `post`, each by itself.

    Raises as `post` does where one of them could not be answered: send all again with the same names.
    """
    assert not db.in_transaction(), "end the transaction before posting"
    return _poster(db.database_url()).post_many(postings)


def params_hash(params: Mapping[str, Any]) -> bytes:
    """SHA-256 of what is asked (path, member, body as loaded), in one canonical form.

    Sorted keys, no spaces: RFC 8785 for the texts and whole numbers our schemas let through. Only this server
    ever compares it, so a sixth of that library's time is the better choice.
    """
    return hashlib.sha256(orjson.dumps(params, option=orjson.OPT_SORT_KEYS)).digest()


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
            poster = _posters.get(database_url) or Poster(database_url, time_zone=issuer_zone().key)
            _posters[database_url] = poster
    return poster
