"""履歴: the history with its filters, one transaction, and the papers to keep."""

from __future__ import annotations

import calendar
import re
from datetime import date
from typing import Any

from flask import Response, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from app.mypage import forms, overview
from app.mypage.access import member_api, pages
from app.mypage.errors import NotAllowed, Refused
from app.mypage.session import MypageSession
from app.web.locale import translate
from app.web.protection import protected_by

PER_PAGE = 30
KINDS = ("charge", "payment", "move", "refund", "expiry", "adjustment", "hold", "capture", "release", "close")
MONTHS = 37
"""How far back the choice of months goes: three years. Older ones are reached by turning pages."""
_FIELDS = ("money", "kind", "shop", "month", "min", "max", "q")
_TRAIL = 20
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_HANDED_ON = ("Content-Type", "Content-Disposition", "Content-Length")


@pages.get("/history")
@protected_by(MypageSession(come_back=True))
def history() -> str | AnyResponse:
    """The cursors of the pages before this one travel along, so that there is a way back to newer ones."""
    asked = {name: request.args.get(name, "").strip() for name in _FIELDS}
    wrong = _wrong(asked)
    with member_api() as api:
        found = _search(api, asked, wrong) if not wrong else {"transactions": [], "next_cursor": None}
        if found is None:
            raise NotAllowed("history")
        monies, shops = api.monies(), api.shops()
    return render_template(
        "mypage/history.html",
        history=found,
        asked=asked,
        wrong=wrong,
        choices=_choices(monies=monies, shops=shops),
        pages=_turning(request.args, asked, found["next_cursor"]),
    )


@pages.get("/transactions/<uuid:transaction_id>")
@protected_by(MypageSession(come_back=True))
def transaction(transaction_id: Any) -> str:
    with member_api() as api:
        try:
            found = api.transaction(str(transaction_id))
        except Refused:
            raise NotFound from None
        if found is None:
            raise NotAllowed("history")
        refunds = _refunds(api, found) if found["kind"] in ("payment", "capture") else []
    return render_template("mypage/transaction.html", one=found, refunds=refunds)


@pages.get("/transactions/<uuid:transaction_id>/receipt.pdf")
@protected_by(MypageSession())
def receipt_pdf(transaction_id: Any) -> AnyResponse:
    return _handed_on(f"/v1/transactions/{transaction_id}/receipt.pdf")


@pages.get("/statements")
@protected_by(MypageSession())
def statement() -> AnyResponse:
    """`?month=2026-11&as=pdf`, as a form can ask for it."""
    month, kind = request.args.get("month", ""), request.args.get("as")
    if not _MONTH.fullmatch(month) or kind not in ("pdf", "csv"):
        raise NotFound
    return _handed_on(f"/v1/statements/{month}.{kind}")


def _search(api: Any, asked: dict[str, str], wrong: dict[str, str]) -> dict[str, Any] | None:
    """A search that the server finds fault with marks its fields; only a cursor nobody made leads nowhere."""
    try:
        found: dict[str, Any] | None = api.transactions(
            limit=PER_PAGE,
            cursor=request.args.get("cursor"),
            money=asked["money"],
            kind=asked["kind"],
            shop=asked["shop"],
            min_yen=forms.yen(asked["min"]),
            max_yen=forms.yen(asked["max"]),
            q=asked["q"],
            **_span(asked["month"]),
        )
    except Refused as error:
        fields = error.problem.get("errors", {}).get("query", {})
        if not fields.keys() <= {"q", "min_yen", "max_yen"} or not fields:
            raise NotFound from None
        wrong |= {name.removesuffix("_yen"): "refused" for name in fields}
        return {"transactions": [], "next_cursor": None}
    return found


def _wrong(asked: dict[str, str]) -> dict[str, str]:
    """What cannot be asked, by field."""
    wrong = {name: "no_amount" for name in ("min", "max") if asked[name] and forms.yen(asked[name]) is None}
    low, high = forms.yen(asked["min"]), forms.yen(asked["max"])
    if low is not None and high is not None and low > high:
        wrong["max"] = "less_than_min"
    if asked["month"] and not _MONTH.fullmatch(asked["month"]):
        wrong["month"] = "no_month"
    if len(asked["q"]) > 100:
        wrong["q"] = "too_long"
    return wrong


def _span(month: str) -> dict[str, str]:
    if not month:
        return {}
    last = calendar.monthrange(int(month[:4]), int(month[5:]))[1]
    return {"from_": f"{month}-01", "until": f"{month}-{last:02d}"}


def _choices(*, monies: list[dict[str, Any]], shops: list[dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """What the fields offer: value and words."""
    return {
        "month": [(month, overview.month_name(month)) for month in _months(overview.today())],
        "money": [(money["code"], money["name"]) for money in monies],
        "kind": [(kind, translate(f"mypage.kind.{kind}")) for kind in KINDS],
        "shop": [(shop["code"], shop["name"]) for shop in shops],
    }


def _months(today: date) -> list[str]:
    """This month and those before it, as YYYY-MM."""
    count = today.year * 12 + today.month - 1
    return [f"{at // 12:04d}-{at % 12 + 1:02d}" for at in range(count, count - MONTHS, -1)]


def _turning(args: MultiDict[str, str], asked: dict[str, str], next_cursor: str | None) -> dict[str, str | None]:
    """Where the newer and the older page are, and the newest."""
    filters: dict[str, Any] = {name: value for name, value in asked.items() if value}
    here, trail = args.get("cursor", ""), args.getlist("was")[-_TRAIL:]
    newest = url_for("mypage.history", **filters)
    newer = url_for("mypage.history", **filters, cursor=trail[-1] or None, was=trail[:-1]) if trail else newest
    return {
        "newest": newest if here else None,
        "newer": newer if here else None,
        "older": url_for("mypage.history", **filters, cursor=next_cursor, was=[*trail, here]) if next_cursor else None,
    }


def _refunds(api: Any, payment: dict[str, Any]) -> list[dict[str, Any]]:
    """What went back of a payment, newest first: among the shop's refunds since that day."""
    query = {"kind": "refund", "shop": payment["shop"]["code"] if payment["shop"] else None}
    found = api.transactions(limit=100, from_=payment["created_at"], **query) or {"transactions": []}
    return [one for one in found["transactions"] if one["reverses"] == payment["id"]]


def _handed_on(path: str) -> AnyResponse:
    """A file of the API, as it comes in. The visitor's token stays here."""
    with member_api() as api:
        try:
            answer = api.file(path)
        except Refused:
            raise NotFound from None
        if answer is None:
            return redirect(url_for("mypage.history"), code=303)
        headers = {name: answer.headers[name] for name in _HANDED_ON if name in answer.headers}
        return Response(answer.content, headers=headers)
