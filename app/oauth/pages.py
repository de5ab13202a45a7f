"""アクセス許可: the page where a member decides what an app may do.

The client's request stays in the query string from the first visit to the answer, through signing in too, and is
checked anew each time: nothing of it is taken from the form. Of a pushed request it is the request_uri that stays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AccessDeniedError
from authlib.oidc.core.errors import ConsentRequiredError, LoginRequiredError
from flask import Blueprint, abort, redirect, request, url_for
from werkzeug.wrappers import Response

from app.db import transaction
from app.errors import DomainError
from app.ids import new_id
from app.issuer import current_issuer, issuer_today
from app.member.sessions import SignedIn, SignedInMember, current_member, hold_session
from app.oauth import consent, consent_page, grants_service, pushed, redirects, sign_in_again
from app.oauth.clients import Client
from app.oauth.errors import InvalidMandate, RequestUriSpent, ShopsChanged
from app.oauth.grant_types import Approval, Code
from app.oauth.grants_service import Given
from app.oauth.ports import Mandate
from app.oauth.request import OAuthRequest, from_query
from app.oauth.server import server
from app.web.headers import allow_form_redirect_to
from app.web.locale import COOKIE, prefer
from app.web.protection import Public, protected_by

pages = Blueprint("oauth_pages", __name__, template_folder="templates")

_MOST_QUERY_CHARACTERS = 16 * 1024

Answer = Response | str | tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """A request in good order, by a member who is signed in as recently as it wants, with what it asks them."""

    grant: Code
    client: Client
    member: SignedInMember
    given: Given
    plan: consent.Plan


class Answering(SignedIn):
    """Only a signed-in member may answer. What a client POSTs here is no answer but its request (OpenID Connect Core
    3.1.2.1), and becomes the GET it means, before our form's CSRF token is looked for: that does no more than a link.
    """

    def check(self) -> None:
        if "client_id" in request.form and "csrf_token" not in request.form:
            query = urlencode(list(request.form.items(multi=True)))
            if len(query) > _MOST_QUERY_CHARACTERS:
                abort(413)
            abort(redirect(f"{url_for('oauth_pages.authorize')}?{query}", code=303))
        super().check()

    def describe(self) -> str:
        return f"{super().describe()}; a client's own POST becomes the GET"


@pages.get("/oauth/authorize")
@protected_by(Public("looks at the client's request first, then has the member sign in"))
def authorize() -> Answer:
    """A pushed request that was answered only says so here, and nothing is taken back: whoever goes back a page, or
    loads it again, answers nothing.
    """
    oauth_request = from_query()
    try:
        visit = _visit(oauth_request)
        if _may_go_straight_through(visit):
            return _allow(visit, ticked=(), mandate=None)
        if "none" in visit.grant.ask.prompt:
            raise ConsentRequiredError(redirect_uri=visit.grant.redirect_uri)
    except OAuth2Error as error:
        return _back_to_client(oauth_request, error)
    return _page(visit)


@pages.post("/oauth/authorize")
@protected_by(Answering())
def decide() -> Answer:
    try:
        oauth_request = from_query()
    except RequestUriSpent:
        with transaction():
            pushed.refuse_second_answer(request.args["request_uri"], client_id=request.args["client_id"])
        raise
    answer = consent_page.answer()
    try:
        visit = _visit(oauth_request)
        if not answer.allows:
            raise AccessDeniedError(redirect_uri=visit.grant.redirect_uri)
        return _allow(visit, ticked=answer.ticked, mandate=consent_page.mandate(visit.plan, answer))
    except AccessDeniedError as denial:
        _spend_denied(oauth_request)
        return _back_to_client(oauth_request, denial)
    except OAuth2Error as error:
        return _back_to_client(oauth_request, error)
    except (InvalidMandate, ShopsChanged) as refusal:
        return _page(visit, ticked=answer.ticked, refusal=refusal), refusal.status


def _visit(oauth_request: OAuthRequest) -> _Visit:
    """Raises OAuth2Error to send back, DomainError to show as a page, or the way to the sign-in page."""
    if COOKIE not in request.cookies:  # what the member chose on this site counts more
        prefer(oauth_request.args.get("ui_locales"))
    grant: Code = server().get_consent_grant(oauth_request)
    member = _signed_in(grant)
    client: Client = oauth_request.client
    given = grants_service.given(member_id=member.id, client_id=client.id)
    plan = consent.plan(ask=grant.ask, client=client, given=given, issuer=current_issuer(), today=issuer_today())
    return _Visit(grant=grant, client=client, member=member, given=given, plan=plan)


def _signed_in(grant: Code) -> SignedInMember:
    """The member, signed in as recently as the client wants; else the sign-in page, or `login_required`."""
    member = current_member()
    key = server().settings.secret_key
    if (
        member is None
        or _is_another(member, grant)
        or sign_in_again.needed(grant.ask, auth_time=member.auth_time, key=key)
    ):
        _have_sign_in(grant)
    return member


def _have_sign_in(grant: Code) -> NoReturn:
    """The sign-in page; `login_required` for a client that wants no page."""
    if "none" in grant.ask.prompt:
        raise LoginRequiredError(redirect_uri=grant.redirect_uri)
    abort(redirect(sign_in_again.address(grant.ask, key=server().settings.secret_key), code=303))


def _is_another(member: SignedInMember, grant: Code) -> bool:
    """Whether it is not the member whom the client means (`id_token_hint`).

    Raises `login_required` for one who signed in for this very request: asked again, they would never get out.
    """
    if grant.ask.member_id in (None, member.id):
        return False
    if sign_in_again.done(auth_time=member.auth_time, key=server().settings.secret_key):
        raise LoginRequiredError(redirect_uri=grant.redirect_uri)
    return True


def _may_go_straight_through(visit: _Visit) -> bool:
    """Nothing new is asked, and the app is surely the one the member knows (RFC 8252 section 8.6)."""
    identified = visit.client.identified_at(visit.grant.redirect_uri)
    return identified and not visit.plan.asks_anything and "consent" not in visit.grant.ask.prompt


def _allow(visit: _Visit, *, ticked: Collection[str], mandate: Mandate | None) -> Response:
    """Write what is allowed, and go back to the client with a code for that. Who was signed out meanwhile signs in."""
    new = consent.allowed(visit.plan, ticked=ticked)
    family_id, client_id, pushed_as = new_id(), visit.client.id, visit.grant.request.pushed_as
    with transaction():
        if not hold_session(visit.member):
            _have_sign_in(visit.grant)
        spent = pushed_as and pushed.spend(pushed_as, client_id=client_id, family_id=family_id)
        row, scopes = consent_page.write(visit.plan, member=visit.member, client=visit.client, new=new, mandate=mandate)
        if not consent.useful(scopes):
            raise AccessDeniedError(redirect_uri=visit.grant.redirect_uri)
        if spent:
            pushed.became(spent, grant_id=row.id)
        approval = Approval(
            member_id=visit.member.id,
            grant_id=row.id,
            scopes=scopes,
            auth_time=visit.member.auth_time,
            session_id=visit.member.session_id,
            family_id=family_id,
        )
        response: Response = server().create_authorization_response(
            visit.grant.request, grant_user=approval, grant=visit.grant
        )
        return response


def _spend_denied(oauth_request: OAuthRequest) -> None:
    """A refusal is an answer too. Raises RequestUriReplayed where another was given meanwhile."""
    if oauth_request.pushed_as is not None:
        with transaction():
            pushed.spend(oauth_request.pushed_as, client_id=oauth_request.client.id, family_id=None)


def _back_to_client(oauth_request: OAuthRequest, error: OAuth2Error) -> Response:
    error.state = oauth_request.payload.state
    response: Response = server().handle_error_response(oauth_request, error)
    return response


def _page(visit: _Visit, *, ticked: Collection[str] | None = None, refusal: DomainError | None = None) -> str:
    allow_form_redirect_to(redirects.origin(visit.grant.redirect_uri))
    return consent_page.render(
        "oauth/authorize.html",
        client=visit.client,
        member=visit.member,
        given=visit.given,
        plan=visit.plan,
        ticked=ticked,
        refusal=refusal,
    )
