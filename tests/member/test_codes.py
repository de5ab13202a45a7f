"""Six-digit codes when many requests come at the same moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, update

from app.db import transaction
from app.errors import DomainError
from app.member import codes, service
from app.member.errors import WrongCode
from app.member.models import VerificationCode
from tests.live import eventually
from tests.member.conftest import PASSWORD, Person, other_code, register

MANY = 20


def at_once(app: Flask, call: Callable[[], object]) -> Counter[str]:
    """What came of MANY calls made at the same moment, each in a transaction of its own."""
    barrier = Barrier(MANY)

    def one(_: int) -> str:
        with app.app_context():
            barrier.wait(30)
            try:
                with transaction():
                    call()
            except DomainError as error:
                return error.code
            return "done"

    with ThreadPoolExecutor(MANY) as threads:
        return Counter(threads.map(one, range(MANY)))


def issue(app: Flask, member_id: UUID) -> codes.IssuedCode:
    with app.app_context(), transaction():
        return codes.issue(member_id, purpose="sign_in")


def rows(app: Flask, member_id: UUID) -> list[tuple[int, bool]]:
    with app.app_context(), transaction() as session:
        found = session.execute(
            select(VerificationCode.tries, VerificationCode.used_at).where(VerificationCode.member_id == member_id)
        )
        return [(tries, used_at is not None) for tries, used_at in found]


def test_twenty_wrong_guesses_at_once_get_five_tries(app: Flask, person: Person) -> None:
    code = issue(app, person.id)
    wrong = other_code(code.digits)
    said = at_once(app, lambda: codes.redeem(code.id, purpose="sign_in", digits=wrong))
    assert said == {"wrong_code": 4, "code_exhausted": 1, "code_unusable": 15}
    assert rows(app, person.id) == [(5, False)]


def test_twenty_right_codes_at_once_are_one_sign_in(app: Flask, person: Person) -> None:
    code = issue(app, person.id)
    said = at_once(app, lambda: codes.redeem(code.id, purpose="sign_in", digits=code.digits))
    assert said == {"done": 1, "code_unusable": 19}
    assert rows(app, person.id) == [(1, True)]


def test_twenty_new_codes_at_once_leave_one(app: Flask, person: Person) -> None:
    assert at_once(app, lambda: codes.issue(person.id, purpose="sign_in")) == {"done": MANY}
    assert rows(app, person.id) == [(0, False)]


def test_a_stored_hash_moved_to_another_row_is_worth_nothing(app: Flask, person: Person) -> None:
    mine, other = issue(app, person.id), issue(app, register(app).id)
    with app.app_context(), transaction() as session:
        stored = select(VerificationCode.code_hash).where(VerificationCode.id == mine.id).scalar_subquery()
        session.execute(update(VerificationCode).where(VerificationCode.id == other.id).values(code_hash=stored))
    with app.app_context(), pytest.raises(WrongCode), transaction():
        codes.redeem(other.id, purpose="sign_in", digits=mine.digits)


def test_codes_are_six_digits_and_differ(app: Flask, person: Person) -> None:
    digits = [issue(app, person.id).digits for _ in range(60)]
    assert all(len(each) == 6 and each.isdecimal() for each in digits)
    assert len(set(digits)) > 50


def test_a_code_and_its_mail_are_written_together_or_not_at_all(
    app: Flask, person: Person, mails: Callable[[str], list[dict[str, str]]]
) -> None:
    with app.app_context(), pytest.raises(ZeroDivisionError), transaction():
        member = service.authenticate(email=person.email, password=PASSWORD)
        service.send_code(member.id, password_mark=service.mark_of_password(member))
        raise ZeroDivisionError
    assert mails(person.email) == []
    assert rows(app, person.id) == []


def test_a_code_given_while_another_is_sent_waits_and_is_told_that_it_was_replaced(
    app: Flask, person: Person, database_url: str
) -> None:
    """A new code, and a new password, lock the member before the codes; so does whoever gives one."""
    code = issue(app, person.id)

    def give() -> str:
        with app.app_context():
            try:
                with transaction():
                    service.finish_sign_in(code_id=code.id, digits=code.digits)
            except DomainError as error:
                return error.code
            return "done"

    with psycopg.connect(database_url) as theirs, ThreadPoolExecutor(1) as pool:
        theirs.execute("SELECT FROM member WHERE id = %s FOR NO KEY UPDATE", [person.id])
        giving = pool.submit(give)
        with psycopg.connect(database_url, autocommit=True) as watching:
            blocked = "SELECT true FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
            eventually(lambda: watching.execute(blocked, [theirs.info.backend_pid]).fetchone())
        theirs.execute("DELETE FROM verification_code WHERE member_id = %s", [person.id])
        theirs.commit()
        assert giving.result(30) == "code_unusable"
