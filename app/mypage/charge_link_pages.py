"""チャージ用リンク: a member makes a link by which somebody else charges their wallet, gives it away, and ends it."""

from __future__ import annotations

from uuid import UUID

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.mypage import session
from app.mypage.access import member_api, pages
from app.mypage.api_client import MemberApi
from app.mypage.charge_pages import charge_options
from app.mypage.drawing import qr
from app.mypage.errors import Refused
from app.mypage.session import MypageSession
from app.web.protection import protected_by

MAX_NAME = 40


@pages.get("/charge/links")
@protected_by(MypageSession(come_back=True))
def charge_links() -> str:
    """Those that work, and a form for another one. One that was just made is shown, this once."""
    with member_api() as api:
        return _page(api, new=session.take_new_link())


@pages.post("/charge/links")
@protected_by(MypageSession())
def new_charge_link() -> str | Response:
    typed = {"money": request.form.get("money", ""), "shown_as": request.form.get("shown_as", "").strip()}
    with member_api() as api:
        known = {one["money"]["code"] for one in charge_options(api)["monies"]}
        wrong = {} if typed["money"] in known else {"money": "choose"}
        if not 0 < len(typed["shown_as"]) <= MAX_NAME:
            wrong["shown_as"] = "name"
        if wrong:
            return _page(api, typed=typed, wrong=wrong)
        try:
            made = api.new_charge_link(**typed)
        except Refused as error:
            return _page(api, typed=typed, problem=error.problem)
    session.keep_new_link(made["url"])
    return redirect(url_for("mypage.charge_links"), code=303)


@pages.post("/charge/links/<uuid:link_id>/end")
@protected_by(MypageSession())
def end_charge_link(link_id: UUID) -> Response:
    with member_api() as api:
        try:
            api.end_charge_link(str(link_id))
        except Refused as error:
            if error.code != "charge_link_unknown":
                raise
    return redirect(url_for("mypage.charge_links"), code=303)


def _page(
    api: MemberApi,
    *,
    new: str | None = None,
    typed: dict[str, str] | None = None,
    wrong: dict[str, str] | None = None,
    problem: object = None,
) -> str:
    options = charge_options(api)
    return render_template(
        "mypage/charge_links.html",
        options=options,
        links=api.charge_links(),
        new=new,
        qr=qr(new) if new else None,
        typed=typed or {"money": "", "shown_as": api.me()["name"] or ""},
        wrong=wrong or {},
        problem=problem,
        most=MAX_NAME,
    )
