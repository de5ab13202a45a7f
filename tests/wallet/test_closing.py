"""Closing wallets and accounts: what is paid out against which quota, what ends, and what a second asking does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from itertools import cycle
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from app.db import database_url, transaction
from app.issuer import issuer_today
from app.settings import Settings
from app.wallet import closing, ledger, payout
from app.wallet.poster import Poster
from app.wallet.postings import Accepted, Adjustment, Close, Hold, Outcome, Payment, Refund, Refused, Release
from app.wallet.verify import verify
from tests import factories
from tests.oauth.conftest import sign_in
from tests.oauth.office import kumiai_for
from tests.wallet.mailed import mails_to
from tests.wallet.postings import payment
from tests.wallet.world import World, in_days, read, soon

pytestmark = pytest.mark.ledger


@pytest.fixture
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield
        assert verify(database_url())[1] == []


@pytest.fixture
def email_of(_context: None) -> Any:
    return lambda world: read("SELECT email FROM member WHERE id = :m", m=world.member_id)[0][0]


def close(world: World, *, money: str | None = None, reason: str = "unavoidable") -> tuple[list[Outcome], bool]:
    with transaction():
        chosen = closing.plans(world.member_id, money=money)
        quota = payout.open_period()
    return closing.close(world.member_id, chosen, reason=reason, period_begins_on=quota.begins_on, actor="office:sato")


def statuses(member_id: UUID) -> tuple[str, list[str]]:
    [(status,)] = read("SELECT status FROM member WHERE id = :m", m=member_id)
    return status, sorted(one for (one,) in read("SELECT status FROM wallet WHERE member_id = :m", m=member_id))


def events(member_id: UUID) -> list[str]:
    sql = "SELECT reason FROM stop_event WHERE member_id = :m AND action = 'closed' ORDER BY created_at"
    return [reason for (reason,) in read(sql, m=member_id)]


def transfers(member_id: UUID) -> dict[str, int]:
    sql = (
        "SELECT a.book, sum(t.amount_yen)::bigint FROM transaction c JOIN transfer t ON t.transaction_id = c.id"
        " JOIN account a ON a.id = t.credit_account_id WHERE c.member_id = :m AND c.kind = 'close' GROUP BY a.book"
    )
    return {book: yen for book, yen in read(sql, m=member_id)}  # noqa: C416  # rows are no pairs to mypy


def test_the_account_ends_with_its_last_wallet(app: Flask, _context: None) -> None:
    world = World()
    world.charge(world.base, 800)
    world.charge(world.meal, 200)
    world.accepted(Adjustment, money=world.points, amount_yen=30, book="granted")
    client = factories.oauth_client()
    token = factories.access_token(member_id=world.member_id, client_id=client.id, scopes=["balance"])
    browser = app.test_client()
    sign_in(app, browser, world.member_id)

    outcomes, is_closed = close(world, money=world.base)
    assert (len(outcomes), is_closed) == (1, False)
    assert statuses(world.member_id) == ("active", ["active", "active", "closed"])
    outcomes, is_closed = close(world)

    assert (len(outcomes), is_closed) == (2, True)
    assert statuses(world.member_id) == ("closed", ["closed"] * 3)
    assert transfers(world.member_id) == {"refunded_in_cash": 1_000, "forfeited": 30}
    assert world.refused(Payment, amount_yen=1) == "wallet_closed"
    headers = {"Authorization": f"Bearer {token}"}
    assert app.test_client().get("/v1/wallets", headers=headers).status_code == 401
    assert browser.get("/account/apps").headers["Location"].startswith("/login")
    assert read("SELECT FROM oauth_grant WHERE member_id = :m AND revoked_at IS NULL", m=world.member_id) == []
    wallets = [f"unavoidable: {world.base}", f"unavoidable: {world.points}", f"unavoidable: {world.meal}"]
    assert sorted(events(world.member_id)) == sorted([*wallets, "unavoidable"])
    [*_, mail] = mails_to(app, world.member_id)
    assert "解約のお知らせ" in mail["subject"]
    assert "払い戻し：¥1,000" in mail["text"]


def test_asked_again_it_changes_nothing(app: Flask, _context: None) -> None:
    world = World()
    world.charge(world.base, 800)
    close(world)
    before = (events(world.member_id), mails_to(app, world.member_id))
    assert close(world) == ([], True)
    assert (events(world.member_id), mails_to(app, world.member_id)) == before


@pytest.mark.parametrize("dies_after", [0, 1, 2, 3])
def test_who_dies_between_two_steps_is_taken_up(
    app: Flask, _context: None, monkeypatch: pytest.MonkeyPatch, dies_after: int
) -> None:
    world = World()
    world.charge(world.base, 800)
    world.charge(world.meal, 200)
    real, done = ledger.post, 0

    def post(posting: Any) -> Outcome:
        nonlocal done
        if done == dies_after:
            raise SystemExit
        done += 1
        return real(posting)

    with monkeypatch.context() as patched:
        patched.setattr("app.wallet.closing.ledger.post", post)
        patched.setattr("app.wallet.closing.finish", lambda *_, **__: exec("raise SystemExit"))
        with pytest.raises(SystemExit):
            close(world)
    assert statuses(world.member_id)[1].count("closed") == dies_after
    assert events(world.member_id) == []

    assert close(world)[1]
    assert statuses(world.member_id) == ("closed", ["closed"] * 3)
    assert transfers(world.member_id) == {"refunded_in_cash": 1_000}
    assert len(events(world.member_id)) == 4
    assert len(mails_to(app, world.member_id)) == 1


def test_a_lost_reply_is_the_same_answer(_context: None) -> None:
    world = World()
    world.charge(world.base, 800)
    with transaction():
        [plan] = closing.plans(world.member_id, money=world.base)
    first, second = (
        closing.close_wallet(world.member_id, plan, reason="unavoidable", period_begins_on=in_days(0)) for _ in range(2)
    )
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert second.hit
    assert second.transaction_id == first.transaction_id


def test_what_was_refused_may_be_asked_again_when_the_hold_is_over(_context: None) -> None:
    world = World()
    world.charge(world.meal, 500)
    held = world.accepted(Hold, amount_yen=200, expires_at=soon())
    for _ in range(2):
        [refused], is_closed = close(world, money=world.meal)
        assert isinstance(refused, Refused)
        assert (refused.code, is_closed) == ("wallet_has_holds", False)
    world.accepted(Release, hold_id=held.transaction_id)
    [accepted], _ = close(world, money=world.meal)
    assert isinstance(accepted, Accepted)
    assert accepted.amount_yen == 500


def test_a_wallet_that_awaits_charges_is_not_closed(_context: None) -> None:
    world = World()
    world.charge(world.meal, 500)
    with transaction() as session:
        sql = "UPDATE wallet SET reserved_yen = 300 WHERE member_id = :m AND total_yen > 0"
        session.execute(text(sql), {"m": world.member_id})
    [refused], is_closed = close(world, money=world.meal)
    assert isinstance(refused, Refused)
    assert (refused.code, is_closed) == ("wallet_awaits_charges", False)


def test_what_expired_is_not_paid_out(_context: None) -> None:
    world = World(expiry="after_charge", expiry_months=6)
    world.charge(world.meal, 500)
    with transaction() as session:
        sql = "UPDATE wallet SET expires_on = :d WHERE member_id = :m AND expires_on IS NOT NULL"
        session.execute(text(sql), {"d": in_days(-1), "m": world.member_id})
        [plan] = closing.plans(world.member_id, money=world.meal)
    assert (plan.paid_out_yen, plan.expired_yen) == (0, 500)
    close(world, money=world.meal)
    assert transfers(world.member_id) == {"expired": 500}


# --- the quota ---


@pytest.mark.parametrize(
    ("day", "begins_on"),
    [
        (date(2026, 3, 31), date(2025, 10, 1)),
        (date(2026, 4, 1), date(2026, 4, 1)),
        (date(2026, 9, 30), date(2026, 4, 1)),
        (date(2026, 10, 1), date(2026, 10, 1)),
        (date(2026, 12, 31), date(2026, 10, 1)),
        (date(2026, 1, 1), date(2025, 10, 1)),
    ],
)
def test_base_periods_begin_after_the_base_dates(day: date, begins_on: date) -> None:
    assert payout.period_of(day) == begins_on


def happened_on(day: date) -> None:
    """All transactions so far are of that day: what the ledger refuses to everybody but a test's superuser."""
    noon = datetime.combine(day, time(3), UTC)
    with transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("UPDATE transaction SET created_at = :at WHERE created_at > :at"), {"at": noon})


