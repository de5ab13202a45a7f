"""Rows of settlement (精算): what was agreed with a shop, what was settled with it, and how it was paid.

A settlement covers the shop's transactions after the last one's position, up to its own. Positions are gapless and
every later transaction gets a higher one, so nothing can ever be written into a period that is closed. The rows are
immutable (triggers, migration 0010); a settlement changes once, from `closing` to `closed`.
"""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id

ROUNDINGS = ("down", "half_up", "up")


def _bank_checks() -> tuple[CheckConstraint, ...]:
    """What holds for every account at a bank."""
    return (
        CheckConstraint("bank_code ~ '^[0-9]{4}$'", name="bank_code_form"),
        CheckConstraint("branch_code ~ '^[0-9]{3}$'", name="branch_code_form"),
        CheckConstraint("last_digits ~ '^[0-9]{3}$'", name="last_digits_form"),
    )


class SettlementTerms(Base):
    """What was agreed with a shop of one money. Without a row: no fee, and the value is paid out."""

    __tablename__ = "settlement_terms"
    __table_args__ = (
        CheckConstraint("fee_rate_bp BETWEEN 0 AND 10000", name="fee_rate"),
        CheckConstraint(f"fee_rounding IN {ROUNDINGS}", name="fee_rounding"),
    )

    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shop.id"), primary_key=True)
    money_id: Mapped[int] = mapped_column(ForeignKey("money.id"), primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    fee_rate_bp: Mapped[int] = mapped_column(
        SmallInteger, default=0, server_default="0", comment="of what is settled, in hundredths of a percent"
    )
    fee_rounding: Mapped[str] = mapped_column(default="down", server_default="down", comment="of a part of a yen")
    reimbursed: Mapped[bool] = mapped_column(
        default=True, server_default="true", comment="free monies: whether the issuer pays the shop for them"
    )


class Settlement(Base):
    """A shop's period, closed. `number` counts the shop's settlements; each begins where the one before ended."""

    __tablename__ = "settlement"
    __table_args__ = (
        UniqueConstraint("shop_id", "number"),
        UniqueConstraint("shop_id", "number", "through_position"),
        ForeignKeyConstraint(
            ["shop_id", "after_number", "after_position"],
            ["settlement.shop_id", "settlement.number", "settlement.through_position"],
            name="fk_settlement_before",
        ),
        CheckConstraint(
            "CASE WHEN number = 1 THEN after_number IS NULL AND after_position = 0"
            " ELSE after_number IS NOT NULL AND after_number = number - 1 END",
            name="follows_the_one_before",
        ),
        CheckConstraint("number > 0", name="number_positive"),
        CheckConstraint("through_position > after_position", name="covers_something"),
        CheckConstraint("through_day >= first_day", name="days_in_order"),
        CheckConstraint("settled_yen >= 0 AND payable_yen BETWEEN 0 AND settled_yen", name="payable_within_settled"),
        CheckConstraint("state IN ('closing', 'closed')", name="state"),
        CheckConstraint(
            "(state = 'closed') = (closed_at IS NOT NULL)"
            " AND (transaction_id IS NOT NULL) = (state = 'closed' AND settled_yen > 0)",
            name="closed_when_posted",
        ),
        Index("ix_settlement_closing", "id", postgresql_where=text("state = 'closing'")),
        Index(
            "uq_settlement_transaction",
            "transaction_id",
            unique=True,
            postgresql_where=text("transaction_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shop.id"))
    number: Mapped[int] = mapped_column(Integer, comment="1, 2, 3, … of this shop")
    after_number: Mapped[int | None] = mapped_column(Integer, comment="the settlement before this one")
    after_position: Mapped[int] = mapped_column(BigInteger, comment="covers what comes after it …")
    through_position: Mapped[int] = mapped_column(BigInteger, comment="… up to here")
    first_day: Mapped[date] = mapped_column(comment="of its first transaction, in the issuer's time zone")
    through_day: Mapped[date] = mapped_column(comment="the last day it covers, perhaps not to its end")
    settled_yen: Mapped[int] = mapped_column(BigInteger, comment="leaves the shop's takings")
    payable_yen: Mapped[int] = mapped_column(BigInteger, comment="to be paid to the shop")
    state: Mapped[str] = mapped_column(default="closing", server_default="closing")
    transaction_id: Mapped[UUID | None] = mapped_column(ForeignKey("transaction.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    closed_at: Mapped[datetime | None]


class SettlementLine(Base):
    """What a settlement says of one money. Adds up, to the yen, with the ledger's transfers of its positions."""

    __tablename__ = "settlement_line"
    __table_args__ = (
        CheckConstraint("backing IN ('paid', 'free')", name="backing"),
        CheckConstraint(
            "payments >= 0 AND payments_yen >= payments AND refunds >= 0 AND refunds_yen >= refunds", name="counts"
        ),
        CheckConstraint(
            "carried_in_yen + payments_yen - refunds_yen + others_yen = settled_yen + carried_out_yen", name="adds_up"
        ),
        CheckConstraint(
            "carried_in_yen <= 0 AND carried_out_yen <= 0 AND settled_yen >= 0"
            " AND (settled_yen = 0 OR carried_out_yen = 0)",
            name="only_debts_are_carried",
        ),
        CheckConstraint("reimbursed OR backing = 'free'", name="paid_money_is_paid_out"),
        CheckConstraint("fee_rate_bp BETWEEN 0 AND 10000", name="fee_rate"),
        CheckConstraint(f"fee_rounding IN {ROUNDINGS}", name="fee_rounding"),
        CheckConstraint(
            "fee_yen = CASE WHEN NOT reimbursed THEN 0 ELSE (settled_yen * fee_rate_bp + CASE fee_rounding"
            " WHEN 'down' THEN 0 WHEN 'half_up' THEN 5000 WHEN 'up' THEN 9999 END) / 10000 END",
            name="fee",
        ),
        CheckConstraint("payable_yen = CASE WHEN reimbursed THEN settled_yen - fee_yen ELSE 0 END", name="payable"),
    )

    settlement_id: Mapped[UUID] = mapped_column(ForeignKey("settlement.id"), primary_key=True)
    money_id: Mapped[int] = mapped_column(ForeignKey("money.id"), primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    backing: Mapped[str] = mapped_column(comment="of the money: paid or free")
    payments: Mapped[int] = mapped_column(Integer, comment="how many, captures too")
    payments_yen: Mapped[int] = mapped_column(BigInteger)
    refunds: Mapped[int] = mapped_column(Integer)
    refunds_yen: Mapped[int] = mapped_column(BigInteger)
    others_yen: Mapped[int] = mapped_column(BigInteger, comment="corrections of the takings, either way")
    carried_in_yen: Mapped[int] = mapped_column(BigInteger, comment="what the shop owed from before; never positive")
    carried_out_yen: Mapped[int] = mapped_column(BigInteger, comment="what it owes on; never positive")
    settled_yen: Mapped[int] = mapped_column(BigInteger, comment="leaves the takings")
    reimbursed: Mapped[bool] = mapped_column(comment="whether the issuer pays for this money")
    fee_rate_bp: Mapped[int] = mapped_column(SmallInteger)
    fee_rounding: Mapped[str]
    fee_yen: Mapped[int] = mapped_column(BigInteger)
    payable_yen: Mapped[int] = mapped_column(BigInteger)


class ShopBankAccount(Base):
    """Where a shop is paid. A new row for each change: the last one counts, and a file can be made again as it was."""

    __tablename__ = "shop_bank_account"
    __table_args__ = (
        *_bank_checks(),
        CheckConstraint("account_type IN (1, 2, 4)", name="account_type"),
        Index("ix_shop_bank_account_shop", "shop_id", text("id DESC")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shop.id"))
    bank_code: Mapped[str]
    bank_name: Mapped[str] = mapped_column(comment="half-width kana, as the transfer file writes it")
    branch_code: Mapped[str]
    branch_name: Mapped[str]
    account_type: Mapped[int] = mapped_column(SmallInteger, comment="1 ordinary, 2 current, 4 savings")
    holder: Mapped[str] = mapped_column(comment="half-width kana")
    sealed_number: Mapped[bytes] = mapped_column(comment="the account's number, sealed together with the shop's id")
    last_digits: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TransferRequester(Base):
    """The issuer as its bank knows it (振込依頼人). A new row for each change, as with the shops' accounts."""

    __tablename__ = "transfer_requester"
    __table_args__ = (
        *_bank_checks(),
        CheckConstraint("account_type IN (1, 2)", name="account_type"),
        CheckConstraint("code ~ '^[0-9]{10}$'", name="code_form"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    code: Mapped[str] = mapped_column(comment="given by the bank")
    name: Mapped[str] = mapped_column(comment="half-width kana")
    bank_code: Mapped[str]
    bank_name: Mapped[str]
    branch_code: Mapped[str]
    branch_name: Mapped[str]
    account_type: Mapped[int] = mapped_column(SmallInteger)
    sealed_number: Mapped[bytes] = mapped_column(comment="sealed together with the issuer's id")
    last_digits: Mapped[str]
    line_ends: Mapped[bool] = mapped_column(comment="whether CR LF follows each record")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TransferFile(Base):
    """A file for the bank, with what it pays. One for each day: a bank takes a second one for the first again."""

    __tablename__ = "transfer_file"
    __table_args__ = (
        UniqueConstraint("issuer_id", "transfer_on"),
        CheckConstraint("records > 0 AND total_yen > 0", name="pays_something"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    transfer_on: Mapped[date]
    requester_id: Mapped[UUID] = mapped_column(ForeignKey("transfer_requester.id"))
    records: Mapped[int] = mapped_column(Integer)
    total_yen: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SettlementTransfer(Base):
    """That a settlement is paid by a file, to an account: once, for ever."""

    __tablename__ = "settlement_transfer"
    __table_args__ = (Index("ix_settlement_transfer_file", "file_id"),)

    settlement_id: Mapped[UUID] = mapped_column(ForeignKey("settlement.id"), primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    file_id: Mapped[UUID] = mapped_column(ForeignKey("transfer_file.id"))
    bank_account_id: Mapped[UUID] = mapped_column(ForeignKey("shop_bank_account.id"))
