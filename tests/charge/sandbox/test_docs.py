"""docs/sandbox.md against the program: its examples work, its lists are whole."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from app.charge.sandbox import cards, faults
from app.charge.sandbox.chains import CHAINS
from app.charge.sandbox.payments import fee_yen
from tests.charge.sandbox.conftest import Desk
from tests.conftest import ROOT

TEXT = (ROOT / "docs/sandbox.md").read_text()


def test_the_examples_are_answered_as_documented(desk: Desk) -> None:
    card, slip, answer, event = (json.loads(each) for each in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))
    slip["pay_until"] = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    made = [desk.api("POST", "/v1/payments", body) for body in (card, slip)]
    assert [each.status_code for each in made] == [201, 201]
    assert made[1].get_json().keys() == answer.keys()
    assert made[1].get_json()["slip"].keys() == answer["slip"].keys()
    assert made[0].get_json().keys() == (answer.keys() - {"slip"}) | {"url"}
    (sent,) = desk.seen(made[1].get_json()["id"])["events"]
    body = json.loads(desk.api("GET", f"/test/events/{sent['id']}/message").get_json()["body"])
    assert body.keys() == event.keys()
    assert body["data"].keys() == event["data"].keys()


def test_its_lists_are_whole(desk: Desk) -> None:
    for card in cards.TEST_CARDS:
        assert f"| {card.shown} | `{card.name}` |" in TEXT
    for name in (*faults.KINDS, *faults.OPERATIONS, *CHAINS, *cards.FAILURES):
        assert f"`{name}`" in TEXT, name
    for rule in desk.client.application.url_map.iter_rules():
        if rule.rule.startswith(("/v1/", "/test/")):
            last = re.sub("<(?:int:)?(?:payment_|event_)?(\\w+)>", r"{\1}", rule.rule)
            assert last in TEXT or f"`{last[last.rindex('/') :]}`" in TEXT, rule.rule


def test_the_fees_are_as_documented(desk: Desk) -> None:
    assert [fee_yen("konbini", amount) for amount in (9_999, 10_000, 49_999, 50_000)] == [150, 250, 250, 480]
    assert [fee_yen("card", amount) for amount in (1, 27, 28, 5_000)] == [0, 0, 1, 180]
