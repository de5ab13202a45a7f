"""The till's memory: nothing lost, nothing twice, nothing kept longer than needed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app.reader.agent.source import ReadCard
from app.reader.agent.spool import Spool, SpoolError, SpoolTaken, SpoolUnreadable

CARD = ReadCard(idm="0114B7F2A93C5D60", blocks={"0": "30" * 16, "2": "31" * 16, "3": "32" * 16})


def spoil(path: Path) -> None:
    """What a dying disk does: every page but the first, which says what the file is, reads as noise."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "till" / "spool.sqlite3"


def test_a_tap_is_there_after_the_till_was_closed(path: Path) -> None:
    with Spool(path) as spool:
        tap = spool.put(amount_yen=380, money=None, card=CARD)
    with Spool(path) as spool:
        assert spool.unfinished() == [tap]
    assert (tap.amount_yen, tap.card) == (380, CARD)


def test_a_tap_is_there_after_kill_9(path: Path) -> None:
    put_and_die = (
        "import os, signal; from pathlib import Path\n"
        "from app.reader.agent.source import ReadCard; from app.reader.agent.spool import Spool\n"
        "card = ReadCard(idm='0' * 16, blocks={})\n"
        f"tap = Spool(Path({str(path)!r})).put(amount_yen=380, money='meal', card=card)\n"
        "print(tap.tap_id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", put_and_die], capture_output=True, text=True)
    assert killed.returncode == -9
    with Spool(path) as spool:
        (tap,) = spool.unfinished()
    assert (tap.tap_id, tap.amount_yen, tap.money) == (killed.stdout.strip(), 380, "meal")


def test_unfinished_taps_come_oldest_first_and_each_has_its_own_name(path: Path) -> None:
    with Spool(path) as spool:
        taps = [spool.put(amount_yen=n, money=None, card=CARD) for n in range(1, 51)]
        assert spool.unfinished() == taps
    names = [tap.tap_id for tap in taps]
    assert len(set(names)) == 50
    assert [name[:12] for name in names] == sorted(name[:12] for name in names)


def test_a_tap_stays_unfinished_until_it_is_settled(path: Path) -> None:
    with Spool(path) as spool:
        tap = spool.put(amount_yen=380, money=None, card=CARD)
        assert spool.unfinished() == [tap]
        spool.settle(tap.tap_id, accepted=True, answer={"balance_yen": 1_620})
        assert spool.unfinished() == []


def test_a_settled_tap_forgets_the_card_and_keeps_its_first_answer(path: Path) -> None:
    with Spool(path) as spool:
        tap = spool.put(amount_yen=380, money=None, card=CARD)
        spool.settle(tap.tap_id, accepted=True, answer={"first": True})
        spool.settle(tap.tap_id, accepted=False, answer={"second": True})
    with closing(sqlite3.connect(path)) as database:
        row = database.execute("SELECT state, card, card_last4, answer FROM tap").fetchone()
    assert row == ("accepted", None, "5D60", '{"first": true}')
    assert CARD.idm.encode() not in path.read_bytes()


def test_only_the_owner_may_read_it(path: Path) -> None:
    with Spool(path) as spool:
        spool.put(amount_yen=380, money=None, card=CARD)
        assert [file.name for file in path.parent.iterdir() if file.stat().st_mode & 0o077] == []


def test_what_is_no_spool_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("a shopping list, long enough to be taken for a database header")
    with pytest.raises(SpoolUnreadable):
        Spool(path)
    assert path.read_text().startswith("a shopping list")


def test_a_spool_of_another_version_is_left_alone(path: Path) -> None:
    with Spool(path):
        pass
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(SpoolUnreadable):
        Spool(path)


def test_a_page_that_cannot_be_read_hides_no_tap(path: Path) -> None:
    with Spool(path) as spool:
        spool.put(amount_yen=380, money=None, card=CARD)
    spoil(path)
    with Spool(path) as spool, pytest.raises(SpoolUnreadable):
        spool.unfinished()


def test_a_spool_serves_one_program_at_a_time(path: Path) -> None:
    with Spool(path) as spool:
        with pytest.raises(SpoolTaken):
            Spool(path)
        spool.put(amount_yen=380, money=None, card=CARD)
    with Spool(path) as spool:
        assert len(spool.unfinished()) == 1


def test_an_answer_is_kept_whatever_text_it_brings(path: Path) -> None:
    with Spool(path) as spool:
        tap = spool.put(amount_yen=380, money=None, card=CARD)
        spool.settle(tap.tap_id, accepted=False, answer={"title": "half of a pair: \ud800"})
        assert spool.unfinished() == []


def test_a_spool_that_is_busy_too_long_takes_nothing(path: Path) -> None:
    with Spool(path) as spool, closing(sqlite3.connect(path, isolation_level=None)) as other:
        spool._db.execute("PRAGMA busy_timeout=10")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SpoolError):
            spool.put(amount_yen=380, money=None, card=CARD)
        other.execute("ROLLBACK")
        assert spool.unfinished() == []
