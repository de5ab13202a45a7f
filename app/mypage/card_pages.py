"""カード: the member's cards, lost in one step; the PIN; a code for registering a card at a till."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
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


@pages.post("/cards/<uuid:card_id>/lost")
@protected_by(MypageSession())
def lost_card(card_id: UUID) -> Response:
    """One step: whoever lost a card is in a hurry, and staff can take it back."""
    with member_api() as api:
        api.report_card_lost(str(card_id))
    flash("card_lost")
    return redirect(url_for("mypage.cards"), code=303)


@pages.post("/cards/code")
@protected_by(MypageSession())
def card_code() -> str:
    """A code to show at a till, this once."""
    with member_api() as api:
        return _page(api, code=api.card_code())


@pages.post("/cards/pin")
@protected_by(MypageSession())
def set_pin() -> str | Response:
    pin, again = request.form.get("pin", ""), request.form.get("again", "")
    with member_api() as api:
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


def _page(api: MemberApi, *, wrong: dict[str, str] | None = None, **shown: Any) -> str:
    found = api.cards()
    if found is None:
        raise NotAllowed("card")
    return render_template("mypage/cards.html", cards=found["cards"], pin=found["pin"], wrong=wrong or {}, **shown)
