"""The member's own account: a new password (パスワード変更)."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from app.db import transaction
from app.errors import DomainError
from app.limits import Door, Knock, give_back, knock_at
from app.member import passwords
from app.member.errors import PasswordRefused, WrongPassword
from app.member.schemas import PasswordForm
from app.member.sessions import SignedIn, SignedInMember, current_member, start_session
from app.oauth import account
from app.oauth.server import server
from app.web.protection import Public, protected_by

pages = Blueprint("account", __name__, template_folder="templates")


@pages.get("/.well-known/change-password")
@protected_by(Public("tells a password manager where a password is changed"))
def well_known() -> Response:
    """W3C: A Well-Known URL for Changing Passwords."""
    return redirect(url_for("account.password"), code=303)


@pages.get("/account/password")
@protected_by(SignedIn())
def password() -> str:
    return _page()


@pages.post("/account/password")
@protected_by(SignedIn())
def change() -> Response | tuple[str, int]:
    """The browser that changes it stays signed in, in a session of its own; every other is out."""
    try:
        form = PasswordForm().load(request.form.to_dict())
    except ValidationError as error:
        return _page(wrong=error.messages_dict), 422
    member = _signed_in()
    knocks = _knock(member)
    try:
        with transaction():
            account.change_password(member.id, current=form["current"], new=form["new"])
            start_session(member_id=member.id, auth_time=member.auth_time)
    except PasswordRefused as refusal:  # no guess at the present one
        give_back(knocks)
        return _page(refusal=refusal), refusal.status
    except WrongPassword as refusal:
        return _page(refusal=refusal), refusal.status
    give_back(knocks)
    return redirect(url_for("account.password", changed="1"), code=303)


def _signed_in() -> SignedInMember:
    member = current_member()
    assert member is not None, "SignedIn lets nobody else in"
    return member


def _knock(member: SignedInMember) -> list[Knock]:
    """Count a try before it is made: whoever sits down at a browser left signed in must not guess on.

    Raises TooManyRequests.
    """
    return knock_at(
        Door(name="password_change", caller=str(member.id), limit=10, window_s=900),
        Door(name="password_change_day", caller=str(member.id), limit=100, window_s=86_400),
    )


def _page(*, refusal: DomainError | None = None, wrong: dict[str, list[str]] | None = None) -> str:
    return render_template(
        "oauth/password.html",
        member=_signed_in(),
        refusal=refusal,
        wrong=wrong or {},
        min_length=passwords.MIN_LENGTH,
        account_here="password",
        mypage_url=server().settings.mypage_url,
    )
