"""`kumiai ledger verify` finds a sealed transaction that somebody with all rights changed, and says which block."""

from __future__ import annotations

import pytest

from app.wallet.proof import audit
from app.wallet.verify import verify
from tests.wallet.proof.books import behind_the_triggers, settings_of
from tests.wallet.proof.conftest import Yesterday

pytestmark = pytest.mark.ledger

CHANGED = "a transaction is not what was sealed"
BROKEN = "a block is not what was sealed"
UNSIGNED = "a day's signed statement does not fit its blocks"

# The first few leave every sum of the books right: only what was sealed says otherwise.
DAMAGE = [
    (CHANGED, "block 2, position 2", "UPDATE transaction SET description = '夕食' WHERE position = 2"),
    (CHANGED, "block 3, position 5", "UPDATE transaction SET metadata = '{}' WHERE position = 5"),
    (CHANGED, "block 3, position 5", "UPDATE transaction SET metadata = '[1.5]' WHERE position = 5"),
    (CHANGED, "block 2, position 3", "UPDATE transaction SET taken_at = created_at WHERE position = 3"),
    (
        CHANGED,
        "block 2, position 3",
        "UPDATE transaction SET created_at = created_at + interval '1 microsecond' WHERE position = 3",
    ),
    (CHANGED, "block 1, position 1", "UPDATE transaction SET requester = 'x' WHERE position = 1"),
    (CHANGED, "block 1, position 1", "UPDATE money SET code = code || 'x'"),
    (BROKEN, "block 2: its root is not over its leaves", "UPDATE proof_block SET root = sha256(root) WHERE number = 2"),
    (
        BROKEN,
        "block 3: its root is not over its leaves",
        "UPDATE proof_block SET leaves = sha256('x') || sha256('y') WHERE number = 3",
    ),
    (
        BROKEN,
        "block 3: it does not follow from the one before",
        "UPDATE proof_block SET previous = sha256(previous) WHERE number = 3",
    ),
    (BROKEN, "block 3: it does not follow from the one before", "DELETE FROM proof_block WHERE number = 2"),
    (
        UNSIGNED,
        "day ",
        "UPDATE proof_day SET statement = (SELECT statement FROM proof_day ORDER BY day DESC LIMIT 1)",
    ),
    (UNSIGNED, "day ", "UPDATE proof_day SET statement = statement || 'A'"),
    (UNSIGNED, "day ", "UPDATE proof_day SET jwk = '{}'"),
    (UNSIGNED, "day ", "UPDATE proof_block SET previous = sha256(previous) WHERE number = 4"),
    (UNSIGNED, "day ", "DELETE FROM proof_day WHERE first_block = 1"),
    (UNSIGNED, "day ", "UPDATE proof_day SET last_block = 3 WHERE first_block = 2"),
]

EVERYWHERE = """
    UPDATE transaction SET amount_yen = 400 WHERE position = 2;
    UPDATE transfer SET amount_yen = 400 WHERE position = 2;
    UPDATE transfer SET debit_after_yen = debit_after_yen + 50, credit_after_yen = credit_after_yen - 50
     WHERE position IN (2, 3, 5);
    UPDATE transfer SET debit_after_yen = debit_after_yen - 50, credit_after_yen = credit_after_yen + 50
     WHERE position = 4;
    UPDATE account SET posted_yen = posted_yen + CASE kind WHEN 'lot' THEN 50 ELSE -50 END
     WHERE kind IN ('lot', 'takings') AND version > 1;
    UPDATE wallet SET total_yen = total_yen + 50, spent_day_yen = spent_day_yen - 50,
           spent_month_yen = spent_month_yen - 50
     WHERE id IN (SELECT wallet_id FROM account WHERE version > 1);
"""


def test_what_is_sealed_and_true_is_clean(yesterday: Yesterday) -> None:
    _, differences = verify(settings_of(yesterday.app).database_url)
    assert differences == []


@pytest.mark.parametrize(("check", "where", "damage"), DAMAGE, ids=[each[2][:60] for each in DAMAGE])
def test_what_somebody_with_all_rights_did_is_found(yesterday: Yesterday, check: str, where: str, damage: str) -> None:
    with behind_the_triggers(yesterday.app) as connection:
        connection.execute(damage.encode())
        found = dict(audit.differences(connection))
        connection.rollback()
    assert found[check].startswith(where)


def test_an_amount_changed_in_all_its_sums_is_found(own_yesterday: Yesterday) -> None:
    """450 becomes 400 everywhere: transfer, balances after it, lot, takings, wallet. The books agree with it."""
    with behind_the_triggers(own_yesterday.app) as connection:
        connection.execute(EVERYWHERE.encode())
    _, differences = verify(settings_of(own_yesterday.app).database_url)
    assert [(each.check, each.where) for each in differences] == [(CHANGED, "block 2, position 2")]


def test_a_block_without_one_of_its_transactions_is_found(yesterday: Yesterday) -> None:
    with behind_the_triggers(yesterday.app) as connection:
        connection.execute("DELETE FROM transfer WHERE position = 2")
        connection.execute("DELETE FROM transaction WHERE position = 2")
        found = dict(audit.differences(connection))
        connection.rollback()
    assert found == {CHANGED: "block 2, position 2"}
