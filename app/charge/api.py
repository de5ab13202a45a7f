"""The resource API, version 1: charging by card and at convenience stores."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import Response
from webargs.flaskparser import abort

from app import clock
from app.charge import crediting, inbox, orders, views
from app.charge.gateways.current import current_gateway
from app.charge.models import ChargeOrder
from app.charge.schemas import ChainBody, ChargeBody, ChargesQuery, ChargesView, ChargeView, OptionsView
from app.db import session, transaction
from app.oauth import cors
from app.oauth.clients import find_client
from app.oauth.protector import Bearer, current_access
from app.wallet.schemas import IdempotencyHeader
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale
from app.web.protection import protected_by

ASK_EVERY = timedelta(seconds=1.5)
"""How often a caller who waits has the gateway asked."""

blueprint = Blueprint(
    "charges",
    __name__,
    url_prefix="/v1/charges",
    description="Charging by card and at convenience stores, with the scope `charge`. Cards are entered on the "
    "gateway's own page; no card number ever comes here.",
)
blueprint.after_request(cors.allow_registered)


@blueprint.get("/options")
@blueprint.response(200, OptionsView())
@protected_by(Bearer("charge"))
def options() -> Response:
    """What the member may charge now, and how it can be paid"""
    gateway = current_gateway()
    with transaction():
        found = views.options(gateway, member_id=current_access().member, locale=current_locale())
    return json_response(found, status=200)


@blueprint.post("")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(ChargeBody())
@blueprint.response(201, ChargeView())
@protected_by(Bearer("charge"))
def order(headers: Mapping[str, Any], body: Mapping[str, Any]) -> Response:
    """Order a charge

    By card: send the member to `redirect_url`; the gateway's page leads back to `return_url`, where you ask for the
    charge again. At a store: show the slip. The value enters the wallet when the money has arrived.
    Where the reply is lost, or is 503, send the very same request again: it makes no second order.
    """
    access = current_access()
    _check_return(body["return_url"], access.client_id)
    wanted = orders.Wanted(
        access=access,
        request_id=headers["idempotency_key"],
        money=body["money"],
        amount_yen=body["amount_yen"],
        method=body["method"],
        locale=current_locale(),
        return_url=body["return_url"],
        chain=body["chain"],
        contact=_contact(body),
        birthday_mmdd=body["birthday_mmdd"],
        link_code=body["link"],
    )
    return _shown(orders.order(wanted), status=201)


@blueprint.get("")
@blueprint.arguments(ChargesQuery(), location="query")
@blueprint.response(200, ChargesView())
@protected_by(Bearer("charge"))
def charges(query: Mapping[str, Any]) -> Response:
    """The member's charges, newest first"""
    with transaction():
        found, following = views.page(
            member_id=current_access().member, before=query["cursor"], limit=query["limit"], locale=current_locale()
        )
    body = {"charges": found, "next_cursor": str(following) if following else None}
    return json_response(body, status=200)


@blueprint.get("/<uuid:charge_id>")
@blueprint.response(200, ChargeView())
@protected_by(Bearer("charge"))
def charge(charge_id: UUID) -> Response:
    """A charge as it is now

    While it can be paid the gateway is asked, should no webhook have told: a page may ask every two seconds.
    """
    if (ref := _to_ask(charge_id)) is not None:
        try:
            crediting.settle(current_gateway(), ref)
        except inbox.COME_AGAIN:
            inbox.log.info("a charge was asked for while its gateway is away")
    return _shown(charge_id, status=200)


@blueprint.post("/<uuid:charge_id>/cancel")
@blueprint.response(200, ChargeView())
@protected_by(Bearer("charge"))
def cancel(charge_id: UUID) -> Response:
    """Cancel a charge that is not paid

    Where the money was faster it is credited, and the answer is `charge_not_open`.
    """
    orders.cancel(charge_id, payer_id=current_access().member)
    return _shown(charge_id, status=200)


@blueprint.post("/<uuid:charge_id>/chain")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(ChainBody())
@blueprint.response(201, ChargeView())
@protected_by(Bearer("charge"))
def chain(headers: Mapping[str, Any], body: Mapping[str, Any], charge_id: UUID) -> Response:
    """Pay at another chain

    The slip is cancelled, and a new charge of the same amount ordered in its place (`replaces`).
    """
    changed = orders.change_chain(
        charge_id, access=current_access(), request_id=headers["idempotency_key"], chain=body["chain"]
    )
    return _shown(changed, status=201)


def _shown(order_id: UUID, *, status: int) -> Response:
    with transaction():
        found = views.one(order_id, member_id=current_access().member, locale=current_locale())
    return json_response(found, status=status)


def _contact(body: Mapping[str, Any]) -> dict[str, str] | None:
    if body["method"] != "konbini":
        return None
    return {name: body[name] for name in ("name", "name_kana", "email", "phone")}


def _check_return(url: str | None, client_id: str) -> None:
    """Only where the client itself receives answers: no page of ours sends a member to a stranger's."""
    if url is None:
        return
    client = find_client(client_id)
    assert client is not None
    if urlsplit(url)[:2] not in {urlsplit(known)[:2] for known in client.redirect_uris}:
        abort(422, messages={"json": {"return_url": ["Not at the origin of a redirect URI of this client."]}})


def _to_ask(charge_id: UUID) -> str | None:
    """The ref to look up, where the order is open and nobody has asked just now."""
    with transaction():
        row = session().get(ChargeOrder, charge_id)
        if row is None or row.payer_id != current_access().member or row.state != "pending":
            return None
        if row.looked_at is not None and clock.now() - row.looked_at < ASK_EVERY:
            return None
        return row.gateway_ref
