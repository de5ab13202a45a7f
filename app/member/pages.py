"""Signing in: password, then the six digits from the mail, then a session. `app.oauth.logout_pages` signs out.

Between the two steps the signed cookie says which code was sent; the session begins only with the code. After it
the browser passes through `/login/done`: Chromium holds the whole redirect chain of a form against `form-action`,
and the chain of an authorization request may end at a client's own host.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from flask import Blueprint, Flask, current_app, redirect, render_template, request, url_for
from flask import session as cookie
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from app import clock
from app.db import transaction
from app.errors import DomainError
from app.limits import Door, Knock, give_back, knock, knock_at, network
from app.member import codes, service
from app.member.errors import CodeUnusable, InvalidCredentials, MemberSuspended, WrongCode
from app.member.schemas import CodeForm, LoginForm
from app.member.sessions import SignedIn, start_session
from app.web.local_path import local_path
from app.web.locale import hand_on_preferred
from app.web.protection import Public, protected_by

pages = Blueprint("member", __name__, template_folder="templates")
hand_on_preferred(pages)

_STEP = "sign_in"
_STEP_LIFE_S = 3 * codes.LIFE.seconds
"""How long the password holds while its owner waits for the mail and asks for another code."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A browser that gave the right password and now waits for the code."""

    member_id: UUID
    password_mark: str
    code_id: UUID
    masked_email: str


@pages.get("/login")
@protected_by(Public("the door itself"))
def login() -> str:
    return render_template("member/login.html", next=_next(), login_hint=request.args.get("login_hint"))


@pages.post("/login")
@protected_by(Public("the door itself; failures and mails are counted"))
def give_password() -> Response | tuple[str, int]:
    try:
        form = LoginForm().load(request.form.to_dict())
    except ValidationError as error:
        return _login_again(missing=error.messages_dict, status=422)
    knocks = _knock_with_password(service.normal_email(form["email"]))
    try:
        with transaction():
            member = service.authenticate(**form)
            member_id, mark = member.id, service.mark_of_password(member)
        # a right password is no failure, but each brings a mail
        knock(door="code_mail", caller=str(member_id), limit=20, window_s=900)
        give_back(knocks)
        with transaction():
            step = service.send_code(member_id, password_mark=mark)
    except CodeUnusable:
        return _start_over()
    except (InvalidCredentials, MemberSuspended) as error:
        return _login_again(refusal=error, status=error.status)
    _wait_for(step)
    return redirect(url_for("member.code", next=_next()), code=303)


@pages.get("/login/code")
@protected_by(Public("needs the cookie of a sign-in whose password was right"))
def code() -> Response | tuple[str, int]:
    waiting = _waiting()
    return _code_page(waiting, status=200) if waiting else _start_over()


@pages.post("/login/code")
@protected_by(Public("needs the cookie of a sign-in whose password was right; failures are counted"))
def give_code() -> Response | tuple[str, int]:
    waiting = _waiting()
    if waiting is None:
        return _start_over()
    try:
        form = CodeForm().load(request.form.to_dict())
    except ValidationError:
        return _code_page(waiting, malformed=True, status=422)
    knocks = _knock_with_code(waiting.member_id)
    try:
        with transaction():
            member_id = service.finish_sign_in(code_id=waiting.code_id, digits=form["code"])
            start_session(member_id=member_id)
    except (WrongCode, CodeUnusable, MemberSuspended) as error:
        return _code_page(waiting, refusal=error, status=error.status)
    give_back(knocks)
    return redirect(url_for("member.done", next=_next()), code=303)


@pages.post("/login/code/resend")
@protected_by(Public("needs the cookie of a sign-in whose password was right; limited per member"))
def resend() -> Response | tuple[str, int]:
    waiting = _waiting()
    if waiting is None:
        return _start_over()
    knock(door="code_resend", caller=str(waiting.member_id), limit=5, window_s=900)
    try:
        with transaction():
            step = service.send_code(waiting.member_id, password_mark=waiting.password_mark)
    except CodeUnusable:
        return _start_over()
    except MemberSuspended as error:
        return _code_page(waiting, refusal=error, status=error.status)
    _wait_for(step, until_s=cookie[_STEP]["until_s"])
    return redirect(url_for("member.code", next=_next(), resent="1"), code=303)


@pages.get("/login/done")
@protected_by(SignedIn())
def done() -> str:
    return render_template("member/done.html", target=_next() or _mypage_url())


def _knock_with_password(email: str) -> list[Knock]:
    """Count a try before it is made. Raises TooManyRequests.

    Guessing at an address shuts it to the guesser's network only: whoever could shut it to everybody could keep its
    owner out. So its own limit is wide, against guesses from many networks, and wider than one network can fill. A
    campus may be one network to us, which makes that limit wide too. An unknown address is counted like a known one.
    """
    caller = network(request.remote_addr)
    return knock_at(
        Door(name="sign_in", caller=f"{email} {caller}", limit=10, window_s=900),
        Door(name="sign_in_email", caller=email, limit=100, window_s=3600),
        Door(name="sign_in_network", caller=caller, limit=300, window_s=600),
    )


def _knock_with_code(member_id: UUID) -> list[Knock]:
    """Count a try before it is made. Raises TooManyRequests."""
    return knock_at(
        # NIST SP 800-63B section 5.2.2: at most 100 failed tries on one account
        Door(name="code_entry", caller=str(member_id), limit=100, window_s=86_400),
        Door(name="code_entry_network", caller=network(request.remote_addr), limit=100, window_s=600),
    )


def _next() -> str | None:
    return local_path(request.args.get("next"))


def _mypage_url() -> str:
    url: str = current_app.extensions["kumiai.settings"].mypage_url
    return url


def _wait_for(step: service.SignInStep, *, until_s: float | None = None) -> None:
    cookie[_STEP] = {
        "member": str(step.member_id),
        "password": step.password_mark,
        "code": str(step.code_id),
        "email": step.masked_email,
        "until_s": until_s or clock.now().timestamp() + _STEP_LIFE_S,
    }


def _waiting() -> _Waiting | None:
    step = cookie.get(_STEP)
    if step is None or step["until_s"] < clock.now().timestamp():
        return None
    return _Waiting(
        member_id=UUID(step["member"]),
        password_mark=step.get("password", ""),
        code_id=UUID(step["code"]),
        masked_email=step["email"],
    )


def _start_over() -> Response:
    return redirect(url_for("member.login", next=_next()), code=303)


def _login_again(
    *, status: int, refusal: DomainError | None = None, missing: dict[str, list[str]] | None = None
) -> tuple[str, int]:
    page = render_template("member/login.html", next=_next(), refusal=refusal, missing=missing or {})
    return page, status


def _code_page(
    waiting: _Waiting, *, status: int, refusal: DomainError | None = None, malformed: bool = False
) -> tuple[str, int]:
    page = render_template(
        "member/code.html",
        next=_next(),
        waiting=waiting,
        minutes=codes.LIFE.seconds // 60,
        refusal=refusal,
        malformed=malformed,
        mailbox="dev_mailbox.index" in current_app.view_functions,
    )
    return page, status


def init_app(app: Flask) -> None:
    app.register_blueprint(pages)
