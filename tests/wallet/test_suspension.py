"""Stopping an account: what ends with it, what goes on, how it is opened again; and what happens at that moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import update

from app.db import database_url, transaction
from app.errors import NotFound
from app.member.models import Member
from app.oauth import grants_service
from app.oauth.errors import InvalidGrant
from app.settings import Settings
from app.wallet import ledger, suspension
from app.wallet.poster import Poster
from app.wallet.postings import (
    Accepted,
    Capture,
    Charge,
    Close,
    Hold,
    Move,
    Outcome,
    Payment,
    Posting,
    Refund,
    Refused,
    Release,
)
from app.wallet.spend_control import GrantControls
from app.wallet.suspension import AccountClosed, NotSuspended, Stopped
from app.wallet.verify import verify
from tests import factories
from tests.oauth.conftest import hidden, sign_in
from tests.oauth.office import Kumiai, kumiai_for
from tests.wallet.mailed import mails_to
from tests.wallet.world import World, in_days, read, soon

pytestmark = pytest.mark.ledger


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield
        assert verify(database_url())[1] == []


def suspend(member_id: UUID, **how: Any) -> Stopped:
    with transaction():
        return suspension.suspend(member_id, **{"actor": "test", **how})


def resume(member_id: UUID) -> tuple[str, ...]:
    with transaction():
        return suspension.resume(member_id, actor="office:sato", reason="組合員証で本人確認")


def events(member_id: UUID) -> list[tuple[str, ...]]:
    sql = "SELECT action, actor, reason FROM stop_event WHERE member_id = :m ORDER BY created_at"
    return [tuple(row) for row in read(sql, m=member_id)]


def statuses(member_id: UUID) -> tuple[str, set[str]]:
    [(status,)] = read("SELECT status FROM member WHERE id = :m", m=member_id)
    return status, {one for (one,) in read("SELECT status FROM wallet WHERE member_id = :m", m=member_id)}


def test_nothing_is_paid_moved_or_charged_any_more() -> None:
    world = World()
    world.charge(world.meal, 1_000)
    world.charge(world.base, 1_000)

    stopped = suspend(world.member_id)

    assert set(stopped.monies) == {world.meal, world.base, world.points}
    assert not stopped.already
    assert world.refused(Payment, amount_yen=100) == "wallet_suspended"
    assert world.refused(Hold, amount_yen=100, expires_at=soon()) == "wallet_suspended"
    assert world.refused(Move, money=world.base, to_money=world.meal, amount_yen=100) == "wallet_suspended"
    assert world.refused(Charge, money=world.base, amount_yen=100, book="issued_by_cash") == "wallet_suspended"
    assert (world.balance_yen(world.meal), world.balance_yen(world.base)) == (1_000, 1_000)


def test_what_was_agreed_before_goes_its_way() -> None:
    world = World()
    world.charge(world.meal, 1_000)
    paid = world.accepted(Payment, amount_yen=300)
    first = world.accepted(Hold, amount_yen=200, expires_at=soon())
    second = world.accepted(Hold, amount_yen=100, expires_at=soon())

    suspend(world.member_id)

    assert world.refused(Capture, hold_id=first.transaction_id) == "wallet_suspended"
    world.accepted(Release, hold_id=first.transaction_id)
    world.accepted(Release, hold_id=second.transaction_id)
    world.accepted(Refund, transaction_id=paid.transaction_id)
    world.accepted(Charge, money=world.meal, amount_yen=500, book="issued_by_konbini", agreed_before=True)
    assert world.balance_yen(world.meal) == 1_500
    assert statuses(world.member_id) == ("suspended", {"suspended"})


def test_a_second_stop_changes_nothing_and_is_answered_the_same(app: Flask) -> None:
    world = World()
    first = suspend(world.member_id, actor="member")
    second = suspend(world.member_id, actor="demo_app")

    assert second.already
    assert (second.suspended_at, second.monies) == (first.suspended_at, first.monies)
    assert events(world.member_id) == [("suspended", "member", "")]
    [mail] = mails_to(app, world.member_id)
    assert "アカウント停止のお知らせ" in mail["subject"]
    assert "本人確認" in mail["text"]


def test_resuming_opens_what_was_not_closed_and_brings_no_token_back(app: Flask) -> None:
    world = World()
    world.charge(world.base, 100)
    world.accepted(Close, money=world.meal, reason="unavoidable", period_begins_on=in_days(0))
    client = factories.oauth_client()
    token = factories.access_token(member_id=world.member_id, client_id=client.id, scopes=["balance"])
    suspend(world.member_id)

    assert set(resume(world.member_id)) == {world.base, world.points}

    assert statuses(world.member_id) == ("active", {"active", "closed"})
    assert world.refused(Payment, amount_yen=1) == "wallet_closed"
    world.accepted(Payment, amount_yen=1, money=world.base)
    headers = {"Authorization": f"Bearer {token}"}
    assert app.test_client().get("/v1/wallets", headers=headers).status_code == 401
    assert events(world.member_id)[1] == ("resumed", "office:sato", "組合員証で本人確認")
    assert "アカウント再開のお知らせ" in mails_to(app, world.member_id)[-1]["subject"]


def test_only_what_is_stopped_is_resumed() -> None:
    world = World()
    with pytest.raises(NotSuspended):
        resume(world.member_id)
    with pytest.raises(NotFound):
        suspend(UUID(int=1))
    with transaction() as session:
        session.execute(update(Member).where(Member.id == world.member_id).values(status="closed"))
    for attempt in (suspend, resume):
        with pytest.raises(AccountClosed):
            attempt(world.member_id)
    assert statuses(world.member_id)[0] == "closed"
    assert events(world.member_id) == []


def test_a_stop_that_fails_half_way_has_stopped_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.charge(world.meal, 100)
    monkeypatch.setattr("app.wallet.suspension._suspended_at", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        suspend(world.member_id)
    assert statuses(world.member_id) == ("active", {"active"})
    world.accepted(Payment, amount_yen=100)


def test_a_wallet_opened_for_a_stopped_account_is_stopped() -> None:
    world = World()
    suspend(world.member_id)
    code = factories.money()
    factories.wallet(member_id=world.member_id, money=code)
    assert statuses(world.member_id) == ("suspended", {"suspended"})


def test_no_payment_of_many_threads_comes_after_the_stop(app: Flask) -> None:
    """Two posters pay from six threads while the stop runs: each payment that was posted has an instant before it."""
    world = World()
    world.charge(world.meal, 1_000_000)
    paid = threading.Event()
    other = Poster(database_url())

    def pay_until_refused(post: Callable[[Posting], Outcome]) -> str:
        with app.app_context():
            while isinstance(outcome := post(world.posting(Payment, amount_yen=1)), Accepted):
                paid.set()
            assert isinstance(post(world.posting(Payment, amount_yen=1)), Refused)
            return outcome.code

    try:
        with ThreadPoolExecutor(6) as pool:
            paying = [pool.submit(pay_until_refused, post) for post in (ledger.post, other.post) * 3]
            assert paid.wait(30)
            stopped = suspend(world.member_id)
            assert {each.result(timeout=30) for each in paying} == {"wallet_suspended"}
    finally:
        other.close()

    sql = "SELECT count(*), max(created_at) FROM transaction WHERE member_id = :m AND kind = 'payment'"
    [(count, last_at)] = read(sql, m=world.member_id)
    assert last_at < stopped.suspended_at
    assert world.balance_yen(world.meal) + world.balance_yen(world.points) == 1_000_000 - count


def test_stops_payments_consents_and_revocations_at_once_make_no_deadlock(app: Flask) -> None:
    world = World()
    world.charge(world.meal, 1_000_000)
    client = factories.oauth_client(allowed_shops=[world.shop_id])
    rounds = 6

    def consent() -> None:
        factories.access_token(member_id=world.member_id, client_id=client.id, scopes=["payment"])

    def pay() -> None:
        for (grant_id,) in read("SELECT id FROM oauth_grant WHERE member_id = :m", m=world.member_id):
            ledger.post(world.posting(Payment, amount_yen=1, controls=(grant_id,), grant_id=grant_id))

    def revoke() -> None:
        with transaction():
            grants_service.revoke_all(world.member_id, controls=GrantControls())

    def stop_and_resume() -> None:
        suspend(world.member_id)
        with suppress(NotSuspended):
            resume(world.member_id)

    def run(work: Callable[[], None]) -> None:
        with app.app_context(), suppress(InvalidGrant):  # of a member who was stopped just before
            work()

    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    consent()
    [(before,)] = read(deadlocks)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(run, work) for _ in range(rounds) for work in (consent, pay, stop_and_resume, revoke, pay)]
        for job in jobs:
            job.result(timeout=60)
    [(after,)] = read(deadlocks)
    assert after == before
    suspend(world.member_id)
    assert world.refused(Payment, amount_yen=1) == "wallet_suspended"


# --- by page ---


def test_a_member_stops_the_account_by_one_button(app: Flask) -> None:
    world = World()
    world.charge(world.meal, 100)
    browser, elsewhere = app.test_client(), app.test_client()
    for one in (browser, elsewhere):
        sign_in(app, one, world.member_id)

    page = browser.get("/account/suspend")
    assert page.status_code == 200
    assert "再開できるのは生協の窓口だけです" in page.text
    done = browser.post("/account/suspend", data=hidden(page))

    assert (done.status_code, done.headers["Location"]) == (303, "/account/suspended")
    after = browser.get("/account/suspended")
    assert "アカウントを停止しました" in after.text
    assert browser.get("/account/suspend").status_code == 303
    assert elsewhere.get("/account/apps").headers["Location"].startswith("/login")
    assert world.refused(Payment, amount_yen=1) == "wallet_suspended"
    assert events(world.member_id) == [("suspended", "member", "")]


def test_without_the_forms_token_nothing_is_stopped(app: Flask) -> None:
    world = World()
    browser = app.test_client()
    sign_in(app, browser, world.member_id)
    assert browser.post("/account/suspend").status_code == 400
    assert statuses(world.member_id)[0] == "active"
    assert app.test_client().post("/account/suspend").status_code in (303, 400)


# --- by API ---


def test_an_app_stops_the_account_and_hears_what_was_stopped(app: Flask) -> None:
    world = World()
    client = factories.oauth_client(scopes=["suspend", "payment", "balance"], allowed_shops=[world.shop_id])
    token = factories.access_token(member_id=world.member_id, client_id=client.id, scopes=["suspend"])
    other = factories.access_token(member_id=world.member_id, client_id=client.id, scopes=["balance"])
    caller = app.test_client()

    answer = caller.post("/v1/suspend", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200, answer.text
    said = answer.get_json()
    assert (said["member_id"], said["status"]) == (str(world.member_id), "suspended")
    assert {money["code"] for money in said["monies"]} == {world.meal, world.base, world.points}
    for ended in (token, other):
        again = caller.post("/v1/suspend", headers={"Authorization": f"Bearer {ended}"})
        assert (again.status_code, again.get_json()["code"]) == (401, "invalid_token")
    assert events(world.member_id) == [("suspended", client.id, "")]


def test_the_scope_is_needed(app: Flask) -> None:
    world = World()
    client = factories.oauth_client(scopes=["suspend", "balance"])
    token = factories.access_token(member_id=world.member_id, client_id=client.id, scopes=["balance"])
    answer = app.test_client().post("/v1/suspend", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "insufficient_scope")
    assert statuses(world.member_id)[0] == "active"


# --- by command ---


@pytest.fixture
def kumiai(settings: Settings) -> Kumiai:
    return kumiai_for(settings)


def test_the_office_stops_shows_and_resumes(kumiai: Kumiai) -> None:
    world = World()
    world.charge(world.meal, 1_234)
    [(email,)] = read("SELECT email FROM member WHERE id = :m", m=world.member_id)

    done = kumiai("member", "suspend", f" {email.upper()} ", "--reason", "lost phone")
    assert (done.exit_code, world.meal in done.output) == (0, True), done.output
    assert "already" in kumiai("member", "suspend", email).output
    shown = kumiai("member", "show", email).output
    assert "¥1,234" in shown
    assert "lost phone" in shown
    for reason in (" ", "x" * 201, "a\x07b"):
        assert kumiai("member", "resume", email, "--reason", reason).exit_code == 1
    assert kumiai("member", "resume", email).exit_code == 2
    done = kumiai("member", "resume", email, "--reason", "seen at the counter")
    assert (done.exit_code, world.meal in done.output) == (0, True), done.output
    assert "not stopped" in kumiai("member", "resume", email, "--reason", "again").output
    assert kumiai("member", "show", "nobody@example.ac.jp").exit_code == 1
    assert statuses(world.member_id) == ("active", {"active"})
