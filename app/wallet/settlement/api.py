"""The settlements of a client's shops: for the shop's own books. A client acts for itself here, never for a member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any
from uuid import UUID

from flask import Response

from app.issuer import current_issuer, issuer_zone
from app.oauth.protector import Bearer, current_access
from app.wallet import examples
from app.wallet.settlement import document, reading
from app.wallet.settlement.schemas import SettlementsQuery, SettlementsView, SettlementView
from app.web.arguments import Blueprint
from app.web.locale import current_locale, translate
from app.web.protection import protected_by

blueprint = Blueprint("settlement", __name__, url_prefix="/v1", description="What is settled with the client's shops.")


@blueprint.get("/settlements")
@blueprint.arguments(SettlementsQuery(), location="query")
@blueprint.response(200, SettlementsView())
@protected_by(Bearer("shop:read"))
def settlements(query: Mapping[str, Any]) -> dict[str, Any]:
    """The settlements of the client's shops, newest first

    Follow `next_cursor` to older ones until it is null.
    """
    shops = current_access().client_shops
    page, before = reading.settlements(shops=shops, limit=query["limit"], before=query["cursor"])
    shown = [_shown(one, locale=current_locale()) for one in page]
    return {"settlements": shown, "next_cursor": str(before) if before else None}


@blueprint.get("/settlements/<uuid:settlement_id>")
@blueprint.response(200, SettlementView())
@protected_by(Bearer("shop:read"))
def settlement(settlement_id: UUID) -> dict[str, Any]:
    """One settlement"""
    return _shown(_read(settlement_id), locale=current_locale())


@blueprint.get("/settlements/<uuid:settlement_id>/statement.pdf")
@blueprint.response(
    200, {"type": "string", "format": "binary"}, content_type="application/pdf", description="The statement (精算書)."
)
@protected_by(Bearer("shop:read"))
def statement_pdf(settlement_id: UUID) -> Response:
    """One settlement as a PDF"""
    found = _read(settlement_id)
    body = document.pdf(found, issuer=current_issuer(), zone=issuer_zone(), locale=current_locale(), words=translate)
    return _file(body, name=f"{found.name}.pdf", mimetype="application/pdf")


@blueprint.get("/settlements/<uuid:settlement_id>/statement.csv")
@blueprint.response(
    200,
    {"type": "string"},
    content_type="text/csv",
    example=examples.SETTLEMENT_CSV,
    description="One row for each money.",
)
@protected_by(Bearer("shop:read"))
def statement_csv(settlement_id: UUID) -> Response:
    """One settlement as CSV"""
    found = _read(settlement_id)
    return _file(document.table(found, locale=current_locale()), name=f"{found.name}.csv", mimetype="text/csv")


def _read(settlement_id: UUID) -> reading.SettlementView:
    return reading.settlement(settlement_id, shops=current_access().client_shops)


def _file(body: bytes, *, name: str, mimetype: str) -> Response:
    return Response(
        body, mimetype=mimetype, headers={"Content-Disposition": f'attachment; filename="settlement-{name}"'}
    )


def _shown(found: reading.SettlementView, *, locale: str) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "shop": found.shop.view(locale),
        "number": found.number,
        "first_day": found.first_day.isoformat(),
        "through_day": found.through_day.isoformat(),
        "after_position": found.after_position,
        "through_position": found.through_position,
        "settled_yen": found.settled_yen,
        "payable_yen": found.payable_yen,
        "state": found.state,
        "transaction_id": str(found.transaction_id) if found.transaction_id else None,
        "transfer_on": found.transfer_on.isoformat() if found.transfer_on else None,
        "created_at": found.created_at.isoformat(),
        "closed_at": found.closed_at.isoformat() if found.closed_at else None,
        "lines": [_line(line, locale=locale) for line in found.lines],
    }


def _line(line: reading.LineView, *, locale: str) -> dict[str, Any]:
    values = {field.name: getattr(line, field.name) for field in fields(line)}
    return {**values, "money": line.money.view(locale)}
