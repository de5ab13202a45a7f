"""Spend controls, written for grants, cards and terminals: what the ledger's poster locks and checks.

Called inside `transaction()`. The poster takes the same row lock, so a change holds for every payment that is
decided after its commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db import autocommit, session
from app.issuer import current_issuer, issuer_today
from app.oauth.ports import Mandate, Usage
from app.wallet import directory
from app.wallet.books import spent_yen
from app.wallet.models import Shop, SpendControl
from app.wallet.webhooks import events


def put_control(
    *,
    control_id: UUID,
    kind: str,
    status: str = "active",
    max_per_payment_yen: int | None = None,
    max_per_day_yen: int | None = None,
    max_per_month_yen: int | None = None,
    valid_until: date | None = None,
    monies: Sequence[str] | None = None,
    shops: Sequence[UUID] | None = None,
) -> None:
    """Write the control of a grant, card or terminal, replacing what it said before but not what was spent."""
    values = {
        "kind": kind,
        "status": status,
        "max_per_payment_yen": max_per_payment_yen,
        "max_per_day_yen": max_per_day_yen,
        "max_per_month_yen": max_per_month_yen,
        "valid_until": valid_until,
        "monies": None if monies is None else list(monies),
        "shops": None if shops is None else list(shops),
    }
    statement = insert(SpendControl).values(id=control_id, issuer_id=current_issuer().id, **values)
    session().execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def set_status(control_id: UUID, status: str) -> None:
    """Set a control to active, revoked or lost; a control that does not exist stays absent, which spends nothing."""
    session().execute(update(SpendControl).where(SpendControl.id == control_id).values(status=status))


def change_kind(kind: str, *, status: str, max_per_payment_yen: int | None, max_per_day_yen: int | None) -> int:
    """Change every control of the issuer of this kind, locked in the poster's order; returns how many."""
    ours = (SpendControl.issuer_id == current_issuer().id, SpendControl.kind == kind)
    held = select(SpendControl.id).where(*ours).order_by(SpendControl.id).with_for_update(key_share=True).cte("held")
    changed = session().execute(
        update(SpendControl)
        .where(SpendControl.id == held.c.id)
        .values(status=status, max_per_payment_yen=max_per_payment_yen, max_per_day_yen=max_per_day_yen)
        .returning(SpendControl.id)
    )
    return len(changed.all())


class GrantControls:
    """What the authorization server needs of the wallet (`app.oauth.ports.SpendControls`)."""

    def shop_names(self, ids: Sequence[UUID], locale: str) -> dict[UUID, str]:
        """These shops by id, each with its name, in their order on pages."""
        name = Shop.name_en if locale == "en" else Shop.name_ja
        with autocommit().connect() as connection:
            rows = connection.execute(select(Shop.id, name).where(Shop.id.in_(ids)).order_by(Shop.code))
            return {shop_id: shop_name for shop_id, shop_name in rows}  # noqa: C416  # Row is no pair to mypy

    def shop_code(self, shop_id: UUID) -> str:
        """What a shop is called in the API."""
        return directory.shop_by_id(shop_id).code

    def shop_id(self, code: str) -> UUID | None:
        """The shop of that code, or None."""
        found = directory.shop(code)
        return None if found is None else found.id

    def monies(self, locale: str) -> dict[str, str]:
        """The issuer's monies: code to name, in their order on pages."""
        return {money.code: money.view(locale)["name"] for money in directory.monies()}

    def has_money(self, code: str) -> bool:
        """Whether the issuer has a money of that code."""
        return directory.money(code) is not None

    def usage(self, grant_ids: Sequence[UUID]) -> dict[UUID, Usage]:
        """How much of each grant's mandate is used; grants that never could pay are left out."""
        columns = (SpendControl.id, SpendControl.spent_on, SpendControl.spent_day_yen, SpendControl.spent_month_yen)
        with autocommit().connect() as connection:
            rows = connection.execute(select(*columns).where(SpendControl.id.in_(grant_ids))).all()
        today = issuer_today()
        return {row.id: Usage(*spent_yen(*row[1:], today=today)) for row in rows}

    def grant_changed(self, *, grant_id: UUID, mandate: Mandate | None) -> None:
        """Let a grant spend within `mandate`, or (None) no more at all."""
        if mandate is None:
            set_status(grant_id, "revoked")
            return
        put_control(
            control_id=grant_id,
            kind="grant",
            max_per_payment_yen=mandate.max_per_payment_yen,
            max_per_day_yen=mandate.max_per_day_yen,
            max_per_month_yen=mandate.max_per_month_yen,
            valid_until=mandate.until,
            monies=mandate.monies,
            shops=mandate.shops,
        )

    def grants_ended(self, grant_ids: Sequence[UUID]) -> None:
        """Let none of these grants spend any more, and have their clients told.

        Locks them in the poster's order, so neither waits in a circle. One statement for each of the two.
        """
        ids = literal(list(grant_ids), ARRAY(Uuid))  # one parameter: PostgreSQL takes no more than 65,535
        theirs = select(SpendControl.id).where(SpendControl.id == any_(ids)).order_by(SpendControl.id)
        held = theirs.with_for_update(key_share=True).cte("held")
        session().execute(update(SpendControl).where(SpendControl.id == held.c.id).values(status="revoked"))
        events.grants_revoked(grant_ids)
