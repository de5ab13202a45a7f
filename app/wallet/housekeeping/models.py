"""Rows of what the system does by itself."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class ExpiryNotice(Base):
    """That a member was told when the value of a lot expires. A lot whose date moves is told of again."""

    __tablename__ = "expiry_notice"
    __table_args__ = (Index(None, "expires_on"),)

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    expires_on: Mapped[date] = mapped_column(primary_key=True)
    issuer_id: Mapped[UUID] = mapped_column(ForeignKey("issuer.id"))
    told_at: Mapped[datetime] = mapped_column(server_default=func.now())
