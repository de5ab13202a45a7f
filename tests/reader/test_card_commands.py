"""`kumiai card …` as the office types it."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app.db import autocommit, transaction
from app.member.models import Member
from app.reader import assurance, cards, pins
from tests.oauth.office import Kumiai, kumiai_for
from tests.ports import free_udp_port
from tests.reader.agent.cards import card_on_reader
from tests.reader.stand import Stand, new_idm
from tests.reader.stand import stand as make_stand
from tests.reader.test_taps import refused


@pytest.fixture
def kumiai(app: Flask) -> Kumiai:
    return kumiai_for(app.extensions["kumiai.settings"])


@pytest.fixture
def email(app: Flask, stand: Stand) -> str:
    with app.app_context(), autocommit().connect() as connection:
        found = connection.scalar(select(Member.email).where(Member.id == stand.holder.member_id))
    assert found is not None
    return found


def test_cards_are_listed_stopped_and_found_again(
    client: FlaskClient, stand: Stand, kumiai: Kumiai, email: str
) -> None:
    card = str(stand.card_id)
    listed = kumiai("card", "list", email).output
    assert f"…{stand.idm[-4:]}" in listed
    assert "in use" in listed
    assert "There is no PIN." in listed
    assert kumiai("card", "lost", card).exit_code == 0
    refused(stand.tap(client, stand.body()), "card_lost", 403)
    assert "lost" in kumiai("card", "list", email).output
    assert kumiai("card", "found", card).exit_code == 0
    assert stand.tap(client, stand.body()).status_code == 201
    again = kumiai("card", "found", card)
    assert (again.exit_code, "not reported lost" in again.output) == (1, True)


def test_a_card_on_the_reader_takes_a_lost_ones_place(
    app: Flask, client: FlaskClient, stand: Stand, kumiai: Kumiai, email: str
) -> None:
    port, idm = free_udp_port(), new_idm()
    with card_on_reader(port=port, idm=idm):
        added = kumiai("card", "add", email, "--reader", f"udp:localhost:{port}", "--replaces", str(stand.card_id))
    assert added.exit_code == 0, added.output
    refused(stand.tap(client, stand.body()), "card_lost", 403)
    with app.app_context(), transaction():
        new, old = cards.of_member(stand.holder.member_id)
        assert (new.last4, old.status, old.replaced_by) == (idm[-4:], "replaced", new.id)


def test_a_lite_s_card_is_registered_by_its_number(app: Flask, stand: Stand, kumiai: Kumiai, email: str) -> None:
    idm = new_idm()
    assert kumiai("card", "add", email, "--idm", idm.lower()).exit_code == 0
    with app.app_context(), transaction():
        assert cards.of_member(stand.holder.member_id)[0].profile == "lite_s"
    for wrong in ("0114", "0114B7F2A93C5D6G"):
        assert "16 hexadecimal digits" in kumiai("card", "add", email, "--idm", wrong).output
    other = kumiai("card", "add", "nobody@example.ac.jp", "--idm", new_idm())
    assert other.exit_code == 1


def test_the_office_gives_a_card_to_its_bearer_whoever_registered_it(
    app: Flask, client: FlaskClient, stand: Stand, kumiai: Kumiai
) -> None:
    with app.app_context():
        other = make_stand()
        with autocommit().connect() as connection:
            bearer = connection.scalar(select(Member.email).where(Member.id == other.holder.member_id))
    port = free_udp_port()
    with card_on_reader(port=port, idm=stand.idm):
        refused_to = kumiai("card", "add", str(bearer), "--reader", f"udp:localhost:{port}")
        assert (refused_to.exit_code, "Another member" in refused_to.output) == (1, True)
        assert kumiai("card", "add", str(bearer), "--reader", f"udp:localhost:{port}", "--take-over").exit_code == 0
    with app.app_context(), transaction():
        assert [card.id for card in cards.of_member(stand.holder.member_id)] == []
        assert stand.card_id in [card.id for card in cards.of_member(other.holder.member_id)]
    assert other.tap(client, other.body(card=stand.body()["card"])).json["balance_yen"] == 1_620


def test_a_pin_is_reset(app: Flask, stand: Stand, kumiai: Kumiai, email: str) -> None:
    with app.app_context():
        with transaction():
            pins.put(stand.holder.member_id, "4829")
        for _ in range(5):
            pins.check(stand.holder.member_id, "9999")
    assert "locked" in kumiai("card", "list", email).output
    assert "forgotten" in kumiai("card", "reset-pin", email).output
    assert "There is no PIN." in kumiai("card", "list", email).output


def test_limits_are_shown_and_set(app: Flask, client: FlaskClient, stand: Stand, kumiai: Kumiai) -> None:
    assert "¥3,000" in kumiai("card", "limits").output
    try:
        said = kumiai("card", "limits", "fcf", "--per-payment", "300").output
        assert "¥300" in said
        refused(stand.tap(client, stand.body(301)), "pin_required", 403)
        below = kumiai("card", "limits", "fcf", "--per-day", "299")
        assert (below.exit_code, "at least" in below.output) == (1, True)
    finally:
        with app.app_context(), transaction():
            assurance.set_limits("fcf", assurance.DEFAULTS["fcf"])
