"""What a tap proves of who pays: its level, the level's limits, PINs, and cards that prove themselves."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update

from app import clock
from app.db import autocommit, transaction
from app.member.models import Member
from app.member.passwords import verify_password
from app.reader import assurance, cards, lite_s, pins
from app.reader.agent.lite_s import challenge
from app.reader.assurance import Limits
from app.reader.cards import Reading
from app.reader.errors import PinGuessable, PinWrongForm
from app.reader.models import Card, MemberPin
from app.wallet.models import SpendControl
from tests.live import eventually
from tests.reader.lite_s_card import ID, MAC, RC, LiteSCard
from tests.reader.stand import Stand, new_idm
from tests.reader.stand import stand as make_stand
from tests.reader.test_taps import refused

PIN = "4829"
MASTER_KEY = bytes(range(32))


@pytest.fixture
def with_pin(app: Flask) -> Stand:
    with app.app_context():
        stand = make_stand(balance_yen=100_000)
        with transaction():
            pins.put(stand.holder.member_id, PIN)
    return stand


def tries_of(stand: Stand) -> Any:
    with autocommit().connect() as connection:
        query = select(MemberPin.wrong_tries).where(MemberPin.member_id == stand.holder.member_id)
        return connection.scalar(query)


# --- levels and their limits ---


def test_a_pin_pays_what_the_card_alone_may_not(client: FlaskClient, with_pin: Stand) -> None:
    said = refused(with_pin.tap(client, with_pin.body(3_001)), "pin_required", 403)
    assert (said["limit"], said["max_yen"]) == ("max_per_payment_yen", 3_000)
    paid = with_pin.tap(client, with_pin.body(3_001, evidence={"pin": PIN}))
    assert (paid.status_code, paid.json["metadata"]) == (201, {"assurance": "pin"})


def test_staff_who_looked_at_the_photo_count_as_a_pin(client: FlaskClient, with_pin: Stand) -> None:
    paid = with_pin.tap(client, with_pin.body(3_001, evidence={"photo_checked": True}))
    assert (paid.status_code, paid.json["metadata"]) == (201, {"assurance": "pin"})


def test_each_level_counts_its_own_day(client: FlaskClient, with_pin: Stand) -> None:
    for _ in range(3):
        assert with_pin.tap(client, with_pin.body(3_000)).status_code == 201
    said = refused(with_pin.tap(client, with_pin.body(1_001)), "pin_required", 403)
    assert said["left_yen"] == 1_000
    assert with_pin.tap(client, with_pin.body(1_001, evidence={"pin": PIN})).status_code == 201
    assert with_pin.tap(client, with_pin.body(1_000)).status_code == 201


def test_a_number_alone_is_not_taken_unless_the_office_says_so(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body(100)
    body["card"]["blocks"] = {}
    refused(stand.tap(client, body), "assurance_too_low", 403)
    with app.app_context(), transaction():
        assurance.set_limits("idm", Limits(max_per_payment_yen=100, max_per_day_yen=100))
    try:
        paid = stand.tap(client, {**body, "tap_id": "a-new-touch"})
        assert (paid.status_code, paid.json["metadata"]) == (201, {"assurance": "idm"})
        refused(stand.tap(client, {**body, "tap_id": "and-one-more"}), "pin_required", 403)
    finally:
        with app.app_context(), transaction():
            assurance.set_limits("idm", assurance.DEFAULTS["idm"])


def test_a_number_that_a_phone_makes_up_is_nobodys(app: Flask, client: FlaskClient, with_pin: Stand) -> None:
    idm = f"02FE{secrets.token_hex(6)}".upper()
    with app.app_context(), transaction():
        cards.register(Reading(idm=idm, blocks=with_pin.blocks), member_id=with_pin.holder.member_id)
    phone = with_pin.body(100, card={"idm": idm}, evidence={"pin": PIN})
    refused(with_pin.tap(client, phone), "assurance_too_low", 403)


def test_limits_changed_by_the_office_hold_for_cards_there_are_and_cards_to_come(
    app: Flask, client: FlaskClient, stand: Stand
) -> None:
    with app.app_context():
        with transaction():
            assert assurance.set_limits("fcf", Limits(max_per_payment_yen=300, max_per_day_yen=300)) >= 1
        try:
            later = make_stand()
            for one in (stand, later):
                refused(one.tap(client, one.body(301)), "pin_required", 403)
                assert one.tap(client, one.body(300)).status_code == 201
        finally:
            with transaction():
                assurance.set_limits("fcf", assurance.DEFAULTS["fcf"])


def test_the_assurance_of_a_repeated_tap_is_that_of_the_first(client: FlaskClient, with_pin: Stand) -> None:
    body = with_pin.body(5_000, evidence={"pin": PIN})
    first = with_pin.tap(client, body)
    del body["evidence"]  # a till that was started again has forgotten the PIN
    again = with_pin.tap(client, body)
    assert (first.status_code, again.status_code, again.headers["Idempotency-Hit"]) == (201, 201, "true")
    assert again.json == first.json


def test_what_was_paid_is_told_as_it_was_when_the_card_is_lost_and_the_limits_are_lower(
    app: Flask, client: FlaskClient, with_pin: Stand
) -> None:
    body = with_pin.body(5_000, evidence={"photo_checked": True})
    first = with_pin.tap(client, body)
    with app.app_context(), transaction():
        cards.report_lost(with_pin.card_id)
    again = with_pin.tap(client, body)
    assert (again.status_code, again.json) == (201, first.json)


def test_limits_put_while_a_card_is_registered_hold_for_it_too(app: Flask, stand: Stand) -> None:
    def lower() -> None:
        with app.app_context(), transaction():
            assurance.set_limits("fcf", Limits(max_per_payment_yen=700, max_per_day_yen=700))

    def waits() -> bool | None:
        asked = (
            "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' LIMIT 1"
        )
        with autocommit().connect() as connection:
            return connection.scalar(text(asked))

    with app.app_context():
        with ThreadPoolExecutor(1) as pool:
            with transaction():
                reading = Reading(idm=new_idm(), blocks=stand.blocks)
                card_id = cards.register(reading, member_id=stand.holder.member_id)
                lowered = pool.submit(lower)
                eventually(waits)
            lowered.result()
        try:
            with autocommit().connect() as connection:
                control = select(SpendControl.max_per_payment_yen).filter_by(id=assurance.control_of(card_id, "fcf"))
                assert connection.scalar(control) == 700
        finally:
            with transaction():
                assurance.set_limits("fcf", assurance.DEFAULTS["fcf"])


# --- what is paid for ---


def test_what_a_tap_pays_for_is_on_the_receipt(app: Flask, client: FlaskClient, stand: Stand) -> None:
    items = [{"group": "meal", "amount_yen": 380, "name": "A定食"}, {"group": "drink", "amount_yen": 120}]
    body = stand.body(500, items=items)
    paid = stand.tap(client, body)
    kept = {"assurance": "fcf", "items": items}
    assert (paid.status_code, paid.json["metadata"]) == (201, kept)
    assert stand.tap(client, body).json["metadata"] == kept
    with app.app_context():
        assert [row.extra for row in stand.payments()] == [kept]
    refused(stand.tap(client, {**body, "tap_id": "not-the-sum", "amount_yen": 501}), "items_do_not_add_up", 422)
    another = {**body, "items": [{"group": "meal", "amount_yen": 500}]}
    refused(stand.tap(client, another), "request_id_conflict", 409)


# --- PINs ---


def test_five_wrong_tries_lock_it_and_the_right_one_is_too_late(client: FlaskClient, with_pin: Stand) -> None:
    for left in (4, 3, 2, 1):
        said = refused(with_pin.tap(client, with_pin.body(evidence={"pin": "9999"})), "pin_wrong", 403)
        assert said["tries_left"] == left
    refused(with_pin.tap(client, with_pin.body(evidence={"pin": "9999"})), "pin_locked", 403)
    refused(with_pin.tap(client, with_pin.body(evidence={"pin": PIN})), "pin_locked", 403)
    assert with_pin.tap(client, with_pin.body()).status_code == 201, "small amounts need none"


def test_a_right_one_gives_all_tries_back(app: Flask, client: FlaskClient, with_pin: Stand) -> None:
    refused(with_pin.tap(client, with_pin.body(evidence={"pin": "9999"})), "pin_wrong", 403)
    assert with_pin.tap(client, with_pin.body(evidence={"pin": "４８２９"})).status_code == 201
    with app.app_context():
        assert tries_of(with_pin) == 0


def test_a_wrong_pin_sent_again_as_the_same_tap_is_one_try(app: Flask, client: FlaskClient, with_pin: Stand) -> None:
    body = with_pin.body(evidence={"pin": "9999"})
    for _ in range(3):
        refused(with_pin.tap(client, body), "pin_wrong", 403)
    with app.app_context():
        assert tries_of(with_pin) == 1


def test_twenty_at_a_time_try_no_more_than_five(app: Flask, with_pin: Stand) -> None:
    def attempt(number: int) -> str:
        with app.app_context():
            return pins.check(with_pin.holder.member_id, f"{number:04d}")[0]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(attempt, range(20)))
    assert (answers.count("wrong"), answers.count("locked")) == (4, 16)


def test_who_found_a_lost_card_tries_no_pin(app: Flask, client: FlaskClient, with_pin: Stand) -> None:
    with app.app_context(), transaction():
        cards.report_lost(with_pin.card_id)
    for pin in ("9999", PIN):
        refused(with_pin.tap(client, with_pin.body(4_000, evidence={"pin": pin})), "card_lost", 403)
    with app.app_context():
        assert tries_of(with_pin) == 0


@pytest.mark.parametrize(
    "pin",
    [
        "0000",
        "1234",
        "4321",
        "1212",
        "012345",
        "19991231",
        "991231",
        "1999",
        "1231",
        "3112",
        "311299",
        "5678",
        "345678",
    ],
)
def test_what_a_finder_tries_first_is_refused(app: Flask, with_pin: Stand, pin: str) -> None:
    with app.app_context():
        with transaction() as session:
            known = {"birthday": date(1999, 12, 31), "phone_number": "+819012345678"}
            session.execute(update(Member).where(Member.id == with_pin.holder.member_id).values(**known))
            pins.put(with_pin.holder.member_id, "7306")
        with pytest.raises(PinGuessable), transaction():
            pins.put(with_pin.holder.member_id, pin)


@pytest.mark.parametrize("pin", ["123", "123456789", "12a4", "", "٤٨٢٩"])
def test_what_is_no_pin_is_refused(app: Flask, with_pin: Stand, pin: str) -> None:
    with app.app_context(), pytest.raises(PinWrongForm), transaction():
        pins.put(with_pin.holder.member_id, pin)


def test_neither_pin_nor_its_hash_is_in_what_a_tap_leaves(app: Flask, client: FlaskClient, with_pin: Stand) -> None:
    body = with_pin.body(4_000, evidence={"pin": PIN})
    assert with_pin.tap(client, body).status_code == 201
    with app.app_context():
        (row,) = with_pin.payments()
        with autocommit().connect() as connection:
            stored = connection.scalar(select(MemberPin.pin_hash).filter_by(member_id=with_pin.holder.member_id))
    assert row.extra == {"assurance": "pin"}
    assert stored.startswith("$argon2id$")
    assert not verify_password(PIN, password_hash=stored), "who has the table alone cannot even try"


def test_with_another_pepper_no_pin_is_right(app: Flask, with_pin: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with app.app_context():
        assert pins.check(with_pin.holder.member_id, PIN)[0] == "right"
        other = replace(app.extensions["kumiai.settings"], card_pepper=bytes(32))
        monkeypatch.setitem(app.extensions, "kumiai.settings", other)
        assert pins.check(with_pin.holder.member_id, PIN)[0] == "wrong"


# --- cards that prove themselves ---


@pytest.fixture
def issuing(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings = replace(app.extensions["kumiai.settings"], lite_s_key=MASTER_KEY)
    monkeypatch.setitem(app.extensions, "kumiai.settings", settings)
    yield


@pytest.fixture
def card(app: Flask, issuing: None, with_pin: Stand) -> LiteSCard:
    idm = new_idm()
    with app.app_context(), transaction():
        cards.register(Reading(idm=idm, blocks={}, profile="lite_s"), member_id=with_pin.holder.member_id)
    return LiteSCard(bytes.fromhex(idm), lite_s.diversified_key(MASTER_KEY, bytes.fromhex(idm)))


def proven(client: FlaskClient, stand: Stand, card: LiteSCard, amount_yen: int = 9_000) -> dict[str, Any]:
    """A tap for which the card answered the server's challenge, as a till sends it."""
    nonce = stand.call(client, "POST", "/v1/taps/challenges").json["nonce"]
    body = stand.body(amount_yen, card={"idm": card.idm.hex().upper(), "profile": "lite_s"})
    card.write(RC, challenge(bytes.fromhex(nonce), body["tap_id"], amount_yen), True, True)
    read = {ID: card.read(ID, True, False), MAC: card.read(MAC, False, True)}
    body["evidence"] = {"mac": {"nonce": nonce, "82": read[ID].hex(), "81": read[MAC].hex()}}
    return body


