"""Who may give a payment back, and look at what went back of it. Another's payment is there for nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from flask import Flask, current_app
from sqlalchemy import Row, select

from app.db import autocommit
from app.errors import NotFound
from app.oauth.protector import Access
from app.wallet import history, ledger
from app.wallet.models import Transaction
from app.wallet.payments import NAMELESS
from app.wallet.postings import Outcome, Refund

_TILLS = "kumiai.tills"


class Till(Protocol):
    """A terminal, and the shop it stands in. What terminals there are is known above (`app.reader`)."""

    @property
    def id(self) -> UUID: ...

    @property
    def shop_id(self) -> UUID: ...


def init_app(app: Flask, *, till_of: Callable[[str], Till | None]) -> None:
    """`till_of` says which terminal a client is, if it is one that may be used."""
    app.extensions[_TILLS] = till_of


def payment(*, payment_id: UUID, access: Access, locale: str, may_see_balance: bool) -> dict[str, Any]:
    """A payment with its refunds so far. Raises NotFound."""
    _let_in(payment_id, access, shop_scopes=("shop:read", "shop:refund"))
    paid, *refunds = history.with_refunds(payment_id, locale=locale, may_see_balance=may_see_balance)
    refunded_yen = sum(refund["amount_yen"] for refund in refunds)
    left_yen = paid["amount_yen"] - refunded_yen
    return {**paid, "refunded_yen": refunded_yen, "refundable_yen": left_yen, "refunds": refunds}


def refund(*, payment_id: UUID, access: Access, request_id: str | None, path: str, body: Mapping[str, Any]) -> Outcome:
    """Give a payment back, or part of it, or (`dry_run`) see what would become of that. Raises NotFound."""
    till = _let_in(payment_id, access, shop_scopes=("shop:refund",))
    said = {"amount_yen": body["amount_yen"], "description": body["description"]}
    return ledger.post(
        Refund(
            requester=access.client_id,
            request_id=request_id or NAMELESS,
            params_hash=ledger.params_hash(
                {"path": path, "member": str(access.member_id) if access.member_id else None, "body": said}
            ),
            transaction_id=payment_id,
            amount_yen=body["amount_yen"],
            terminal_id=till.id if till else None,
            description=body["description"],
            dry_run=body["dry_run"],
        )
    )


def _let_in(payment_id: UUID, access: Access, *, shop_scopes: tuple[str, ...]) -> Till | None:
    """Refuse whom this payment is no business of. Returns the till, where it is let in as one. Raises NotFound."""
    wanted = (Transaction.id == payment_id, Transaction.kind.in_(("payment", "capture")))
    columns = (Transaction.requester, Transaction.member_id, Transaction.shop_id)
    with autocommit().connect() as connection:
        found = connection.execute(select(*columns).where(*wanted)).one_or_none()
    if found is not None:
        if _took_it(found, access) or _is_its_shop(found, access, shop_scopes):
            return None
        till = _till(access)
        if till is not None and till.shop_id == found.shop_id:
            return till
    raise NotFound


def _took_it(found: Row[str, UUID | None, UUID | None], access: Access) -> bool:
    """The client that took the payment: with a token of that member, or one for itself."""
    ours = "payment" in access.scopes and found.requester == access.client_id
    return ours and access.member_id in (None, found.member_id)


def _is_its_shop(found: Row[str, UUID | None, UUID | None], access: Access, scopes: tuple[str, ...]) -> bool:
    """A program of the shop that was paid."""
    return access.member_id is None and not access.scopes.isdisjoint(scopes) and found.shop_id in access.client_shops


def _till(access: Access) -> Till | None:
    if access.member_id is not None or "till:refund" not in access.scopes:
        return None
    till_of: Callable[[str], Till | None] = current_app.extensions[_TILLS]
    return till_of(access.client_id)
