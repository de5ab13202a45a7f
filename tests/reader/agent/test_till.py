"""The agent, as a clerk runs it: its own process, an emulated card in another, a server in a third."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from app.db import transaction
from app.reader import cards
from tests.live import Live, eventually, read_until
from tests.ports import free_udp_port
from tests.reader.agent.cards import card_on_reader
from tests.reader.agent.line import Forward, Line, good, line, reply_lost
from tests.reader.agent.test_spool import spoil
from tests.reader.stand import Stand, new_idm

TILL = [sys.executable, "-W", "error", "-c", "from app.cli import main; main()", "till"]
PAID, REFUSED, UNKNOWN, NOTHING_TAKEN, EARLIER_PAID = 0, 10, 11, 12, 13
WRONG_COMMAND_LINE = 2


@dataclass
class Counter:
    """A till on a counter: its settings and its folder."""

    stand: Stand
    server_url: str
    folder: Path
    port: int

    @property
    def spool(self) -> Path:
        return self.folder / "spool.sqlite3"

    def env(self, **changes: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KUMIAI_")}
        return {
            **kept,
            "KUMIAI_TILL_SERVER": self.server_url,
            "KUMIAI_TILL_CLIENT_ID": self.stand.client_id,
            "KUMIAI_TILL_CLIENT_SECRET": self.stand.client_secret,
            "KUMIAI_TILL_READER": f"udp:localhost:{self.port}",
            "KUMIAI_TILL_SPOOL": str(self.spool),
            "LANG": "ja_JP.UTF-8",
            "PYTHONUTF8": "1",
            **changes,
        }

    def start(self, *arguments: str, stderr: int = subprocess.STDOUT, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*TILL, *arguments],
            cwd=self.folder,
            env=self.env(**env),
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
        )

    def run(self, *arguments: str, **env: str) -> tuple[int, str]:
        """Exit code and what the screen said."""
        with self.start(*arguments, **env) as running:
            said, _ = running.communicate(timeout=60)
        return running.returncode, said

    @contextmanager
    def card(self, **changes: Any) -> Iterator[None]:
        with card_on_reader(**{"idm": self.stand.idm, "port": self.port, **changes}):
            yield

    def sale(self, amount_yen: int = 380, **env: str) -> tuple[int, str]:
        with self.card():
            return self.run("sale", str(amount_yen), "--wait", "20", **env)

    def spooled(self) -> list[Any]:
        with closing(sqlite3.connect(self.spool)) as database:
            return database.execute("SELECT state, amount_yen, card, card_last4, answer FROM tap").fetchall()


@pytest.fixture
def counter(live_server: Live, live_stand: Stand, tmp_path: Path) -> Counter:
    return Counter(stand=live_stand, server_url=live_server.url, folder=tmp_path, port=free_udp_port())


@pytest.fixture
def bad_line(live_server: Live, counter: Counter) -> Iterator[Line]:
    with line(live_server.url) as between:
        counter.server_url = between.url
        yield between


@pytest.fixture
def moved(live_server: Live, live_stand: Stand) -> Any:
    """What the ledger holds of this till: its payments' amounts, and the member's balance."""

    def look() -> tuple[list[int], int]:
        with live_server.app.app_context():
            return [row.amount_yen for row in live_stand.payments()], live_stand.balance_yen()

    return look


def test_a_sale(counter: Counter, moved: Any) -> None:
    code, said = counter.sale()
    assert code == PAID, said
    assert "お支払い ¥380" in said
    assert "カードをタッチしてください" in said
    assert "✓ お支払い ¥380" in said
    assert "残高 ¥1,620" in said
    assert moved() == ([380], 1_620)
    ((state, amount_yen, card, last4, answer),) = counter.spooled()
    assert (state, amount_yen, card, last4) == ("accepted", 380, None, counter.stand.idm[-4:])
    assert "1620" in answer
    assert counter.spool.stat().st_mode & 0o077 == 0


def test_a_sale_in_english(counter: Counter) -> None:
    code, said = counter.sale(LANG="en_US.UTF-8")
    assert code == PAID
    assert "Touch the card" in said
    assert "✓ Paid ¥380" in said
    assert "Balance ¥1,620" in said


def test_too_little_money(counter: Counter, moved: Any) -> None:
    code, said = counter.sale(2_001)
    assert code == REFUSED, said
    assert "✗ お支払いできませんでした(¥2,001)" in said
    assert "残高が足りません" in said
    assert "残高 ¥2,000" in said
    assert "Idempotency" not in said
    assert moved() == ([], 2_000)
    ((state, _, card, _, _),) = counter.spooled()
    assert (state, card) == ("refused", None)


def test_a_card_nobody_registered(counter: Counter, moved: Any) -> None:
    with counter.card(idm=new_idm()):
        code, said = counter.run("sale", "380")
    assert code == REFUSED
    assert "登録されていないカードです" in said
    assert moved() == ([], 2_000)


def test_a_lost_card(live_server: Live, counter: Counter, moved: Any) -> None:
    with live_server.app.app_context(), transaction():
        cards.report_lost(counter.stand.card_id)
    code, said = counter.sale()
    assert code == REFUSED
    assert "紛失" in said
    assert moved() == ([], 2_000)


def test_a_lost_reply_is_asked_for_again_and_paid_once(counter: Counter, bad_line: Line, moved: Any) -> None:
    bad_line.on_tap = lambda forward: reply_lost(forward) if len(bad_line.taps) == 1 else forward()
    code, said = counter.sale()
    assert code == PAID, said
    assert "もう一度問い合わせています" in said
    assert "残高 ¥1,620" in said
    assert len(bad_line.taps) >= 2
    assert len(set(bad_line.taps)) == 1
    assert moved() == ([380], 1_620)


def test_replies_that_stay_lost_leave_the_result_unknown_until_it_is_asked_again(
    live_server: Live, counter: Counter, bad_line: Line, moved: Any
) -> None:
    bad_line.on_tap = reply_lost
    code, said = counter.sale()
    assert code == UNKNOWN, said
    assert "? お支払い ¥380 の結果を確認できていません" in said
    assert "kumiai till resend" in said
    assert "✓" not in said
    assert set(re.findall(r"(?m)^tap ([0-9a-f]{32}): \w+: .+$", said)) == set(bad_line.taps), "the log says why"
    ((state, _, card, _, answer),) = counter.spooled()
    assert (state, answer) == ("taken", None)
    assert card is not None
    code, said = counter.run("resend", KUMIAI_TILL_SERVER="http://127.0.0.1:9")
    assert code == UNKNOWN
    assert "1 件残っています" in said
    assert "お支払いは行っていません" not in said
    counter.server_url = live_server.url
    code, said = counter.run("resend")
    assert code == PAID, said
    assert "✓ お支払い ¥380" in said
    assert moved() == ([380], 1_620)
    assert [(state, card) for state, _, card, _, _ in counter.spooled()] == [("accepted", None)]
    assert counter.run("resend") == (PAID, "  結果を確認できていないお支払いはありません。\n")
    assert moved() == ([380], 1_620)


@pytest.mark.parametrize(
    ("status", "page"),
    [
        (201, "<h1>Sign in to the network</h1>"),
        (201, "[]"),
        (201, '{"amount_yen": Infinity, "balance_yen": 1, "receipt_no": "1", "id": "1"}'),
        (404, "<h1>Not found</h1>"),
        (404, '{"code": "not_found", "title": "Not found", "detail": "No such address."}'),
        (422, '{"code": "insufficient_balance", "title": "Too little", "detail": "Charge.", "balance_yen": "much"}'),
        (502, "<h1>Bad Gateway</h1>"),
        (503, '{"code": "temporarily_unavailable", "title": "Later", "detail": "Try again."}'),
        (503, '{"code": "card_lost", "title": "Lost", "detail": "Ask."}'),
    ],
)
def test_what_is_not_the_servers_own_answer_is_no_answer(
    counter: Counter, bad_line: Line, moved: Any, status: int, page: str
) -> None:
    odd = requests.Response()
    odd.status_code, odd._content = status, page.encode()
    bad_line.on_tap = lambda forward: odd if len(bad_line.taps) == 1 else forward()
    assert counter.sale()[0] == PAID
    assert len(bad_line.taps) >= 2
    assert len(set(bad_line.taps)) == 1
    assert moved() == ([380], 1_620)


def test_a_server_that_goes_away_while_the_card_is_awaited(live_server: Live, counter: Counter, moved: Any) -> None:
    with line(live_server.url) as between:
        counter.server_url = between.url
        selling = counter.start("sale", "380", "--wait", "20")
        read_until(selling, "タッチ")
    with counter.card(), selling:
        said, _ = selling.communicate(timeout=60)
    assert selling.returncode == UNKNOWN, said
    assert moved() == ([], 2_000)

    counter.server_url = live_server.url
    code, said = counter.sale(500)
    assert code == EARLIER_PAID, said
    assert (
        said.index("お支払いが 1 件あります")
        < said.index("✓ お支払い ¥380")
        < said.index("¥500 の会計は始めていません")
    )
    assert moved() == ([380], 1_620)
    assert counter.sale(500)[0] == PAID
    assert moved() == ([380, 500], 1_120)


def kill_during_sale(counter: Counter, bad_line: Line, *, arrived: bool = False, amount_yen: int = 380) -> None:
    """kill -9 between the spool and the answer, before or after the tap arrived at the server."""
    on_the_line, killed = threading.Event(), threading.Event()

    def hold(forward: Forward) -> None:
        if arrived:
            forward()
        on_the_line.set()
        killed.wait(30)

    bad_line.on_tap = hold
    with counter.card():
        for _ in range(3):  # a busy machine may lose a step of the card, as a hand does: it is held there again
            with counter.start("sale", str(amount_yen), "--wait", "20") as selling:
                eventually(lambda: on_the_line.is_set() or selling.poll() is not None or None, within_s=30)
                selling.kill()
            if on_the_line.is_set():
                break
    killed.set()
    assert on_the_line.is_set()
    bad_line.on_tap = good
    assert [answer for *_, answer in counter.spooled()].count(None) == 1


@pytest.mark.parametrize("arrived", [False, True], ids=["before it arrived", "after it was decided"])
def test_kill_9_between_the_spool_and_the_answer(counter: Counter, bad_line: Line, moved: Any, arrived: bool) -> None:
    kill_during_sale(counter, bad_line, arrived=arrived)
    assert moved() == (([380], 1_620) if arrived else ([], 2_000))
    code, said = counter.run("resend")
    assert code == PAID, said
    assert "✓ お支払い ¥380" in said
    assert counter.run("resend")[0] == PAID
    assert moved() == ([380], 1_620)


@pytest.mark.parametrize("arrived", [False, True], ids=["before it arrived", "after it was decided"])
def test_a_sale_begun_again_after_kill_9_does_not_take_the_payment_twice(
    counter: Counter, bad_line: Line, moved: Any, arrived: bool
) -> None:
    kill_during_sale(counter, bad_line, arrived=arrived)
    code, said = counter.sale()  # the card still lies on the reader
    assert code == EARLIER_PAID, said
    assert "タッチしてください" not in said
    _, _, ending = said.partition("¥380 の会計は始めていません")
    assert f"支払い済み ¥380(カード …{counter.stand.idm[-4:]}、20" in ending
    assert "このお客様のお支払いであれば、会計は済んでいます" in ending
    assert moved() == ([380], 1_620)
    assert counter.sale(500)[0] == PAID  # the next customer
    assert moved() == ([380, 500], 1_120)


def test_a_sale_does_not_begin_while_an_earlier_result_stays_unknown(
    counter: Counter, bad_line: Line, moved: Any
) -> None:
    kill_during_sale(counter, bad_line, arrived=True)
    bad_line.on_tap = reply_lost
    code, said = counter.sale(LANG="en_US.UTF-8")
    assert code == UNKNOWN, said
    assert "Touch the card" not in said
    _, _, ending = said.partition("The sale of ¥380 was not begun")
    assert f"Not known: ¥380 (card …{counter.stand.idm[-4:]}, 20" in ending
    assert "do not take the payment a second time" in ending
    assert moved() == ([380], 1_620)


def test_a_sale_goes_on_when_the_earlier_one_turns_out_refused(counter: Counter, bad_line: Line, moved: Any) -> None:
    kill_during_sale(counter, bad_line, amount_yen=2_001)
    code, said = counter.sale()
    assert code == PAID, said
    assert said.index("✗ お支払いできませんでした(¥2,001)") < said.index("✓ お支払い ¥380")
    assert moved() == ([380], 1_620)


def test_ctrl_c_while_the_result_is_awaited_says_that_it_is_unknown(counter: Counter, bad_line: Line) -> None:
    on_the_line, stopped = threading.Event(), threading.Event()

    def hold(forward: Forward) -> None:
        on_the_line.set()
        stopped.wait(30)

    bad_line.on_tap = hold
    with counter.card(), counter.start("sale", "380", "--wait", "20") as selling:
        assert on_the_line.wait(30)
        selling.send_signal(2)
        said, _ = selling.communicate(timeout=30)
    stopped.set()
    assert selling.returncode == UNKNOWN
    assert "結果を確認できていません" in said
    assert "Traceback" not in said


def test_a_screen_that_is_lost_before_the_answer_leaves_the_result_unknown(
    counter: Counter, bad_line: Line, moved: Any
) -> None:
    """A till that fails in a way nobody foresaw: the exit code says that it may have been paid, the log says why."""
    on_the_line, lost = threading.Event(), threading.Event()

    def hold(forward: Forward) -> requests.Response:
        on_the_line.set()
        lost.wait(30)
        return forward()

    bad_line.on_tap = hold
    with counter.card(), counter.start("sale", "380", "--wait", "20", stderr=subprocess.PIPE) as selling:
        assert on_the_line.wait(30)
        assert selling.stdout is not None
        assert selling.stderr is not None
        selling.stdout.close()
        lost.set()
        logged = selling.stderr.read()
        assert selling.wait(30) == UNKNOWN, logged
    assert "BrokenPipeError" in logged
    assert moved() == ([380], 1_620)
    code, said = counter.run("resend")
    assert code == PAID
    assert "✓ お支払い ¥380" in said, "what nobody saw is asked for again"
    assert moved() == ([380], 1_620)


def test_a_screen_that_is_lost_before_the_card_is_touched(counter: Counter, moved: Any) -> None:
    with counter.start("sale", "380", "--wait", "20", stderr=subprocess.DEVNULL) as selling:
        read_until(selling, "タッチ")
        selling.stdout.close()
        with counter.card():
            assert selling.wait(30) == UNKNOWN
    assert moved() == ([], 2_000)
    assert [(state, answer) for state, *_, answer in counter.spooled()] == [("taken", None)]


def test_ctrl_c_while_the_card_is_awaited_takes_nothing(counter: Counter) -> None:
    with counter.start("sale", "380") as selling:
        read_until(selling, "タッチ")
        selling.send_signal(2)
        said, _ = selling.communicate(timeout=30)
    assert selling.returncode == NOTHING_TAKEN
    assert "中止しました" in said
    assert counter.spooled() == []


@pytest.mark.parametrize(
    ("env", "said_what", "advice"),
    [
        ({"KUMIAI_TILL_SERVER": "http://127.0.0.1:9"}, "サーバーにつながりません", "KUMIAI_TILL_SERVER"),
        ({"KUMIAI_TILL_SERVER": "localhost"}, "サーバーにつながりません", "KUMIAI_TILL_SERVER"),
        ({"KUMIAI_TILL_CLIENT_SECRET": "wrong"}, "認められていません", "KUMIAI_TILL_CLIENT_SECRET"),
        ({"KUMIAI_TILL_CLIENT_ID": "till_nobody"}, "認められていません", "KUMIAI_TILL_CLIENT_ID"),
        ({"KUMIAI_TILL_CLIENT_SECRET": ""}, "設定されていません", "KUMIAI_TILL_CLIENT_SECRET"),
        ({"KUMIAI_TILL_READER": "tty:nothere"}, "カードリーダーが見つかりません", "KUMIAI_TILL_READER"),
        ({"KUMIAI_TILL_SPOOL": "/dev/null/spool"}, "書き込めません", "KUMIAI_TILL_SPOOL"),
    ],
    ids=["away", "no address", "wrong secret", "unknown client", "no secret", "no reader", "no spool"],
)
def test_what_stops_a_sale_says_what_to_do(
    counter: Counter, moved: Any, env: dict[str, str], said_what: str, advice: str
) -> None:
    code, said = counter.run("sale", "380", "--wait", "0.1", **env)
    assert code == NOTHING_TAKEN, said
    assert said_what in said
    assert advice in said
    assert "お支払いは行っていません" in said
    assert "Traceback" not in said
    assert moved() == ([], 2_000)


def test_a_second_till_on_the_same_spool_takes_nothing(counter: Counter) -> None:
    with counter.start("sale", "380", "--wait", "20") as first:
        read_until(first, "タッチ")
        code, said = counter.run("sale", "500", "--wait", "0.1")
        first.send_signal(2)
    assert code == NOTHING_TAKEN, said
    assert "ほかの画面で動いている kumiai till が使っています" in said
    assert "KUMIAI_TILL_SPOOL" in said
    assert first.returncode == NOTHING_TAKEN


@pytest.mark.parametrize("arguments", [("sale", "380", "--wait", "0.1"), ("resend",)], ids=["sale", "resend"])
@pytest.mark.parametrize("broken", ["a page", "all of it"])
def test_a_spool_that_cannot_be_read_may_hide_a_payment(
    counter: Counter, bad_line: Line, arguments: tuple[str, ...], broken: str
) -> None:
    kill_during_sale(counter, bad_line)
    with closing(sqlite3.connect(counter.spool)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if broken == "a page":
        spoil(counter.spool)
    else:
        counter.spool.write_bytes(b"no database " * 1_000)
    code, said = counter.run(*arguments)
    assert code == UNKNOWN, said
    assert "お支払いの控えを読み取れません" in said
    assert "お支払いが済んでいるかもしれません" in said
    assert "お支払いは行っていません" not in said
    assert "Traceback" not in said


def test_nobody_holds_a_card(counter: Counter) -> None:
    code, said = counter.run("sale", "380", "--wait", "0.1")
    assert code == NOTHING_TAKEN
    assert "カードがタッチされませんでした" in said
    assert counter.spooled() == []


@pytest.mark.parametrize("amount", ["0", "-5", "10000000", "3.5", "abc"])
def test_what_is_no_amount_is_refused_at_once(counter: Counter, amount: str) -> None:
    code, said = counter.run("sale", "--", amount)
    assert code == WRONG_COMMAND_LINE
    assert "AMOUNT" in said
    assert not counter.spool.exists()


def test_a_netrc_file_does_not_speak_for_the_till(counter: Counter) -> None:
    netrc = counter.folder / "netrc"
    netrc.write_text("machine localhost login somebody password else")
    netrc.chmod(0o600)
    assert counter.sale(NETRC=str(netrc))[0] == PAID


def test_the_demos_settings_are_found_in_its_folder(counter: Counter, moved: Any) -> None:
    settings = {name: value for name, value in counter.env().items() if name.startswith("KUMIAI_")}
    (counter.folder / "instance").mkdir()
    lines = ["# made by make run", *(f"{name}={value}" for name, value in settings.items()), ""]
    (counter.folder / "instance" / "demo.env").write_text("\n".join(lines))
    with counter.card():
        code, said = counter.run("sale", "380", **dict.fromkeys(settings, ""))
    assert code == PAID, said
    assert moved() == ([380], 1_620)


def test_a_member_who_is_known_by_the_till_is_known_by_the_spool_only_until_the_answer(counter: Counter) -> None:
    counter.sale()
    everything = b"".join(path.read_bytes() for path in counter.folder.iterdir())
    assert counter.stand.idm.encode() not in everything
