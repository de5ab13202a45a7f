"""Cards and terminals: registered, changed, lost, revoked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app.db import autocommit, transaction
from app.demo.demo_card import fcf_blocks
from app.errors import NotFound
from app.reader import cards, terminals
from app.reader.cards import Reading
from app.reader.errors import CardTaken, CardUnreadable
from app.reader.models import Card
from tests import factories
from tests.reader.stand import Stand, new_idm


def test_a_registered_card_is_known_by_its_last_four_digits(app: Flask) -> None:
    idm = new_idm()
    with app.app_context():
        member_id = factories.member()
        with transaction():
            card_id = cards.register(Reading(idm=idm.lower(), blocks=fcf_blocks()), member_id=member_id)
        with autocommit().connect() as connection:
            row = connection.execute(select(Card.last4, Card.status, Card.member_id).filter_by(id=card_id)).one()
    assert tuple(row) == (idm[-4:], "active", member_id)


def test_a_reissued_card_is_taken_over_for_the_same_member(app: Flask, client: FlaskClient, stand: Stand) -> None:
    body = stand.body()
    body["card"]["blocks"]["0"] = fcf_blocks(issue=1)[0].hex()
    assert stand.tap(client, body).json["code"] == "card_changed"
    with app.app_context(), transaction():
        again = cards.register(Reading(idm=stand.idm, blocks=fcf_blocks(issue=1)), member_id=stand.holder.member_id)
    assert again == stand.card_id
    assert stand.tap(client, body).json["code"] == "card_changed", "this tap has its answer"
    assert stand.tap(client, {**body, "tap_id": "another-touch"}).status_code == 201
    assert stand.tap(client, stand.body()).json["code"] == "card_changed"


def test_another_members_card_cannot_be_taken(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context(), pytest.raises(CardTaken):
        other = factories.member()
        with transaction():
            cards.register(Reading(idm=stand.idm, blocks=fcf_blocks(issue=1)), member_id=other)
    assert stand.tap(client, stand.body()).status_code == 201


def test_what_is_no_student_card_is_not_registered(app: Flask) -> None:
    with app.app_context(), pytest.raises(CardUnreadable):
        member_id = factories.member()
        with transaction():
            cards.register(Reading(idm=new_idm(), blocks={0: bytes(16)}), member_id=member_id)


def test_registering_a_lost_card_again_does_not_find_it(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context(), transaction():
        cards.report_lost(stand.card_id)
        cards.register(Reading(idm=stand.idm, blocks=stand.blocks), member_id=stand.holder.member_id)
    assert stand.tap(client, stand.body()).json["code"] == "card_lost"


def test_one_card_registered_from_ten_threads_is_one_card(app: Flask) -> None:
    idm = new_idm()
    with app.app_context():
        member_id = factories.member()

    def register(_: int) -> UUID:
        with app.app_context(), transaction():
            return cards.register(Reading(idm=idm, blocks=fcf_blocks()), member_id=member_id)

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(register, range(10)))) == 1


def test_an_unknown_card_or_terminal_cannot_be_stopped(app: Flask) -> None:
    for stop in (cards.report_lost, terminals.revoke):
        with app.app_context(), pytest.raises(NotFound), transaction():
            stop(uuid4())


def test_a_terminal_moved_to_another_shop_pays_that_shop(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context():
        other_shop = factories.shop(accepts=[stand.holder.money])
        with transaction():
            terminal_id = terminals.register(
                shop_id=other_shop, client_id=stand.client_id, name="レジ2", default_money=stand.holder.money
            )
    assert terminal_id == stand.terminal_id
    answer = stand.tap(client, stand.body())
    assert (answer.status_code, answer.json["shop"]["id"]) == (201, str(other_shop))


def test_a_revoked_terminal_registered_again_may_take_taps(app: Flask, client: FlaskClient, stand: Stand) -> None:
    with app.app_context(), transaction():
        terminals.revoke(stand.terminal_id)
        terminals.register(
            shop_id=stand.holder.shop_id, client_id=stand.client_id, name="レジ", default_money=stand.holder.money
        )
    assert stand.tap(client, stand.body()).status_code == 201
