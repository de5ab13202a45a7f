"""Every refusal of the ledger, reached as a program would reach it. A new code needs its way here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from app import clock
from app.db import database_url, transaction
from app.demo.demo_card import fcf_blocks
from app.reader import cards, pins, terminals
from app.wallet.errors import STATUS_OF
from app.wallet.models import Shop
from app.wallet.postings import Settle
from app.web.locale import LOCALES
from tests.reader.stand import Stand, new_idm
from tests.reader.stand import stand as make_stand
from tests.wallet.api.caller import Caller, app_of, refusal, taken, till_of
from tests.wallet.world import World

pytestmark = pytest.mark.ledger

PENDING = {
    "hold_not_expired": "only the worker ends a hold for its time",
    "already_expired": "the office grants: bulk",
    "nothing_expired": "only the worker sweeps",
    "wallet_has_holds": "the office closes",
    "wallet_awaits_charges": "the office closes",
    "payout_quota_exceeded": "the office closes",
    "card_proof_expired": "tests/reader/test_assurance.py: a card that computes real MACs",
    "proof_not_ready": "tests/wallet/proof",
    "record_changed": "tests/wallet/proof",
    "request_in_progress": "tests/wallet/test_poster.py: a duplicate that waits five seconds",
    "outcome_unknown": "tests/wallet/test_poster.py: a wire that is cut in the middle of a commit",
}
"""Codes that this table does not reach, and where they are, or why nobody gets them over HTTP."""


@dataclass
class Scene:
    """A member with 1,000 yen of base money and 500 of meal money, and their app."""

    http: FlaskClient
    meal: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def world(self) -> World:
        world = World(**self.meal)
        world.charge(world.base, 1_000)
        world.charge(world.meal, 500)
        return world

    @cached_property
    def app(self) -> Caller:
        return app_of(self.http, self.world)

    @cached_property
    def stand(self) -> Stand:
        return make_stand()

    def pay(self, amount_yen: int = 100, **more: Any) -> TestResponse:
        return self.app.pay(amount_yen, **{"strategy": "money_only", **more})

    def limited(self, **rules: int) -> TestResponse:
        self.world.rule(self.world.meal, **rules)
        self.pay(50)
        return self.pay(51)

    def wallet(self, status: str) -> TestResponse:
        sql = "UPDATE wallet SET status = :status WHERE member_id = :member AND total_yen = 0"
        with transaction() as session:
            session.execute(text(sql), {"status": status, "member": self.world.member_id})
        return self.app.pay(1, money=self.world.points)

    def refunds(self, *amounts: int | None) -> TestResponse:
        path = f"/v1/payments/{taken(self.pay(100))['id']}/refunds"
        answers = [self.app.post(path, {} if yen is None else {"amount_yen": yen}) for yen in amounts]
        return answers[-1]

    def settled(self) -> TestResponse:
        """What the shop took was settled with it, so it is not there to be given back."""
        paid = taken(self.pay(100))
        self.world.accepted(Settle, shop_id=self.world.shop_id, amounts={self.world.meal: 100})
        return self.app.post(f"/v1/payments/{paid['id']}/refunds", {})

    def closed_shop(self) -> TestResponse:
        with transaction() as session:
            session.get_one(Shop, self.world.shop_id).status = "closed"
        return self.pay()

    def move(self, amount_yen: int, *, source: str | None = None, target: str | None = None) -> TestResponse:
        body = {"from": source or self.world.base, "to": target or self.world.meal, "amount_yen": amount_yen}
        return self.app.post("/v1/moves", body)

    def held(self, *ways: str, **body: Any) -> TestResponse:
        hold_id = taken(self.app.hold(100))["id"]
        return [self.app.post(f"/v1/holds/{hold_id}/{way}", body) for way in ways][-1]

    def over(self) -> TestResponse:
        caller = self.app
        with pytest.MonkeyPatch.context() as patch:
            before = clock.now() - timedelta(hours=2)
            patch.setattr(clock, "now", lambda: before)
            hold_id = taken(caller.hold(100))["id"]
        return caller.post(f"/v1/holds/{hold_id}/capture", {})

    def twice(self) -> TestResponse:
        self.pay(1, key="one-name")
        return self.pay(2, key="one-name")

    def code(self, then: Callable[[Caller, dict[str, Any]], Any] | None = None) -> TestResponse:
        """The member's app scans a till's code, to which something happened before."""
        till = till_of(self.http, self.world, "till")
        made = taken(till.post("/v1/shop-codes", {"amount_yen": 10, "money": self.world.meal}))
        if then is not None:
            then(till, made)
        return self.scan(made["code"])

    def scan(self, digits: str) -> TestResponse:
        return self.app.post("/v1/payments/by-code", {"code": digits, "money": self.world.meal})

    def tap(self, **changes: Any) -> TestResponse:
        answer = self.stand.tap(self.http, self.stand.body(**changes))
        assert isinstance(answer, TestResponse)
        return answer

    def card(self, **changes: Any) -> TestResponse:
        return self.tap(card={**self.stand.body()["card"], **changes})

    def lost(self) -> TestResponse:
        with transaction():
            cards.report_lost(self.stand.card_id)
        return self.tap()

    def expired_card(self) -> TestResponse:
        with transaction() as session:
            session.execute(
                text("UPDATE card SET valid_until = '2020-03-31' WHERE id = :id"), {"id": self.stand.card_id}
            )
        return self.tap()

    def pin(self, typed: str) -> TestResponse:
        with transaction() as session:
            known = text("SELECT count(*) FROM member_pin WHERE member_id = :id")
            if not session.scalar(known, {"id": self.stand.holder.member_id}):
                pins.put(self.stand.holder.member_id, "4829")
        return self.tap(evidence={"pin": typed})

    def voided_late(self) -> TestResponse:
        body = self.stand.body()
        with pytest.MonkeyPatch.context() as patch:
            taken(self.stand.tap(self.http, body))
            late = clock.now() + timedelta(minutes=6)
            patch.setattr(clock, "now", lambda: late)
            headers = {"Authorization": f"Bearer {self.stand.token}"}
            return self.http.post(f"/v1/taps/{body['tap_id']}/void", headers=headers)

    def revoked(self) -> TestResponse:
        with transaction():
            terminals.revoke(self.stand.terminal_id)
        return self.tap()

    def busy(self) -> TestResponse:
        """Somebody outside holds the member's wallets."""
        caller = self.app
        with psycopg.connect(database_url()) as other:
            other.execute("SELECT FROM wallet WHERE member_id = %s FOR UPDATE", [self.world.member_id])
            return caller.pay(1)


