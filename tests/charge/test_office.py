"""`kumiai charge …`: rules, suspense, the gateway's settlement file."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.charge.scene import Scene
from tests.oauth.office import Kumiai, kumiai_for
from tests.wallet.api.caller import refusal, taken

pytestmark = pytest.mark.ledger


@pytest.fixture
def kumiai(scene: Scene) -> Kumiai:
    return kumiai_for(replace(scene.app.extensions["kumiai.settings"], **scene.vendor.settings))


@pytest.fixture(autouse=True)
def _rules_as_they_were(scene: Scene) -> None:
    scene.rows("DELETE FROM charge_rule RETURNING 1")


def test_the_rules_are_shown_and_changed(scene: Scene, kumiai: Kumiai) -> None:
    assert "¥1,000" in kumiai("charge", "rules").output
    changed = kumiai("charge", "rules", "--step-yen", "500", "--min-yen", "500", "--new-card-max-per-day-yen", "none")
    assert changed.exit_code == 0, changed.output
    assert "none" in changed.output
    assert scene.ordered(1_500)["amount_yen"] == 1_500
    assert scene.ordered(60_000, method="card")["state"] == "pending"
    kumiai("charge", "rules", "--identity", "birthday", "--card-fee-yen", "100")
    assert refusal(scene.order(1_000, method="card")) == (409, "identity_unknown")
    scene.rows("UPDATE member SET birthday = '2006-04-01' WHERE id = :m RETURNING 1", m=scene.member_id)
    for _ in range(5):
        assert refusal(scene.order(1_000, method="card", birthday_mmdd="0402")) == (403, "identity_check_failed")
    assert refusal(scene.order(1_000, method="card", birthday_mmdd="0401")) == (429, "too_many_requests")


def test_the_right_birthday_opens_the_door_and_the_fee_is_paid_on_top(scene: Scene, kumiai: Kumiai) -> None:
    kumiai("charge", "rules", "--identity", "birthday", "--card-fee-yen", "100")
    [(email,)] = scene.rows("SELECT email FROM member WHERE id = :m", m=scene.member_id)
    assert kumiai("member", "birthday", email, "2006-04-01").exit_code == 0
    ordered = scene.ordered(1_000, method="card", birthday_mmdd="0401")
    assert (ordered["fee_yen"], ordered["to_pay_yen"]) == (100, 1_100)
    ref = scene.ref(ordered["id"])
    assert scene.vendor.payment(ref)["amount_yen"] == 1_100
    scene.vendor.card(ref, "visa")
    scene.deliver(ref)
    assert scene.balance_yen() == 1_000


def test_asked_for_a_code_a_card_needs_a_new_sign_in_and_a_store_does_not(scene: Scene, kumiai: Kumiai) -> None:
    """RFC 9470: the answer says how old a sign-in may be."""
    kumiai("charge", "rules", "--identity", "code")
    assert taken(scene.ask("GET", "/v1/charges/options"), 200)["identity"] == "code"
    scene.ordered(1_000, method="card")
    scene.sign_in(minutes_ago=6)
    asked = scene.order(1_000, method="card")
    assert refusal(asked) == (401, "insufficient_user_authentication")
    assert 'max_age="300"' in asked.headers["WWW-Authenticate"]
    assert scene.reserved_yen() == 1_000
    scene.ordered(1_000)
    scene.sign_in(minutes_ago=4)
    scene.ordered(1_000, method="card")


def test_what_waits_for_the_office_is_credited_once(scene: Scene, kumiai: Kumiai) -> None:
    ordered = scene.ordered(3_000)
    ref = scene.ref(ordered["id"])
    scene.vendor.pay(ref, amount_yen=2_000)
    scene.deliver(ref)
    [(received_id,)] = scene.rows("SELECT id FROM charge_received WHERE gateway_ref = :r", r=ref)
    listed = kumiai("charge", "suspense", "list")
    assert (listed.exit_code, received_id in listed.output) == (1, True)
    credited = kumiai("charge", "suspense", "credit", "sandbox", received_id, "--reason", "the member agreed")
    assert "¥2,000" in credited.output
    again = kumiai("charge", "suspense", "credit", "sandbox", received_id, "--reason", "once more")
    assert again.exit_code == 1
    assert scene.balance_yen() == 2_000
    shown = kumiai("charge", "show", ordered["id"]).output
    assert "the member agreed" in shown


def test_what_is_given_back_outside_is_not_credited_any_more(scene: Scene, kumiai: Kumiai) -> None:
    ordered = scene.ordered(3_000)
    ref = scene.ref(ordered["id"])
    scene.vendor.pay(ref, amount_yen=2_000)
    scene.deliver(ref)
    [(received_id,)] = scene.rows("SELECT id FROM charge_received WHERE gateway_ref = :r", r=ref)
    assert kumiai("charge", "suspense", "return", "sandbox", received_id, "--reason", "bank transfer").exit_code == 0
    assert kumiai("charge", "suspense", "credit", "sandbox", received_id, "--reason", "x").exit_code == 1
    assert scene.charge(ordered["id"])["received"][0]["state"] == "returned"
    assert scene.balance_yen() == 0


def test_the_settlement_file_is_compared_and_what_is_missing_posted_once(
    scene: Scene, kumiai: Kumiai, tmp_path: Path
) -> None:
    told, untold = scene.ordered(3_000), scene.ordered(4_000)
    for ordered in (told, untold):
        scene.vendor.pay(scene.ref(ordered["id"]))
    scene.deliver(scene.ref(told["id"]))
    file = tmp_path / "settlement.csv"
    whole = scene.vendor.settlement(datetime.now(ZoneInfo("Asia/Tokyo")).date())
    mine = [line for line in whole.splitlines() if told["id"] in line or untold["id"] in line]
    file.write_text("\r\n".join([whole.splitlines()[0], *mine]) + "\r\n")
    compared = kumiai("charge", "reconcile", str(file))
    assert compared.exit_code == 1
    assert "1 matched" in compared.output
    assert "missing here" in compared.output
    assert scene.balance_yen() == 3_000
    kumiai("charge", "reconcile", str(file), "--apply")
    assert (scene.balance_yen(), scene.reserved_yen()) == (7_000, 0)
    assert "2 matched" in kumiai("charge", "reconcile", str(file), "--apply").output
    scene.deliver(scene.ref(untold["id"]))
    assert (scene.balance_yen(), scene.charge(untold["id"])["state"]) == (7_000, "paid")
    wrong = file.read_text().replace(",3000,", ",3500,")
    file.write_text(wrong)
    assert "amount differs" in kumiai("charge", "reconcile", str(file), "--apply").output
    kumiai("charge", "reconcile", str(file), "--apply")
    assert scene.balance_yen() == 7_500


def test_a_file_that_is_none_is_refused_by_its_line(kumiai: Kumiai, tmp_path: Path) -> None:
    file = tmp_path / "settlement.csv"
    file.write_text("a,b\n")
    said = kumiai("charge", "reconcile", str(file))
    assert said.exit_code == 1
    assert "line 1" in said.output


def test_the_worker_reminds_once_on_the_day_before(scene: Scene) -> None:
    ordered = scene.ordered(3_000)
    scene.rows(
        "UPDATE charge_order SET pay_until = now() + interval '20 hours' WHERE id = :id RETURNING 1", id=ordered["id"]
    )
    before = scene.rows("SELECT count(*) FROM outbox WHERE topic = 'mail'")[0][0]
    hour = datetime.now(ZoneInfo("Asia/Tokyo")).hour
    for _ in range(2):
        scene.poll()
    after = scene.rows("SELECT count(*) FROM outbox WHERE topic = 'mail'")[0][0]
    assert after - before == (1 if hour >= 9 else 0)