def test_the_quota_is_read_off_the_ledger_as_it_was(fresh_app: Flask) -> None:
    """20 % of what was issued in the period before, or 5 % of what was unused at the base date: the larger."""
    with fresh_app.app_context():
        begins_on = payout.period_of(issuer_today())
        last_period = payout.period_of(begins_on - timedelta(days=1))
        holder = factories.holder(balance_yen=900_000)
        happened_on(last_period - timedelta(days=1))
        factories.charge(member_id=holder.member_id, money=holder.money, amount_yen=100_000)
        assert isinstance(ledger.post(payment(holder, 200_000)), Accepted)
        world = World()
        world.accepted(Adjustment, money=world.points, amount_yen=50_000, book="granted")
        happened_on(begins_on - timedelta(days=1))
        factories.charge(member_id=holder.member_id, money=holder.money, amount_yen=400_000)  # counts next time

        with transaction():
            quota = payout.open_period()

        assert (quota.begins_on, quota.issued_before_yen, quota.unused_yen) == (begins_on, 100_000, 800_000)
        assert (quota.quota_yen, quota.left_yen) == (40_000, 40_000)
        small, large = World(), World()
        small.charge(small.base, 39_000)
        large.charge(large.base, 1_001)
        [accepted], _ = close(small, money=small.base, reason="small_amount")
        [refused], _ = close(large, money=large.base, reason="small_amount")
        assert isinstance(accepted, Accepted)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.detail["left_yen"]) == ("payout_quota_exceeded", 1_000)
        [accepted], _ = close(large, money=large.base, reason="unavoidable")
        assert isinstance(accepted, Accepted)
        with transaction():
            assert payout.open_period().left_yen == 1_000


