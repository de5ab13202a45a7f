"""`kumiai ledger verify` finds each way in which settlements could be wrong. The damage is done behind the triggers."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask

from app.db import transaction
from app.issuer import current_issuer
from app.wallet.settlement import closing, positions, service
from app.wallet.settlement.checks import SETTLEMENT_CHECKS
from app.wallet.verify import verify
from tests.wallet.settlement.shopkeeper import shopkeeper

pytestmark = pytest.mark.ledger

DAMAGE = {
    "a settlement does not say what the ledger says of its positions": (
        "UPDATE settlement_line SET payments_yen = payments_yen + 1, others_yen = others_yen - 1, payments = 9"
        " WHERE settled_yen > 0",
        "DELETE FROM settlement_line WHERE settled_yen > 0",
        "UPDATE settlement SET through_position = through_position + 2 WHERE number = 3",
    ),
    "what was settled is not what left the takings": (
        "UPDATE settlement_line SET settled_yen = settled_yen + 1, payable_yen = payable_yen + 1,"
        " others_yen = others_yen + 1 WHERE settled_yen > 0",
        "UPDATE settlement SET transaction_id = (SELECT id FROM transaction WHERE kind = 'charge' LIMIT 1)"
        " WHERE number = 1",
    ),
    "what a shop owes is not carried into its next settlement": (
        "UPDATE settlement_line SET carried_in_yen = carried_in_yen + 100, others_yen = others_yen - 100"
        " WHERE carried_in_yen < 0",
        "UPDATE settlement_line SET carried_in_yen = -100, others_yen = others_yen + 100"
        " WHERE settlement_id = (SELECT id FROM settlement WHERE number = 2)",
    ),
}


@pytest.fixture
def books(fresh_app: Flask, fresh_database: str) -> Iterator[str]:
    """Three settlements: one of ¥500, of which ¥500 were given back before it was posted; a debt; and the debt paid."""
    with fresh_app.app_context():
        keeper = shopkeeper()
        paid = keeper.pay(500)
        with transaction():
            cut = positions.cut(issuer_id=current_issuer().id, day=None)
            settlement_id = service.next_settlement(shop_id=keeper.shop_id, cut=cut).id
        keeper.give_back(paid)
        closing.finish(settlement_id)
        keeper.close()
        keeper.pay(1_200)
        keeper.close()
        keeper.pay(10)
        yield fresh_database


def test_true_settlements_are_clean(books: str) -> None:
    assert verify(books)[1] == []


@pytest.mark.parametrize(
    ("check", "damage"), [(check, damage) for check, damages in DAMAGE.items() for damage in damages]
)
def test_damage_is_found(books: str, check: str, damage: str) -> None:
    assert DAMAGE.keys() == SETTLEMENT_CHECKS.keys()
    with psycopg.connect(books) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(damage.encode())
    assert check in {difference.check for difference in verify(books)[1]}
