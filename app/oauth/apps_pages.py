"""連携アプリ: the pages where a member sees which apps may do what, and takes it back.

Each change has an address of its own that shows what will happen and does it when its form is sent: nothing needs a
script, and a member who must sign in first comes back to it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.db import transaction
from app.errors import DomainError, NotFound
from app.issuer import issuer_today, mypage_url
from app.member.sessions import SignedIn, current_member
from app.oauth import apps, grants_service, mandate_form
from app.oauth.apps import AllowedApp
from app.oauth.consent_page import mandate_names
from app.oauth.errors import InvalidMandate, MandateChanged, ShopsChanged
from app.oauth.ports import Mandate
from app.oauth.server import server
from app.web.protection import protected_by

pages = Blueprint("apps", __name__, template_folder="templates", url_prefix="/account/apps")


@pages.context_processor
def _for_every_page() -> dict[str, object]:
    return {"mypage_url": mypage_url(), "account_here": "apps"}


@pages.get("")
@protected_by(SignedIn())
def index() -> str:
    found = apps.of_member(_member_id(), controls=server().controls)
    return render_template("oauth/apps.html", apps=found, names=mandate_names, today=issuer_today())


@pages.route("/revoke-all", methods=["GET", "POST"])
@protected_by(SignedIn())
def revoke_all() -> Response | str:
    if request.method == "POST":
        with transaction():
            grants_service.revoke_all(_member_id(), controls=server().controls)
        return _done("all_revoked")
    found = apps.of_member(_member_id(), controls=server().controls)
    return render_template("oauth/apps_revoke_all.html", apps=found)


@pages.get("/<uuid:grant_id>")
@protected_by(SignedIn())
def one(grant_id: UUID) -> str:
    return render_template("oauth/app.html", app=_app(grant_id), names=mandate_names, today=issuer_today())


@pages.route("/<uuid:grant_id>/revoke", methods=["GET", "POST"])
@protected_by(SignedIn())
def revoke(grant_id: UUID) -> Response | str:
    if request.method == "POST":
        with transaction():
            apps.revoke(member_id=_member_id(), grant_id=grant_id, controls=server().controls)
        return _done("revoked")
    return render_template("oauth/app_revoke.html", app=_app(grant_id))


@pages.route("/<uuid:grant_id>/permissions/<permission>", methods=["GET", "POST"])
@protected_by(SignedIn())
def take_away(grant_id: UUID, permission: str) -> Response | str:
    if request.method == "POST":
        with transaction():
            stays = apps.take_away(
                member_id=_member_id(), grant_id=grant_id, permission=permission, controls=server().controls
            )
        return _done("taken_away", grant_id=grant_id) if stays else _done("revoked")
    app = _app(grant_id)
    if permission not in app.removable:
        raise NotFound
    return render_template("oauth/app_take_away.html", app=app, permission=permission)


@pages.get("/<uuid:grant_id>/limits")
@protected_by(SignedIn())
def limits(grant_id: UUID) -> str:
    app = _app(grant_id)
    return _limits_page(app, shown=mandate_form.shown(_lowerable(app)))


@pages.post("/<uuid:grant_id>/limits")
@protected_by(SignedIn())
def lower(grant_id: UUID) -> Response | tuple[str, int]:
    """The form is read within the limits of this moment: what another tab lowered cannot be raised again here."""
    app = _app(grant_id)
    seen = _lowerable(app)
    try:
        to = mandate_form.read(request.form, within=seen, today=issuer_today())
        with transaction():
            apps.lower(member_id=_member_id(), grant_id=grant_id, seen=seen, to=to, controls=server().controls)
    except (InvalidMandate, ShopsChanged, MandateChanged) as refusal:
        shown = mandate_form.shown(seen, request.form)
        return _limits_page(_app(grant_id), shown=shown, refusal=refusal), refusal.status
    return _done("lowered", grant_id=grant_id)


def _app(grant_id: UUID) -> AllowedApp:
    return apps.one_of_member(member_id=_member_id(), grant_id=grant_id, controls=server().controls)


def _lowerable(app: AllowedApp) -> Mandate:
    """The limits that may be put down. Raises NotFound where the app may take no payments, or no more."""
    if app.mandate is None or not app.pays(issuer_today()):
        raise NotFound
    return app.mandate


def _limits_page(app: AllowedApp, *, shown: dict[str, Any], refusal: DomainError | None = None) -> str:
    return render_template(
        "oauth/app_limits.html",
        app=app,
        offer=_lowerable(app),
        shown=shown,
        names=mandate_names(app.mandate),
        today=issuer_today(),
        refusal=refusal,
        wrong=refusal.detail.get("fields", ()) if refusal else (),
    )


def _done(notice: str, *, grant_id: UUID | None = None) -> Response:
    """Back to the app, or to the list, with word of what was done."""
    flash(notice)
    return redirect(url_for("apps.one", grant_id=grant_id) if grant_id else url_for("apps.index"), code=303)


def _member_id() -> UUID:
    member = current_member()
    assert member is not None, "protected by SignedIn"
    return member.id
