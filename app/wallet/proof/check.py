"""Checks a proof file: that a transaction is in its block, the block in its day, and that the day is signed.

Needs neither server nor database: the standard library and `cryptography`. Nothing in the file is believed before what
stands over it is checked, from the signature down. The format is docs/proof.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from app.wallet.proof import commitments, merkle, signature
from app.wallet.proof.commitments import FORMAT, SECTIONS, NotCanonical
from app.wallet.proof.signature import BadSignature, UnknownKey

MAX_BYTES = 1_000_000
"""A proof has some kilobytes; whatever is larger is something else."""
MAX_PATH = 64

Wanted = TypeVar("Wanted")


class Unreadable(ValueError):
    """No proof file of this format; `part` names the first thing that is not as it should be."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part


class NotProven(Exception):
    """The file proves nothing. `step` is the first that fails: key, signature, statement, block or transaction."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What is certain, as far as the key is the issuer's."""

    receipt: Mapping[str, Any]
    details: Mapping[str, Any] | None
    block: Mapping[str, Any]
    day: Mapping[str, Any]
    """The claims of the day's signed statement."""
    kid: str


def load(raw: bytes) -> dict[str, Any]:
    """The JSON object of a file. Raises Unreadable. A name that stands twice would let two readers see two things."""
    if len(raw) > MAX_BYTES:
        raise Unreadable("file")
    try:
        document = json.loads(raw, object_pairs_hook=_each_name_once, parse_constant=_refuse, parse_float=_refuse)
    except (ValueError, RecursionError) as error:
        raise Unreadable("JSON") from error
    if not isinstance(document, dict):
        raise Unreadable("JSON")
    return document


def check(proof: Mapping[str, Any], *, keys: Sequence[Mapping[str, Any]] | None = None) -> Proven:
    """What a proof proves. `keys` are the issuer's, as JWKs; without them the file's own is taken at its word.

    Raises Unreadable, NotProven.
    """
    if _get(proof, "format", str) != FORMAT:
        raise Unreadable("format")
    try:
        kid, claims = _statement(proof, keys=keys)
        header = _get(proof, "block.header", dict)
        _check_block(header, claims, path=_hashes(proof, "day.path"))
        contents = _check_transaction(proof, header, path=_hashes(proof, "block.path"))
    except NotCanonical as error:
        raise Unreadable("transaction") from error
    return Proven(receipt=contents["receipt"], details=contents.get("details"), block=header, day=claims, kid=kid)


def _statement(proof: Mapping[str, Any], *, keys: Sequence[Mapping[str, Any]] | None) -> tuple[str, dict[str, Any]]:
    """The key's name and what the day says, signed by a key that is the issuer's (or said to be)."""
    own = _get(proof, "key", dict)
    try:
        kid = signature.kid(own)
        if keys is not None:
            signature.find(keys, kid=kid)
        claims = signature.verified(_get(proof, "day.statement", str), jwk=own)
    except UnknownKey:
        raise NotProven("key") from None
    except BadSignature:
        raise NotProven("signature") from None
    for name in ("iss", "issuer_id", "day", "time_zone", "root"):
        _get(claims, name, str)
    for name in ("first_position", "last_position", "first_block", "last_block"):
        _get(claims, name, int)
    return kid, claims


def _check_block(header: Mapping[str, Any], claims: Mapping[str, Any], *, path: list[bytes]) -> None:
    """The block is one of the signed day."""
    first, last, number = (_get(header, name, int) for name in ("first_position", "last_position", "number"))
    of_this_day = (
        _get(header, "issuer_id", str) == claims["issuer_id"]
        and _get(header, "day", str) == claims["day"]
        and claims["first_position"] <= first <= last <= claims["last_position"]
        and claims["first_block"] <= number <= claims["last_block"]
    )
    if not of_this_day:
        raise NotProven("statement")
    size = claims["last_block"] - claims["first_block"] + 1
    index = number - claims["first_block"]
    _check_root(commitments.block_leaf(header), index=index, size=size, path=path, root=claims["root"], step="block")


def _check_transaction(
    proof: Mapping[str, Any], header: Mapping[str, Any], *, path: list[bytes]
) -> dict[str, dict[str, Any]]:
    """The transaction is in the block, at its position. Returns the sections that are shown."""
    contents, digests = {}, []
    for section in SECTIONS:
        shown = _get(proof, f"transaction.{section}", dict)
        if "content" in shown:
            contents[section] = _get(shown, "content", dict)
            digests.append(commitments.section_digest(_hash(shown, "nonce"), contents[section]))
        else:
            digests.append(_hash(shown, "digest"))
    receipt = contents.get("receipt")
    if receipt is None:
        raise Unreadable("transaction.receipt")
    position, first = _get(receipt, "position", int), header["first_position"]
    if _get(receipt, "issuer_id", str) != header["issuer_id"] or not first <= position <= header["last_position"]:
        raise NotProven("transaction")
    leaf, size = commitments.transaction_leaf(digests), header["last_position"] - first + 1
    root = _get(header, "root", str)
    _check_root(leaf, index=position - first, size=size, path=path, root=root, step="transaction")
    return contents


def _check_root(leaf: bytes, *, index: int, size: int, path: list[bytes], root: str, step: str) -> None:
    try:
        reached = merkle.root_by_path(leaf, index=index, size=size, path=path)
    except merkle.WrongPath:
        raise NotProven(step) from None
    if reached.hex() != root:
        raise NotProven(step)


def _get(of: Mapping[str, Any], where: str, kind: type[Wanted]) -> Wanted:
    """What stands at a place such as `block.header`. Raises Unreadable where it is missing or another kind of thing."""
    value: Any = of
    for name in where.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if type(value) is not kind:  # True is an int, to isinstance
        raise Unreadable(where)
    return value


def _hash(of: Mapping[str, Any], where: str) -> bytes:
    return _unhex(_get(of, where, str), where)


def _hashes(of: Mapping[str, Any], where: str) -> list[bytes]:
    values = _get(of, where, list)
    if len(values) > MAX_PATH:
        raise Unreadable(where)
    return [_unhex(value, where) for value in values]


def _unhex(value: Any, where: str) -> bytes:
    if not isinstance(value, str) or len(value) != 64 or value.strip("0123456789abcdef"):
        raise Unreadable(where)
    return bytes.fromhex(value)


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("no whole number")
