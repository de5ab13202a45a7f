"""Payments of many members in one request: each by itself, within that member's permission, and nothing twice."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text
from werkzeug.test import TestResponse

from app.db import autocommit, transaction
from app.oauth import grants_service
from app.wallet import batch_rows
from app.wallet.schemas_payments import BatchRow
from app.wallet.spend_control import GrantControls
from tests.wallet.api.caller import Caller, allow, app_of, program_of, refusal, taken, till_of, wrong_fields
from tests.wallet.world import World

pytestmark = pytest.mark.ledger

PATH = "/v1/payments/batch"


@dataclass
class Biller:
    """A service that members of one world's shop may allow to charge them."""

    caller: Caller
    world: World
    grant_id: UUID = field(init=False)

    def __post_init__(self) -> None:
        self.grant_id = allow(self.caller.client_id, self.world)

    def row(self, amount_yen: int = 10, **changes: Any) -> dict[str, Any]:
        return {
            "request_id": secrets.token_hex(8),
            "member": str(self.world.member_id),
            **self.caller.spending(amount_yen),
            **changes,
        }

    def send(self, *rows: Any) -> TestResponse:
        return self.caller.post(PATH, {"payments": list(rows)}, key=None)

    def results(self, *rows: Any) -> list[dict[str, Any]]:
        results = taken(self.send(*rows), 200)["results"]
        assert [one["request_id"] for one in results] == [row["request_id"] for row in rows]
        return list(results)

    def statuses(self, *rows: Any) -> list[tuple[int, str]]:
        return [(one["status"], one["problem"]["code"] if "problem" in one else "paid") for one in self.results(*rows)]


@pytest.fixture
def biller(client: FlaskClient) -> Biller:
    world = World()
    world.charge(world.meal, 1_000)
    return Biller(program_of(client, world, "payment"), world)


def test_each_is_answered_as_if_it_had_come_alone(biller: Biller) -> None:
    first, second, third = biller.results(
        biller.row(600, description="月額プラン", metadata={"month": "2026-11"}),
        biller.row(600, strategy="money_only"),
        biller.row(400, strategy="money_only"),
    )
    assert (first["status"], first["hit"]) == (201, False)
    paid = first["transaction"]
    assert (paid["amount_yen"], paid["description"], paid["metadata"]) == (600, "月額プラン", {"month": "2026-11"})
    assert (paid["balance_yen"], paid["points_granted_yen"], paid["shop"]["code"]) == (None, 6, biller.caller.shop)
    problem = second["problem"]
    assert (second["status"], problem["code"], problem["status"]) == (422, "insufficient_balance", 422)
    assert problem["title"] == "残高が足りません"
    assert not {"balance_yen", "short_by_yen"} & problem.keys(), "a program does not learn balances by the way"
    assert third["transaction"]["amount_yen"] == 400
    assert biller.world.balance_yen(biller.world.meal) == 0


def test_the_whole_again_moves_nothing_and_answers_the_same(biller: Biller) -> None:
    quietly = {"strategy": "money_only"}
    rows = [
        biller.row(300, **quietly),
        biller.row(8_999, **quietly),
        biller.row(5, shop="nowhere"),
        biller.row(200, **quietly),
    ]
    first, again = biller.results(*rows), biller.results(*rows)
    assert [one["status"] for one in first] == [201, 422, 404, 201]
    assert {one["hit"] for one in first} == {False}
    assert {one["hit"] for one in again} == {True}
    quiet = [{**one, "hit": False, "problem": _without_request(one)} for one in again]
    assert quiet == [{**one, "problem": _without_request(one)} for one in first]
    assert biller.world.balance_yen(biller.world.meal) == 500


def _without_request(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.get("problem", {}).items() if name != "request_id"}


def test_what_was_decided_stands_when_the_permission_is_gone(biller: Biller) -> None:
    row = biller.row(300)
    [first] = biller.results(row)
    with transaction():
        grants_service.revoke(grant_id=biller.grant_id, controls=GrantControls())
    [again], late = biller.results(row), biller.results(biller.row(1))
    assert again == {**first, "hit": True}
    assert late[0]["problem"]["code"] == "mandate_exceeded"
    assert late[0]["problem"]["limit"] == "grant"


