"""パスワードを忘れた場合: an e-mail address, the six digits mailed to it, a new password.

No page tells whether the address is a member's: every address is answered alike and costs the same work, and a code
that is wrong is refused in the same words as one that was never sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from flask import Blueprint, redirect, render_template, request, url_for
from flask import session as cookie
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from app import clock
from app.db import transaction
from app.errors import DomainError
from app.ids import keyed_hash
from app.limits import Door, Knock, give_back, knock_at, network
from app.member import codes, passwords, service
from app.member.errors import CodeUnusable, MemberSuspended, PasswordRefused, ResetRefused, WrongCode, WrongPassword
from app.member.schemas import ForgotForm, ResetForm
from app.oauth import account
from app.oauth.server import server
from app.web.local_path import local_path
from app.web.locale import hand_on_preferred
from app.web.protection import Public, protected_by

pages = Blueprint("password_reset", __name__, template_folder="templates")
hand_on_preferred(pages)

_STEP = "password_reset"

Answer = Response | tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A browser that asked for a code. `address_hash` is what its guesses are counted by."""

    code_id: UUID
    masked_email: str
    address_hash: str


@pages.get("/login/forgot")
@protected_by(Public("for who cannot sign in"))
def ask() -> Answer:
    return _ask_page(status=200)


@pages.post("/login/forgot")
@protected_by(Public("for who cannot sign in; mails are counted, and each address is answered alike"))
def send() -> Answer:
    try:
        email = service.normal_email(ForgotForm().load(request.form.to_dict())["email"])
    except ValidationError:
        return _ask_page(status=422, missing=True)
    _knock_for_mail(email)
    with transaction():
        code_id = service.ask_for_reset(email)
    cookie[_STEP] = {
        "code": str(code_id),
        "email": service.masked(email),
        "address": keyed_hash(server().settings.secret_key, purpose=_STEP, value=email).hex(),
        "until_s": (clock.now() + codes.LIFE).timestamp(),
    }
    return redirect(url_for("password_reset.code", next=_next()), code=303)


@pages.get("/login/forgot/code")
@protected_by(Public("needs the cookie of a browser that asked for a code"))
def code() -> Answer:
    waiting = _waiting()
    return _code_page(waiting, status=200) if waiting else _start_over()


@pages.post("/login/forgot/code")
@protected_by(Public("needs the cookie of a browser that asked for a code; failures are counted"))
def change() -> Answer:
    waiting = _waiting()
    if waiting is None:
        return _start_over()
    try:
        form = ResetForm().load(request.form.to_dict())
    except ValidationError as error:
        return _code_page(waiting, wrong=error.messages_dict, status=422)
    knocks = _knock_with_code(waiting)
    try:
        with transaction():
            account.reset_password(code_id=waiting.code_id, digits=form["code"], new=form["new"])
    except PasswordRefused as refusal:  # the code was right
        give_back(knocks)
        return _code_page(waiting, refusal=refusal, status=refusal.status)
    except (WrongCode, CodeUnusable, MemberSuspended, WrongPassword):
        return _code_page(waiting, refusal=ResetRefused(), status=ResetRefused.status)
    give_back(knocks)
    cookie.clear()
    return redirect(url_for("member.login", next=_next(), reset="1"), code=303)


def _knock_for_mail(email: str) -> None:
    """Raises TooManyRequests, for an address that is nobody's as for one that is somebody's."""
    caller = network(request.remote_addr)
    knock_at(
        Door(name="reset_mail", caller=f"{email} {caller}", limit=5, window_s=900),
        Door(name="reset_mail_email", caller=email, limit=10, window_s=3600),
        Door(name="reset_mail_network", caller=caller, limit=100, window_s=600),
    )


def _knock_with_code(waiting: _Waiting) -> list[Knock]:
    """Count a try before it is made. Raises TooManyRequests."""
    return knock_at(
        # NIST SP 800-63B section 5.2.2: at most 100 failed tries on one account
        Door(name="reset_code", caller=waiting.address_hash, limit=100, window_s=86_400),
        Door(name="reset_code_network", caller=network(request.remote_addr), limit=100, window_s=600),
    )


def _waiting() -> _Waiting | None:
    step = cookie.get(_STEP)
    if step is None or step["until_s"] < clock.now().timestamp():
        return None
    return _Waiting(code_id=UUID(step["code"]), masked_email=step["email"], address_hash=step["address"])


def _next() -> str | None:
    return local_path(request.args.get("next"))


def _start_over() -> Response:
    return redirect(url_for("password_reset.ask", next=_next()), code=303)


def _ask_page(*, status: int, missing: bool = False) -> tuple[str, int]:
    return render_template("oauth/forgot.html", next=_next(), missing=missing), status


def _code_page(
    waiting: _Waiting,
    *,
    status: int,
    refusal: DomainError | None = None,
    wrong: dict[str, list[str]] | None = None,
) -> tuple[str, int]:
    page = render_template(
        "oauth/reset.html",
        next=_next(),
        waiting=waiting,
        minutes=codes.LIFE.seconds // 60,
        min_length=passwords.MIN_LENGTH,
        refusal=refusal,
        wrong=wrong or {},
    )
    return page, status
