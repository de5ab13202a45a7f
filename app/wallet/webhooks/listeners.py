"""Who may hear of what: asked when an event becomes deliveries, so that what was narrowed meanwhile counts.

Of a transaction, a client may hear that asked for it itself, or that serves its shop and may read shops (`shop:read`),
or to which the member gives `history`. "It itself" are the service that owns the endpoint and the apps of the same
developer that the office connected with it: members give permissions to apps, services have the endpoints.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.db import session

_LISTENING = text("""
    SELECT endpoint.id, endpoint.client_id, endpoint.events, endpoint.created_at, client.scopes, client.allowed_shops,
           array(SELECT app_id FROM webhook_app WHERE client_id = endpoint.client_id) AS apps
      FROM webhook_endpoint endpoint JOIN oauth_client client ON client.id = endpoint.client_id
     WHERE endpoint.status = 'active' AND client.status = 'active' AND 'webhook' = ANY(client.scopes)
""")
# What the protector asks of a token: member, grant and client all living, and a scope that grant and client have.
_GIVEN = text("""
    SELECT given.id, given.member_id, given.client_id, given.scopes, client.scopes AS client_scopes,
           member.status = 'active' AS member_is_active
      FROM oauth_grant given
      JOIN oauth_client client ON client.id = given.client_id
      JOIN member ON member.id = given.member_id
     WHERE given.member_id = ANY(:members) AND given.client_id = ANY(:clients) AND given.revoked_at IS NULL
       AND client.status = 'active' AND member.status <> 'closed'
     ORDER BY given.id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An endpoint, and whom it hears for."""

    id: UUID
    events: frozenset[str]
    since: datetime
    clients: frozenset[str]
    shops: frozenset[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A living grant, as far as its client's own scopes let it go."""

    id: UUID
    client_id: str
    scopes: frozenset[str]
    member_is_active: bool
    """While the account is stopped it shows nothing but that: what happens to the wallets, not what moves in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """That an endpoint may hear of an event, and what of it. `grant_id` where only that permission lets it."""

    listener: Listener
    tell_member: bool
    tell_balance: bool
    grant_id: UUID | None


@dataclass(slots=True)
class Listeners:
    """Every endpoint that listens, and the grants of the members in question."""

    _all: list[Listener]
    _by_client: dict[str, list[Listener]] = field(init=False)
    _by_shop: dict[UUID, list[Listener]] = field(init=False)
    _given: dict[UUID, list[Given]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_client, self._by_shop, self._given = defaultdict(list), defaultdict(list), defaultdict(list)
        for listener in self._all:
            for client_id in listener.clients:
                self._by_client[client_id].append(listener)
            for shop_id in listener.shops:
                self._by_shop[shop_id].append(listener)

    @classmethod
    def read(cls) -> Listeners:
        """Those of this moment."""
        return cls([_listener(row) for row in session().execute(_LISTENING)])

    def read_grants(self, members: Collection[UUID]) -> None:
        """The living grants of these members, now."""
        if not members or not self._by_client:
            return
        wanted = {"members": list(members), "clients": list(self._by_client)}
        for row in session().execute(_GIVEN, wanted):
            scopes = frozenset(row.scopes).intersection(row.client_scopes)
            self._given[row.member_id].append(
                Given(
                    id=row.id,
                    client_id=row.client_id,
                    scopes=scopes,
                    member_is_active=row.member_is_active,
                )
            )

    def of_transaction(self, row: Any, *, event_type: str) -> Iterator[Right]:
        """Who may hear of this transaction."""
        given = [grant for grant in self._given.get(row.member_id, ()) if grant.member_is_active]
        candidates = [*self._by_client.get(row.requester, []), *self._by_shop.get(row.shop_id, [])]
        for grant in given:
            candidates += self._by_client[grant.client_id]
        for listener in _wanting(candidates, event_type, at=row.created_at):
            theirs = [grant for grant in given if grant.client_id in listener.clients]
            asked = row.requester in listener.clients
            reading = next((grant for grant in theirs if "history" in grant.scopes), None)
            of_its_own = asked or row.shop_id in listener.shops
            if of_its_own or reading:
                yield Right(
                    listener=listener,
                    tell_member=bool(theirs) or (asked and row.grant_id is not None),
                    tell_balance=any("balance" in grant.scopes for grant in theirs),
                    grant_id=reading.id if reading and not of_its_own else None,
                )

    def of_client(self, client_id: str, *, event_type: str, at: datetime) -> Iterator[Right]:
        """Who may hear what concerns one client."""
        for listener in _wanting(self._by_client.get(client_id, []), event_type, at=at):
            yield Right(listener=listener, tell_member=True, tell_balance=False, grant_id=None)

    def of_wallet(self, member_id: UUID, *, event_type: str, at: datetime) -> Iterator[Right]:
        """Who may hear how a member's wallet stands: who may read balances, which says it too."""
        reading = [grant for grant in self._given.get(member_id, []) if "balance" in grant.scopes]
        candidates = [listener for grant in reading for listener in self._by_client[grant.client_id]]
        for listener in _wanting(candidates, event_type, at=at):
            grant = next(grant for grant in reading if grant.client_id in listener.clients)
            yield Right(listener=listener, tell_member=True, tell_balance=True, grant_id=grant.id)


def _wanting(candidates: list[Listener], event_type: str, *, at: datetime) -> Iterator[Listener]:
    """Each once, those that chose this type and were there when it happened."""
    for listener in dict.fromkeys(candidates):
        if event_type in listener.events and listener.since <= at:
            yield listener


def _listener(row: Any) -> Listener:
    reads_shops = "shop:read" in row.scopes
    return Listener(
        id=row.id,
        events=frozenset(row.events),
        since=row.created_at,
        clients=frozenset({row.client_id, *row.apps}),
        shops=frozenset(row.allowed_shops) if reads_shops else frozenset(),
    )