def _sql(statement: str) -> Callable[[Caller, dict[str, Any]], None]:
    def run(_: Caller, made: dict[str, Any]) -> None:
        with transaction() as session:
            session.execute(text(statement), {"id": made["id"]})

    return run


def _changed_blocks() -> dict[str, str]:
    return {str(n): block.hex() for n, block in fcf_blocks(student_id="99Z99999").items() if n != 1}


REACHED: dict[str, Callable[[Scene], TestResponse]] = {
    "insufficient_balance": lambda at: at.pay(1_501),
    "payment_limit_exceeded": lambda at: at.limited(max_per_payment_yen=50),
    "daily_limit_exceeded": lambda at: at.limited(max_per_day_yen=100),
    "monthly_limit_exceeded": lambda at: at.limited(max_per_month_yen=100),
    "mandate_exceeded": lambda at: at.pay(9_001),
    "wallet_suspended": lambda at: at.wallet("suspended"),
    "wallet_closed": lambda at: at.wallet("closed"),
    "wallet_unknown": lambda at: at.app.get("/v1/wallets/gold"),
    "card_lost": lambda at: at.lost(),
    "card_unknown": lambda at: at.card(idm=new_idm()),
    "card_changed": lambda at: at.card(blocks=_changed_blocks()),
    "card_expired": lambda at: at.expired_card(),
    "assurance_too_low": lambda at: at.card(blocks={}),
    "pin_required": lambda at: at.tap(amount_yen=3_001),
    "pin_wrong": lambda at: at.pin("9999"),
    "pin_locked": lambda at: [at.pin("9999") for _ in range(6)][-1],
    "pin_not_set": lambda at: at.tap(evidence={"pin": "4829"}),
    "card_proof_wrong": lambda at: at.tap(evidence={"mac": {"nonce": "0" * 80, "82": "0" * 32, "81": "0" * 32}}),
    "void_too_late": lambda at: at.voided_late(),
    "terminal_revoked": lambda at: at.revoked(),
    "shop_closed": lambda at: at.closed_shop(),
    "shop_unknown": lambda at: at.pay(shop="nowhere"),
    "money_not_accepted": lambda at: at.pay(money="gold"),
    "invalid_amount": lambda at: at.move(995),
    "already_refunded": lambda at: at.refunds(None, None),
    "not_refundable": lambda at: at.settled(),
    "wallet_ceiling_exceeded": lambda at: (at.world.rule(at.world.meal, ceiling_yen=600), at.move(110))[1],
    "refund_exceeds_payment": lambda at: at.refunds(101),
    "capture_exceeds_hold": lambda at: at.held("capture", amount_yen=101),
    "hold_unknown": lambda at: at.app.post("/v1/holds/01936a7c-5b1e-7a10-8000-0000000000aa/capture", {}),
    "hold_expired": lambda at: at.over(),
    "hold_already_captured": lambda at: at.held("capture", "release"),
    "hold_released": lambda at: at.held("release", "capture"),
    "items_do_not_add_up": lambda at: at.pay(5, items=[{"group": "meal", "amount_yen": 4}]),
    "same_account": lambda at: at.move(10, target=at.world.base),
    "move_not_allowed": lambda at: at.move(10, source=at.world.meal, target=at.world.base),
    "code_unknown": lambda at: at.scan("1234567890123456789012"),
    "code_used": lambda at: at.code(lambda _, made: taken(at.scan(made["code"]))),
    "code_cancelled": lambda at: at.code(_sql("UPDATE one_time_code SET cancelled_at = now() WHERE id = :id")),
    "code_expired": lambda at: at.code(_sql("UPDATE one_time_code SET expires_at = created_at WHERE id = :id")),
    "request_id_conflict": lambda at: at.twice(),
    "temporarily_unavailable": lambda at: at.busy(),
}


def test_every_code_is_here_or_said_to_be_elsewhere() -> None:
    assert not REACHED.keys() & PENDING.keys()
    assert REACHED.keys() | PENDING.keys() == STATUS_OF.keys()


@pytest.mark.parametrize("code", REACHED)
def test_a_code_is_reached_and_explained(client: FlaskClient, code: str) -> None:
    answer = REACHED[code](Scene(client))
    assert refusal(answer) == (STATUS_OF[code], code)
    body = answer.get_json()
    assert body["detail"] != f"error.{code}.cure"
    assert body["doc_url"] == body["type"]
    titles = set()
    for locale in LOCALES:
        with client.application.app_context():
            page = client.get(f"/docs/errors/{code}", headers={"Accept-Language": locale})
        assert page.status_code == 200
        titles.add(page.text.partition("<h1>")[2].partition("</h1>")[0])
    assert len(titles) == len(LOCALES), "in each language"
