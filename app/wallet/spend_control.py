"""Spend controls, written for grants, cards and terminals: what the ledger's poster locks and checks.

Called inside `transaction()`. The poster takes the same row lock, so a change holds for every payment that is
decided after its commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app.db import autocommit, session
from app.issuer import current_issuer
from app.oauth.ports import Mandate
from app.wallet.models import Shop, SpendControl


def put_control(
    *,
    control_id: UUID,
    kind: str,
    max_per_payment_yen: int | None = None,
    monies: Sequence[str] | None = None,
    shops: Sequence[UUID] | None = None,
) -> None:
    """Write the control of a grant, card or terminal, active, replacing what it said before."""
    values = {
        "kind": kind,
        "status": "active",
        "max_per_payment_yen": max_per_payment_yen,
        "monies": None if monies is None else list(monies),
        "shops": None if shops is None else list(shops),
    }
    statement = insert(SpendControl).values(id=control_id, issuer_id=current_issuer().id, **values)
    session().execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def set_status(control_id: UUID, status: str) -> None:
    """Set a control to active, revoked or lost; a control that does not exist stays absent, which spends nothing."""
    session().execute(update(SpendControl).where(SpendControl.id == control_id).values(status=status))


class GrantControls:
    """What the authorization server needs of the wallet (`app.oauth.ports.SpendControls`)."""

    def shops(self, ids: Sequence[UUID], locale: str) -> list[str]:
        """The names of these shops in their order on pages."""
        name = Shop.name_en if locale == "en" else Shop.name_ja
        with autocommit().connect() as connection:
            return list(connection.scalars(select(name).where(Shop.id.in_(ids)).order_by(Shop.code)))

    def grant_changed(self, *, grant_id: UUID, mandate: Mandate | None) -> None:
        """Let a grant spend within `mandate`, or (None) no more at all."""
        if mandate is None:
            set_status(grant_id, "revoked")
            return
        put_control(
            control_id=grant_id,
            kind="grant",
            max_per_payment_yen=mandate.max_per_payment_yen,
            shops=mandate.shops,
        )
