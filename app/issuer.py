"""The issuer (発行者): the co-op that issues the money. Everything belongs to one issuer; one server serves one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy import CheckConstraint, func, select
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.db import Base, autocommit
from app.ids import new_id


class Issuer(Base):
    """One co-op. Rows that grow carry its id, so that one issuer can later be one database."""

    __tablename__ = "issuer"
    __table_args__ = (
        CheckConstraint("default_max_per_payment_yen > 0", name="default_max_per_payment_positive"),
        CheckConstraint("default_max_per_day_yen > 0", name="default_max_per_day_positive"),
        CheckConstraint("default_max_per_month_yen > 0", name="default_max_per_month_positive"),
        CheckConstraint("step_up_yen >= 0", name="step_up_not_negative"),
        CheckConstraint("the_only_one", name="the_only_one"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    the_only_one: Mapped[bool] = mapped_column(default=True, server_default="true", unique=True)
    name_ja: Mapped[str]
    name_en: Mapped[str]
    default_max_per_payment_yen: Mapped[int] = mapped_column(
        comment="ceiling per payment offered on the consent page when a client asks for none"
    )
    default_max_per_day_yen: Mapped[int] = mapped_column(default=10_000, server_default="10000")
    default_max_per_month_yen: Mapped[int] = mapped_column(default=50_000, server_default="50000")
    step_up_yen: Mapped[int] = mapped_column(
        default=10_000, server_default="10000", comment="a payment above this needs a fresh sign-in (RFC 9470)"
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class NoIssuer(Exception):
    """The database holds no issuer yet. `kumiai demo seed` makes one for trying things out."""


@dataclass(frozen=True, slots=True)
class CurrentIssuer:
    """What pages and services need to know of the issuer."""

    id: UUID
    name_ja: str
    name_en: str
    default_max_per_payment_yen: int
    default_max_per_day_yen: int
    default_max_per_month_yen: int
    step_up_yen: int

    def name(self, locale: str) -> str:
        return self.name_en if locale == "en" else self.name_ja


def current_issuer() -> CurrentIssuer:
    """This server's issuer, read once per process. Raises NoIssuer."""
    known = current_app.extensions.get("kumiai.issuer")
    if not isinstance(known, CurrentIssuer):
        known = current_app.extensions["kumiai.issuer"] = _read()
    return known


def mypage_url() -> str:
    """Where the issuer's own member page is."""
    url: str = current_app.extensions["kumiai.settings"].mypage_url
    return url


def apps_page_url() -> str:
    """Where a member sees what they allowed, and takes it back."""
    url: str = current_app.extensions["kumiai.settings"].issuer_url
    return f"{url}/account/apps"


def issuer_zone() -> ZoneInfo:
    """The time zone in which the issuer's days and months begin."""
    zone: ZoneInfo = current_app.extensions["kumiai.settings"].zone
    return zone


def issuer_today() -> date:
    """The issuer's day, by this process's clock."""
    return clock.now().astimezone(issuer_zone()).date()


def in_production() -> bool:
    """Whether this server is for real members and money, where what only helps development is refused."""
    production: bool = current_app.extensions["kumiai.settings"].production
    return production


def _read() -> CurrentIssuer:
    columns = (
        Issuer.id,
        Issuer.name_ja,
        Issuer.name_en,
        Issuer.default_max_per_payment_yen,
        Issuer.default_max_per_day_yen,
        Issuer.default_max_per_month_yen,
        Issuer.step_up_yen,
    )
    with autocommit().connect() as connection:
        row = connection.execute(select(*columns)).one_or_none()
    if row is None:
        raise NoIssuer("no issuer in the database; run `kumiai demo seed` to try things out")
    return CurrentIssuer(*row)
