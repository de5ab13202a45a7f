"""アクセス許可: the page where a member decides what an app may do.

The client's request stays in the query string from the first visit to the answer, through signing in too, and is
checked anew each time: nothing of it is taken from the form.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AccessDeniedError
from authlib.oidc.core.errors import ConsentRequiredError, LoginRequiredError
from flask import Blueprint, abort, redirect, request
from werkzeug.wrappers import Response

from app.db import transaction
from app.errors import DomainError
from app.issuer import current_issuer, issuer_today
from app.member.sessions import SignedIn, SignedInMember, current_member
from app.oauth import consent, consent_page, grants_service, redirects, sign_in_again
from app.oauth.clients import Client
from app.oauth.errors import InvalidMandate, ShopsChanged
from app.oauth.grant_types import Approval, Code
from app.oauth.grants_service import Given
from app.oauth.ports import Mandate
from app.oauth.request import OAuthRequest, from_query
from app.oauth.scopes import in_order
from app.oauth.server import server
from app.web.headers import allow_form_redirect_to
from app.web.locale import COOKIE, prefer
from app.web.protection import Public, protected_by

pages = Blueprint("oauth_pages", __name__, template_folder="templates")

Answer = Response | str | tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """A request in good order, by a member who is signed in as recently as it wants, with what it asks them."""

    grant: Code
    client: Client
    member: SignedInMember
    given: Given
    plan: consent.Plan


@pages.get("/oauth/authorize")
@protected_by(Public("looks at the client's request first, then has the member sign in"))
def authorize() -> Answer:
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
@protected_by(SignedIn())
def decide() -> Answer:
    oauth_request = from_query()
    answer = consent_page.answer()
    try:
        visit = _visit(oauth_request)
        if not answer.allows:
            raise AccessDeniedError(redirect_uri=visit.grant.redirect_uri)
        return _allow(visit, ticked=answer.ticked, mandate=consent_page.mandate(visit.plan, answer))
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
    if member is None or sign_in_again.needed(grant.ask, auth_time=member.auth_time, key=key):
        if "none" in grant.ask.prompt:
            raise LoginRequiredError(redirect_uri=grant.redirect_uri)
        abort(redirect(sign_in_again.address(grant.ask, key=key), code=303))
    return member


def _may_go_straight_through(visit: _Visit) -> bool:
    """Nothing new is asked, and the app is surely the one the member knows (RFC 8252 section 8.6)."""
    identified = visit.client.identified_at(visit.grant.redirect_uri)
    return identified and not visit.plan.asks_anything and "consent" not in visit.grant.ask.prompt


def _allow(visit: _Visit, *, ticked: Collection[str], mandate: Mandate | None) -> Response:
    """Write what is allowed, and go back to the client with a code for exactly that."""
    new = consent.allowed(visit.plan, ticked=ticked)
    with transaction():
        row = grants_service.allow(
            member_id=visit.member.id,
            client_id=visit.client.id,
            scopes=new,
            mandate=mandate,
            controls=server().controls,
        )
        scopes = in_order({*visit.plan.before, *new}.intersection(row.scopes))
        if not consent.useful(scopes):
            raise AccessDeniedError(redirect_uri=visit.grant.redirect_uri)
        approval = Approval(member_id=visit.member.id, grant_id=row.id, scopes=scopes, auth_time=visit.member.auth_time)
        response: Response = server().create_authorization_response(
            visit.grant.request, grant_user=approval, grant=visit.grant
        )
        return response


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
