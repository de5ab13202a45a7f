"""Monthly statements and receipts, for programs, spreadsheets and paper."""

from __future__ import annotations

from uuid import UUID

from flask import Response

from app.issuer import issuer_zone
from app.member import service as members
from app.oauth import cors
from app.oauth.protector import Access, Bearer, current_access
from app.wallet import examples
from app.wallet.statement import monthly, paper
from app.wallet.statement.receipt import receipt as find_receipt
from app.wallet.statement.schemas import StatementView
from app.wallet.statement.table import table
from app.wallet.statement.view import view
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale
from app.web.protection import protected_by

blueprint = Blueprint("statement", __name__, url_prefix="/v1", description="Statements and receipts to keep.")
blueprint.after_request(cors.allow_registered)

_PDF = {"type": "string", "format": "binary"}
_MONTH = "/statements/<string(length=7):month>"


@blueprint.get(_MONTH)
@blueprint.response(200, StatementView())
@protected_by(Bearer("history"))
def statement(month: str) -> Response:
    """One month (`YYYY-MM`) of the member, in the issuer's time zone

    Balances are there with the scope `balance` too. A month that has not begun is 404.
    """
    found = monthly.statement(member_id=_member(current_access()), month=month)
    return json_response(view(found, locale=current_locale(), may_see_balance=_may_see_balance()), status=200)


@blueprint.get(f"{_MONTH}.csv")
@blueprint.response(
    200,
    {"type": "string"},
    content_type="text/csv",
    example=examples.STATEMENT_CSV,
    description="One row for each wallet changed.",
)
@protected_by(Bearer("history"))
def statement_csv(month: str) -> Response:
    """The same month as CSV"""
    found = monthly.statement(member_id=_member(current_access()), month=month)
    body = table(found, zone=issuer_zone(), locale=current_locale(), may_see_balance=_may_see_balance())
    return _file(body, name=f"statement-{month}.csv", mimetype="text/csv")


@blueprint.get(f"{_MONTH}.pdf")
@blueprint.response(200, _PDF, content_type="application/pdf", description="Pages of A4.")
@protected_by(Bearer("history"))
def statement_pdf(month: str) -> Response:
    """The same month as a PDF

    With the scope `profile` it carries the member's name.
    """
    access = current_access()
    found = monthly.statement(member_id=_member(access), month=month)
    name = members.name_of(_member(access)) if "profile" in access.scopes else ""
    body = paper.statement_pdf(found, name=name, locale=current_locale(), may_see_balance=_may_see_balance())
    return _file(body, name=f"statement-{month}.pdf", mimetype="application/pdf")


@blueprint.get("/transactions/<uuid:transaction_id>/receipt.pdf")
@blueprint.response(200, _PDF, content_type="application/pdf", description="A page of A4.")
@protected_by(Bearer("history"))
def receipt_pdf(transaction_id: UUID) -> Response:
    """One transaction's receipt as a PDF

    Its QR code leads to the page where anyone who is shown the receipt sees that it is true. It tells no balance.
    """
    found = find_receipt(transaction_id, member_id=_member(current_access()))
    body = paper.receipt_pdf(found, locale=current_locale())
    return _file(body, name=f"receipt-{found.line.position}.pdf", mimetype="application/pdf")


def _member(access: Access) -> UUID:
    """The member of a token whose scopes only a member can give."""
    assert access.member_id is not None
    return access.member_id


def _may_see_balance() -> bool:
    return "balance" in current_access().scopes


def _file(body: bytes, *, name: str, mimetype: str) -> Response:
    return Response(body, mimetype=mimetype, headers={"Content-Disposition": f'attachment; filename="{name}"'})