def test_a_name_twice_in_one_batch(biller: Biller) -> None:
    row = biller.row(100)
    same, other = dict(row), {**row, "amount_yen": 101}
    results = biller.results(row, same, other)
    assert [(one["status"], one["hit"]) for one in results] == [(201, False), (201, True), (409, False)]
    assert results[0]["transaction"] == results[1]["transaction"]
    assert results[2]["problem"]["code"] == "request_id_conflict"
    assert biller.world.balance_yen(biller.world.meal) == 900


def test_who_allowed_nothing_pays_nothing(client: FlaskClient, biller: Biller) -> None:
    stranger = World()
    stranger.charge(stranger.meal, 500)
    app = app_of(client, biller.world)  # another client's permission is not this one's
    other = Biller(program_of(client, biller.world, "payment"), stranger)
    suspended = World()
    allow(biller.caller.client_id, suspended)
    with transaction() as session:
        session.execute(text("UPDATE member SET status = 'suspended' WHERE id = :id"), {"id": suspended.member_id})
    rows = [
        biller.row(1, member=str(stranger.member_id)),
        biller.row(1, member=str(UUID(int=7))),
        biller.row(1, member=str(suspended.member_id)),
        biller.row(1),
    ]
    assert biller.statuses(*rows) == [(403, "mandate_exceeded")] * 3 + [(201, "paid")]
    assert other.statuses(other.row(1, member=str(biller.world.member_id))) == [(403, "mandate_exceeded")]
    assert app.client_id != biller.caller.client_id


def test_the_mandate_the_shops_and_the_step_up_amount_hold(client: FlaskClient, biller: Biller) -> None:
    elsewhere = World()
    biller.world.charge(biller.world.meal, 30_000)
    with transaction():
        grants_service.revoke(grant_id=biller.grant_id, controls=GrantControls())
    allow(biller.caller.client_id, biller.world, max_per_payment_yen=20_000)
    foreign = program_of(client, elsewhere, "payment").shop
    rows = [
        biller.row(10_000),
        biller.row(10_001),
        biller.row(5, shop=foreign),
        biller.row(5, money="gold"),
    ]
    results = biller.results(*rows)
    assert [(one["status"], one.get("problem", {}).get("code")) for one in results] == [
        (201, None),
        (422, "payment_limit_exceeded"),
        (403, "mandate_exceeded"),
        (422, "money_not_accepted"),
    ]
    above = results[1]["problem"]
    assert (above["limit"], above["max_yen"]) == ("step_up_yen", 10_000)


def test_items_and_strategy(client: FlaskClient) -> None:
    world = World(groups=["meal"])
    world.charge(world.meal, 500)
    world.charge(world.base, 500)
    biller = Biller(program_of(client, world, "payment"), world)
    items = [{"group": "meal", "amount_yen": 100, "name": "A定食"}, {"group": "goods", "amount_yen": 50}]
    [paid] = biller.results(biller.row(150, items=items, strategy="money_only"))
    assert paid["transaction"]["metadata"] == {"items": items}
    assert {part["money"]["code"]: part["signed_amount_yen"] for part in paid["transaction"]["parts"]} == {
        world.meal: -100,
        world.base: -50,
        world.points: 1,
    }


