"""Rows of the ledger: monies, shops, wallets, accounts, transactions, transfers, requests, spend controls, holds.

`transaction`, `transfer` and `request` are immutable: triggers (migration 0004) refuse UPDATE, DELETE and TRUNCATE.
Sums on `account` and `wallet` change only through the poster, and only so that each batch adds up to zero. What the
office sets (`money`, `shop`, `shop_money`, `move_rule`) is known to posters by `ledger_rules.version`, which triggers
raise at each change (migration 0007).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    and_,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id

KINDS = (
    "charge",
    "payment",
    "move",
    "refund",
    "expiry",
    "adjustment",
    "hold",
    "capture",
    "release",
    "close",
    "settlement",
)


class Money(Base):
    """A money (マネー): one kind of value of the issuer. Paid and free never mix."""

    __tablename__ = "money"
    __table_args__ = (
        UniqueConstraint("issuer_id", "code"),
        CheckConstraint("code ~ '^[a-z][a-z0-9_]{1,31}$'", name="code_form"),
        CheckConstraint("backing IN ('paid', 'free')", name="backing"),
        CheckConstraint("expiry IN ('never', 'fixed_date', 'after_charge')", name="expiry"),
        CheckConstraint("(expiry = 'fixed_date') = (expires_month_day IS NOT NULL)", name="fixed_date"),
        CheckConstraint("expires_month_day ~ '^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$'", name="month_day_form"),
        CheckConstraint("(expiry = 'after_charge') = (expiry_months IS NOT NULL)", name="after_charge"),
        CheckConstraint("expiry_months BETWEEN 1 AND 120", name="expiry_months"),
        CheckConstraint("expiry_min_days BETWEEN 0 AND 366", name="expiry_min_days"),
        CheckConstraint("refund_grace_days BETWEEN 1 AND 3660", name="refund_grace_days"),
        CheckConstraint("ceiling_yen > 0", name="ceiling_positive"),
        CheckConstraint("max_per_payment_yen > 0", name="max_per_payment_positive"),
        CheckConstraint("max_per_day_yen > 0", name="max_per_day_positive"),
        CheckConstraint("max_per_month_yen > 0", name="max_per_month_positive"),
        CheckConstraint("points_rate_bp BETWEEN 0 AND 10000", name="points_rate"),
        CheckConstraint("points_rounding IN ('down', 'nearest', 'up')", name="points_rounding"),
        CheckConstraint("points_money_id IS NULL OR backing = 'paid'", name="only_paid_earns"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    code: Mapped[str] = mapped_column(comment="base, meal, textbook, …")
    name_ja: Mapped[str]
    name_en: Mapped[str]
    backing: Mapped[str]
    position: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0", comment="order on pages")
    groups: Mapped[list[str] | None] = mapped_column(comment="product groups it may buy; null: any")
    expiry: Mapped[str] = mapped_column(default="never", server_default="never")
    expires_month_day: Mapped[str | None] = mapped_column(comment="fixed_date: MM-DD, the last day value is good")
    expiry_min_days: Mapped[int] = mapped_column(
        SmallInteger, default=0, server_default="0", comment="fixed_date: nearer than this, the next year's date counts"
    )
    expiry_months: Mapped[int | None] = mapped_column(SmallInteger, comment="after_charge: from the last charge")
    refund_grace_days: Mapped[int] = mapped_column(
        SmallInteger, default=30, server_default="30", comment="how long what is refunded into an expired lot is good"
    )
    ceiling_yen: Mapped[int | None] = mapped_column(BigInteger, comment="the most one wallet may hold")
    max_per_payment_yen: Mapped[int | None] = mapped_column(BigInteger, comment="of one wallet; null: no limit")
    max_per_day_yen: Mapped[int | None] = mapped_column(BigInteger)
    max_per_month_yen: Mapped[int | None] = mapped_column(BigInteger)
    points_money_id: Mapped[int | None] = mapped_column(ForeignKey("money.id"), comment="the free money it earns")
    points_rate_bp: Mapped[int] = mapped_column(
        Integer, default=0, server_default="0", comment="points for what is paid, in hundredths of a percent"
    )
    points_rounding: Mapped[str] = mapped_column(default="down", server_default="down")


class Shop(Base):
    """A shop (店舗), where money is spent."""

    __tablename__ = "shop"
    __table_args__ = (
        UniqueConstraint("issuer_id", "code"),
        CheckConstraint("code ~ '^[a-z][a-z0-9_-]{1,31}$'", name="code_form"),
        CheckConstraint("status IN ('open', 'closed')", name="status"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    code: Mapped[str]
    name_ja: Mapped[str]
    name_en: Mapped[str]
    status: Mapped[str] = mapped_column(default="open", server_default="open")


class ShopMoney(Base):
    """That a shop accepts a money (an account for its takings goes with it), and how."""

    __tablename__ = "shop_money"
    __table_args__ = (CheckConstraint("points_rate_bp BETWEEN 0 AND 10000", name="points_rate"),)

    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shop.id"), primary_key=True)
    money_id: Mapped[int] = mapped_column(ForeignKey("money.id"), primary_key=True)
    accepted: Mapped[bool] = mapped_column(default=True, server_default="true")
    falls_to: Mapped[list[str]] = mapped_column(
        default=list, server_default="{}", comment="codes of the monies that pay what this one cannot, in order"
    )
    points_rate_bp: Mapped[int | None] = mapped_column(Integer, comment="instead of the money's own")


class MoveRule(Base):
    """That members may move value of one money into another (マネー移動). A trigger keeps paid and free apart."""

    __tablename__ = "move_rule"
    __table_args__ = (
        CheckConstraint("from_money_id <> to_money_id", name="two_monies"),
        CheckConstraint("step_yen > 0 AND min_yen > 0 AND max_yen >= min_yen", name="amounts"),
    )

    from_money_id: Mapped[int] = mapped_column(ForeignKey("money.id"), primary_key=True)
    to_money_id: Mapped[int] = mapped_column(ForeignKey("money.id"), primary_key=True)
    min_yen: Mapped[int] = mapped_column(BigInteger, default=1, server_default="1")
    max_yen: Mapped[int] = mapped_column(BigInteger, default=1_000_000, server_default="1000000")
    step_yen: Mapped[int] = mapped_column(BigInteger, default=1, server_default="1")


class LedgerRules(Base):
    """The version of what the office has set. Posters keep the rules they read and look at this in every batch."""

    __tablename__ = "ledger_rules"
    __table_args__ = (CheckConstraint("the_only_one", name="the_only_one"),)

    the_only_one: Mapped[bool] = mapped_column(primary_key=True, default=True, server_default="true")
    version: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Wallet(Base):
    """A wallet (ウォレット): one member's holding of one money. The poster locks this row; its lots follow it."""

    __tablename__ = "wallet"
    __table_args__ = (
        UniqueConstraint("member_id", "money_id"),
        UniqueConstraint("id", "money_id"),
        CheckConstraint("status IN ('active', 'suspended', 'closed')", name="status"),
        CheckConstraint("total_yen >= 0", name="total_not_negative"),
        CheckConstraint("pending_yen >= 0 AND pending_yen <= total_yen", name="pending_is_there"),
        CheckConstraint("reserved_yen >= 0", name="reserved_not_negative"),
        CheckConstraint("status <> 'closed' OR (total_yen = 0 AND reserved_yen = 0)", name="closed_is_empty"),
        CheckConstraint("max_per_payment_yen > 0", name="max_per_payment_positive"),
        CheckConstraint("max_per_day_yen > 0", name="max_per_day_positive"),
        CheckConstraint("max_per_month_yen > 0", name="max_per_month_positive"),
        CheckConstraint("spent_day_yen >= 0 AND spent_month_yen >= spent_day_yen", name="month_holds_day"),
        Index("ix_wallet_expires_on", "expires_on", postgresql_where=text("expires_on IS NOT NULL")),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    money_id: Mapped[int] = mapped_column(ForeignKey("money.id"))
    status: Mapped[str] = mapped_column(default="active", server_default="active")
    total_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0", comment="sum of its lots")
    pending_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0", comment="of it, held")
    reserved_yen: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default="0", comment="headroom kept for charges that are on their way"
    )
    expires_on: Mapped[date | None] = mapped_column(comment="of the undated lot, of months after the last charge")
    max_per_payment_yen: Mapped[int | None] = mapped_column(BigInteger, comment="below the money's own; null: that one")
    max_per_day_yen: Mapped[int | None] = mapped_column(BigInteger)
    max_per_month_yen: Mapped[int | None] = mapped_column(BigInteger)
    spent_on: Mapped[date | None] = mapped_column(comment="the day its sums are of, in the issuer's time zone")
    spent_day_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    spent_month_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Account(Base):
    """An account (勘定): a wallet's lot, a shop's takings in one money, or a book account of the issuer."""

    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("id", "money_id"),
        ForeignKeyConstraint(["wallet_id", "money_id"], ["wallet.id", "wallet.money_id"]),
        CheckConstraint("kind IN ('lot', 'takings', 'book')", name="kind"),
        CheckConstraint(
            "(kind = 'lot') = (wallet_id IS NOT NULL) AND (kind = 'takings') = (shop_id IS NOT NULL)"
            " AND (kind = 'book') = (book IS NOT NULL)",
            name="one_owner",
        ),
        CheckConstraint("kind = 'lot' OR expires_on IS NULL", name="only_lots_expire"),
        CheckConstraint("kind <> 'lot' OR posted_yen >= pending_yen", name="floor"),
        CheckConstraint("pending_yen = 0 OR (kind = 'lot' AND pending_yen > 0)", name="only_lots_are_held"),
        CheckConstraint("floor_yen = 0 OR (kind = 'takings' AND floor_yen < 0)", name="only_takings_go_below"),
        Index("ix_account_expires_on", "expires_on", postgresql_where=text("expires_on IS NOT NULL")),
        Index(
            "uq_account_lot",
            "wallet_id",
            "expires_on",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("wallet_id IS NOT NULL"),
        ),
        Index(
            "uq_account_takings",
            "shop_id",
            "money_id",
            unique=True,
            postgresql_where=text("shop_id IS NOT NULL"),
        ),
        Index(
            "uq_account_book",
            "issuer_id",
            "book",
            "money_id",
            unique=True,
            postgresql_where=text("book IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    money_id: Mapped[int] = mapped_column(ForeignKey("money.id"))
    kind: Mapped[str]
    wallet_id: Mapped[UUID | None]
    expires_on: Mapped[date | None] = mapped_column(comment="lots: when their value expires; null never")
    shop_id: Mapped[UUID | None] = mapped_column(ForeignKey("shop.id"))
    book: Mapped[str | None] = mapped_column(comment="issued_by_cash, issued_by_card, …; negative: value issued")
    posted_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    pending_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0", comment="held, not yet taken")
    floor_yen: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default="0", comment="how far refunds may take a shop's takings below zero"
    )
    version: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0", comment="transfers applied")


class IssuerHead(Base):
    """The end of the issuer's order: the last position given and its instant. The last lock of every batch."""

    __tablename__ = "issuer_head"
    __table_args__ = ({"postgresql_with": {"fillfactor": 10}},)

    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Transaction(Base):
    """A transaction (取引): what people see and callers name. Immutable; a correction is another transaction.

    That `requester` and `request_id` name it alone is the key of `request`, which refers to it and stays for ever.
    Issuer, money, member and shop repeat what its transfers' accounts say, for reading; the keys that bind are
    those of the accounts, and `verify` compares. (Four more foreign keys cost a fifth of the insert.)
    """

    __tablename__ = "transaction"
    __table_args__ = (
        UniqueConstraint("issuer_id", "position"),
        CheckConstraint(f"kind IN {KINDS}", name="kind"),
        CheckConstraint("amount_yen > 0 OR (kind = 'close' AND amount_yen = 0)", name="amount_positive"),
        CheckConstraint("position > 0", name="position_positive"),
        CheckConstraint("(kind = 'refund') = (reverses IS NOT NULL)", name="refund_reverses"),
        CheckConstraint("(kind IN ('capture', 'release')) = (hold_id IS NOT NULL)", name="ends_a_hold"),
        Index("ix_transaction_member", "member_id", text("position DESC")),
        Index("ix_transaction_reverses", "reverses", postgresql_where=text("reverses IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    issuer_id: Mapped[UUID]
    position: Mapped[int] = mapped_column(BigInteger, comment="gapless place in the issuer's order")
    kind: Mapped[str]
    requester: Mapped[str] = mapped_column(comment="client_id of who asked")
    request_id: Mapped[str]
    member_id: Mapped[UUID | None]
    money_id: Mapped[int]
    shop_id: Mapped[UUID | None]
    amount_yen: Mapped[int] = mapped_column(BigInteger)
    grant_id: Mapped[UUID | None]
    terminal_id: Mapped[UUID | None]
    card_id: Mapped[UUID | None]
    description: Mapped[str] = mapped_column(server_default="")
    # `metadata` is taken by SQLAlchemy's declarative base
    extra: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=text("'{}'"))
    reverses: Mapped[UUID | None] = mapped_column(ForeignKey("transaction.id"))
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("transaction.id"), comment="the hold it captures or ends")
    taken_at: Mapped[datetime | None] = mapped_column(comment="the terminal's own time; never instead of created_at")
    created_at: Mapped[datetime] = mapped_column(comment="never before an earlier position's")


class Transfer(Base):
    """A transfer (振替): the atom of the ledger. Value leaves the debit account and enters the credit account.

    That its transaction and both accounts are there, and of its money, is held by the trigger `ledger_rules_hold`, for
    a whole batch at once: foreign keys, which look row by row, were a quarter of a payment's work in PostgreSQL.
    """

    __tablename__ = "transfer"
    __table_args__ = (
        CheckConstraint("amount_yen > 0", name="amount_positive"),
        CheckConstraint("debit_account_id <> credit_account_id", name="two_sides"),
        Index("ix_transfer_debit", "debit_account_id", "position", "line"),
        Index("ix_transfer_credit", "credit_account_id", "position", "line"),
    )

    transaction_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, comment="of its transaction")
    money_id: Mapped[int]
    debit_account_id: Mapped[int] = mapped_column(BigInteger, comment="value leaves")
    credit_account_id: Mapped[int] = mapped_column(BigInteger, comment="value enters")
    amount_yen: Mapped[int] = mapped_column(BigInteger)
    debit_after_yen: Mapped[int] = mapped_column(BigInteger, comment="balance of the debit account after it")
    credit_after_yen: Mapped[int] = mapped_column(BigInteger, comment="balance of the credit account after it")


class Request(Base):
    """One request that asked for value to move, with its answer: accepted or refused, the same for ever.

    That its transaction is there, under the same name, is held by the trigger `requests_have_their_transactions`, for a
    whole batch at once. So each of them is found by the other's name, and a transaction has no second request.
    """

    __tablename__ = "request"
    __table_args__ = (CheckConstraint("(transaction_id IS NULL) <> (refusal IS NULL)", name="accepted_or_refused"),)

    requester: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(primary_key=True)
    issuer_id: Mapped[UUID]
    member_id: Mapped[UUID | None] = mapped_column(comment="whose value was to move, where the request names one")
    params_hash: Mapped[bytes] = mapped_column(comment="SHA-256 of what was asked, in canonical JSON")
    transaction_id: Mapped[UUID | None]
    refusal: Mapped[str | None] = mapped_column(comment="the error's code")
    answer: Mapped[dict[str, Any]] = mapped_column(comment="what the outcome says beyond the transaction's own row")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


def named(transaction: Any) -> ColumnElement[bool]:
    """The condition of a join: the request of a transaction, whose columns are those of `transaction`."""
    return and_(Request.requester == transaction.requester, Request.request_id == transaction.request_id)


class SpendControl(Base):
    """What the ledger must know of a grant, terminal or card: may it spend, and how much. Locked by the poster.

    A card has one more for each level of assurance (`tap_…`), by which its taps are limited.
    """

    __tablename__ = "spend_control"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('grant', 'card', 'terminal', 'tap_idm', 'tap_fcf', 'tap_pin', 'tap_mac')", name="kind"
        ),
        CheckConstraint("status IN ('active', 'revoked', 'lost')", name="status"),
        CheckConstraint("max_per_payment_yen > 0", name="max_per_payment_positive"),
        CheckConstraint("max_per_day_yen > 0", name="max_per_day_positive"),
        CheckConstraint("max_per_month_yen > 0", name="max_per_month_positive"),
        CheckConstraint("spent_day_yen >= 0 AND spent_month_yen >= spent_day_yen", name="month_holds_day"),
        CheckConstraint("given_back_yen >= 0", name="given_back_not_negative"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, comment="of the grant, card or terminal")
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(default="active", server_default="active")
    max_per_payment_yen: Mapped[int | None] = mapped_column(BigInteger, comment="null: no ceiling of its own")
    monies: Mapped[list[str] | None] = mapped_column(comment="codes it may spend; null: any")
    shops: Mapped[list[UUID] | None] = mapped_column(comment="shops it may pay; null: any")
    max_per_day_yen: Mapped[int | None] = mapped_column(BigInteger)
    max_per_month_yen: Mapped[int | None] = mapped_column(BigInteger)
    valid_until: Mapped[date | None] = mapped_column(comment="the last day it may spend, in the issuer's time zone")
    spent_on: Mapped[date | None] = mapped_column(comment="the day its sums are of, in the issuer's time zone")
    spent_day_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    spent_month_yen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    given_back_yen: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default="0", comment="all that ended holds gave back of its sums, ever"
    )
