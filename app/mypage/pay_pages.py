"""支払う: what a shop's QR code opens. See what is asked and what would be left, pay it once, see the receipt."""

from __future__ import annotations

from flask import redirect, render_template, request, url_for
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from app.mypage import forms, session, ways
from app.mypage.access import member_api, pages
from app.mypage.errors import NotAllowed, Refused, SignInAgain, Unsure
from app.mypage.pages import to_sign_in
from app.mypage.session import MypageSession
from app.web.protection import protected_by

_FIELDS = ("key", "code", "money", "strategy")


@pages.get("/pay")
@protected_by(MypageSession(come_back=True))
def pay() -> str | tuple[str, int]:
    """Without `?code=`, the place to type one."""
    code = forms.digits(request.args.get("code"))
    with member_api() as api:
        if "payment" not in api.me()["scopes"]:
            raise NotAllowed("payment")
        if not code:
            return render_template("mypage/pay_code.html", missing="code" in request.args)
        try:
            asked = api.scanned(code)
        except Refused as error:
            return render_template("mypage/pay_code.html", problem=error.problem), 200
        if asked is None:
            raise NotAllowed("payment")
        if asked["status"] != "open":
            return render_template("mypage/pay_code.html", problem={"code": f"code_{asked['status']}"})
        offered = ways.ways(api, asked)
    return render_template("mypage/pay.html", asked=asked, code=code, offered=offered, key=forms.new_key())


@pages.post("/pay")
@protected_by(MypageSession())
def confirm() -> str | Response | tuple[str, int]:
    money, _, strategy = request.form.get("way", "").partition(":")
    code = forms.digits(request.form.get("code"))
    if not money:
        return redirect(url_for("mypage.pay", code=code), code=303)
    return _pay({"key": forms.key(request.form.get("key")), "code": code, "money": money, "strategy": strategy})


@pages.get("/pay/confirmed")
@protected_by(MypageSession())
def confirmed() -> str | Response | tuple[str, int]:
    """The way back from signing in again, for the payment the member had confirmed. It is there once."""
    payment = session.take_confirmed()
    return redirect(url_for("mypage.home"), code=303) if payment is None else _pay(payment)


@pages.get("/pay/done/<key>")
@protected_by(MypageSession())
def paid(key: str) -> str:
    """Read back from the server, so a reload shows the same and pays nothing."""
    with member_api() as api:
        found = api.by_request(forms.key(key))
    return render_template("mypage/done.html", what="pay", found=found, again=url_for("mypage.pay"))


def _pay(payment: dict[str, str]) -> str | Response | tuple[str, int]:
    """Pay, or send the member through another sign-in and then do the very same."""
    if payment["strategy"] not in ways.STRATEGIES:
        raise BadRequest
    with member_api() as api:
        try:
            api.pay_by_code(**payment)
        except SignInAgain as error:
            return to_sign_in(onward=url_for("mypage.confirmed"), confirmed=payment, max_age=error.max_age_s)
        except Unsure:
            fields = {**payment, "way": f"{payment['money']}:{payment['strategy']}"}
            return render_template("mypage/unsure.html", action=url_for("mypage.confirm"), fields=fields), 503
        except Refused as error:
            if error.code == "invalid_fields":
                raise BadRequest from None
    return redirect(url_for("mypage.paid", key=payment["key"]), code=303)
