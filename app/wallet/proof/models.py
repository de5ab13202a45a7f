"""Rows of the proof: sealed blocks and signed days. Written once; triggers (migration 0009) refuse any change."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Integer, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class ProofBlock(Base):
    """A block: some transactions that follow one another, sealed under one Merkle root."""

    __tablename__ = "proof_block"
    __table_args__ = (
        ForeignKeyConstraint(["issuer_id", "first_position"], ["transaction.issuer_id", "transaction.position"]),
        ForeignKeyConstraint(["issuer_id", "last_position"], ["transaction.issuer_id", "transaction.position"]),
        UniqueConstraint("issuer_id", "first_position"),
        UniqueConstraint("issuer_id", "last_position"),
        CheckConstraint("number > 0", name="number_positive"),
        CheckConstraint("first_position > 0 AND last_position >= first_position", name="positions"),
        CheckConstraint("octet_length(leaves) = 32 * (last_position - first_position + 1)", name="a_leaf_each"),
        CheckConstraint("octet_length(root) = 32 AND octet_length(blinding) = 32", name="hash_lengths"),
        CheckConstraint("(number = 1) = (previous IS NULL)", name="first_has_no_previous"),
        CheckConstraint("octet_length(previous) = 32", name="previous_length"),
    )

    issuer_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, comment="gapless from 1")
    day: Mapped[date] = mapped_column(comment="in the issuer's time zone; a block never crosses midnight")
    first_position: Mapped[int] = mapped_column(BigInteger)
    last_position: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[bytes] = mapped_column(comment="Merkle root over the leaves (RFC 9162)")
    previous: Mapped[bytes | None] = mapped_column(comment="hash of the header of the block before")
    leaves: Mapped[bytes] = mapped_column(comment="the leaf hashes, 32 bytes each, by position")
    blinding: Mapped[bytes] = mapped_column(comment="what the nonces are made of; shown to nobody")
    sealed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ProofDay(Base):
    """A day: the Merkle root over its blocks, signed, with the public half of the key that signed."""

    __tablename__ = "proof_day"
    __table_args__ = (
        ForeignKeyConstraint(["issuer_id", "first_block"], ["proof_block.issuer_id", "proof_block.number"]),
        ForeignKeyConstraint(["issuer_id", "last_block"], ["proof_block.issuer_id", "proof_block.number"]),
        UniqueConstraint("issuer_id", "last_block"),
        CheckConstraint("last_block >= first_block", name="blocks"),
    )

    issuer_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True, comment="in the issuer's time zone")
    first_block: Mapped[int] = mapped_column(Integer)
    last_block: Mapped[int] = mapped_column(Integer)
    statement: Mapped[str] = mapped_column(comment="compact JWS; its claims are described in docs/proof.md")
    jwk: Mapped[dict[str, Any]] = mapped_column(comment="public; kept for ever, unlike the row of signing_key")
    signed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
