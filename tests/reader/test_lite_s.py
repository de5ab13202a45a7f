"""A Lite-S card's proof: the card's own MAC is right, and nothing else is.

The card's side is `LiteSCard`, which shares no code with the server and computes by another library.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reader.agent import lite_s as agent
from app.reader.lite_s import challenge, diversified_key, key_block, mac_is_right, proves
from tests.reader.lite_s_card import CK, ID, MAC, RC, LiteSCard

MASTER_KEY = bytes(range(32))
IDM = bytes.fromhex("012E50E7DAC78B47")

blocks = st.binary(min_size=16, max_size=16)
idms = st.binary(min_size=8, max_size=8)
tap_ids = st.text("ABCxyz019_.:-", min_size=1, max_size=128)
amounts = st.integers(1, 9_999_999)


@dataclass(frozen=True)
class Proof:
    """What `mac_is_right` is told."""

    card_key: bytes
    rc: bytes
    block_82: bytes
    block_81: bytes

    def is_right(self) -> bool:
        return mac_is_right(self.card_key, self.rc, self.block_82, self.block_81)

    def with_flipped(self, name: str, bit: int) -> Proof:
        flipped = bytearray(getattr(self, name))
        flipped[bit // 8] ^= 1 << bit % 8
        return replace(self, **{name: bytes(flipped)})


def answer(card: LiteSCard, rc: bytes) -> tuple[bytes, bytes]:
    """What a reader gets of a card: its blocks 82 and 81."""
    assert card.write(RC, rc, True, True)
    block_82, block_81 = card.read(ID, True, False), card.read(MAC, False, True)
    assert block_82 is not None
    assert block_81 is not None
    return block_82, block_81


def proof(card_key: bytes, rc: bytes, idm: bytes = IDM) -> Proof:
    return Proof(card_key, rc, *answer(LiteSCard(idm, card_key), rc))


def is_proven(card: LiteSCard, rc: bytes, *, idm: bytes = IDM, answered: bytes | None = None) -> bool:
    """Whether the card's answer to `answered` passes for one to `rc`."""
    block_82, block_81 = answer(card, answered or rc)
    return proves(MASTER_KEY, idm=idm, rc=rc, block_82=block_82, block_81=block_81)


def test_a_known_answer() -> None:
    """Of nfcpy's own tests: tests/test_tag_tt3_sony.py, TestFelicaLiteS.test_protect_ndef_tag_readonly."""
    card_key = b"0123456789abcdef"
    known = Proof(
        card_key,
        bytes.fromhex("0706050403020100 0f0e0d0c0b0a0908"),
        bytes.fromhex("0102030405060708 0000000000000000"),
        bytes.fromhex("91aec5b6d9b3b12d 0000000000000000"),
    )
    assert known.is_right()
    assert key_block(card_key) == bytes.fromhex("3736353433323130 6665646362613938")


@given(card_key=blocks, rc=blocks, idm=idms)
def test_a_cards_own_mac_is_right(card_key: bytes, rc: bytes, idm: bytes) -> None:
    assert proof(card_key, rc, idm).is_right()
    assert LiteSCard(idm, card_key).blocks[CK] == key_block(card_key)


# Parity is the lowest bit of each byte: 3DES ignores it in the key.
_COUNTS = [
    *[("rc", bit) for bit in range(128)],
    *[("block_82", bit) for bit in range(128)],
    *[("block_81", bit) for bit in range(64)],
    *[("card_key", bit) for bit in range(128) if bit % 8],
]


def test_each_bit_counts() -> None:
    made = proof(diversified_key(MASTER_KEY, IDM), bytes(range(16)))
    assert made.is_right()
    assert [flip for flip in _COUNTS if made.with_flipped(*flip).is_right()] == []


@given(card_key=blocks, rc=blocks, idm=idms, flip=st.sampled_from(_COUNTS))
def test_any_flipped_bit_is_refused(card_key: bytes, rc: bytes, idm: bytes, flip: tuple[str, int]) -> None:
    made = proof(card_key, rc, idm)
    assert made.is_right()
    assert not made.with_flipped(*flip).is_right()


def test_what_does_not_count() -> None:
    """The parity of the key, and what follows the MAC: known, so that nobody relies on them."""
    made = proof(diversified_key(MASTER_KEY, IDM), bytes(range(16)))
    ignored = [("card_key", bit) for bit in range(0, 128, 8)] + [("block_81", bit) for bit in range(64, 128)]
    assert all(made.with_flipped(*flip).is_right() for flip in ignored)


def test_our_card_proves_itself() -> None:
    card = LiteSCard(IDM, diversified_key(MASTER_KEY, IDM))
    assert is_proven(card, challenge(b"nonce", "tap-1", 380))


