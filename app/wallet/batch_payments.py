"""Payments of many members at once, by a client that each of them allows: one query, one posting each, no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.issuer import current_issuer
from app.oauth import grants_service
from app.oauth.protector import Access
from app.wallet import directory, ledger
from app.wallet.directory import Directory
from app.wallet.payments import items, metadata, params_hash
from app.wallet.postings import Declined, Outcome, Payment, Posting, Refused

Row = Mapping[str, Any]


def pay(rows: Sequence[Row], *, access: Access, path: str) -> list[Outcome]:
    """Take each payment, in order, each by itself. Raises as `ledger.post_many` does: send all again as they are."""
    members = {row["member"]: UUID(row["member"]) for row in rows}
    grants = grants_service.paying(client_id=access.client_id, member_ids=members.values())
    names = directory.naming(monies={row["money"] for row in rows}, shops={row["shop"] for row in rows})
    door = _Door(access=access, path=path, names=names, grants=grants)
    return ledger.post_many([door.posting(row, members[row["member"]]) for row in rows])


class _Door:
    """What is looked at before a row goes to the ledger."""

    def __init__(self, *, access: Access, path: str, names: Directory, grants: Mapping[UUID, UUID]) -> None:
        self._client_id = access.client_id
        self._client_shops = frozenset(access.client_shops)
        self._path = path
        self._names = names
        self._grants = grants
        self._most_yen = current_issuer().step_up_yen

    def posting(self, row: Row, member_id: UUID) -> Posting:
        said = dict(row)
        request_id, member = said.pop("request_id"), said.pop("member")
        fingerprint = params_hash(path=self._path, member=member, body=said)
        grant_id = self._grants.get(member_id)
        refused = self._refusal(row, grant_id)
        if refused is not None or grant_id is None:
            assert refused is not None
            return Declined(
                requester=self._client_id,
                request_id=request_id,
                params_hash=fingerprint,
                member_id=member_id,
                refused=refused,
            )
        return Payment(
            requester=self._client_id,
            request_id=request_id,
            params_hash=fingerprint,
            member_id=member_id,
            money=row["money"],
            shop_id=self._names.shops[row["shop"]].id,
            amount_yen=row["amount_yen"],
            controls=(grant_id,),
            money_only=row["strategy"] == "money_only",
            items=items(row),
            grant_id=grant_id,
            description=row["description"],
            metadata=metadata(row),
        )

    def _refusal(self, row: Row, grant_id: UUID | None) -> Refused | None:
        """What the ledger cannot know. Nobody can sign in for a batch, so it takes no payment that would ask for it."""
        shop = self._names.shops.get(row["shop"])
        if shop is None:
            return Refused(code="shop_unknown")
        if row["money"] not in self._names.monies:
            return Refused(code="money_not_accepted", detail={"money": row["money"]})
        if shop.id not in self._client_shops:
            return Refused(code="mandate_exceeded", detail={"limit": "shops"})
        if grant_id is None:
            return Refused(code="mandate_exceeded", detail={"limit": "grant"})
        if row["amount_yen"] > self._most_yen:
            return Refused(code="payment_limit_exceeded", detail={"limit": "step_up_yen", "max_yen": self._most_yen})
        return None
