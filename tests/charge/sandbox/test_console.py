"""The console: everything it shows, every button it has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from app.charge.sandbox import faults
from app.charge.sandbox.browser import LANGS
from tests.charge.sandbox.conftest import Desk
from tests.conftest import ROOT

PACKAGE = ROOT / "app/charge/sandbox"
_HALF_WIDTH = re.compile(r"[぀-ヿ一-鿿、-】][ \t]*[:()]|[:()][ \t]*[぀-ヿ一-鿿、-】]")


@pytest.mark.parametrize("lang", LANGS)
def test_every_page_is_there_in_both_languages(desk: Desk, lang: str) -> None:
    desk.client.get(f"/language/{lang}")
    slips = [desk.slip(chain=chain)["id"] for chain in ("lawson", "familymart")]
    cards = [desk.card()["id"] for _ in range(2)]
    desk.api("POST", f"/test/payments/{cards[0]}/card", {"card": "lost"})
    desk.api("POST", f"/test/payments/{slips[0]}/pay", {"times": 2})
    for kind in faults.KINDS:
        desk.fault(kind, payment_id=slips[0], seconds=3, amount_yen=5, operation="get")
    pages = ["/", "/console", "/store", *(f"/console/payments/{ref}" for ref in (*slips, *cards))]
    for path in pages:
        page = desk.client.get(path)
        assert page.status_code == 200
        assert f'<html lang="{lang}">' in page.text
        if lang == "en":
            assert not re.search("[（）、：]", page.text)


@pytest.mark.parametrize(
    ("action", "form", "state", "arrived"),
    [
        ("pay", {}, "paid", [3_000]),
        ("pay_late", {}, "paid", [3_000]),
        ("pay_twice", {}, "paid", [3_000, 3_000]),
        ("pay_other", {"amount_yen": "2500"}, "paid", [2_500]),
        ("pay_other", {"amount_yen": "many"}, "pending", []),
        ("pay_other", {"amount_yen": "0"}, "pending", []),
        ("expire", {}, "expired", []),
        ("cancel", {}, "cancelled", []),
        ("fail", {"failure": "lost_card"}, "failed", []),
        ("fail", {"failure": "none"}, "pending", []),
        ("card", {"card": "visa"}, "pending", []),
        ("none", {}, "pending", []),
    ],
)
def test_each_action_on_a_slip(desk: Desk, action: str, form: dict[str, str], state: str, arrived: list[int]) -> None:
    ref = desk.slip()["id"]
    done = desk.post(f"/console/payments/{ref}", action=action, **form)
    assert done.location == f"/console/payments/{ref}"
    seen = desk.seen(ref)
    assert (seen["state"], [each["amount_yen"] for each in seen["received"]]) == (state, arrived)


def test_a_card_and_a_made_up_event(desk: Desk) -> None:
    ref = desk.card()["id"]
    desk.post(f"/console/payments/{ref}", action="made_up")
    assert [event["kind"] for event in desk.seen(ref)["events"]] == ["payment.pending", "payment.paid"]
    assert desk.seen(ref)["state"] == "pending"
    desk.post(f"/console/payments/{ref}", action="card", card="no_funds")
    assert desk.seen(ref)["failure"] == "insufficient_funds"


@pytest.mark.parametrize("kind", faults.KINDS)
def test_each_fault_can_be_made_to_happen(desk: Desk, kind: str) -> None:
    desk.post("/console/faults", page="/console", kind=kind, times="0", seconds="7", amount_yen="9", operation="get")
    (fault,) = desk.api("GET", "/test/faults").get_json()["faults"]
    given = {"kind": kind, "times": 0, "seconds": 7, "amount_yen": 9, "operation": "get"}
    assert fault == {"seq": fault["seq"], **given}
    assert "すべてやめる" in desk.client.get("/console").text
    desk.post("/console/faults/remove", page="/console", seq=str(fault["seq"]))
    assert desk.api("GET", "/test/faults").get_json() == {"faults": []}


def test_a_fault_for_one_payment(desk: Desk) -> None:
    ref = desk.slip()["id"]
    done = desk.post(
        "/console/faults", page=f"/console/payments/{ref}", kind="paid_twice", times="x", payment_id=ref, seconds=""
    )
    assert done.location == f"/console/payments/{ref}"
    (fault,) = desk.api("GET", "/test/faults").get_json()["faults"]
    assert (fault["payment_id"], fault["times"]) == (ref, 1)
    for form in ({"kind": "fire"}, {"kind": "api_500", "operation": "x"}, {"kind": "api_500", "payment_id": "none"}):
        assert desk.post("/console/faults", page="/console", **form).status_code == 404


def test_where_webhooks_go(desk: Desk) -> None:
    desk.post("/console/webhook-url", page="/console", url="https://pay.example.jp/hook")
    assert 'value="https://pay.example.jp/hook"' in desk.client.get("/console").text
    for wrong in ("ftp://x", "x", "http://", "http://a b"):
        assert desk.post("/console/webhook-url", page="/console", url=wrong).status_code == 422
    desk.post("/console/webhook-url", page="/console", url="")
    assert 'value="https://pay' not in desk.client.get("/console").text


def test_forms_of_another_site_do_nothing(desk: Desk) -> None:
    ref = desk.slip()["id"]
    desk.client.get("/console")
    for path in (
        f"/console/payments/{ref}",
        "/console/faults",
        "/console/faults/remove",
        "/console/events/send",
        "/console/webhook-url",
    ):
        assert desk.client.post(path, data={"action": "pay", "kind": "api_500", "url": "http://x/"}).status_code == 400
    assert desk.seen(ref)["state"] == "pending"


def test_a_page_that_is_not_there(desk: Desk) -> None:
    for path in ("/none", "/console/payments/none", "/console/payments/%E7%B5%84"):
        page = desk.client.get(path)
        assert page.status_code == 404
        assert "ページが見つかりません" in page.text


def test_every_answer_carries_the_security_headers(desk: Desk) -> None:
    """Every address with every method, whoever asks."""
    named = {"payment_id": "pay_1", "event_id": "evt_1", "day": "2026-11-25", "seq": 1, "name": "lawson", "code": "en"}
    named |= {"received_id": "rcv_1", "filename": "sunaba.css"}
    program = desk.client.application
    to = program.url_map.bind("localhost")
    asked = 0
    for rule in program.url_map.iter_rules():
        for method in rule.methods or ():
            path = to.build(rule.endpoint, {name: named[name] for name in rule.arguments}, method)
            with desk.client.open(path, method=method) as answer:
                assert answer.status_code < 500, (method, path)
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"], (method, path)
                assert answer.headers["X-Content-Type-Options"] == "nosniff", (method, path)
            asked += 1
    assert asked > 100


def sentences(lang: str) -> dict[str, str]:
    read: dict[str, str] = json.loads((PACKAGE / f"{lang}.json").read_text())
    return read


def placeholders(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text)} - {None}


def test_both_languages_say_the_same_things() -> None:
    ja, en = sentences("ja"), sentences("en")
    assert list(ja) == list(en)
    assert not [key for key in ja if not ja[key].strip() or not en[key].strip()]
    assert not [key for key in ja if placeholders(ja[key]) != placeholders(en[key])]
    assert not [key for key in ja if _HALF_WIDTH.search(re.sub(r"\{\w+\}", "％", ja[key]))]
    assert not [key for key in en if re.search("[ぁ-んァ-ヶ一-龠（）：]", en[key])]
    assert {key for key in ja if len(ja[key].split("|")) != len(en[key].split("|"))} == set()


def templates() -> Iterator[Path]:
    yield from (PACKAGE / "templates/sandbox").glob("*.html")


def test_every_sentence_is_there_and_asked_for() -> None:
    known, asked, begun = set(sentences("ja")), set(), set()
    for path in (*templates(), *PACKAGE.glob("*.py")):
        text = path.read_text()
        asked |= set(re.findall(r"say\('([a-z0-9_.]+)'[,)]", text)) | set(re.findall(r'"([a-z_]+\.[a-z_.]+)"', text))
        begun |= set(re.findall(r"say\('([a-z0-9_.]+\.)' ~", text)) | set(
            re.findall(r'f"([a-z_]+\.(?:[a-z_]+\.)?){', text)
        )
    in_templates = {key for path in templates() for key in re.findall(r"say\('([a-z0-9_.]+)'[,)]", path.read_text())}
    assert not in_templates - known
    assert not {key for key in known - asked if not key.startswith(tuple(begun)) and "." in key}
    assert {f"fault.{kind}" for kind in faults.KINDS} | {f"fault.group.{name}" for name in faults.GROUPS} <= known
