"""A till with everything a tap needs: member, wallet, card, shop, terminal, client."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask.testing import FlaskClient
from sqlalchemy import select

from app.db import autocommit, transaction
from app.demo.demo_card import NAME_BLOCK, fcf_blocks
from app.oauth import tokens
from app.oauth.clients import find_client, register_client
from app.reader import cards, terminals
from app.reader.cards import Reading
from app.wallet.models import Account, Transaction, Wallet
from tests import factories
from tests.factories import Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    holder: Holder
    client_id: str
    client_secret: str
    token: str
    terminal_id: UUID
    card_id: UUID
    idm: str
    blocks: Mapping[int, bytes]

    def body(self, amount_yen: int = 380, **changes: Any) -> dict[str, Any]:
        """A tap of this stand's card, as JSON."""
        card = {
            "idm": self.idm,
            "blocks": {str(number): block.hex() for number, block in self.blocks.items() if number != NAME_BLOCK},
        }
        return {"tap_id": secrets.token_hex(8), "amount_yen": amount_yen, "card": card, **changes}

    def call(self, client: FlaskClient, method: str, path: str, **sent: Any) -> Any:
        """The till calls."""
        return client.open(path, method=method, headers={"Authorization": f"Bearer {self.token}"}, **sent)

    def tap(self, client: FlaskClient, body: Any, **headers: str) -> Any:
        return client.post("/v1/taps", json=body, headers={"Authorization": f"Bearer {self.token}", **headers})

    def balance_yen(self) -> int:
        with autocommit().connect() as connection:
            balance = connection.scalar(select(Wallet.total_yen).where(Wallet.member_id == self.holder.member_id))
        assert balance is not None
        return balance

    def takings_yen(self) -> int:
        with autocommit().connect() as connection:
            takings = connection.scalar(select(Account.posted_yen).where(Account.shop_id == self.holder.shop_id))
        assert takings is not None
        return takings

    def payments(self) -> list[Any]:
        """The transactions of this till."""
        with autocommit().connect() as connection:
            return list(
                connection.execute(
                    select(
                        Transaction.request_id,
                        Transaction.amount_yen,
                        Transaction.extra.label("extra"),
                        Transaction.taken_at,
                    )
                    .where(Transaction.requester == self.client_id)
                    .order_by(Transaction.position)
                )
            )


def new_idm() -> str:
    return f"0114{secrets.token_hex(6)}".upper()


def stand(
    *, balance_yen: int = 2_000, blocks: Mapping[int, bytes] | None = None, token_scopes: tuple[str, ...] = ("till",)
) -> Stand:
    """Make one. Needs an app context."""
    holder = factories.holder(balance_yen=balance_yen)
    client_id = f"till_{secrets.token_hex(6)}"
    idm, blocks = new_idm(), blocks or fcf_blocks()
    with transaction():
        _, secret = register_client(
            client_id=client_id,
            name_ja="レジ",
            name_en="Till",
            profile="till",
            scopes=["till", "till:charge", "till:refund"],
        )
        terminal_id = terminals.register(
            shop_id=holder.shop_id, client_id=client_id, name="レジ1", default_money=holder.money
        )
        card_id = cards.register(Reading(idm=idm, blocks=blocks), member_id=holder.member_id)
    client = find_client(client_id)
    assert client is not None
    assert secret is not None
    with transaction():
        issued = tokens.issue_to_client(client=client, scopes=token_scopes)
    return Stand(
        holder=holder,
        client_id=client_id,
        client_secret=secret,
        token=issued.access_token,
        terminal_id=terminal_id,
        card_id=card_id,
        idm=idm,
        blocks=blocks,
    )
