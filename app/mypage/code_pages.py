"""支払いコード: the member's own one-time code for a till, renewed as long as the page is open."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.mypage import session
from app.mypage.access import member_api, pages
from app.mypage.api_client import MemberApi
from app.mypage.drawing import qr
from app.mypage.errors import NotAllowed, Refused
from app.mypage.session import MypageSession
from app.web.protection import protected_by


@pages.get("/code")
@protected_by(MypageSession(come_back=True))
def code() -> Response | AnyResponse:
    """A new code, unless one that was shown has paid. The `Refresh` header renews it without any script."""
    with member_api() as api:
        if "payment" not in api.me()["scopes"]:
            raise NotAllowed("payment")
        if used := _used(api):
            return redirect(url_for("mypage.code_used", code_id=used["id"]), code=303)
        new = api.new_code()
        last = _last_refusal(api)
    session.keep_shown_codes([new["id"], *session.shown_codes()])
    page = make_response(render_template("mypage/code.html", new=new, qr=qr(new["code"]), last_refusal=last))
    page.headers["Refresh"] = str(new["rotate_after_s"])
    return page


@pages.get("/code/status")
@protected_by(MypageSession())
def code_status() -> Response:
    """For the page's script: where to go once a code that was shown has paid."""
    with member_api() as api:
        used = _used(api)
    return jsonify({"onward": url_for("mypage.code_used", code_id=used["id"]) if used else None})


@pages.get("/code/used/<uuid:code_id>")
@protected_by(MypageSession())
def code_used(code_id: Any) -> str | AnyResponse:
    """What was paid. After this the next code is a new beginning."""
    with member_api() as api:
        status = api.code_status(str(code_id))
        if status is None or status["status"] != "used":
            return redirect(url_for("mypage.code"), code=303)
        paid = _transaction(api, status["transaction_id"])
    session.keep_shown_codes([])
    return render_template("mypage/code_used.html", status=status, paid=paid)


def _used(api: MemberApi) -> dict[str, Any] | None:
    """The status of a code shown lately that has paid."""
    return next((status for status in _statuses(api) if status["status"] == "used"), None)


def _last_refusal(api: MemberApi) -> dict[str, Any] | None:
    """Why the till could not take the newest code that was read."""
    return next((status["last_refusal"] for status in _statuses(api) if status["last_refusal"]), None)


def _statuses(api: MemberApi) -> list[dict[str, Any]]:
    found = []
    for code_id in session.shown_codes():
        try:
            found.append(api.code_status(code_id))
        except Refused:  # swept away since, or of another member who was signed in here
            continue
    return [status for status in found if status is not None]


def _transaction(api: MemberApi, transaction_id: str) -> dict[str, Any] | None:
    """None where the history was not allowed."""
    return api.transaction(transaction_id)