def test_a_card_with_its_own_key_proves_itself(client: FlaskClient, with_pin: Stand, card: LiteSCard) -> None:
    body = proven(client, with_pin, card)
    paid = with_pin.tap(client, body)
    assert (paid.status_code, paid.json["metadata"]) == (201, {"assurance": "mac"})
    again = with_pin.tap(client, body)
    assert (again.json, again.headers["Idempotency-Hit"]) == (paid.json, "true")


def test_a_copy_of_it_does_not(client: FlaskClient, with_pin: Stand, card: LiteSCard) -> None:
    copied = LiteSCard(card.idm, bytes(16))
    refused(with_pin.tap(client, proven(client, with_pin, copied)), "card_proof_wrong", 403)


def test_a_mac_that_was_heard_is_good_for_nothing_else(client: FlaskClient, with_pin: Stand, card: LiteSCard) -> None:
    heard = proven(client, with_pin, card)
    for change in ({"tap_id": "another-touch"}, {"amount_yen": 9_001}):
        refused(with_pin.tap(client, {**heard, **change, "tap_id": secrets.token_hex(8)}), "card_proof_wrong", 403)
    newer = proven(client, with_pin, card)
    newer["evidence"]["mac"] |= {name: heard["evidence"]["mac"][name] for name in ("82", "81")}
    refused(with_pin.tap(client, newer), "card_proof_wrong", 403)


