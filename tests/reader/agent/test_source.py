"""Reading cards: nfcpy's own protocol code against a card in another process."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from binascii import hexlify
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.demo.demo_card import fcf_blocks
from app.reader.agent.source import FCF, CardProfile, HoldAgain, NfcpySource, NoReader, ReadCard, WrongCard
from tests.live import ROOT, read_until
from tests.ports import free_udp_port
from tests.reader.agent.cards import card_on_reader, read_card

IDM = "0114B7F2A93C5D60"


def test_a_card_is_read_without_its_name() -> None:
    port = free_udp_port()
    with card_on_reader(idm=IDM, port=port), NfcpySource(f"udp:localhost:{port}") as source:
        read = read_card(source)
    blocks = fcf_blocks()
    assert read == ReadCard(idm=IDM, blocks={str(number): blocks[number].hex() for number in (0, 2, 3)})
    assert read.last4 == "5D60"
    assert read.profile == "fcf"


def test_the_same_card_can_be_read_again_and_again() -> None:
    port = free_udp_port()
    with card_on_reader(idm=IDM, port=port) as card:
        for _ in range(3):
            with NfcpySource(f"udp:localhost:{port}") as source:
                assert read_card(source).idm == IDM
        assert card.poll() is None


def test_a_card_can_be_found_again_after_its_reader_was_killed() -> None:
    port = free_udp_port()
    read_and_hang = (
        "from app.reader.agent.source import NfcpySource\n"
        "from tests.reader.agent.cards import read_card\n"
        f"print('read', read_card(NfcpySource('udp:localhost:{port}')).idm, flush=True)\n"
        "import time; time.sleep(60)"
    )
    with card_on_reader(idm=IDM, port=port):
        with subprocess.Popen(
            [sys.executable, "-c", read_and_hang], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as killed:
            read_until(killed, f"read {IDM}")
            killed.kill()
        with NfcpySource(f"udp:localhost:{port}") as source:
            assert read_card(source).idm == IDM


def test_nobody_holds_a_card() -> None:
    with NfcpySource(f"udp:localhost:{free_udp_port()}") as source:
        assert source.wait_for_card(0.1) is None


def test_a_card_may_come_later() -> None:
    port = free_udp_port()
    with NfcpySource(f"udp:localhost:{port}") as source, ThreadPoolExecutor(1) as waiting:
        read = waiting.submit(read_card, source)
        with card_on_reader(idm=IDM, port=port):
            assert read.result(60).idm == IDM


def test_a_card_without_the_service_is_the_wrong_card() -> None:
    port = free_udp_port()
    profile = CardProfile(name="purse", system=FCF.system, service=0x50CB, blocks=(0,))
    with (
        card_on_reader(idm=IDM, port=port),
        NfcpySource(f"udp:localhost:{port}", profile) as source,
        pytest.raises(WrongCard),
    ):
        read_card(source)


def test_a_card_of_another_system_is_the_wrong_card() -> None:
    port = free_udp_port()
    profile = CardProfile(name="suica", system=0x0003, service=FCF.service, blocks=FCF.blocks)
    with (
        card_on_reader(idm=IDM, port=port),
        NfcpySource(f"udp:localhost:{port}", profile) as source,
        pytest.raises(WrongCard),
    ):
        read_card(source)


class FaintCard(threading.Thread):
    """A card that answers the poll and nothing after it: taken away too early."""

    def __init__(self, radio: socket.socket) -> None:
        super().__init__()
        self.radio = radio

    def run(self) -> None:
        self.radio.settimeout(30)
        while True:
            data, reader = self.radio.recvfrom(1024)
            if data.startswith(b"212F 0600fe00"):
                self.radio.sendto(b"212F " + hexlify(bytes.fromhex(f"14 01 {IDM} 0120FFFFFF49FFFF FE00")), reader)
            if data == b"RFOFF":
                return


def test_a_card_taken_away_too_early_is_to_be_held_again() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as radio:
        radio.bind(("127.0.0.1", 0))
        card = FaintCard(radio)
        card.start()
        with NfcpySource(f"udp:localhost:{radio.getsockname()[1]}") as source, pytest.raises(HoldAgain):
            source.wait_for_card(20)
        card.join()


@pytest.mark.parametrize("path", ["tty:nothere", "usb:ffff:ffff"])
def test_no_reader(path: str) -> None:
    with pytest.raises(NoReader):
        NfcpySource(path)


def test_the_emulated_card_says_when_its_port_is_taken() -> None:
    port = free_udp_port()
    with card_on_reader(idm=IDM, port=port):
        second = subprocess.run(
            [sys.executable, "-c", "from app.demo.card import card; card()", "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert second.returncode == 1
    assert "--port" in second.stderr


@pytest.mark.parametrize("options", [["--idm", "0114"], ["--idm", "x" * 16], ["--student-id", "1234567890123"]])
def test_the_emulated_card_refuses_what_no_card_can_be(options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from app.demo.card import card; card()", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2
    assert options[0] in done.stderr


def test_ctrl_c_takes_the_card_away() -> None:
    with card_on_reader(idm=IDM, port=free_udp_port()) as card:
        card.send_signal(signal.SIGINT)
        read_until(card, "カードを外しました")
        assert card.wait(20) == 0
