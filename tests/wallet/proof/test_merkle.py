"""The trees are those of RFC 9162: known roots, every path, and no other tree, place or neighbour passes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.wallet.proof import merkle

# The first leaves, the roots over 1 to 8 of them, and a path, of the reference vectors of Certificate Transparency.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)


def by_definition(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word by word: split at the largest power of two below n."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    both = by_definition(leaves[:k]) + by_definition(leaves[k:])
    return hashlib.sha256(b"\x01" + both).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_the_roots_are_those_of_certificate_transparency(size: int) -> None:
    leaves = [merkle.leaf(bytes.fromhex(each)) for each in LEAVES[:size]]
    assert merkle.root(leaves).hex() == ROOTS[size - 1]


@given(HASHES)
def test_the_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    assert merkle.root(leaves) == by_definition(leaves)


@given(HASHES)
def test_every_leaf_has_a_path(leaves: list[bytes]) -> None:
    for index, leaf in enumerate(leaves):
        path = merkle.path(leaves, index)
        assert merkle.root_by_path(leaf, index=index, size=len(leaves), path=path) == merkle.root(leaves)


def leads_there(leaves: list[bytes], leaf: bytes, *, index: int, size: int, path: list[bytes]) -> bool:
    try:
        return merkle.root_by_path(leaf, index=index, size=size, path=path) == merkle.root(leaves)
    except merkle.WrongPath:
        return False


@given(HASHES, st.data())
def test_no_other_leaf_or_neighbour_passes(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle.path(leaves, index)
    at = data.draw(st.integers(0, len(path)))
    bit = 1 << data.draw(st.integers(0, 255))
    hashes = [leaves[index], *path]
    hashes[at] = (int.from_bytes(hashes[at]) ^ bit).to_bytes(32)
    assert not leads_there(leaves, hashes[0], index=index, size=len(leaves), path=hashes[1:])


@given(HASHES, st.data())
def test_no_other_place_passes(leaves: list[bytes], data: st.DataObject) -> None:
    index, other = (data.draw(st.integers(0, len(leaves) - 1)) for _ in range(2))
    assume(index != other)
    path = merkle.path(leaves, index)
    assert not leads_there(leaves, leaves[index], index=other, size=len(leaves), path=path)
    assert not leads_there(leaves, leaves[other], index=index, size=len(leaves), path=path)


@given(HASHES, st.data())
def test_no_path_of_another_length_or_order_passes(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle.path(leaves, index)
    others = [path[:-1], path[1:], [*path, b"x" * 32], path[::-1], [*path, *path]]
    for other in others:
        if other != path:
            assert not leads_there(leaves, leaves[index], index=index, size=len(leaves), path=other)


@given(HASHES, st.integers(-3, 50))
def test_a_place_outside_of_the_tree_is_refused(leaves: list[bytes], index: int) -> None:
    assume(not 0 <= index < len(leaves))
    with pytest.raises(merkle.WrongPath):
        merkle.root_by_path(leaves[0], index=index, size=len(leaves), path=[])


@given(HASHES, st.data())
def test_two_trees_have_two_roots(leaves: list[bytes], data: st.DataObject) -> None:
    other = data.draw(st.one_of(st.permutations(leaves), HASHES))
    assume(other != leaves)
    assert merkle.root(other) != merkle.root(leaves)
