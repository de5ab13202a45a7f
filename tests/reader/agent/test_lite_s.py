"""A Lite-S card on the reader: nfcpy's own protocol code against a card in another process, and nfcpy's own verdict."""

from __future__ import annotations

import secrets
import socket
import threading
from binascii import hexlify, unhexlify
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import nfc.tag
import pytest
from nfc.clf import ContactlessFrontend, RemoteTarget
from nfc.tag.tt3_sony import FelicaLiteS

from app.reader import lite_s
from app.reader.agent.lite_s import LITE_S, challenge, prove
from app.reader.agent.source import FCF, HoldAgain, NfcpySource, ReadCard, WrongCard
from tests.live import eventually
from tests.ports import free_udp_port
from tests.reader.agent.cards import card_on_reader, read_card
from tests.reader.lite_s_card import PMM, SYSTEM, lite_s_card_on_reader

MASTER_KEY = bytes(range(32))
IDM = bytes.fromhex("012E50E7DAC78B47")
CARD_KEY = lite_s.diversified_key(MASTER_KEY, IDM)
Result = TypeVar("Result")
RC = challenge(bytes(range(16)), "tap-1", 380)


@contextmanager
def source_and_card(card_key: bytes = CARD_KEY, replay: bytes | None = None) -> Iterator[NfcpySource]:
    """A reader that looks for student cards and Lite-S cards, with a Lite-S card on it."""
    port = free_udp_port()
    with (
        lite_s_card_on_reader(idm=IDM, card_key=card_key, port=port, replay=replay),
        NfcpySource(f"udp:localhost:{port}", FCF, LITE_S) as source,
    ):
        yield source


def is_proven(read: ReadCard, rc: bytes = RC) -> bool:
    """What the server makes of it."""
    block_82, block_81 = (bytes.fromhex(read.proof[number]) for number in ("82", "81"))
    return lite_s.proves(MASTER_KEY, idm=bytes.fromhex(read.idm), rc=rc, block_82=block_82, block_81=block_81)


def test_a_card_is_read_and_proves_itself_in_one_touch() -> None:
    with source_and_card() as source:
        read = read_card(source, challenge=RC)
    assert (read.profile, read.idm, read.last4, read.blocks) == ("lite_s", IDM.hex().upper(), "8B47", {})
    assert set(read.proof) == {"81", "82"}
    assert is_proven(read)


def test_each_touch_answers_its_own_challenge() -> None:
    later = challenge(bytes(range(16)), "tap-2", 380)
    with source_and_card() as source:
        first, second = read_card(source, challenge=RC), read_card(source, challenge=later)
    assert first.proof["82"] == second.proof["82"]
    assert is_proven(first, RC)
    assert is_proven(second, later)
    assert not is_proven(first, later)
    assert not is_proven(second, RC)


def test_without_a_challenge_only_its_number_is_read() -> None:
    with source_and_card() as source:
        read = read_card(source)
    assert read == ReadCard(idm=IDM.hex().upper(), blocks={}, profile="lite_s")
    assert not read.proof


def test_a_copied_card_answers_and_proves_nothing() -> None:
    with source_and_card(card_key=bytes(range(16))) as source:
        read = read_card(source, challenge=RC)
    assert read.idm == IDM.hex().upper()
    assert not is_proven(read)


def test_a_device_that_plays_an_answer_back_proves_nothing() -> None:
    with source_and_card() as source:
        overheard = read_card(source, challenge=RC)
    with source_and_card(card_key=bytes(16), replay=bytes.fromhex(overheard.proof["81"])) as source:
        later = challenge(bytes(range(16)), "tap-2", 380)
        read = read_card(source, challenge=later)
    assert read.proof == overheard.proof
    assert not is_proven(read, later)


def test_a_student_card_is_found_by_the_same_reader_and_proves_nothing() -> None:
    port = free_udp_port()
    with (
        card_on_reader(idm="0114B7F2A93C5D60", port=port),
        NfcpySource(f"udp:localhost:{port}", FCF, LITE_S) as source,
    ):
        read = read_card(source, challenge=RC)
    assert (read.profile, set(read.blocks), read.proof) == ("fcf", {"0", "2", "3"}, {})


