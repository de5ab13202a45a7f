"""Orders: agreed with a member, started at the gateway, cancelled, changed to another chain.

The gateway is never called inside a transaction. What dies between the two is taken up by the same request, or by the
worker (poller.py): starting is repeatable, since the gateway knows each order by its id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from app import clock
from app.charge import crediting, identity, links, notices, rules
from app.charge.errors import ChargeNotOpen, ChargeUnknown, GatewayAway, MethodNotOffered, ReceiverNotChargeable
from app.charge.gateways.current import current_gateway
from app.charge.models import OPEN, PAID, ChargeOrder
from app.charge.ports import (
    CardPage,
    CardRequest,
    Chain,
    Gateway,
    GatewayRefused,
    GatewayUnavailable,
    KonbiniRequest,
    Slip,
)
from app.db import session, transaction
from app.ids import secret_hash
from app.issuer import current_issuer, mypage_url
from app.member.models import Member
from app.oauth.protector import Access
from app.seal import seal, unseal
from app.wallet import directory, ledger, reservations
from app.wallet.errors import LedgerRefusal
from app.web.locale import translate

CARD_PAGE_LASTS = timedelta(hours=1)
"""How long a card's page may be paid on, and room is kept for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a member asks for, in an app's request. `contact`: name, name_kana, email, phone, of a slip."""

    access: Access
    request_id: str
    money: str
    amount_yen: int
    method: str
    locale: str
    return_url: str | None = None
    chain: str | None = None
    contact: Mapping[str, str] | None = None
    birthday_mmdd: str | None = None
    link_code: str | None = None
    """Of somebody else's wallet: the code of their link (links.py)."""
    replaces: UUID | None = None

    @property
    def params_hash(self) -> bytes:
        """What makes it the same request; the birthday only opens the door."""
        if self.replaces is not None:
            return ledger.params_hash({"replaces": str(self.replaces), "chain": self.chain})
        return ledger.params_hash(
            {
                "member": str(self.access.member),
                "money": self.money,
                "amount_yen": self.amount_yen,
                "method": self.method,
                "return_url": self.return_url,
                "chain": self.chain,
                "contact": dict(self.contact) if self.contact else None,
                "link": secret_hash(self.link_code).hex() if self.link_code else None,
            }
        )


def order(wanted: Wanted) -> UUID:
    """Store an order, start it at the gateway, and return its id. The same request again goes on with the same order.

    Raises what may not be charged; GatewayAway, where nobody knows whether the gateway heard: ask again.
    """
    gateway = current_gateway()
    _check_offered(gateway, wanted)
    with transaction():
        known = _known(wanted)
    if known is None:
        identity.check(wanted.access, method=wanted.method, birthday_mmdd=wanted.birthday_mmdd)
        with transaction():
            known = _known(wanted) or _new(gateway, wanted)
    start(known)
    return known


def start(order_id: UUID) -> None:
    """Have the gateway know an order that is only stored yet; past its time it has failed. Raises GatewayAway."""
    with transaction():
        row = session().get(ChargeOrder, order_id)
        if row is None or row.state != "created":
            return
        if row.pay_until is not None and clock.now() > row.pay_until:
            crediting.end(crediting.locked(order_id), "failed", failure="gateway_unavailable")
            return
        request, replaces = _request(row), row.replaces
    gateway = current_gateway()
    try:
        if replaces is not None and not _retire(replaces):
            with transaction():
                crediting.end(crediting.locked(order_id), "cancelled")
            return
        started = gateway.start_card(request) if isinstance(request, CardRequest) else gateway.start_konbini(request)
    except GatewayUnavailable:
        raise GatewayAway from None
    except GatewayRefused as refused:
        with transaction():
            crediting.end(crediting.locked(order_id), "failed", failure=refused.code)
        return
    with transaction():
        unwanted = _started(crediting.locked(order_id), started)
    if unwanted:
        _take_back(gateway, started.ref)


def cancel(order_id: UUID, *, payer_id: UUID) -> None:
    """Make an order unpayable. Where the money was faster, it is credited and ChargeNotOpen raised.

    Raises ChargeUnknown, ChargeNotOpen, GatewayAway.
    """
    with transaction():
        row = _theirs(order_id, payer_id)
        if row.state == "cancelled":
            return
        if row.state not in OPEN:
            raise ChargeNotOpen(state=row.state)
        ref = row.gateway_ref
        if ref is None:  # a start that is under way finds it cancelled, and takes it back
            crediting.end(row, "cancelled")
            return
    gateway = current_gateway()
    try:
        gateway.cancel(ref)
        crediting.settle(gateway, ref)
    except (GatewayUnavailable, GatewayRefused):
        raise GatewayAway from None
    with transaction():
        row = _theirs(order_id, payer_id)
        if row.state != "cancelled":
            raise ChargeNotOpen(state=row.state)


