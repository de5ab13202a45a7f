"""アカウント停止: the page where a member stops the account. A lost phone is stopped fast: one button, no question."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, url_for
from werkzeug.wrappers import Response

from app.db import transaction
from app.issuer import mypage_url
from app.member.sessions import SignedIn, current_member, end_session
from app.wallet import suspension
from app.web.protection import Public, protected_by

pages = Blueprint("account_stop", __name__, template_folder="templates", url_prefix="/account")


@pages.get("/suspend")
@protected_by(SignedIn())
def page() -> str:
    return render_template("wallet/suspend.html", account_here="suspend", mypage_url=mypage_url())


@pages.post("/suspend")
@protected_by(SignedIn())
def suspend() -> Response:
    """Every session ends with it, this browser's too."""
    member = current_member()
    assert member is not None, "SignedIn lets nobody else in"
    with transaction():
        suspension.suspend(member.id, actor=suspension.BY_MEMBER)
        end_session()
    return redirect(url_for("account_stop.suspended"), code=303)


@pages.get("/suspended")
@protected_by(Public("says what stopping an account has done; the same to everybody"))
def suspended() -> str:
    return render_template("wallet/suspended.html")
