"""カード: the member's cards, lost in one step; the PIN; a code for registering a card at a till."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from app.mypage.access import member_api, pages
from app.mypage.api_client import MemberApi
from app.mypage.errors import NotAllowed, Refused
from app.mypage.session import MypageSession
from app.web.protection import protected_by


@pages.get("/cards")
@protected_by(MypageSession(come_back=True))
def cards() -> str:
    with member_api() as api:
        return _page(api)


@pages.post("/cards")
@protected_by(MypageSession())
def change_cards() -> str | Response:
    """One of the page's forms, by its button: `lost` with the card's id, `code`, or `set_pin`.

    Lost is one step: whoever lost a card is in a hurry, and staff can take it back.
    """
    form = request.form
    with member_api() as api:
        if "code" in form:
            return _page(api, code=api.card_code())
        if "set_pin" in form:
            return _set_pin(api, form.get("pin", ""), form.get("again", ""))
        api.report_card_lost(_card_id(form.get("lost", "")))
    flash("card_lost")
    return redirect(url_for("mypage.cards"), code=303)


def _set_pin(api: MemberApi, pin: str, again: str) -> str | Response:
    if not pin.strip():
        return _page(api, wrong={"pin": "enter"})
    if pin != again:
        return _page(api, wrong={"again": "pin_differs"})
    try:
        api.set_pin(pin)
    except Refused as error:
        return _page(api, problem=error.problem)
    flash("pin_set")
    return redirect(url_for("mypage.cards"), code=303)


def _card_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise NotFound from None


def _page(api: MemberApi, *, wrong: dict[str, str] | None = None, **shown: Any) -> str:
    found = api.cards()
    if found is None:
        raise NotAllowed("card")
    return render_template("mypage/cards.html", cards=found["cards"], pin=found["pin"], wrong=wrong or {}, **shown)
