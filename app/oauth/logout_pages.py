"""Signing out: of this browser, of every device, and as a client asks it (RP-Initiated Logout 1.0).

A client may send the browser with GET or with POST. A POST from another site comes without our cookie
(SameSite=Lax) and without our form's token, so all it does is lead on to the same question by GET.

A GET signs out by itself in one case only: it brings an ID token of the very session it would end, in a navigation of
the whole page. Its sender is then a client the member signed in to in this session, and all they could do in bad
faith is to sign the member out, which moves no money and which signing in undoes; for the member it is one click
instead of two. Without that proof (no hint, an old session's, another member's) the member is asked: the
specification demands it, since any site can send anybody here.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.db import transaction
from app.errors import DomainError
from app.member.sessions import current_member, end_session
from app.oauth import account, logout, redirects
from app.oauth.errors import InvalidIdTokenHint, InvalidRequest, LogoutRedirectMismatch, UnknownClient
from app.oauth.logout import LogoutRequest
from app.oauth.request import OAuthRequest, from_body, from_query
from app.oauth.server import server
from app.web.csrf import csrf
from app.web.headers import allow_form_redirect_to
from app.web.locale import COOKIE, current_locale, prefer, translate
from app.web.protection import Public, protected_by

pages = Blueprint("sign_out", __name__, template_folder="templates")

Answer = Response | str | tuple[str, int]


@pages.get("/logout")
@protected_by(Public("shows a button, or that nobody is signed in"))
def page() -> str:
    return _page(action=url_for("sign_out.end"), everywhere=True)


@pages.post("/logout")
@protected_by(Public("ends the caller's own sessions and nothing else"))
def end() -> Response:
    member, everywhere = current_member(), request.form.get("sessions") == "all"
    with transaction():
        if member is not None and everywhere:
            account.sign_out_everywhere(member.id)
        end_session()
    return redirect(url_for("sign_out.page", everywhere="1" if member and everywhere else None), code=303)


@pages.get("/oauth/logout")
@protected_by(Public("a client sends the browser; checks its request and asks the member, unless it has proof"))
def asked() -> Answer:
    try:
        wanted = _read(from_query())
    except _REFUSALS as refusal:
        return _refused(refusal)
    member = current_member()
    if member is None:
        return _leave(wanted)
    if wanted.is_of_session(member) and _whole_page():
        return _end_and_leave(wanted)
    if wanted.redirect_uri is not None:
        allow_form_redirect_to(redirects.origin(wanted.redirect_uri))
    client_name = wanted.client.name(current_locale()) if wanted.client else None
    action = f"{url_for('sign_out.confirmed')}?{urlencode(request.args)}"
    return _page(action=action, everywhere=False, client_name=client_name)


@pages.post("/oauth/logout")
@protected_by(Public("the same by POST: changes nothing, leads on to the question"))
def asked_by_post() -> Answer:
    try:
        asks = from_body()
        _read(asks)
    except _REFUSALS as refusal:
        return _refused(refusal)
    known = {name: asks.form[name] for name in logout.PARAMETERS if name in asks.form}
    return redirect(f"{url_for('sign_out.asked')}?{urlencode(known)}", code=303)


@pages.post("/oauth/logout/confirmed")
@protected_by(Public("the member's answer: ends the caller's own session and nothing else"))
def confirmed() -> Answer:
    try:
        wanted = _read(from_query())
    except _REFUSALS as refusal:
        return _refused(refusal)
    return _end_and_leave(wanted)


csrf.exempt(asked_by_post)


def _read(asks: OAuthRequest) -> LogoutRequest:
    if COOKIE not in request.cookies:  # what the member chose on this site counts more
        prefer(asks.args.get("ui_locales"))
    return logout.read(asks.payload, issuer_url=server().settings.issuer_url)


def _whole_page() -> bool:
    """Whether a browser that says so says that this is a page the member went to, not one fetched on the quiet."""
    prefetch = request.headers.get("Sec-Purpose", "") or request.headers.get("Purpose", "")
    return not prefetch and request.headers.get("Sec-Fetch-Dest", "document") == "document"


def _end_and_leave(wanted: LogoutRequest) -> Response:
    with transaction():
        end_session()
    return _leave(wanted)


def _leave(wanted: LogoutRequest) -> Response:
    return redirect(wanted.return_to or url_for("sign_out.page"), code=303)


def _page(*, action: str, everywhere: bool, client_name: str | None = None) -> str:
    return render_template(
        "oauth/logout.html",
        member=current_member(),
        mypage_url=server().settings.mypage_url,
        action=action,
        everywhere=everywhere,
        client_name=client_name,
    )


_REFUSALS = (InvalidRequest, InvalidIdTokenHint, LogoutRedirectMismatch, UnknownClient)


def _refused(refusal: DomainError) -> tuple[str, int]:
    """Nobody is signed out and nobody is sent anywhere; the member may still sign out here."""
    current_app.logger.info("a client's sign-out was refused: %s", refusal.code)
    detail: dict[str, Any] = refusal.detail
    title, cure = (translate(f"error.{refusal.code}{part}", **detail) for part in ("", ".cure"))
    return render_template("oauth/logout_refused.html", title=title, cure=cure), refusal.status
