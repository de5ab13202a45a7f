"""Merkle trees as in RFC 9162 section 2.1: leaves and nodes are hashed apart, so that neither passes for the other.

Standard library only: `kumiai proof check` stands on it, far from any server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


class WrongPath(ValueError):
    """An audit path of another length than its tree has."""


def leaf(data: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of what stands over two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes, one at least. A last one without a neighbour rises as it is."""
    assert leaves, "a tree has a leaf"
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf at `index` (RFC 9162 section 2.1.3.1): its neighbours, from the bottom up."""
    assert 0 <= index < len(leaves)
    level, found = list(leaves), []
    while len(level) > 1:
        neighbour = index ^ 1
        if neighbour < len(level):
            found.append(level[neighbour])
        level, index = _above(level), index // 2
    return found


def root_by_path(leaf_hash: bytes, *, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root of a tree of `size` leaves that has this one at `index` (RFC 9162 section 2.1.3.2). Raises WrongPath."""
    if not 0 <= index < size:
        raise WrongPath("no such leaf")
    reached, last, waiting = leaf_hash, size - 1, list(reversed(path))
    while last:
        if index % 2 or index < last:
            if not waiting:
                raise WrongPath("too short")
            neighbour = waiting.pop()
            reached = node(neighbour, reached) if index % 2 else node(reached, neighbour)
        index, last = index // 2, last // 2
    if waiting:
        raise WrongPath("too long")
    return reached


def _above(level: list[bytes]) -> list[bytes]:
    pairs = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs + level[-1:] if len(level) % 2 else pairs
