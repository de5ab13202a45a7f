"""Limits on strangers: counters in PostgreSQL rows, one per door, caller and window.

Used where somebody without a session can knock: sign-in, code entry, the token endpoint. Web processes keep
no state, so a second process or host counts in the same rows. Callers are hashed: no address is stored.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class FloodCounter(Base):
    """How often one caller knocked at one door in one window."""

    __tablename__ = "flood_counter"
    __table_args__ = (Index(None, "window_ends_at"),)

    door: Mapped[str] = mapped_column(primary_key=True)
    caller_hash: Mapped[bytes] = mapped_column(primary_key=True)
    window_ends_at: Mapped[datetime] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
