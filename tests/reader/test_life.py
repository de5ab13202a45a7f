"""The life of a card over HTTP: registered by the member or at a till, lost, replaced; taps looked at and undone."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import clock
from app.db import transaction
from app.demo.demo_card import fcf_blocks
from app.reader import cards, pins
from tests import factories
from tests.live import eventually
from tests.reader.stand import Stand, new_idm
from tests.reader.stand import stand as make_stand
from tests.reader.test_taps import refused


@pytest.fixture
def token(app: Flask, stand: Stand) -> str:
    """Of an app that the stand's member lets look after their cards."""
    with app.app_context():
        return token_of(stand.holder.member_id)


def token_of(member_id: UUID) -> str:
    client = factories.oauth_client(scopes=["card"])
    return factories.access_token(member_id=member_id, client_id=client.id, scopes=["card"])


def ask(client: FlaskClient, token: str, method: str, path: str, body: Any = None) -> Any:
    return client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {token}"})


def ask_as_till(client: FlaskClient, token: str, path: str, body: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": secrets.token_hex(8)}
    return client.post(path, json=body, headers=headers)


def read(idm: str, student_id: str = "26A10045") -> dict[str, Any]:
    blocks = fcf_blocks(student_id)
    return {"idm": idm, "blocks": {str(number): blocks[number].hex() for number in (0, 2, 3)}}


def test_a_member_registers_a_card_and_pays_with_it(client: FlaskClient, stand: Stand, token: str) -> None:
    idm = new_idm()
    made = ask(client, token, "POST", "/v1/cards", read(idm))
    assert (made.status_code, made.json["last4"], made.json["status"]) == (201, idm[-4:], "active")
    assert stand.tap(client, stand.body(card=read(idm))).status_code == 201
    listed = ask(client, token, "GET", "/v1/cards").json
    assert [card["id"] for card in listed["cards"]] == [made.json["id"], str(stand.card_id)]
    assert listed["pin"] == "none"


def test_lost_in_one_step_and_at_once(client: FlaskClient, stand: Stand, token: str) -> None:
    path = f"/v1/cards/{stand.card_id}/lost"
    for _ in range(2):
        said = ask(client, token, "POST", path)
        assert (said.status_code, said.json["status"]) == (200, "lost")
        assert said.json["stopped_at"]
    refused(stand.tap(client, stand.body()), "card_lost", 403)


def test_a_new_card_finds_the_wallets_as_they_are(client: FlaskClient, stand: Stand, token: str) -> None:
    idm = new_idm()
    new = ask(client, token, "POST", "/v1/cards", {**read(idm), "replaces": str(stand.card_id)})
    assert new.status_code == 201
    old = ask(client, token, "GET", "/v1/cards").json["cards"][1]
    assert (old["status"], old["replaced_by"]) == ("replaced", new.json["id"])
    refused(stand.tap(client, stand.body()), "card_lost", 403)
    assert stand.tap(client, stand.body(380, card=read(idm))).json["balance_yen"] == 1_620
    ask(client, token, "POST", f"/v1/cards/{stand.card_id}/lost")
    assert ask(client, token, "GET", "/v1/cards").json["cards"][1]["status"] == "replaced"


def test_another_members_card_is_there_for_nobody(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context():
        other = token_of(factories.member())
    refused(ask(client, other, "POST", f"/v1/cards/{stand.card_id}/lost"), "not_found", 404)
    body = {**read(new_idm()), "replaces": str(stand.card_id)}
    refused(ask(client, other, "POST", "/v1/cards", body), "not_found", 404)
    refused(ask(client, other, "POST", "/v1/cards", read(stand.idm)), "card_taken", 409)
    assert ask(client, other, "GET", "/v1/cards").json["cards"] == []
    assert stand.tap(client, stand.body()).status_code == 201


def test_a_lost_card_that_staff_has_in_hand_pays_again(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context():
        with transaction():
            cards.report_lost(stand.card_id)
        with transaction():
            cards.found_again(stand.card_id)
    assert stand.tap(client, stand.body()).status_code == 201


def test_a_card_is_registered_at_a_till_by_the_code_its_member_shows(
    client: FlaskClient, stand: Stand, token: str
) -> None:
    first = ask(client, token, "POST", "/v1/cards/registration-codes").json["code"]
    code = ask(client, token, "POST", "/v1/cards/registration-codes").json["code"]
    idm = new_idm()
    void = stand.call(client, "POST", "/v1/card-registrations", json={"code": first, "card": read(idm)})
    refused(void, "registration_code_unusable", 404)
    unread = stand.call(client, "POST", "/v1/card-registrations", json={"code": code, "card": {"idm": idm}})
    refused(unread, "card_unreadable", 422)
    typed = code.lower().replace("-", " ")
    made = stand.call(client, "POST", "/v1/card-registrations", json={"code": typed, "card": read(idm)})
    assert (made.status_code, made.json["last4"]) == (201, idm[-4:])
    assert stand.tap(client, stand.body(card=read(idm))).status_code == 201
    once_more = stand.call(client, "POST", "/v1/card-registrations", json={"code": code, "card": read(idm)})
    assert (once_more.status_code, once_more.json) == (201, made.json), "the reply may have been lost"
    another = stand.call(client, "POST", "/v1/card-registrations", json={"code": code, "card": read(new_idm())})
    refused(another, "registration_code_unusable", 404)


def test_a_registration_code_ends_after_ten_minutes(
    client: FlaskClient, stand: Stand, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = ask(client, token, "POST", "/v1/cards/registration-codes").json["code"]
    late = clock.now() + timedelta(minutes=10, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: late)
    said = stand.call(client, "POST", "/v1/card-registrations", json={"code": code, "card": read(new_idm())})
    refused(said, "registration_code_unusable", 404)


def test_a_till_that_guesses_codes_is_stopped(client: FlaskClient, stand: Stand) -> None:
    answers = [
        stand.call(client, "POST", "/v1/card-registrations", json={"code": "BCDF-GHJK", "card": read(new_idm())})
        for _ in range(41)  # more than two minutes' worth: a minute may end in between
    ]
    assert refused(answers[-1], "too_many_requests", 429)


def test_a_card_that_somebody_found_is_stopped_at_a_till(client: FlaskClient, stand: Stand) -> None:
    found = stand.call(client, "POST", "/v1/cards/handed-in", json={"card": {"idm": stand.idm}})
    assert (found.status_code, found.json["status"]) == (200, "lost")
    refused(stand.tap(client, stand.body()), "card_lost", 403)
    nobodys = stand.call(client, "POST", "/v1/cards/handed-in", json={"card": {"idm": new_idm()}})
    refused(nobodys, "card_unknown", 404)


def test_a_pin_is_set_by_the_member(app: Flask, client: FlaskClient, stand: Stand, token: str) -> None:
    refused(ask(client, token, "PUT", "/v1/cards/pin", {"pin": "1111"}), "pin_guessable", 422)
    refused(ask(client, token, "PUT", "/v1/cards/pin", {"pin": "48"}), "pin_wrong_form", 422)
    assert ask(client, token, "PUT", "/v1/cards/pin", {"pin": "4829"}).status_code == 204
    assert ask(client, token, "GET", "/v1/cards").json["pin"] == "set"
    with app.app_context():
        for _ in range(5):
            pins.check(stand.holder.member_id, "9999")
    assert ask(client, token, "GET", "/v1/cards").json["pin"] == "locked"
    assert ask(client, token, "PUT", "/v1/cards/pin", {"pin": "7306"}).status_code == 204
    assert ask(client, token, "GET", "/v1/cards").json["pin"] == "set"
    with app.app_context(), transaction():
        assert pins.forget(stand.holder.member_id)
        assert not pins.forget(stand.holder.member_id)
    assert ask(client, token, "GET", "/v1/cards").json["pin"] == "none"


def test_one_code_at_two_tills_at_once_registers_one_card(app: Flask, stand: Stand, token: str) -> None:
    code = ask(app.test_client(), token, "POST", "/v1/cards/registration-codes").json["code"]

    def register(idm: str) -> int:
        body = {"code": code, "card": read(idm)}
        return int(stand.call(app.test_client(), "POST", "/v1/card-registrations", json=body).status_code)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(register, [new_idm() for _ in range(4)])) == [201, 404, 404, 404]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/cards/pin", {"pin": "4829"}),
        ("POST", "/v1/cards/registration-codes", None),
        ("POST", "/v1/cards", {"idm": "0114B7F2A93C5D61", "profile": "lite_s"}),
    ],
)
def test_what_would_let_another_pay_needs_a_sign_in_of_the_last_five_minutes(
    app: Flask, client: FlaskClient, stand: Stand, method: str, path: str, body: Any
) -> None:
    with app.app_context():
        owner = factories.oauth_client(scopes=["card"])
        old = clock.now() - timedelta(minutes=6)
        token = factories.access_token(
            member_id=stand.holder.member_id, client_id=owner.id, scopes=["card"], auth_time=old
        )
    said = ask(client, token, method, path, body)
    refused(said, "insufficient_user_authentication", 401)
    assert "max_age=" in said.headers["WWW-Authenticate"]
    assert [card["last4"] for card in ask(client, token, "GET", "/v1/cards").json["cards"]] == [stand.idm[-4:]]
    lost = ask(client, token, "POST", f"/v1/cards/{stand.card_id}/lost")
    assert lost.status_code == 200, "whoever lost a card is in a hurry"


# --- taps looked at, and undone ---


def test_a_preview_says_who_and_whether_and_moves_nothing(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body(380)
    seen = stand.call(client, "POST", "/v1/taps/preview", json=body).json
    assert (seen["passes"], seen["balance_yen"], seen["assurance"], seen["code"]) == (True, 1_620, "fcf", None)
    assert seen["member_name"]
    with app.app_context():
        assert stand.balance_yen() == 2_000
    assert stand.tap(client, body).status_code == 201, "the name was still free"


@pytest.mark.parametrize(("amount_yen", "code"), [(2_001, "insufficient_balance"), (3_001, "pin_required")])
def test_a_preview_says_why_not(client: FlaskClient, stand: Stand, amount_yen: int, code: str) -> None:
    seen = stand.call(client, "POST", "/v1/taps/preview", json=stand.body(amount_yen)).json
    assert (seen["passes"], seen["code"]) == (False, code)
    assert seen["title"]


def test_a_preview_tries_no_pin(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context():
        with transaction():
            pins.put(stand.holder.member_id, "4829")
        stand.call(client, "POST", "/v1/taps/preview", json=stand.body(evidence={"pin": "9999"}))
        assert pins.check(stand.holder.member_id, "9998") == ("wrong", 4)


def test_a_tap_is_undone_once_and_wholly(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body(380)
    paid = stand.tap(client, body).json
    for _ in range(2):
        undone = stand.call(client, "POST", f"/v1/taps/{body['tap_id']}/void")
        assert (undone.status_code, undone.json["kind"], undone.json["amount_yen"]) == (201, "refund", 380)
        assert (undone.json["reverses"], undone.json["balance_yen"]) == (paid["id"], 2_000)
    with app.app_context():
        assert (stand.balance_yen(), stand.takings_yen()) == (2_000, 0)


def test_a_tap_undone_from_ten_threads_is_undone_once(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body(380)
    stand.tap(client, body)

    def undo(_: int) -> Any:
        def asked() -> Any:
            answer = stand.call(app.test_client(), "POST", f"/v1/taps/{body['tap_id']}/void")
            return None if answer.status_code == 503 or answer.json.get("code") == "request_in_progress" else answer

        return eventually(asked)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(undo, range(10)))
    assert {(answer.status_code, answer.json["id"]) for answer in answers} == {(201, answers[0].json["id"])}
    with app.app_context():
        assert (stand.balance_yen(), stand.takings_yen()) == (2_000, 0)


def test_what_is_left_of_a_tap_that_was_given_back_in_part_is_undone(
    app: Flask, client: FlaskClient, stand: Stand
) -> None:
    body = stand.body(380)
    paid = stand.tap(client, body).json
    with app.app_context():
        token = factories.access_token(member_id=None, client_id=stand.client_id, scopes=["till", "till:refund"])
    part = ask_as_till(client, token, f"/v1/payments/{paid['id']}/refunds", {"amount_yen": 100})
    assert part.status_code == 201, part.json
    undone = stand.call(client, "POST", f"/v1/taps/{body['tap_id']}/void")
    assert (undone.status_code, undone.json["amount_yen"]) == (201, 280)
    more = ask_as_till(client, token, f"/v1/payments/{paid['id']}/refunds", {"amount_yen": 1})
    refused(more, "already_refunded", 409)
    with app.app_context():
        assert (stand.balance_yen(), stand.takings_yen()) == (2_000, 0)


def test_a_tap_that_nobody_paid_cannot_be_undone_and_is_paid_when_it_comes(
    app: Flask, client: FlaskClient, stand: Stand
) -> None:
    """Out of order: so a till asks for a tap it does not know about before it undoes it."""
    body = stand.body(380)
    path = f"/v1/taps/{body['tap_id']}/void"
    refused(stand.call(client, "POST", path), "not_found", 404)
    assert stand.tap(client, body).status_code == 201
    assert stand.call(client, "POST", path).status_code == 201
    with app.app_context():
        assert stand.balance_yen() == 2_000


def test_what_is_undone_in_time_stays_undone_when_asked_again_late(
    client: FlaskClient, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = stand.body(380)
    stand.tap(client, body)
    path = f"/v1/taps/{body['tap_id']}/void"
    first = stand.call(client, "POST", path)
    late = clock.now() + timedelta(minutes=6)
    monkeypatch.setattr(clock, "now", lambda: late)
    assert stand.call(client, "POST", path).json == first.json


def test_nobody_undoes_what_another_terminal_took(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body(380)
    stand.tap(client, body)
    with app.app_context():
        other = make_stand()
    refused(other.call(client, "POST", f"/v1/taps/{body['tap_id']}/void"), "not_found", 404)


def test_the_profiles_say_what_a_till_must_read(client: FlaskClient, stand: Stand) -> None:
    known = stand.call(client, "GET", "/v1/reader-profiles").json["profiles"]
    assert [profile["code"] for profile in known] == ["fcf", "kaede", "lite_s"]
    assert (known[0]["system"], known[0]["service"], known[0]["blocks"]) == ("FE00", "1A8B", [0, 2, 3])
    assert (known[2]["blocks"], known[2]["proof"]) == ([], "lite_s")
