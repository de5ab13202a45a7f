"""The resource API, version 1: links by which somebody else charges a member's wallet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response

from app.charge import links
from app.charge.schemas import LinkBody, LinkCodeBody, LinkShownView, LinksView, NewLinkView
from app.db import transaction
from app.oauth import cors
from app.oauth.protector import Bearer, current_access
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale
from app.web.protection import protected_by

blueprint = Blueprint(
    "charge-links",
    __name__,
    url_prefix="/v1/charge-links",
    description="Links by which somebody else, a guardian say, charges a member's wallet, with the scope `charge`.",
)
blueprint.after_request(cors.allow_registered)


@blueprint.post("")
@blueprint.arguments(LinkBody())
@blueprint.response(201, NewLinkView())
@protected_by(Bearer("charge"))
def create(body: Mapping[str, Any]) -> Response:
    """Make a charge link

    Its code is shown this once. Whoever has it may charge that one wallet, by `link` in `POST /v1/charges`, and is
    shown `shown_as` and nothing else of the member.
    """
    with transaction():
        row, code = links.create(
            member_id=current_access().member, money=body["money"], shown_as=body["shown_as"], days=body["days"]
        )
        made = {**links.view(row, current_locale()), "code": code, "url": links.address(code)}
    return json_response(made, status=201)


@blueprint.get("")
@blueprint.response(200, LinksView())
@protected_by(Bearer("charge"))
def live() -> Response:
    """The member's charge links that work, newest first"""
    with transaction():
        found = [links.view(row, current_locale()) for row in links.live(current_access().member)]
    return json_response({"links": found}, status=200)


@blueprint.post("/find")
@blueprint.arguments(LinkCodeBody())
@blueprint.response(200, LinkShownView())
@protected_by(Bearer("charge"))
def find(body: Mapping[str, Any]) -> Response:
    """Whose wallet a charge link is for"""
    with transaction():
        found = links.shown(links.find(body["code"]), current_locale())
    return json_response(found, status=200)


@blueprint.delete("/<uuid:link_id>")
@blueprint.response(204)
@protected_by(Bearer("charge"))
def end(link_id: UUID) -> Response:
    """Have a charge link work no longer

    What was ordered by it stays ordered.
    """
    with transaction():
        links.end(link_id, member_id=current_access().member)
    return Response(status=204)
