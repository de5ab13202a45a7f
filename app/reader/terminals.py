"""Terminals (端末): what each till is, which shop it pays, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app.db import autocommit, session
from app.errors import NotFound
from app.ids import new_id
from app.issuer import current_issuer
from app.reader.models import Terminal
from app.wallet import spend_control


@dataclass(frozen=True, slots=True, kw_only=True)
class Till:
    """A terminal at work: whose it is, and the money it takes where nobody says."""

    id: UUID
    client_id: str
    shop_id: UUID
    default_money: str


def till_of(client_id: str) -> Till | None:
    """The terminal that this client is; None where it is none, or was revoked."""
    query = select(Terminal.id, Terminal.shop_id, Terminal.default_money)
    with autocommit().connect() as connection:
        row = connection.execute(
            query.where(Terminal.client_id == client_id, Terminal.status == "active")
        ).one_or_none()
    if row is None:
        return None
    return Till(id=row.id, client_id=client_id, shop_id=row.shop_id, default_money=row.default_money)


def register(*, shop_id: UUID, client_id: str, name: str, default_money: str) -> UUID:
    """Make the client a terminal of a shop; returns the terminal's id. Again: keeps its id, takes the new values.

    Call inside `transaction()`.
    """
    values = {"shop_id": shop_id, "name": name, "default_money": default_money, "status": "active"}
    terminal_id: UUID | None = session().scalar(
        insert(Terminal)
        .values(id=new_id(), issuer_id=current_issuer().id, client_id=client_id, **values)
        .on_conflict_do_update(index_elements=["client_id"], set_=values)
        .returning(Terminal.id)
    )
    assert terminal_id is not None
    spend_control.put_control(control_id=terminal_id, kind="terminal", shops=[shop_id])
    return terminal_id


def revoke(terminal_id: UUID) -> None:
    """Stop a terminal: no tap decided after the commit counts. Call inside `transaction()`. Raises NotFound."""
    statement = update(Terminal).where(Terminal.id == terminal_id).values(status="revoked").returning(Terminal.id)
    if session().scalar(statement) is None:
        raise NotFound
    spend_control.set_status(terminal_id, "revoked")