def test_two_posters_and_many_threads_keep_within_one_quota(fresh_app: Flask, posters: tuple[Poster, Poster]) -> None:
    with fresh_app.app_context():
        with transaction():
            begins_on = payout.open_period().begins_on
        with transaction() as session:
            session.execute(text("UPDATE payout_period SET quota_yen = 1000"))
        worlds = [World() for _ in range(8)]
        for world in worlds:
            world.charge(world.base, 300)
        asked = [
            world.posting(Close, money=world.base, reason="small_amount", period_begins_on=begins_on)
            for world in worlds
        ]
        with ThreadPoolExecutor(16) as pool:
            outcomes = list(pool.map(lambda pair: pair[0].post(pair[1]), zip(cycle(posters), asked * 2)))
        assert sum(isinstance(outcome, Accepted) and not outcome.hit for outcome in outcomes) == 3
        assert {outcome.code for outcome in outcomes if isinstance(outcome, Refused)} == {"payout_quota_exceeded"}
        assert read("SELECT paid_out_yen FROM payout_period") == [(900,)]
        assert verify(database_url())[1] == []


def test_a_wallet_that_is_paid_from_and_refunded_to_while_it_is_closed_loses_nothing(
    fresh_app: Flask, posters: tuple[Poster, Poster]
) -> None:
    with fresh_app.app_context():
        world = World()
        world.charge(world.base, 1_000)
        paid = [world.accepted(Payment, money=world.base, amount_yen=100) for _ in range(4)]
        asked = [
            *(world.posting(Refund, transaction_id=payment.transaction_id, amount_yen=None) for payment in paid),
            *(world.posting(Payment, money=world.base, amount_yen=60) for _ in range(4)),
            *(
                world.posting(Close, money=world.base, reason="unavoidable", period_begins_on=issuer_today())
                for _ in range(4)
            ),
        ]
        shuffled = [one for three in zip(asked[:4], asked[4:8], asked[8:], strict=True) for one in three]
        with ThreadPoolExecutor(12) as pool:
            outcomes = list(pool.map(lambda pair: pair[0].post(pair[1]), zip(cycle(posters), shuffled)))
        done = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        by_kind = {kind: sum(one.amount_yen for one in done if one.kind == kind) for kind in ("refund", "payment")}
        assert [one.kind for one in done].count("close") == 1
        assert {one.code for one in outcomes if isinstance(one, Refused)} <= {"wallet_closed"}
        assert transfers(world.member_id) == {"refunded_in_cash": 600 + by_kind["refund"] - by_kind["payment"]}
        assert verify(database_url())[1] == []


