"""マネー移動: choose and add up, see what it would do, do it once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.mypage import forms
from app.mypage.access import member_api, pages
from app.mypage.api_client import MemberApi
from app.mypage.errors import NotAllowed, Refused, Unsure
from app.mypage.session import MypageSession
from app.web.protection import protected_by

STEPS_YEN = (100, 500, 1_000, 3_000, 5_000, 10_000)


@pages.get("/move")
@protected_by(MypageSession(come_back=True))
def move() -> str:
    """The form. Its buttons send it here again (`do`), until 確認 shows what the move would do."""
    with member_api() as api:
        if "move" not in api.me()["scopes"]:
            raise NotAllowed("move")
        balances = _balances(api)
        ways = _ways(api.monies(), balances)
        amount, was = forms.added_up(request.args, steps=STEPS_YEN)
        form = {"way": request.args.get("way", ""), "amount": amount, "was": was}
        problem, wrong = None, {}
        if request.args.get("do") == "confirm":
            wrong = _wrong(form, ways)
            if not wrong:
                try:
                    return _confirmation(api, form, balances)
                except Refused as error:
                    problem = error.problem
    return render_template(
        "mypage/move.html",
        ways=ways,
        balances=balances,
        form=form,
        wrong=wrong,
        problem=problem,
        steps=STEPS_YEN,
    )


@pages.post("/move")
@protected_by(MypageSession())
def do_move() -> str | Response | tuple[str, int]:
    key, amount_yen = forms.key(request.form.get("key")), forms.yen(request.form.get("amount"))
    source, _, target = request.form.get("way", "").partition(":")
    with member_api() as api:
        try:
            api.move(key=key, source=source, target=target, amount_yen=amount_yen or 0)
        except Unsure:
            fields = {name: request.form.get(name, "") for name in ("key", "way", "amount")}
            return render_template("mypage/unsure.html", action=url_for("mypage.do_move"), fields=fields), 503
        except Refused:
            return redirect(url_for("mypage.move_done", key=key), code=303)
    return redirect(url_for("mypage.move_done", key=key), code=303)


@pages.get("/move/done/<key>")
@protected_by(MypageSession())
def move_done(key: str) -> str:
    """Read back from the server, so a reload shows the same and moves nothing."""
    with member_api() as api:
        found = api.by_request(forms.key(key))
    return render_template("mypage/done.html", what="move", found=found, again=url_for("mypage.move"))


def _ways(monies: list[dict[str, Any]], has: Collection[str]) -> dict[str, dict[str, Any]]:
    """What may be moved into what, by `from:to`: between wallets the member has, where it is known which."""
    return {
        f"{source['code']}:{rule['money']['code']}": {"source": source, "target": rule["money"], "rule": rule}
        for source in monies
        for rule in source.get("moves_to", ())
        if not has or {source["code"], rule["money"]["code"]}.issubset(has)
    }


def _balances(api: MemberApi) -> dict[str, int]:
    """What can be moved, by code of the money. Empty where balances were not allowed."""
    return {wallet["money"]["code"]: wallet["available_yen"] for wallet in api.wallets() or ()}


def _wrong(form: dict[str, Any], ways: dict[str, dict[str, Any]]) -> dict[str, str]:
    wrong = {}
    if form["way"] not in ways:
        wrong["way"] = "choose"
    amount_yen = forms.yen(form["amount"])
    if not amount_yen:
        return {**wrong, "amount": "enter"}
    if "way" not in wrong:
        rule = ways[form["way"]]["rule"]
        if not rule["min_yen"] <= amount_yen <= rule["max_yen"] or amount_yen % rule["step_yen"]:
            wrong["amount"] = "rule"
    return wrong


def _confirmation(api: MemberApi, form: dict[str, Any], balances: dict[str, int]) -> str:
    source, _, target = form["way"].partition(":")
    amount_yen = forms.yen(form["amount"])
    assert amount_yen is not None
    tried = api.try_move(source=source, target=target, amount_yen=amount_yen)
    back = url_for("mypage.move", way=form["way"], amount=amount_yen)
    return render_template(
        "mypage/move_confirm.html",
        tried=tried,
        way=form["way"],
        amount_yen=amount_yen,
        balances=balances,
        key=forms.new_key(),
        back=back,
    )