def test_a_till_for_student_cards_only_says_that_it_is_the_wrong_card() -> None:
    port = free_udp_port()
    with (
        lite_s_card_on_reader(idm=IDM, card_key=CARD_KEY, port=port),
        NfcpySource(f"udp:localhost:{port}") as source,
        pytest.raises(WrongCard),
    ):
        read_card(source, challenge=RC)


def touched(card_key: bytes, do: Callable[[FelicaLiteS], Result]) -> Result:
    """What `do` gets of the card as nfcpy's own class for it, in one touch; again where a step was lost."""
    port = free_udp_port()
    wanted = RemoteTarget("212F", sensf_req=bytearray.fromhex(f"00{SYSTEM}0100"))

    def touch() -> Result | None:
        tag = nfc.tag.activate(reader, eventually(lambda: reader.sense(wanted)))
        assert isinstance(tag, FelicaLiteS)
        try:
            return do(tag)
        except nfc.tag.TagCommandError as error:
            if error.errno > 0xFF:
                raise
            return None

    with (
        lite_s_card_on_reader(idm=IDM, card_key=card_key, port=port),
        ContactlessFrontend(f"udp:localhost:{port}") as reader,
    ):
        return eventually(touch)


def test_nfcpy_accepts_the_emulated_card() -> None:
    """nfcpy, which works with real cards, knows the card by its key, and is known by it: MACs both ways."""

    def talk(tag: FelicaLiteS) -> tuple[bool, bytes, bytes]:
        known = tag.authenticate(CARD_KEY)
        tag.write_with_mac(bytes(range(16)), 5)
        return known, tag.read_with_mac(0x82), tag.read_with_mac(5)

    assert touched(CARD_KEY, talk) == (True, IDM + bytes(8), bytes(range(16)))


def test_nfcpy_refuses_the_emulated_card_where_the_key_is_another() -> None:
    assert touched(bytes(range(16)), lambda tag: tag.authenticate(CARD_KEY)) is False


def test_the_emulated_card_makes_no_mac_unasked() -> None:
    with pytest.raises(nfc.tag.TagCommandError) as refused:
        touched(CARD_KEY, lambda tag: tag.read_without_mac(0x82, 0x81))
    assert refused.value.errno > 0xFF


def test_a_challenge_of_another_length_is_sent_to_no_card() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        touched(CARD_KEY, lambda tag: prove(tag, RC + b"\0"))


class BrokenCard(threading.Thread):
    """A Lite-S card that answers the poll; to a command nothing (taken away too early), or that it cannot do that."""

    def __init__(self, radio: socket.socket, *, status: str) -> None:
        super().__init__()
        self.radio = radio
        self.status = status

    def run(self) -> None:
        self.radio.settimeout(30)
        while (received := self.radio.recvfrom(1024))[0] != b"RFOFF":
            data, reader = received
            if data.startswith(b"212F 060088b4"):
                self._send(f"14 01 {IDM.hex()} {PMM} {SYSTEM}", reader)
            elif data.startswith(b"212F 20") and self.status:
                command = unhexlify(data.split()[1])[1]
                self._send(f"0C {command + 1:02X} {IDM.hex()} {self.status}", reader)

    def _send(self, answer: str, reader: object) -> None:
        self.radio.sendto(b"212F " + hexlify(bytes.fromhex(answer)), reader)


@pytest.mark.parametrize(("status", "trouble"), [("", HoldAgain), ("01 A6", WrongCard)])
def test_a_card_that_does_not_answer_the_challenge(status: str, trouble: type[Exception]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as radio:
        radio.bind(("127.0.0.1", 0))
        card = BrokenCard(radio, status=status)
        card.start()
        with NfcpySource(f"udp:localhost:{radio.getsockname()[1]}", LITE_S) as source, pytest.raises(trouble):
            source.wait_for_card(20, secrets.token_bytes(16))
        card.join()