def change_chain(order_id: UUID, *, access: Access, request_id: str, chain: str) -> UUID:
    """Order another slip in the place of an unpaid one; returns its id. The room kept for it goes with it.

    Raises ChargeUnknown, ChargeNotOpen, MethodNotOffered, GatewayAway.
    """
    with transaction():
        row = _theirs(order_id, access.member)
        wanted = Wanted(
            access=access,
            request_id=request_id,
            money=directory.money_by_id(row.money_id).code,
            amount_yen=row.amount_yen,
            method=row.method,
            locale=row.locale,
            chain=chain,
            contact=contact_of(row),
            replaces=order_id,
        )
        known = _known(wanted)
        if known is None:
            if row.method != "konbini" or row.state not in OPEN:
                raise ChargeNotOpen(state=row.state)
            _check_offered(current_gateway(), wanted)
            row.reserved_yen, kept_yen = 0, row.reserved_yen
            known = _store(current_gateway(), wanted, _Whose.of(row), reserved_yen=kept_yen)
    start(known)
    return known


def _retire(order_id: UUID) -> bool:
    """Make the slip that another one replaces unpayable. Returns whether it is: it may have been paid meanwhile.

    Raises GatewayUnavailable, GatewayRefused.
    """
    with transaction():
        row = crediting.locked(order_id)
        ref, state = row.gateway_ref, row.state
        if state in OPEN and ref is None:
            crediting.end(row, "cancelled")
            return True
    if state in OPEN and ref is not None:
        gateway = current_gateway()
        gateway.cancel(ref)
        crediting.settle(gateway, ref)
        with transaction():
            state = crediting.locked(order_id).state
    return state not in (*OPEN, *PAID)


def _check_offered(gateway: Gateway, wanted: Wanted) -> None:
    if wanted.method == "card" and not gateway.has_cards:
        raise MethodNotOffered(method="card")
    if wanted.method == "konbini" and wanted.chain not in gateway.chains:
        raise MethodNotOffered(method="konbini", chains=[chain.value for chain in gateway.chains])


def _known(wanted: Wanted) -> UUID | None:
    """The order that this very request made before. Raises LedgerRefusal where its name was used for another one."""
    columns = (ChargeOrder.id, ChargeOrder.params_hash)
    query = select(*columns).where(
        ChargeOrder.client_id == wanted.access.client_id, ChargeOrder.request_id == wanted.request_id
    )
    found = session().execute(query).one_or_none()
    if found is None:
        return None
    if found.params_hash != wanted.params_hash:
        raise LedgerRefusal("request_id_conflict", idempotency_key=wanted.request_id)
    order_id: UUID = found.id
    return order_id


