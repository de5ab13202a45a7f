"""`kumiai lite-s issue` as the office runs it: its own process, a blank card in another, nfcpy's own code between."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import nfc.tag
import pytest
from nfc.clf import ContactlessFrontend, RemoteTarget
from nfc.tag.tt3_sony import FelicaLiteS

from app.reader import lite_s
from app.reader.agent.lite_s import LITE_S
from app.reader.agent.source import NfcpySource
from tests.live import ROOT, eventually
from tests.ports import free_udp_port
from tests.reader.agent.cards import card_on_reader, read_card
from tests.reader.lite_s_card import CK, CKV, MC, RC, SYSTEM, lite_s_card_on_reader

MASTER_KEY = bytes(range(100, 132))
IDM = bytes.fromhex("012E50E7DAC78B47")
FACTORY_KEY = bytes(16)
ISSUE = [sys.executable, "-W", "error", "-c", "from app.cli import main; main()", "lite-s", "issue"]


@dataclass
class Desk:
    """The office's reader, with a card on it."""

    port: int

    @property
    def reader(self) -> str:
        return f"udp:localhost:{self.port}"

    def issue(self, master_key: bytes = MASTER_KEY, *, wait_s: float = 20) -> tuple[int, str]:
        return issue("--yes", "--reader", self.reader, "--wait", str(wait_s), key=master_key)

    def is_ours(self) -> bool:
        """Whether the server would take the card's proof."""
        rc = secrets.token_bytes(16)
        with NfcpySource(self.reader, LITE_S) as source:
            read = read_card(source, challenge=rc)
        block_82, block_81 = (bytes.fromhex(read.proof[number]) for number in ("82", "81"))
        return lite_s.proves(MASTER_KEY, idm=bytes.fromhex(read.idm), rc=rc, block_82=block_82, block_81=block_81)

    def may_be_written(self, number: int) -> bool:
        """Whether anybody may write a block: what is there, once more."""
        with ContactlessFrontend(self.reader) as reader:
            wanted = RemoteTarget("212F", sensf_req=bytearray.fromhex(f"00{SYSTEM}0100"))

            def write() -> bool | None:
                tag = nfc.tag.activate(reader, eventually(lambda: reader.sense(wanted)))
                assert isinstance(tag, FelicaLiteS)
                try:
                    tag.write_without_mac(tag.read_without_mac(number), number)
                except nfc.tag.TagCommandError as error:
                    return False if error.errno > 0xFF else None  # None: a step was lost
                return True

            return eventually(write)


@contextmanager
def desk(card_key: bytes = FACTORY_KEY, *, replay: bytes | None = None, leaves_at: int | None = None) -> Iterator[Desk]:
    port = free_udp_port()
    with lite_s_card_on_reader(idm=IDM, card_key=card_key, port=port, replay=replay, leaves_at=leaves_at):
        yield Desk(port)


def issue(*options: str, key: bytes | None = MASTER_KEY, answer: str = "") -> tuple[int, str]:
    """The exit code, and what it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUMIAI_", "DATABASE_"))}
    given = {} if key is None else {"KUMIAI_LITE_S_KEY": base64.b64encode(key).decode()}
    done = subprocess.run(
        [*ISSUE, *options],
        cwd=ROOT,
        env={**kept, **given, "LANG": "ja_JP.UTF-8", "PYTHONUTF8": "1"},
        input=answer,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
    )
    return done.returncode, done.stdout


def test_a_blank_card_becomes_ours_and_is_locked() -> None:
    with desk() as here:
        assert not here.is_ours()
        assert here.may_be_written(MC)
        code, said = here.issue()
        assert (code, "発行しました：012E50E7DAC78B47" in said) == (0, True), said
        assert here.is_ours()
        assert [number for number in (CKV, CK, MC) if here.may_be_written(number)] == []


def test_a_card_that_is_ours_stays_as_it_is() -> None:
    with desk() as here:
        assert here.issue()[0] == 0
        code, said = here.issue()
        assert (code, "すでに発行されています" in said) == (0, True), said
        assert here.is_ours()


def test_a_card_locked_with_another_key_is_refused() -> None:
    with desk() as here:
        assert here.issue(bytes(range(32)))[0] == 0
        code, said = here.issue()
        assert (code, "ほかの鍵で発行済み" in said) == (1, True), said
        assert not here.is_ours()


@pytest.mark.parametrize(
    ("taken_away_at", "words"),
    [(CKV, "発行しました"), (CK, "発行しました"), (RC, "発行しました"), (MC, "すでに発行されています")],
)
def test_a_card_taken_away_half_way_is_issued_when_it_is_put_there_again(taken_away_at: int, words: str) -> None:
    with desk(leaves_at=taken_away_at) as here:
        code, said = here.issue()
        assert "もう一度" in said
        assert (code, words in said) == (0, True), said
        assert here.is_ours()
        assert not here.may_be_written(CK)


def test_a_card_that_cannot_prove_its_key_is_not_locked() -> None:
    with desk(replay=bytes(16)) as here:
        code, said = here.issue()
        assert (code, "発行していません" in said) == (1, True), said
        assert here.may_be_written(MC)


def test_a_student_card_is_the_wrong_card() -> None:
    port = free_udp_port()
    with card_on_reader(idm="0114B7F2A93C5D60", port=port):
        code, said = Desk(port).issue(wait_s=6)
    assert code == 1
    assert "FeliCa Lite-S カードではない" in said
    assert "カードが置かれませんでした" in said


def test_whoever_does_not_agree_issues_nothing() -> None:
    with desk() as here:
        code, said = issue("--reader", here.reader, answer="n\n")
        assert (code, "元には戻せません" in said) == (1, True), said
        assert not here.is_ours()


def test_without_the_master_key_it_says_where_it_comes_from() -> None:
    code, said = issue("--yes", key=None)
    assert (code, "openssl rand -base64 32" in said) == (1, True), said


def test_half_a_master_key_is_none() -> None:
    code, said = issue("--yes", key=MASTER_KEY[:16])
    assert (code, "KUMIAI_LITE_S_KEY must be 32 bytes" in said) == (1, True), said


def test_no_reader() -> None:
    code, said = issue("--yes", "--reader", "tty:nothere")
    assert (code, "カードリーダー tty:nothere が見つかりません" in said) == (1, True), said
