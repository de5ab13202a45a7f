"""Paying the shops by a file for the bank. A settlement is in one file at most, for ever; a day has one file.

Called inside `transaction()`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from uuid import UUID

from sqlalchemy import select

from app.db import session
from app.errors import NotFound
from app.issuer import Issuer, issuer_today
from app.wallet.models import Shop
from app.wallet.settlement import bank, zengin
from app.wallet.settlement.banking_days import may_transfer
from app.wallet.settlement.errors import NoBankingDay, NothingToTransfer, TransferDayTaken
from app.wallet.settlement.models import (
    Settlement,
    SettlementTransfer,
    ShopBankAccount,
    TransferFile,
    TransferRequester,
)
from app.wallet.settlement.zengin import Payee


@dataclass(frozen=True, slots=True)
class Made:
    """A file, whether it was made now or is the one that was made before, and the shops it leaves out."""

    transfer_on: date
    content: bytes
    records: int
    total_yen: int
    again: bool
    without_account: tuple[str, ...]
    """Codes of shops that are owed something and have no bank account here: they stay for another file."""


def transfer_file(*, issuer_id: UUID, on: date, sealing_key: bytes) -> Made:
    """The file of the day `on`, with every settlement that is closed, to be paid and in no file yet.

    Where that day's file was made before, it is made again, byte for byte; what was closed since is for another day's.
    Raises NoBankingDay, NoTransferRequester, NothingToTransfer, TransferTooLarge, SealBroken.
    """
    _one_at_a_time(issuer_id)
    row = _file(issuer_id, on)
    again, left_out = row is not None, tuple[str, ...]()
    if row is None:
        if not may_transfer(on, today=issuer_today()):
            raise NoBankingDay(day=on.isoformat())
        row, left_out = _assign(issuer_id, on)
    content = _content(row, sealing_key=sealing_key)
    return Made(on, content, row.records, row.total_yen, again, left_out)


def move(*, issuer_id: UUID, of: date, to: date) -> None:
    """Give the file of one day another day, where the bank did not take it: it still pays the very same.

    Raises NotFound, NoBankingDay, TransferDayTaken.
    """
    _one_at_a_time(issuer_id)
    row = _file(issuer_id, of)
    if row is None:
        raise NotFound
    if not may_transfer(to, today=issuer_today()):
        raise NoBankingDay(day=to.isoformat())
    if _file(issuer_id, to) is not None:
        raise TransferDayTaken(day=to.isoformat())
    row.transfer_on = to
    session().flush()


def _one_at_a_time(issuer_id: UUID) -> None:
    session().execute(select(Issuer.id).filter_by(id=issuer_id).with_for_update(key_share=True))


def _file(issuer_id: UUID, on: date) -> TransferFile | None:
    return session().scalars(select(TransferFile).filter_by(issuer_id=issuer_id, transfer_on=on)).one_or_none()


def _assign(issuer_id: UUID, on: date) -> tuple[TransferFile, tuple[str, ...]]:
    """Put all that is to be paid into a new file."""
    requester = bank.requester(issuer_id)
    open_ones = _unpaid(issuer_id)
    accounts = {shop.id: bank.shop_account(shop.id) for _, shop in open_ones}
    payable = [(row, account) for row, shop in open_ones if (account := accounts[shop.id]) is not None]
    left_out = tuple(sorted({shop.code for _, shop in open_ones if accounts[shop.id] is None}))
    if not payable:
        raise NothingToTransfer(shops=list(left_out))
    file = TransferFile(
        issuer_id=issuer_id,
        transfer_on=on,
        requester_id=requester.id,
        records=len({account.id for _, account in payable}),
        total_yen=sum(row.payable_yen for row, _ in payable),
    )
    session().add(file)
    session().flush()
    session().add_all(
        SettlementTransfer(settlement_id=row.id, issuer_id=issuer_id, file_id=file.id, bank_account_id=account.id)
        for row, account in payable
    )
    session().flush()
    return file, left_out


def _unpaid(issuer_id: UUID) -> list[tuple[Settlement, Shop]]:
    query = (
        select(Settlement, Shop)
        .join(Shop, Shop.id == Settlement.shop_id)
        .outerjoin(SettlementTransfer, SettlementTransfer.settlement_id == Settlement.id)
        .where(Settlement.issuer_id == issuer_id, Settlement.state == "closed", Settlement.payable_yen > 0)
        .where(SettlementTransfer.settlement_id.is_(None))
        .order_by(Shop.code, Settlement.number)
    )
    return [(row, shop) for row, shop in session().execute(query)]


def _content(file: TransferFile, *, sealing_key: bytes) -> bytes:
    """The bytes of a file, from what was written about it and nothing else."""
    requester = session().get_one(TransferRequester, file.requester_id)
    query = (
        select(Shop.code, Settlement, ShopBankAccount)
        .join(SettlementTransfer, SettlementTransfer.settlement_id == Settlement.id)
        .join(ShopBankAccount, ShopBankAccount.id == SettlementTransfer.bank_account_id)
        .join(Shop, Shop.id == Settlement.shop_id)
        .where(SettlementTransfer.file_id == file.id)
        .order_by(Shop.code, Settlement.number)
    )
    paid = [(account, settlement) for _, settlement, account in session().execute(query)]
    payees = [
        _payee(account, [settlement for _, settlement in of_it], sealing_key=sealing_key)
        for account, of_it in groupby(paid, key=lambda pair: pair[0])
    ]
    assert (len(payees), sum(payee.amount_yen for payee in payees)) == (file.records, file.total_yen)
    return zengin.transfer_file(
        bank.as_requester(requester, sealing_key=sealing_key),
        payees,
        on=file.transfer_on,
        line_ends=requester.line_ends,
    )


def _payee(account: ShopBankAccount, settlements: Iterable[Settlement], *, sealing_key: bytes) -> Payee:
    """One record for a shop, however many of its settlements: a bank asks its fee for each."""
    rows = list(settlements)
    first, last = rows[0].number, rows[-1].number
    return Payee(
        place=bank.place_of(account, sealing_key=sealing_key),
        name=account.holder,
        amount_yen=sum(row.payable_yen for row in rows),
        edi=f"{first}" if first == last else f"{first}-{last}",
    )
