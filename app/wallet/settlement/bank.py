"""Accounts at banks: the shops' and the issuer's own. Numbers are kept sealed, with the last three digits beside.

Called inside `transaction()`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.db import session
from app.seal import SealBroken, seal, unseal
from app.wallet.models import Shop
from app.wallet.settlement.errors import NoTransferRequester, WrongBankNumber
from app.wallet.settlement.kana import half_width
from app.wallet.settlement.models import ShopBankAccount, TransferRequester
from app.wallet.settlement.zengin import Place, Requester

ACCOUNT_TYPES = {"ordinary": 1, "current": 2, "savings": 4}
"""普通, 当座, 貯蓄 (全銀協, 付録3 預金種目コード)."""

_SHOWN_DIGITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BankPlace:
    """An account as people write it; `checked` makes it fit for the bank's file."""

    bank_code: str
    bank_name: str
    branch_code: str
    branch_name: str
    account_type: str
    number: str

    def checked(self) -> tuple[dict[str, Any], str]:
        """Its columns without the number, and the number in seven digits. Raises what names the wrong field."""
        number = _digits(self.number, field="number", least=1, most=7).zfill(7)
        return {
            "bank_code": _digits(self.bank_code, field="bank_code", least=4, most=4),
            "bank_name": half_width(self.bank_name, field="bank_name", max_characters=15),
            "branch_code": _digits(self.branch_code, field="branch_code", least=3, most=3),
            "branch_name": half_width(self.branch_name, field="branch_name", max_characters=15),
            "account_type": ACCOUNT_TYPES[self.account_type],
            "last_digits": number[-_SHOWN_DIGITS:],
        }, number


def set_shop_account(shop: Shop, place: BankPlace, *, holder: str, sealing_key: bytes) -> ShopBankAccount:
    """Where the shop is paid from now on. Raises UnwritableKana, BankTextTooLong, WrongBankNumber."""
    columns, number = place.checked()
    row = ShopBankAccount(
        **columns,
        issuer_id=shop.issuer_id,
        shop_id=shop.id,
        holder=half_width(holder, field="holder", max_characters=30),
        sealed_number=_sealed(number, owner=shop.id, key=sealing_key),
    )
    session().add(row)
    session().flush()
    return row


def set_requester(
    *, issuer_id: UUID, place: BankPlace, code: str, name: str, line_ends: bool, sealing_key: bytes
) -> TransferRequester:
    """The issuer as its bank knows it, from now on. Raises UnwritableKana, BankTextTooLong, WrongBankNumber."""
    columns, number = place.checked()
    if columns["account_type"] == ACCOUNT_TYPES["savings"]:
        raise WrongBankNumber(field="account_type", digits=1)
    row = TransferRequester(
        **columns,
        issuer_id=issuer_id,
        code=_digits(code, field="code", least=1, most=10).zfill(10),
        name=half_width(name, field="name", max_characters=40),
        sealed_number=_sealed(number, owner=issuer_id, key=sealing_key),
        line_ends=line_ends,
    )
    session().add(row)
    session().flush()
    return row


def shop_account(shop_id: UUID) -> ShopBankAccount | None:
    """Where a shop is paid now."""
    query = select(ShopBankAccount).filter_by(shop_id=shop_id).order_by(ShopBankAccount.id.desc()).limit(1)
    return session().scalars(query).one_or_none()


def requester(issuer_id: UUID) -> TransferRequester:
    """The issuer as its bank knows it now. Raises NoTransferRequester."""
    query = select(TransferRequester).filter_by(issuer_id=issuer_id).order_by(TransferRequester.id.desc()).limit(1)
    row = session().scalars(query).one_or_none()
    if row is None:
        raise NoTransferRequester
    return row


def place_of(row: ShopBankAccount | TransferRequester, *, sealing_key: bytes) -> Place:
    """An account as the file writes it, its number unsealed. Raises SealBroken."""
    owner = row.shop_id if isinstance(row, ShopBankAccount) else row.issuer_id
    return Place(
        bank_code=row.bank_code,
        bank_name=row.bank_name,
        branch_code=row.branch_code,
        branch_name=row.branch_name,
        account_type=row.account_type,
        number=_unsealed(row.sealed_number, owner=owner, key=sealing_key),
    )


def as_requester(row: TransferRequester, *, sealing_key: bytes) -> Requester:
    """The issuer as the file writes it. Raises SealBroken."""
    return Requester(place=place_of(row, sealing_key=sealing_key), code=row.code, name=row.name)


def shown(row: ShopBankAccount | TransferRequester) -> Mapping[str, str]:
    """An account for people to recognise, its number hidden but for its end."""
    return {
        "bank": f"{row.bank_code} {row.bank_name}",
        "branch": f"{row.branch_code} {row.branch_name}",
        "account_type": next(name for name, code in ACCOUNT_TYPES.items() if code == row.account_type),
        "number": "*" * (7 - _SHOWN_DIGITS) + row.last_digits,
        "name": row.holder if isinstance(row, ShopBankAccount) else row.name,
    }


def _digits(value: str, *, field: str, least: int, most: int) -> str:
    if not re.fullmatch(rf"[0-9]{{{least},{most}}}", value):
        raise WrongBankNumber(field=field, digits=most)
    return value


def _sealed(number: str, *, owner: UUID, key: bytes) -> bytes:
    """With the owner's id in it: put into another's row it opens nothing."""
    return seal(key, f"{owner}:{number}".encode())


def _unsealed(sealed: bytes, *, owner: UUID, key: bytes) -> str:
    of, _, number = unseal(key, sealed).decode().partition(":")
    if of != str(owner):
        raise SealBroken("sealed for another's account")
    return number
