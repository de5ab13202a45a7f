"""The member page's pages: welcome or HOME, history, and the two ends of signing in and out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, Flask, current_app, flash, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from app.mypage import session
from app.mypage.api_client import BadCursor, MemberApi
from app.mypage.errors import AccessEnded, ServerAway, SignInFailed
from app.mypage.oauth_client import OAuthClient
from app.mypage.session import MypageSession, Tokens
from app.mypage.settings import MypageSettings
from app.web.headers import allow_form_redirect_to
from app.web.locale import current_locale, translate
from app.web.protection import Public, protected_by

pages = Blueprint("mypage", __name__, template_folder="templates")

LATEST = 10
PER_PAGE = 30
_SAFE = "%.200r"
"""What a visitor or a server sent, as it may stand in the log: on one line, and not for ever."""


@pages.before_request
def _sign_out_may_end_at_the_server() -> None:
    allow_form_redirect_to(_settings().issuer_url)


@pages.get("/")
@protected_by(Public("welcomes; shows a member only what the visitor's own tokens open"))
def home() -> str:
    tokens = session.tokens()
    if tokens is None:
        return render_template("mypage/welcome.html")
    with _member_api(tokens) as api:
        name, wallets, history = api.name(), api.wallets(), api.transactions(limit=LATEST)
    return render_template("mypage/home.html", name=name, wallets=wallets, history=history)


@pages.get("/history")
@protected_by(MypageSession())
def history() -> str | Response:
    with _member_api(session.tokens() or {}) as api:
        try:
            found = api.transactions(limit=PER_PAGE, cursor=request.args.get("cursor"))
        except BadCursor:
            raise NotFound from None
    if found is None:
        return redirect(url_for("mypage.home"), code=303)
    return render_template("mypage/history.html", history=found)


@pages.get("/login")
@protected_by(Public("sends the browser to the server to sign in"))
def login() -> Response:
    """`?consent=1` asks the member about the permissions again, whatever was allowed before."""
    prompt = "consent" if request.args.get("consent") else None
    url, attempt = _client().begin(locale=current_locale(), prompt=prompt)
    session.begin(attempt)
    return redirect(url, code=303)


@pages.get("/callback")
@protected_by(Public("takes an answer only with the state of the sign-in this browser began"))
def callback() -> Response:
    session.sign_in(_client().finish(request.args, session.take_attempt()))
    return redirect(url_for("mypage.home"), code=303)


@pages.post("/logout")
@protected_by(MypageSession())
def logout() -> Response:
    """Give the tokens back, forget them, and go on to the server, which signs out too and leads back here."""
    tokens, id_token = session.tokens() or {}, session.id_token()
    session.forget()
    try:
        _client().revoke(tokens)
        onward = _client().sign_out_url(id_token, locale=current_locale())
    except ServerAway as error:
        current_app.logger.warning(f"tokens not revoked at sign-out: {_SAFE}", str(error))
        flash("signed_out_here")
        return redirect(url_for("mypage.home"), code=303)
    return redirect(onward, code=303)


@pages.get("/signed-out")
@protected_by(Public("the way back from the server: says that nobody is signed in, where nobody is"))
def signed_out() -> Response:
    if session.tokens() is None:
        flash("signed_out")
    return redirect(url_for("mypage.home"), code=303)


@contextmanager
def _member_api(tokens: Tokens) -> Iterator[MemberApi]:
    """The API in the visitor's name and language. Renewed tokens go into the visitor's cookie."""
    with _client().session(tokens, renewed=session.keep) as http:
        yield MemberApi(http, base_url=_settings().issuer_url, locale=current_locale())


def _sign_in_failed(error: SignInFailed) -> Response:
    current_app.logger.warning(f"sign-in failed: {_SAFE}", str(error))
    if session.tokens() is None:  # going back to a used answer tells a signed-in member nothing new
        flash(error.notice)
    return redirect(url_for("mypage.home"), code=303)


def _access_ended(error: AccessEnded) -> Response:
    current_app.logger.info(f"access ended: {_SAFE}", str(error))
    session.forget()
    flash("ended")
    return redirect(url_for("mypage.home"), code=303)


def _server_away(error: ServerAway) -> tuple[str, int, dict[str, str]]:
    current_app.logger.warning(f"the server is away: {_SAFE}", str(error))
    return render_template("mypage/away.html"), 503, {"Retry-After": "30"}


def _kind_name(kind: str) -> str:
    """What people call this kind of transaction; the server may learn kinds that this page does not know yet."""
    key = f"mypage.kind.{kind}"
    name = translate(key)
    return name if name != key else translate("mypage.kind.other")


def _settings() -> MypageSettings:
    settings: MypageSettings = current_app.extensions["mypage.settings"]
    return settings


def _client() -> OAuthClient:
    client: OAuthClient = current_app.extensions["mypage.client"]
    return client


def init_app(app: Flask, settings: MypageSettings) -> None:
    app.extensions["mypage.settings"] = settings
    app.extensions["mypage.client"] = OAuthClient(settings)
    app.jinja_env.globals["kind_name"] = _kind_name
    app.jinja_env.globals["apps_url"] = f"{settings.issuer_url}/account/apps"
    app.register_blueprint(pages)
    app.register_error_handler(SignInFailed, _sign_in_failed)
    app.register_error_handler(AccessEnded, _access_ended)
    app.register_error_handler(ServerAway, _server_away)