def test_a_nonce_is_of_one_terminal_and_of_two_minutes(
    app: Flask, client: FlaskClient, with_pin: Stand, card: LiteSCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        other = make_stand()
    refused(other.tap(client, proven(client, with_pin, card)), "card_proof_wrong", 403)
    body = proven(client, with_pin, card)
    late = clock.now() + timedelta(minutes=2, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: late)
    refused(with_pin.tap(client, body), "card_proof_expired", 403)


def test_a_proven_tap_that_is_asked_for_again_too_late_is_answered_as_it_was(
    client: FlaskClient, with_pin: Stand, card: LiteSCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = proven(client, with_pin, card)
    paid = with_pin.tap(client, body)
    late = clock.now() + timedelta(minutes=3)
    monkeypatch.setattr(clock, "now", lambda: late)
    assert with_pin.tap(client, body).json == paid.json
    del body["evidence"]
    assert with_pin.tap(client, body).json == paid.json


def test_without_a_proof_it_is_a_number(client: FlaskClient, with_pin: Stand, card: LiteSCard) -> None:
    body = with_pin.body(100, card={"idm": card.idm.hex(), "profile": "lite_s"})
    refused(with_pin.tap(client, body), "assurance_too_low", 403)


def test_where_none_are_issued_nothing_is_proven(
    app: Flask, client: FlaskClient, with_pin: Stand, card: LiteSCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = proven(client, with_pin, card)
    without = replace(app.extensions["kumiai.settings"], lite_s_key=None)
    monkeypatch.setitem(app.extensions, "kumiai.settings", without)
    refused(with_pin.tap(client, body), "card_proof_wrong", 403)


def test_a_student_card_cannot_be_proven(client: FlaskClient, with_pin: Stand, card: LiteSCard) -> None:
    body = proven(client, with_pin, card)
    body["card"] = with_pin.body()["card"]
    refused(with_pin.tap(client, body), "card_proof_wrong", 403)


def test_its_number_is_kept_as_a_hash(app: Flask, with_pin: Stand, card: LiteSCard) -> None:
    with app.app_context(), autocommit().connect() as connection:
        rows = connection.execute(select(Card).filter_by(member_id=with_pin.holder.member_id)).mappings().all()
    assert {row["profile"] for row in rows} == {"fcf", "lite_s"}
    assert base64.b16encode(card.idm) not in repr([dict(row) for row in rows]).encode()