def test_every_wrong_field_is_named_with_its_row_and_nothing_moves(biller: Biller) -> None:
    good = biller.row(10)
    answer = biller.send(
        good,
        {**good, "amount_yen": 0, "colour": "red"},
        {**good, "member": "somebody"},
        {**good, "request_id": "a b", "metadata": {"k": "\ud800"}},
        {name: value for name, value in good.items() if name != "shop"},
        17,
        {**good, "items": [{"group": "meal", "amount_yen": "1"}]},
        {**good, "description": "nul \0"},
    )
    assert wrong_fields(answer) == [
        "payments.1.amount_yen",
        "payments.1.colour",
        "payments.2.member",
        "payments.3.metadata",
        "payments.3.request_id",
        "payments.4.shop",
        "payments.5._schema",
        "payments.6.items",
        "payments.7.description",
    ]
    assert biller.world.balance_yen(biller.world.meal) == 1_000
    assert biller.statuses(good) == [(201, "paid")], "the good one was not kept either"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "payments"),
        ({"payments": []}, "payments"),
        ({"payments": {}}, "payments"),
        ({"payments": None}, "payments"),
        ({"payments": [{}] * 501}, "payments"),
        ({"payments": [{}], "note": 1}, "note"),
        ([], "_schema"),
        ("text", "_schema"),
    ],
)
def test_a_body_that_is_no_batch(biller: Biller, body: Any, field: str) -> None:
    assert wrong_fields(biller.caller.post(PATH, body, key=None)) == [field]


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"a":' * 5_000, b"[" * 200_000])
def test_a_body_that_cannot_be_read(biller: Biller, raw: bytes) -> None:
    headers = {"Authorization": f"Bearer {biller.caller.token}", "Content-Type": "application/json"}
    answer = biller.caller.http.post(PATH, data=raw, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.get_json()["code"] == "invalid_fields"


def test_five_hundred_with_much_to_say_fit_and_too_much_does_not(biller: Biller) -> None:
    rows = [biller.row(1, description="長" * 200, metadata={f"k{n}": "x" * 50 for n in range(20)}) for _ in range(500)]
    assert {one["status"] for one in biller.results(*rows)} == {201}
    assert biller.world.balance_yen(biller.world.meal) == 500
    huge = [{**row, "metadata": {f"k{n}": "x" * 500 for n in range(20)}} for row in rows]
    assert refusal(biller.send(*huge)) == (413, "too_large")


def test_the_statements_do_not_grow_with_the_rows(biller: Biller) -> None:
    """What the door asks the database: once for the token, once for the permissions; an unknown shop once more."""
    statements: list[str] = []

    def note(*args: object) -> None:
        statements.append(str(args[2]))

    engine = autocommit()
    biller.results(biller.row(1))
    event.listen(engine, "before_cursor_execute", note)
    try:
        biller.results(*(biller.row(1, member=str(UUID(int=n)), metadata={"n": str(n)}) for n in range(200)))
        known = len(statements)
        biller.results(*(biller.row(1, shop=f"s{n}") for n in range(200)))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert known == 1
    assert len(statements) - known <= 3


def test_the_client_finds_and_refunds_what_it_took(biller: Biller) -> None:
    [one] = biller.results(biller.row(300))
    paid = one["transaction"]
    told = taken(biller.caller.get(f"/v1/transactions/by-request/{paid['request_id']}"), 200)
    assert told["transaction"] == paid
    back = taken(biller.caller.post(f"/v1/payments/{paid['id']}/refunds", {"amount_yen": 100}))
    assert (back["reverses"], back["balance_yen"]) == (paid["id"], None)
    seen = taken(biller.caller.get(f"/v1/payments/{paid['id']}"), 200)
    assert (seen["refundable_yen"], seen["refunds"]) == (200, [back])


def test_problems_are_in_the_language_asked_for(biller: Biller) -> None:
    answer = biller.caller.post(PATH, {"payments": [biller.row(9_000)]}, key=None, **{"Accept-Language": "en"})
    assert taken(answer, 200)["results"][0]["problem"]["title"] == "The balance is not enough"


# --- who may ---


def test_a_members_token_takes_no_batch_and_a_clients_own_does_nothing_else(
    client: FlaskClient, biller: Biller
) -> None:
    """The scope `payment` that a client has for itself opens this one door, and its own payments' refunds."""
    app, world, program = app_of(client, biller.world), biller.world, biller.caller
    assert refusal(app.post(PATH, {"payments": [biller.row()]}, key=None)) == (403, "insufficient_scope")
    forbidden = {
        "POST": {
            "/v1/payments": program.spending(1),
            "/v1/holds": program.spending(1),
            "/v1/moves": {"from": world.base, "to": world.meal, "amount_yen": 10},
            "/v1/taps": {},
        },
        "GET": dict.fromkeys(["/v1/wallets", f"/v1/wallets/{world.meal}", "/v1/transactions", "/oauth/userinfo"]),
    }
    allowed = {"/v1/payments/batch", "/v1/payments/{payment_id}", "/v1/payments/{payment_id}/refunds"}
    for path, body in forbidden["POST"].items():
        assert program.post(path, body).status_code == 403, path
    for path in forbidden["GET"]:
        assert program.get(path).status_code == 403, path
    held = taken(app.hold(5))
    for path in (f"/v1/holds/{held['id']}/capture", f"/v1/holds/{held['id']}/release"):
        assert refusal(program.post(path, {})) == (403, "insufficient_scope")
    assert refusal(program.get(f"/v1/holds/{held['id']}")) == (403, "insufficient_scope")
    document = client.application.extensions["kumiai.openapi"]
    asking = {
        path
        for path, item in document["paths"].items()
        for name, operation in item.items()
        if name != "parameters" and {"oauth2": ["payment"]} in operation["security"]
    }
    refused = {path for path in asking if path not in allowed}
    for path in refused:  # each one that asks for `payment`, those that others add too
        for method in ("get", "post"):
            if method in document["paths"][path]:
                address = path.replace("{hold_id}", held["id"]).replace("{code_id}", held["id"])
                call = program.get(address) if method == "get" else program.post(address, {})
                assert refusal(call) == (403, "insufficient_scope"), (method, path)


def test_a_service_without_shops_gets_no_payment(client: FlaskClient) -> None:
    program = program_of(client, World(), "payment", shops=[])
    token = client.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "scope": "payment", "client_id": program.client_id},
    )
    assert token.status_code in (400, 401)