def test_a_copied_card_is_refused() -> None:
    """The same IDm and blocks, but no way to the key: a card as sold, with a key of its own, or with another card's."""
    rc = challenge(b"nonce", "tap-1", 380)
    other = bytes.fromhex("012E50E7DAC78B48")
    for card_key in (bytes(16), bytes(range(16)), diversified_key(MASTER_KEY, other)):
        assert not is_proven(LiteSCard(IDM, card_key), rc)


def test_a_card_of_ours_cannot_pass_for_another() -> None:
    """It holds the key of its own number; only its ID block says whose the MAC is."""
    other = bytes.fromhex("012E50E7DAC78B48")
    rc = challenge(b"nonce", "tap-1", 380)
    card = LiteSCard(other, diversified_key(MASTER_KEY, other))
    assert is_proven(card, rc, idm=other)
    assert not is_proven(card, rc, idm=IDM)


def test_an_id_block_of_another_number_is_refused_even_with_the_right_mac() -> None:
    rc = challenge(b"nonce", "tap-1", 380)
    card = LiteSCard(IDM, diversified_key(MASTER_KEY, IDM))
    card.blocks[ID] = bytes.fromhex("012E50E7DAC78B48") + bytes(8)
    block_82, block_81 = answer(card, rc)
    assert mac_is_right(diversified_key(MASTER_KEY, IDM), rc, block_82, block_81)
    assert not proves(MASTER_KEY, idm=IDM, rc=rc, block_82=block_82, block_81=block_81)


@pytest.mark.parametrize(
    "said", [(b"nonce of before", "tap-1", 380), (b"nonce", "tap-2", 380), (b"nonce", "tap-1", 38)]
)
def test_a_mac_made_for_another_tap_is_refused(said: tuple[bytes, str, int]) -> None:
    card = LiteSCard(IDM, diversified_key(MASTER_KEY, IDM))
    assert not is_proven(card, challenge(b"nonce", "tap-1", 380), answered=challenge(*said))


def test_another_issuers_card_is_refused() -> None:
    assert not is_proven(LiteSCard(IDM, diversified_key(bytes(32), IDM)), challenge(b"nonce", "tap-1", 380))


@pytest.mark.parametrize("length", [0, 8, 15, 17, 32])
def test_a_block_of_another_length_proves_nothing(length: int) -> None:
    made = proof(bytes(range(16)), bytes(range(16)))
    for name in ("block_82", "block_81"):
        cut = (getattr(made, name) * 2)[:length]
        assert not replace(made, **{name: cut}).is_right()


@pytest.mark.parametrize("length", [0, 8, 15, 17, 24, 32])
def test_a_key_or_challenge_of_another_length_is_the_callers_fault(length: int) -> None:
    made = proof(bytes(range(16)), bytes(range(16)))
    for name in ("card_key", "rc"):
        with pytest.raises(ValueError, match="16 bytes"):
            replace(made, **{name: bytes(length)}).is_right()
    with pytest.raises(ValueError, match="16 bytes"):
        key_block(bytes(length))
    with pytest.raises(ValueError, match="bytes, not"):
        diversified_key(bytes(length), bytes(length + 1))
    with pytest.raises(ValueError, match="8 bytes"):
        diversified_key(MASTER_KEY, bytes(length + 1))


def test_the_keys_of_cards_in_use_stay_what_they_are() -> None:
    """Another derivation would end every card that was issued. The values were computed by openssl and sha256sum."""
    assert diversified_key(MASTER_KEY, IDM).hex() == "ab963ebc3576adf0519eceaca480b7e4"
    assert challenge(bytes(range(8)), "tap-1", 380).hex() == "1bdebf2b3266dd6f99fde6e667b28625"


@given(master=st.binary(min_size=32, max_size=32), idm=idms, other=idms)
def test_no_two_cards_have_one_key(master: bytes, idm: bytes, other: bytes) -> None:
    assert (diversified_key(master, idm) == diversified_key(master, other)) == (idm == other)


@given(nonce=st.binary(max_size=64), tap_id=tap_ids, amount_yen=amounts)
def test_till_and_server_mean_the_same_challenge(nonce: bytes, tap_id: str, amount_yen: int) -> None:
    assert agent.challenge(nonce, tap_id, amount_yen) == challenge(nonce, tap_id, amount_yen)


@given(st.data())
def test_no_two_taps_have_one_challenge(data: st.DataObject) -> None:
    """Zero bytes and digits wherever they could blur where one part ends."""
    said = st.tuples(
        st.binary(max_size=4) | st.just(b"n\0t\x001"), st.sampled_from(["t", "1", "t1"]), st.integers(1, 11)
    )
    one, two = data.draw(said), data.draw(said)
    assert (challenge(*one) == challenge(*two)) == (one == two)


@pytest.mark.parametrize(("tap_id", "amount_yen"), [("tap\0", 1), ("タップ", 1), ("tap", -1)])
def test_what_is_no_tap_has_no_challenge(tap_id: str, amount_yen: int) -> None:
    with pytest.raises(ValueError):
        challenge(b"nonce", tap_id, amount_yen)
