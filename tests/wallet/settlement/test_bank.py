"""What is set of accounts at banks is checked when it is set, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from app.db import session, transaction
from app.errors import DomainError
from app.wallet.models import Shop
from app.wallet.settlement import bank
from app.wallet.settlement.errors import BankTextTooLong, UnwritableKana, WrongBankNumber
from tests import factories
from tests.wallet.settlement.accounts import KEY, PLACE


@pytest.fixture(autouse=True)
def in_app(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"bank_code": "1"}, WrongBankNumber, "bank_code"),
        ({"bank_code": "００01"}, WrongBankNumber, "bank_code"),
        ({"bank_code": "0001\n"}, WrongBankNumber, "bank_code"),
        ({"branch_code": "0001"}, WrongBankNumber, "branch_code"),
        ({"number": "12345678"}, WrongBankNumber, "number"),
        ({"number": ""}, WrongBankNumber, "number"),
        ({"number": "12-4567"}, WrongBankNumber, "number"),
        ({"bank_name": "銀行"}, UnwritableKana, "bank_name"),
        ({"branch_name": "ア" * 16}, BankTextTooLong, "branch_name"),
    ],
)
def test_wrong_data_is_refused_by_its_field(changes: dict[str, str], error: type[DomainError], field: str) -> None:
    shop_id = factories.shop(accepts=[])
    with pytest.raises(error) as refusal, transaction():
        shop = session().get_one(Shop, shop_id)
        bank.set_shop_account(shop, replace(PLACE, **changes), holder="カ", sealing_key=KEY)
    assert refusal.value.detail["field"] == field
    with transaction():
        assert bank.shop_account(shop_id) is None


def test_the_last_one_set_counts_and_shows_only_its_last_digits() -> None:
    shop_id = factories.shop(accepts=[])
    for number in ("1111111", "42"):
        with transaction():
            shop = session().get_one(Shop, shop_id)
            bank.set_shop_account(shop, replace(PLACE, number=number), holder="ブックス", sealing_key=KEY)
    with transaction():
        row = bank.shop_account(shop_id)
        assert row is not None
        assert bank.shown(row) == {
            "bank": "0001 ﾐｽﾞﾎ",
            "branch": "001 ﾄｳｷﾖｳ",
            "account_type": "ordinary",
            "number": "****042",
            "name": "ﾌﾞﾂｸｽ",
        }
        assert bank.place_of(row, sealing_key=KEY).number == "0000042"


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"code": "12345678901"}, WrongBankNumber, "code"),
        ({"code": "A1"}, WrongBankNumber, "code"),
        ({"name": "生協"}, UnwritableKana, "name"),
        ({"name": "ア" * 41}, BankTextTooLong, "name"),
        ({"place": replace(PLACE, account_type="savings")}, WrongBankNumber, "account_type"),
    ],
)
def test_the_issuers_own_account_is_checked_too(
    changes: dict[str, object], error: type[DomainError], field: str
) -> None:
    given = {"place": PLACE, "code": "12345", "name": "セイキョウ", **changes}
    with pytest.raises(error) as refusal, transaction():
        bank.set_requester(issuer_id=factories.current_issuer().id, line_ends=True, sealing_key=KEY, **given)  # type: ignore[arg-type]
    assert refusal.value.detail["field"] == field
