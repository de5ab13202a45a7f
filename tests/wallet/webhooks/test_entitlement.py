"""Who hears of what: asked for it itself, at its shop, or by what the member lets its app read. Nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.db import transaction
from app.oauth import grants_service, registry
from app.oauth.suspension import suspend_member
from app.wallet.models import KINDS
from app.wallet.spend_control import GrantControls
from app.wallet.webhooks.event_types import EVENT_TYPES, OF_KIND
from app.wallet.webhooks.events import emit_event
from tests import factories
from tests.wallet.webhooks.conftest import Service, World, new_service
from tests.wallet.webhooks.receiver import Receiver

SOMEBODY = "somebody_else"


def heard(world: World, listening: Receiver) -> list[dict[str, Any]]:
    world.work()
    return [got.body for got in listening.got]


def test_every_kind_of_transaction_is_an_event() -> None:
    assert OF_KIND.keys() == set(KINDS)
    assert set(OF_KIND.values()) < set(EVENT_TYPES)


def test_what_its_own_app_asked_for(world: World, listening: Receiver) -> None:
    world.service.listen(listening)
    world.pay()
    (body,) = heard(world, listening)
    assert body["data"]["member_id"] is None, "who that is, only a permission tells"


def test_what_the_service_itself_asked_for(world: World, listening: Receiver) -> None:
    world.service.listen(listening)
    world.pay(by=world.service.id)
    assert len(heard(world, listening)) == 1


def test_not_what_somebody_else_asked_for(world: World, listening: Receiver) -> None:
    world.service.listen(listening)
    world.pay(by=SOMEBODY)
    assert heard(world, listening) == []


@pytest.mark.parametrize(
    ("scopes", "hears", "balance"),
    [
        (["history"], True, False),
        (["history", "balance"], True, True),
        (["balance"], False, False),
        (["profile"], False, False),
    ],
)
def test_what_the_member_lets_the_app_read(
    world: World, listening: Receiver, scopes: Sequence[str], hears: bool, balance: bool
) -> None:
    world.allow(*scopes)
    world.service.listen(listening)
    paid = world.pay(by=SOMEBODY)
    found = heard(world, listening)
    assert len(found) == hears
    for body in found:
        assert body["data"]["member_id"] == str(world.holder.member_id)
        assert body["data"]["balance_yen"] == (paid.balance_yen if balance else None)


def test_another_members_permission_is_no_permission(world: World, listening: Receiver) -> None:
    (other,) = world.members(1)
    world.allow("history", member_id=other)
    world.service.listen(listening)
    world.pay(by=SOMEBODY)
    assert heard(world, listening) == []


class TestShops:
    @pytest.fixture
    def shop_service(self, world: World) -> Service:
        return new_service(world.app, shops=[world.holder.shop_id], scopes=["webhook", "shop:read"])

    def test_what_happens_at_its_shop(self, world: World, listening: Receiver, shop_service: Service) -> None:
        shop_service.listen(listening)
        world.pay(by=SOMEBODY)
        (body,) = heard(world, listening)
        assert body["data"]["shop"] == {"id": str(world.holder.shop_id), "code": world.shop}
        assert body["data"]["member_id"] is None
        assert body["data"]["balance_yen"] is None

    def test_not_without_the_scope(self, world: World, listening: Receiver) -> None:
        new_service(world.app, shops=[world.holder.shop_id]).listen(listening)
        world.pay(by=SOMEBODY)
        assert heard(world, listening) == []

    def test_not_at_another_shop(self, world: World, listening: Receiver) -> None:
        with world.app.app_context():
            other = factories.shop(accepts=[world.holder.money])
        new_service(world.app, shops=[other], scopes=["webhook", "shop:read"]).listen(listening)
        world.pay(by=SOMEBODY)
        assert heard(world, listening) == []

    def test_not_a_charge(self, world: World, listening: Receiver, shop_service: Service) -> None:
        """It is at no shop."""
        shop_service.listen(listening, events=["charge.created"])
        world.members(1)
        assert heard(world, listening) == []


def test_only_the_types_it_chose(world: World, listening: Receiver) -> None:
    world.allow("history")
    world.service.listen(listening, path="/payments", events=["payment.created"])
    world.service.listen(listening, path="/charges", events=["charge.created"])
    world.pay()
    with world.app.app_context():
        factories.charge(member_id=world.holder.member_id, money=world.holder.money, amount_yen=500)
    world.work()
    assert {(got.path, got.body["type"]) for got in listening.got} == {
        ("/payments", "payment.created"),
        ("/charges", "charge.created"),
    }
    assert len(listening.got) == 2


def test_nothing_from_before_it_was_there(world: World, listening: Receiver) -> None:
    world.pay()
    world.service.listen(listening)
    assert heard(world, listening) == []
    world.pay()
    assert len(heard(world, listening)) == 1


class TestWhenAPermissionEnds:
    def revoke(self, world: World) -> str:
        grant_id = world.sql("SELECT id FROM oauth_grant WHERE client_id = %(id)s", id=world.app_id)[0][0]
        with world.app.app_context(), transaction():
            grants_service.revoke(grant_id=grant_id, controls=GrantControls())
        return str(grant_id)

    def test_its_client_is_told_once(self, world: World, listening: Receiver) -> None:
        world.allow("history")
        world.service.listen(listening, events=["grant.revoked"])
        grant_id = self.revoke(world)
        self.revoke(world)
        (body,) = heard(world, listening)
        assert body["type"] == "grant.revoked"
        assert body["data"] == {
            "grant_id": grant_id,
            "client_id": world.app_id,
            "member_id": str(world.holder.member_id),
        }

    def test_nobody_else_is(self, world: World, listening: Receiver) -> None:
        world.allow("history")
        world.service.listen(listening)  # for payments only
        new_service(world.app).listen(listening, path="/other", events=["grant.revoked"])
        self.revoke(world)
        assert heard(world, listening) == []
        assert world.sql("SELECT * FROM webhook_event") == []

    def test_nobody_is_where_it_failed(self, world: World, listening: Receiver) -> None:
        world.allow("history")
        world.service.listen(listening, events=["grant.revoked"])
        ((grant_id,),) = world.sql("SELECT id FROM oauth_grant WHERE client_id = %(id)s", id=world.app_id)
        with world.app.app_context(), pytest.raises(ZeroDivisionError), transaction():
            grants_service.revoke(grant_id=grant_id, controls=GrantControls())
            raise ZeroDivisionError
        assert heard(world, listening) == []

    def test_all_at_once(self, world: World, listening: Receiver) -> None:
        world.allow("history")
        world.service.listen(listening, events=["grant.revoked"])
        with world.app.app_context(), transaction():
            grants_service.revoke_all(world.holder.member_id, controls=GrantControls())
        assert len(heard(world, listening)) == 1

    def test_with_the_whole_app(self, world: World, listening: Receiver) -> None:
        for member_id in world.members(3):
            world.allow("history", member_id=member_id)
        world.service.listen(listening, events=["grant.revoked"])
        with world.app.app_context(), transaction():
            registry.revoke(registry.locked(world.app_id), controls=GrantControls())
        assert len(heard(world, listening)) == 3

    def test_after_the_payments_it_let_through(self, world: World, listening: Receiver) -> None:
        """The payments come from the ledger, the end does not: in order all the same."""
        world.allow("history")
        world.service.listen(listening, events=["payment.created", "grant.revoked"])
        for _ in range(3):
            world.pay()
        self.revoke(world)
        world.pay()
        types = [body["type"] for body in heard(world, listening)]
        assert types == [*["payment.created"] * 3, "grant.revoked", "payment.created"]

    def test_what_was_only_its_right_and_still_waits_is_not_sent(self, world: World, listening: Receiver) -> None:
        world.allow("history")
        endpoint = world.service.listen(listening)
        world.pay(by=SOMEBODY)
        world.pay()
        world.feed()
        self.revoke(world)
        theirs, _ = reversed(world.service.deliveries(endpoint))
        assert world.service.log(endpoint, theirs["id"])["payload"] is None, "nor shown"
        assert len(heard(world, listening)) == 1, "what the app itself asked for"
        assert world.service.log(endpoint, theirs["id"])["payload"] is None
        gone = world.service.call("POST", f"/{endpoint}/deliveries/{theirs['id']}/resend")
        assert (gone.status_code, gone.get_json()["code"]) == (409, "webhook_payload_gone")
        states = [(each["state"], each["last_error"]) for each in world.service.deliveries(endpoint)]
        assert states == [("delivered", None), ("given_up", "PermissionRevoked")]

    def test_what_was_delivered_before_is_not_sent_again(self, world: World, listening: Receiver) -> None:
        world.allow("history")
        endpoint = world.service.listen(listening)
        world.pay(by=SOMEBODY)
        assert len(heard(world, listening)) == 1
        self.revoke(world)
        (delivery,) = world.service.deliveries(endpoint)
        world.service.call("POST", f"/{endpoint}/deliveries/{delivery['id']}/resend")
        assert len(heard(world, listening)) == 1
        assert [each["last_error"] for each in world.service.deliveries(endpoint)] == ["PermissionRevoked"]

    def test_a_suspended_account_is_not_read(self, world: World, listening: Receiver) -> None:
        world.allow("history")
        world.service.listen(listening)
        with world.app.app_context(), transaction():
            suspend_member(world.holder.member_id)
        world.pay(by=SOMEBODY)
        assert heard(world, listening) == []

    def test_what_the_office_took_from_the_app_is_not_read(self, world: World, listening: Receiver) -> None:
        world.allow("history")
        world.service.listen(listening)
        world.sql("UPDATE oauth_client SET scopes = '{openid,balance}' WHERE id = %(id)s", id=world.app_id)
        world.pay(by=SOMEBODY)
        assert heard(world, listening) == []


class TestWallets:
    @pytest.mark.parametrize(("scopes", "hears"), [(["balance"], 1), (["history"], 0), (["profile"], 0)])
    def test_who_may_read_balances_hears_how_the_wallet_stands(
        self, world: World, listening: Receiver, scopes: Sequence[str], hears: int
    ) -> None:
        world.allow(*scopes)
        world.service.listen(listening, events=["wallet.suspended"])
        said = {"money": {"code": world.holder.money}}
        with world.app.app_context(), transaction():
            emit_event("wallet.suspended", member_id=world.holder.member_id, data=said)
            emit_event("wallet.resumed", member_id=world.holder.member_id, data=said)
        found = heard(world, listening)
        assert len(found) == hears
        for body in found:
            assert body["type"] == "wallet.suspended"
            assert body["data"] == {"member_id": str(world.holder.member_id), **said}
        assert world.sql("SELECT * FROM webhook_event") == []
