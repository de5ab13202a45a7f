"""`POST /v1/taps`: one touch, one payment, and every way it can be refused."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update

from app import clock
from app.db import autocommit, transaction
from app.demo.demo_card import fcf_blocks
from app.models import metadata
from app.oauth.suspension import suspend_member
from app.reader import cards, terminals
from app.reader.cards import Reading
from app.reader.models import Card
from app.wallet.models import Shop
from tests import factories
from tests.live import eventually
from tests.reader.stand import Stand, new_idm
from tests.reader.stand import stand as make_stand


def refused(answer: Any, code: str, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.json
    assert answer.mimetype == "application/problem+json"
    assert not answer.json["title"].startswith("error.")
    assert not answer.json["detail"].startswith("error.")
    body: dict[str, Any] = answer.json
    return body


def test_a_tap_pays_and_says_the_new_balance(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body(380, taken_at="2026-11-23T12:34:56.123+09:00")
    answer = stand.tap(client, body, **{"Idempotency-Key": body["tap_id"]})
    assert answer.status_code == 201, answer.json
    assert "Idempotency-Hit" not in answer.headers
    shown = answer.json
    assert (shown["amount_yen"], shown["balance_yen"], shown["kind"]) == (380, 1_620, "payment")
    assert (shown["money"]["code"], shown["shop"]["id"]) == (stand.holder.money, str(stand.holder.shop_id))
    assert (shown["request_id"], shown["metadata"]) == (body["tap_id"], {"assurance": "fcf"})
    assert shown["taken_at"].startswith("2026-11-23T12:34:56.123")
    assert shown["receipt_no"]
    with app.app_context():
        assert (stand.balance_yen(), stand.takings_yen()) == (1_620, 380)
        (row,) = stand.payments()
    assert row.request_id == body["tap_id"]
    assert row.extra == {"assurance": "fcf"}
    assert row.taken_at == datetime(2026, 11, 23, 3, 34, 56, 123_000, tzinfo=UTC)


def test_the_same_tap_again_moves_nothing_and_answers_the_same(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body()
    first, again = stand.tap(client, body), stand.tap(client, body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Hit"] == "true"
    assert again.json == first.json
    with app.app_context():
        assert stand.balance_yen() == 1_620


def test_the_same_tap_from_ten_threads_moves_once(app: Flask, stand: Stand) -> None:
    body = stand.body()

    def ask() -> Any:
        """An answer, or None where a client would ask again."""
        answer = stand.tap(app.test_client(), body)
        return None if answer.status_code == 503 or answer.json.get("code") == "request_in_progress" else answer

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: eventually(ask), range(10)))
    assert [answer.status_code for answer in answers] == [201] * 10
    assert len({answer.json["id"] for answer in answers}) == 1
    assert sum("Idempotency-Hit" not in answer.headers for answer in answers) <= 1
    with app.app_context():
        assert (stand.balance_yen(), stand.takings_yen()) == (1_620, 380)


def test_a_decided_tap_keeps_its_answer_whatever_happens_to_card_and_terminal(
    app: Flask, client: FlaskClient, stand: Stand
) -> None:
    body = stand.body()
    first = stand.tap(client, body)
    with app.app_context(), transaction() as session:
        cards.report_lost(stand.card_id)
        terminals.revoke(stand.terminal_id)
        session.execute(text("UPDATE card SET valid_until = '2001-01-01' WHERE id = :id"), {"id": stand.card_id})
    again = stand.tap(client, body)
    assert (again.status_code, again.json) == (201, first.json)


def test_another_money_can_be_asked_for(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context():
        other = factories.money()
        factories.wallet(member_id=stand.holder.member_id, money=other)
    refused(stand.tap(client, stand.body(money=other)), "money_not_accepted", 422)
    assert stand.tap(client, stand.body(money=stand.holder.money)).status_code == 201


def test_an_unknown_card(client: FlaskClient, stand: Stand) -> None:
    body = stand.body()
    body["card"]["idm"] = new_idm()
    refused(stand.tap(client, body), "card_unknown", 404)


def test_a_suspended_members_card_pays_nothing(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context(), transaction():
        suspend_member(stand.holder.member_id)
    refused(stand.tap(client, stand.body()), "wallet_suspended", 403)


def test_a_refusal_at_the_door_is_kept_like_any_other(app: Flask, client: FlaskClient, stand: Stand) -> None:
    """Midnight passes between two sendings of one tap: both get the same answer, whichever it was."""
    body = stand.body()
    with app.app_context(), transaction() as session:
        session.execute(text("UPDATE card SET valid_until = '2001-01-01' WHERE id = :id"), {"id": stand.card_id})
    refused(stand.tap(client, body), "card_expired", 403)
    with app.app_context(), transaction() as session:
        session.execute(text("UPDATE card SET valid_until = NULL WHERE id = :id"), {"id": stand.card_id})
    again = stand.tap(client, body)
    refused(again, "card_expired", 403)
    assert again.headers["Idempotency-Hit"] == "true"
    assert stand.tap(client, stand.body()).status_code == 201


def test_the_idm_is_read_in_any_case(client: FlaskClient, stand: Stand) -> None:
    body = stand.body()
    body["card"]["idm"] = body["card"]["idm"].lower()
    assert stand.tap(client, body).status_code == 201


@pytest.mark.parametrize(
    "blocks",
    [fcf_blocks("26A99999"), fcf_blocks(issue=1), fcf_blocks(valid_until="20000331"), {0: b"?" * 16, 2: b"", 3: b""}],
    ids=["student", "re-issued", "other expiry", "not even a card"],
)
def test_a_card_that_says_something_else_than_at_registration(
    client: FlaskClient, stand: Stand, blocks: dict[int, bytes]
) -> None:
    body = stand.body()
    for number in ("0", "2", "3"):
        body["card"]["blocks"][number] = blocks[int(number)].ljust(16, b"\xff").hex()
    refused(stand.tap(client, body), "card_changed", 403)


def test_a_card_is_good_through_its_last_day_in_the_issuers_time_zone(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        stand = make_stand(blocks=fcf_blocks(valid_until="20280331"))
    midnight_in_japan = datetime(2028, 3, 31, 15, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: midnight_in_japan - timedelta(microseconds=1))
    assert stand.tap(client, stand.body()).status_code == 201
    monkeypatch.setattr(clock, "now", lambda: midnight_in_japan)
    refused(stand.tap(client, stand.body()), "card_expired", 403)


def test_a_lost_card(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context(), transaction():
        cards.report_lost(stand.card_id)
    refused(stand.tap(client, stand.body()), "card_lost", 403)


def test_a_revoked_terminal(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context(), transaction():
        terminals.revoke(stand.terminal_id)
    refused(stand.tap(client, stand.body()), "terminal_revoked", 403)


def test_a_till_client_without_a_terminal(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context(), transaction() as session:
        session.execute(text("DELETE FROM terminal WHERE id = :id"), {"id": stand.terminal_id})
    refused(stand.tap(client, stand.body()), "terminal_revoked", 403)


def test_too_little_money_and_then_enough(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body(2_001)
    said = refused(stand.tap(client, body), "insufficient_balance", 422)
    assert (said["balance_yen"], said["short_by_yen"]) == (2_000, 1)
    with app.app_context():
        factories.charge(member_id=stand.holder.member_id, money=stand.holder.money, amount_yen=1)
    again = stand.tap(client, body)
    refused(again, "insufficient_balance", 422)
    assert again.headers["Idempotency-Hit"] == "true"
    assert stand.tap(client, stand.body(2_001)).status_code == 201


def test_a_closed_shop(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context(), transaction() as session:
        session.execute(update(Shop).where(Shop.id == stand.holder.shop_id).values(status="closed"))
    refused(stand.tap(client, stand.body()), "shop_closed", 403)


def test_a_money_that_does_not_exist(client: FlaskClient, stand: Stand) -> None:
    refused(stand.tap(client, stand.body(money="gold")), "money_not_accepted", 422)


def test_a_suspended_wallet(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context(), transaction() as session:
        session.execute(
            text("UPDATE wallet SET status = 'suspended' WHERE member_id = :id"), {"id": stand.holder.member_id}
        )
    refused(stand.tap(client, stand.body()), "wallet_suspended", 403)


@pytest.mark.parametrize("change", ["amount", "card", "blocks", "money", "time"])
def test_a_tap_id_cannot_be_used_for_another_tap(app: Flask, client: FlaskClient, stand: Stand, change: str) -> None:
    body = stand.body(taken_at="2026-11-23T12:34:56Z")
    assert stand.tap(client, body).status_code == 201
    match change:
        case "amount":
            body["amount_yen"] += 1
        case "card":
            body["card"]["idm"] = new_idm()
            with app.app_context(), transaction():
                cards.register(Reading(idm=body["card"]["idm"], blocks=stand.blocks), member_id=stand.holder.member_id)
        case "blocks":
            body["card"]["blocks"]["3"] = "20" * 16
        case "money":
            body["money"] = stand.holder.money
        case "time":
            body["taken_at"] = "2026-11-23T12:34:57Z"
    refused(stand.tap(client, body), "request_id_conflict", 409)
    with app.app_context():
        assert stand.balance_yen() == 1_620


def with_card(**changes: Any) -> dict[str, Any]:
    blocks = {"0": "00" * 16, "2": "00" * 16, "3": "00" * 16}
    return {"card": {"idm": "0114B7F2A93C5D60", "blocks": blocks, **changes}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tap_id": ""}, "tap_id"),
        ({"tap_id": "x" * 129}, "tap_id"),
        ({"tap_id": "a b"}, "tap_id"),
        ({"tap_id": "tap\n"}, "tap_id"),
        ({"tap_id": "タッチ"}, "tap_id"),
        ({"tap_id": None}, "tap_id"),
        ({"amount_yen": 0}, "amount_yen"),
        ({"amount_yen": -1}, "amount_yen"),
        ({"amount_yen": 10_000_000}, "amount_yen"),
        ({"amount_yen": "380"}, "amount_yen"),
        ({"amount_yen": 380.5}, "amount_yen"),
        ({"amount_yen": True}, "amount_yen"),
        ({"amount_yen": None}, "amount_yen"),
        ({"card": None}, "card"),
        ({"card": "0114B7F2A93C5D60"}, "card"),
        (with_card(idm="0114B7F2A93C5D6"), "card"),
        (with_card(idm="0114B7F2A93C5D6G"), "card"),
        (with_card(idm="0114B7F2A93C5D6\n"), "card"),
        (with_card(blocks={"0": "00" * 16, "2": "00" * 16}), "card"),
        (with_card(blocks={"x": "00" * 16}), "card"),
        (with_card(profile="abroad"), "card"),
        (with_card(profile="lite_s"), "card"),
        ({"evidence": {"pin": 1234}}, "evidence"),
        ({"evidence": {"pin": ""}}, "evidence"),
        ({"evidence": {"photo_checked": "yes"}}, "evidence"),
        ({"evidence": {"mac": {"nonce": "00", "82": "00" * 16, "81": "00" * 16}}}, "evidence"),
        ({"items": [{"group": "meal"}]}, "items"),
        (with_card(blocks={"0": "00" * 16, "2": "00" * 16, "3": "0" * 31}), "card"),
        (with_card(blocks={"0": "00" * 16, "1": "00" * 16, "2": "00" * 16, "3": "00" * 16}), "card"),
        ({"money": ""}, "money"),
        ({"money": 7}, "money"),
        ({"taken_at": "2026-11-23T12:34:56"}, "taken_at"),
        ({"taken_at": "yesterday"}, "taken_at"),
        ({"taken_at": "9999-12-31T23:59:59-14:00"}, "taken_at"),
        ({"taken_at": "0001-01-01T00:00:00+14:00"}, "taken_at"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_field_is_named(client: FlaskClient, stand: Stand, change: dict[str, Any], field: str) -> None:
    said = refused(stand.tap(client, stand.body(**change)), "invalid_fields", 422)
    assert list(said["errors"]) == [field]


@pytest.mark.parametrize("missing", ["tap_id", "amount_yen", "card"])
def test_a_missing_field_is_named(client: FlaskClient, stand: Stand, missing: str) -> None:
    body = stand.body()
    del body[missing]
    said = refused(stand.tap(client, body), "invalid_fields", 422)
    assert list(said["errors"]) == [missing]


def test_the_key_in_the_header_must_be_the_tap_id(app: Flask, client: FlaskClient, stand: Stand) -> None:
    said = refused(stand.tap(client, stand.body(), **{"Idempotency-Key": "another"}), "invalid_fields", 422)
    assert list(said["errors"]) == ["Idempotency-Key"]
    with app.app_context():
        assert stand.balance_yen() == 2_000


def test_without_a_token_or_without_the_scope_nothing_moves(app: Flask, client: FlaskClient, stand: Stand) -> None:
    assert client.post("/v1/taps", json=stand.body()).status_code == 401
    with app.app_context():
        other = make_stand(token_scopes=())
    refused(other.tap(client, other.body()), "insufficient_scope", 403)
    with app.app_context():
        assert (stand.balance_yen(), other.balance_yen()) == (2_000, 2_000)


def test_a_till_cannot_pay_out_of_another_shops_name(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context():
        other = make_stand()
    body = stand.body()
    assert other.tap(client, {**body, "money": stand.holder.money}).json["code"] == "money_not_accepted"
    with app.app_context():
        assert (stand.balance_yen(), stand.takings_yen(), other.takings_yen()) == (2_000, 0, 0)


def dump() -> str:
    """Everything the database holds, as text: a bytea appears in hex."""
    with autocommit().connect() as connection:
        rows = [
            row
            for table in metadata.sorted_tables
            for (row,) in connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table.name} AS t"))
        ]
    return "\n".join(rows).lower()


def forms(value: bytes) -> set[str]:
    """How these bytes, or their digits, could show in a dump: as text, in hex, in base64, escaped."""
    spellings = [value, value.hex().encode(), value.hex().upper().encode()]
    shown = {base64.b64encode(each).decode().rstrip("=") for each in spellings}
    shown |= {each.hex() for each in spellings}
    with suppress(UnicodeDecodeError):
        shown.add(value.decode("shift_jis").strip())
    shown |= {"".join(f"\\x{byte:02x}" for byte in value), "".join(f"\\{byte:03o}" for byte in value)}
    return {each.lower() for each in shown}


def test_neither_the_card_number_nor_what_it_says_is_kept(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body()
    assert stand.tap(client, body).status_code == 201
    refused(stand.tap(client, stand.body(3_000)), "insufficient_balance", 422)
    with app.app_context():
        everything = dump()
        with autocommit().connect() as connection:
            card = connection.execute(select(Card).filter_by(id=stand.card_id)).mappings().one()
    assert (card["last4"], card["status"]) == (stand.idm[-4:], "active")
    for kept in (body["tap_id"], card["idm_hash"].hex(), card["blocks_hash"].hex()):
        assert kept in everything, "the dump holds what it should"
    secrets = [bytes.fromhex(stand.idm), *stand.blocks.values(), b"26A10045"]
    assert not [form for secret in secrets for form in forms(secret) if form in everything]