def _new(gateway: Gateway, wanted: Wanted) -> UUID:
    """Store an order, with room kept for it. The payer's row is locked first, so that their sums are true."""
    payer_id = wanted.access.member
    session().execute(select(Member.id).where(Member.id == payer_id).with_for_update(key_share=True))
    if (known := _known(wanted)) is not None:
        return known
    whose = _Whose.wanted(wanted)
    rule = rules.rules()
    rules.check_amount(rule, method=wanted.method, amount_yen=wanted.amount_yen)
    if wanted.method == "card":
        rules.check_card_sums(rule, payer_id=payer_id, amount_yen=wanted.amount_yen)
    try:
        reservations.reserve(member_id=whose.member_id, money=wanted.money, amount_yen=wanted.amount_yen)
    except LedgerRefusal:
        if whose.member_id == payer_id:
            raise
        raise ReceiverNotChargeable from None
    return _store(gateway, wanted, whose, reserved_yen=wanted.amount_yen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whose:
    """The wallet that is charged, and the link where it is not the payer's own."""

    member_id: UUID
    money_id: int
    link_id: UUID | None

    @classmethod
    def of(cls, row: ChargeOrder) -> _Whose:
        return cls(member_id=row.member_id, money_id=row.money_id, link_id=row.link_id)

    @classmethod
    def wanted(cls, wanted: Wanted) -> _Whose:
        """Raises ChargeLinkUnknown, LedgerRefusal."""
        money = directory.money(wanted.money)
        link = links.find(wanted.link_code) if wanted.link_code else None
        if money is None or money.backing != "paid" or (link is not None and link.money_id != money.id):
            raise LedgerRefusal("money_not_accepted", money=wanted.money)
        if link is None:
            return cls(member_id=wanted.access.member, money_id=money.id, link_id=None)
        return cls(member_id=link.member_id, money_id=money.id, link_id=link.id)


def _store(gateway: Gateway, wanted: Wanted, whose: _Whose, *, reserved_yen: int) -> UUID:
    rule = rules.rules()
    row = ChargeOrder(
        issuer_id=current_issuer().id,
        payer_id=wanted.access.member,
        member_id=whose.member_id,
        money_id=whose.money_id,
        link_id=whose.link_id,
        amount_yen=wanted.amount_yen,
        fee_yen=rules.fee_yen(rule, wanted.method),
        reserved_yen=reserved_yen,
        method=wanted.method,
        client_id=wanted.access.client_id,
        request_id=wanted.request_id,
        params_hash=wanted.params_hash,
        gateway=gateway.name,
        chain=wanted.chain,
        contact_sealed=_sealed(wanted.contact) if wanted.contact else None,
        locale=wanted.locale,
        return_url=wanted.return_url,
        replaces=wanted.replaces,
        pay_until=rules.pay_until(rule) if wanted.method == "konbini" else clock.now() + CARD_PAGE_LASTS,
        due_at=clock.now() + timedelta(seconds=30),
    )
    session().add(row)
    session().flush()
    return row.id


def _request(row: ChargeOrder) -> CardRequest | KonbiniRequest:
    description = translate("charge.description", row.locale, issuer_name=current_issuer().name(row.locale))
    paid_yen = row.amount_yen + row.fee_yen
    assert row.pay_until is not None
    if row.method == "card":
        return CardRequest(
            order_id=row.id,
            pay_until=row.pay_until,
            amount_yen=paid_yen,
            description=description,
            return_url=row.return_url or f"{mypage_url()}/charge/{row.id}",
            locale=row.locale,
        )
    contact = contact_of(row)
    assert contact is not None, "an order that is not started has its contact"
    assert row.chain is not None
    return KonbiniRequest(
        order_id=row.id,
        ordered_at=row.created_at,
        amount_yen=paid_yen,
        description=description,
        chain=Chain(row.chain),
        name=contact["name"],
        name_kana=contact["name_kana"],
        email=contact["email"],
        phone=contact["phone"],
        pay_until=row.pay_until,
        locale=row.locale,
    )


def _started(row: ChargeOrder, started: CardPage | Slip) -> bool:
    """The gateway knows the order now. Returns whether nobody wants it any more."""
    if row.gateway_ref is None:
        row.gateway_ref = started.ref
    if row.state != "created":
        return row.state in ("failed", "cancelled")
    row.state = "pending"
    if isinstance(started, CardPage):
        row.page_url = started.url
    else:
        row.pay_until = started.pay_until
        row.slip = {
            name: getattr(started, name)
            for name in ("receipt_no", "confirmation_no", "company_code", "barcode", "voucher_url")
        }
        notices.slip(row)
    row.due_at = crediting.next_look(row)
    crediting.tell(row)
    return False


def _take_back(gateway: Gateway, ref: str) -> None:
    try:
        gateway.cancel(ref)
        crediting.settle(gateway, ref)
    except (GatewayUnavailable, GatewayRefused):
        return  # nobody has its page or its numbers; what arrives all the same is found by its ref


def _theirs(order_id: UUID, payer_id: UUID) -> ChargeOrder:
    query = select(ChargeOrder).where(ChargeOrder.id == order_id, ChargeOrder.payer_id == payer_id)
    row = session().scalar(query.with_for_update())
    if row is None:
        raise ChargeUnknown
    return row


def contact_of(row: ChargeOrder) -> dict[str, str] | None:
    """Who pays a slip, as they said it; None once the order is over."""
    if row.contact_sealed is None:
        return None
    said: dict[str, str] = json.loads(unseal(_key(), row.contact_sealed))
    return said


def _sealed(contact: Mapping[str, str]) -> bytes:
    return seal(_key(), json.dumps(dict(contact), ensure_ascii=False).encode())


def _key() -> bytes:
    key: bytes = current_app.extensions["kumiai.settings"].sealing_key
    return key