@pytest.mark.parametrize(
    ("issued", "unused", "quota"), [(100, 0, 20), (99, 0, 19), (0, 99, 4), (200, 1_000, 50), (-5, -5, 0)]
)
def test_the_larger_counts_rounded_down(issued: int, unused: int, quota: int) -> None:
    found = payout.Quota(begins_on=date(2026, 4, 1), issued_before_yen=issued, unused_yen=unused)
    assert found.quota_yen == quota


# --- by command ---


def test_the_office_sees_what_it_pays_out_and_confirms(app: Flask, settings: Settings, email_of: Any) -> None:
    world = World()
    world.charge(world.base, 1_234)
    kumiai, email = kumiai_for(settings), email_of(world)

    dry = kumiai("wallet", "close", email, "--reason", "small_amount", "--dry-run")
    assert (dry.exit_code, "¥1,234" in dry.output, "5%" in dry.output) == (0, True, True), dry.output
    no = kumiai("wallet", "close", email, "--reason", "unavoidable", input="n\n")
    assert (no.exit_code, "¥1,234" in no.output) == (1, True)
    assert statuses(world.member_id) == ("active", ["active"] * 3)
    yes = kumiai("wallet", "close", email, "--reason", "unavoidable", input="y\n")
    assert (yes.exit_code, "account is closed" in yes.output) == (0, True), yes.output
    again = kumiai("wallet", "close", email, "--reason", "unavoidable", "--yes")
    assert (again.exit_code, "no wallet" in again.output) == (0, True), again.output
    assert kumiai("wallet", "close", email, "--reason", "because").exit_code == 2
    assert kumiai("wallet", "close", "nobody@example.ac.jp", "--reason", "unavoidable").exit_code == 1


def test_what_is_handed_over_is_what_the_ledger_paid_out(settings: Settings, email_of: Any) -> None:
    world = World()
    world.charge(world.base, 1_000)
    world.accepted(Adjustment, money=world.base, amount_yen=500, book="granted", expires_on=in_days(1))
    world.date_back(world.base, days=2)
    close(world, money=world.meal)
    done = kumiai_for(settings)("wallet", "close", email_of(world), "--reason", "unavoidable", "--yes")
    assert transfers(world.member_id) == {"refunded_in_cash": 1_000, "expired": 500}
    assert f"{world.base}: closed, pay out ¥1,000\n" in done.output
    assert "earlier closings included: ¥1,000\n" in done.output


def test_who_died_after_the_ledger_is_told_what_to_hand_over(
    settings: Settings, email_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.charge(world.base, 1_000)
    with monkeypatch.context() as patched:
        patched.setattr("app.wallet.closing.finish", lambda *_, **__: exec("raise SystemExit"))
        with pytest.raises(SystemExit):
            close(world)
    again = kumiai_for(settings)("wallet", "close", email_of(world), "--reason", "unavoidable", "--yes")
    assert "earlier closings included: ¥1,000\n" in again.output


def test_a_refused_closing_is_said_and_is_no_success(settings: Settings, email_of: Any) -> None:
    world = World()
    world.charge(world.meal, 100)
    world.accepted(Hold, amount_yen=100, expires_at=soon())
    done = kumiai_for(settings)("wallet", "close", email_of(world), "--reason", "unavoidable", "--yes")
    assert (done.exit_code, f"{world.meal}: not closed" in done.output) == (1, True), done.output
    assert statuses(world.member_id) == ("active", ["active", "closed", "closed"])


def test_limits_of_one_wallet_hold_for_the_next_payment(settings: Settings, email_of: Any) -> None:
    world = World()
    world.charge(world.base, 1_000)
    kumiai, email = kumiai_for(settings), email_of(world)
    world.accepted(Payment, money=world.base, amount_yen=300)
    done = kumiai("wallet", "limits", email, world.base, "--per-payment", "200", "--per-day", "450")
    assert (done.exit_code, "¥450 a day" in done.output) == (0, True), done.output
    assert world.refused(Payment, money=world.base, amount_yen=201) == "payment_limit_exceeded"
    assert world.refused(Payment, money=world.base, amount_yen=151) == "daily_limit_exceeded"
    assert kumiai("wallet", "limits", email, world.base, "--per-payment", "0").exit_code == 0
    world.accepted(Payment, money=world.base, amount_yen=150)
    assert kumiai("wallet", "limits", email, "nothing", "--per-day", "1").exit_code == 1
    for wrong in ("-1", "many", "1.5"):
        assert kumiai("wallet", "limits", email, world.base, "--per-day", wrong).exit_code == 2