def test_other_programs_take_no_batch(client: FlaskClient, biller: Biller) -> None:
    for caller in (program_of(client, biller.world, "shop:refund"), till_of(client, biller.world, "till")):
        assert refusal(caller.post(PATH, {"payments": [biller.row()]}, key=None)) == (403, "insufficient_scope")
    nobody = replace(biller.caller, token="kat_nobody")
    assert refusal(nobody.post(PATH, {"payments": [biller.row()]}, key=None)) == (401, "invalid_token")


# --- the short way past the schema ---

_TEXT = st.text(max_size=8) | st.sampled_from(["", "a", "\n", "\0", "\ud800", "x" * 32, "x" * 33, "x" * 201, "a b"])
_ANY = _TEXT | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.just([]) | st.just({})
_MEMBER = st.uuids().map(str) | st.uuids().map(lambda one: one.hex) | st.uuids().map(lambda one: str(one).upper())
_FIELDS = {
    "request_id": st.from_regex(r"[A-Za-z0-9_.:-]{1,128}", fullmatch=True) | _ANY,
    "member": _MEMBER | _ANY,
    "money": _ANY,
    "shop": _ANY,
    "amount_yen": st.integers(0, 10_000_000) | _ANY,
    "description": _ANY,
    "strategy": st.sampled_from(["points_first", "money_only"]) | _ANY,
    "items": _ANY,
    "metadata": st.dictionaries(_TEXT, _TEXT, max_size=21) | _ANY,
    "colour": _ANY,
}
_CHANGE = st.one_of(*(st.tuples(st.just(name), values) for name, values in _FIELDS.items()))
GOOD = {"request_id": "r-1", "member": str(UUID(int=1)), "money": "meal", "shop": "canteen", "amount_yen": 450}


def test_a_row_of_the_usual_shape_is_plain() -> None:
    """Or the short way would be taken by nobody."""
    assert batch_rows.is_plain(GOOD)
    assert batch_rows.is_plain({**GOOD, "description": "昼食 A定食", "metadata": {"order": "A-17"}, "items": []})
    assert not any(batch_rows.is_plain({**GOOD, "items": [item]}) for item in ({}, {"group": "a", "amount_yen": 1}))


@given(change=_CHANGE)
def test_a_plain_row_is_one_that_its_schema_takes_as_it_is(change: tuple[str, Any]) -> None:
    name, value = change
    row = {**GOOD, name: value}
    if batch_rows.is_plain(row):
        loaded = BatchRow().load(row)
        assert [{**loaded, "member": str(loaded["member"])}] == list(batch_rows.check({"payments": [row]}))


def test_a_member_who_did_not_allow_it_while_away_pays_nothing(client: FlaskClient) -> None:
    world = World()
    world.charge(world.meal, 1_000)
    biller = Biller(program_of(client, world, "payment"), world)
    with transaction() as session:
        session.execute(
            text("UPDATE oauth_grant SET scopes = ARRAY['payment'] WHERE id = :id"), {"id": biller.grant_id}
        )
    assert biller.statuses(biller.row()) == [(403, "mandate_exceeded")]
