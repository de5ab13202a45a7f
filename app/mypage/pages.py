"""The first page (welcome or HOME), the two ends of signing in and out, and what is said when something is amiss."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask, current_app, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.mypage import overview, session
from app.mypage.access import SAFE, client, member_api, pages, settings
from app.mypage.errors import AccessEnded, AskedTooMuch, NotAllowed, Refused, ServerAway, SignInAgain, SignInFailed
from app.mypage.oauth_client import OAuthClient
from app.mypage.session import MypageSession
from app.mypage.settings import MypageSettings
from app.web.headers import allow_form_redirect_to
from app.web.local_path import local_path
from app.web.locale import current_locale, translate
from app.web.protection import Public, protected_by

LATEST = 10


@pages.before_request
def _sign_out_may_end_at_the_server() -> None:
    allow_form_redirect_to(settings().issuer_url)


@pages.get("/")
@protected_by(Public("welcomes; shows a member only what the visitor's own tokens open"))
def home() -> str:
    if session.tokens() is None:
        return render_template("mypage/welcome.html")
    with member_api() as api:
        me, wallets, history = api.me(), api.wallets(), api.transactions(limit=LATEST)
        monies = api.monies() if wallets else []
    return render_template(
        "mypage/home.html",
        name=me["name"],
        holdings=overview.holdings(wallets, monies=monies) if wallets is not None else None,
        history=history,
    )


@pages.get("/login")
@protected_by(Public("sends the browser to the server to sign in"))
def login() -> Response:
    """`?consent=1` asks the member about the permissions again; `next` is the path of this site to come back to."""
    prompt: dict[str, Any] = {"prompt": "consent"} if request.args.get("consent") else {}
    return to_sign_in(onward=local_path(request.args.get("next")) or "/", **prompt)


def to_sign_in(*, onward: str, less: int = 0, confirmed: dict[str, str] | None = None, **extra: Any) -> Response:
    """Send the browser to the server, to come back to `onward`; with a `confirmed` payment, as the same member.

    `less` and `extra` are those of `OAuthClient.begin`.
    """
    url, attempt = client().begin(locale=current_locale(), less=less, **extra)
    attempt["next"] = onward
    if confirmed is not None:
        attempt |= {"confirmed": json.dumps(confirmed), "sub": session.sub() or ""}
    session.begin(attempt)
    return redirect(url, code=303)


@pages.get("/callback")
@protected_by(Public("takes an answer only with the state of the sign-in this browser began"))
def callback() -> Response:
    attempt = session.take_attempt()
    try:
        tokens = client().finish(request.args, attempt)
    except AskedTooMuch:
        assert attempt is not None
        less = int(attempt["less"]) + 1
        current_app.logger.warning("this client is not registered for all it can do; asking for less (%d)", less)
        return to_sign_in(onward=attempt["next"], less=less)
    assert attempt is not None, "without one it is refused"
    session.sign_in(tokens)
    if "confirmed" in attempt:
        if attempt["sub"] != tokens["sub"]:  # another member pays nothing of what this one confirmed
            return redirect(url_for("mypage.home"), code=303)
        session.keep_confirmed(json.loads(attempt["confirmed"]))
    return redirect(attempt["next"], code=303)


@pages.post("/logout")
@protected_by(MypageSession())
def logout() -> Response:
    """Give the tokens back, forget them, and go on to the server, which signs out too and leads back here."""
    tokens, id_token = session.tokens() or {}, session.id_token()
    session.forget()
    try:
        client().revoke(tokens)
        onward = client().sign_out_url(id_token, locale=current_locale())
    except ServerAway as error:
        current_app.logger.warning(f"tokens not revoked at sign-out: {SAFE}", str(error))
        flash("signed_out_here")
        return redirect(url_for("mypage.home"), code=303)
    return redirect(onward, code=303)


@pages.get("/signed-out")
@protected_by(Public("the way back from the server: says that nobody is signed in, where nobody is"))
def signed_out() -> Response:
    if session.tokens() is None:
        flash("signed_out")
    return redirect(url_for("mypage.home"), code=303)


def _sign_in_failed(error: SignInFailed) -> Response:
    current_app.logger.warning(f"sign-in failed: {SAFE}", str(error))
    if session.tokens() is None:  # going back to a used answer tells a signed-in member nothing new
        flash(error.notice)
    return redirect(url_for("mypage.home"), code=303)


def _access_ended(error: AccessEnded) -> Response:
    current_app.logger.info(f"access ended: {SAFE}", str(error))
    session.forget()
    flash("ended")
    return redirect(url_for("mypage.home"), code=303)


def _server_away(error: ServerAway) -> tuple[str, int, dict[str, str]]:
    current_app.logger.warning(f"the server is away: {SAFE}", str(error))
    return render_template("mypage/away.html"), 503, {"Retry-After": "30"}


def _not_allowed(error: NotAllowed) -> tuple[str, int]:
    return render_template("mypage/ask.html", scope=error.scope, back=_page_to_come_back_to()), 403


def _sign_in_again(error: SignInAgain) -> Response:
    return to_sign_in(onward=_page_to_come_back_to(), max_age=error.max_age_s)


def _refused(error: Refused) -> tuple[str, int]:
    status = int(error.problem.get("status", 422))
    return render_template("mypage/refused.html", problem=error.problem), status


def _page_to_come_back_to() -> str:
    """This page; of a form that was sent, the page it is on (forms are sent to the path of their page)."""
    return request.full_path.rstrip("?") if request.method == "GET" else request.path


def _kind_name(kind: str) -> str:
    """What people call this kind of transaction; the server may learn kinds that this page does not know yet."""
    key = f"mypage.kind.{kind}"
    name = translate(key)
    return name if name != key else translate("mypage.kind.other")


def _refusal(problem: dict[str, object]) -> dict[str, str]:
    """What happened and what to do, for a member; where this page has no words for it, the server's."""
    code, values = problem.get("code"), {"short": overview.yen(problem.get("short_by_yen"))}
    key = f"mypage.refusal.{code}" + (".short" if code == "insufficient_balance" and values["short"] else "")
    title, cure = translate(key, **values), translate(f"mypage.refusal.{code}.cure")
    if title == key:
        return {"title": str(problem.get("title", "")), "cure": translate("mypage.refusal.other.cure")}
    return {"title": title, "cure": cure}


def init_app(app: Flask, settings: MypageSettings) -> None:
    app.extensions["mypage.settings"] = settings
    app.extensions["mypage.client"] = OAuthClient(settings)
    app.jinja_env.globals.update(
        kind_name=_kind_name,
        refusal=_refusal,
        apps_url=f"{settings.issuer_url}/account/apps",
        stop_url=f"{settings.issuer_url}/account/suspend",
    )
    app.jinja_env.filters.update(until=overview.until, clock_time=overview.clock_time)
    app.register_blueprint(pages)
    for error, handler in (
        (SignInFailed, _sign_in_failed),
        (AccessEnded, _access_ended),
        (ServerAway, _server_away),
        (NotAllowed, _not_allowed),
        (SignInAgain, _sign_in_again),
        (Refused, _refused),
    ):
        app.register_error_handler(error, handler)
