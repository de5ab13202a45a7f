"""アクセス許可 on the way in and out: the form as it was sent, and what the page shows, whoever asks the member."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from flask import render_template, request
from marshmallow import ValidationError

from app.errors import DomainError
from app.issuer import current_issuer
from app.member.sessions import SignedInMember
from app.oauth import consent
from app.oauth.clients import Client
from app.oauth.errors import InvalidCeiling
from app.oauth.grants_service import Given
from app.oauth.ports import Mandate
from app.oauth.schemas import CeilingSchema, ConsentForm
from app.oauth.server import server
from app.web.locale import current_locale, translate


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the member pressed and ticked."""

    allows: bool
    ticked: frozenset[str]
    shops: frozenset[str]
    """The shops the page named."""


def answer() -> Answer:
    """The form of this request."""
    lists = {name: request.form.getlist(name) for name in ("permission", "shop")}
    form = ConsentForm().load({"decision": request.form.get("decision", ""), **lists})
    return Answer(
        allows=form["decision"] == "allow", ticked=frozenset(form["permission"]), shops=frozenset(form["shop"])
    )


def mandate(plan: consent.Plan, answer: Answer) -> Mandate | None:
    """The limits of payment, if its box was there and ticked. Raises InvalidCeiling, ShopsChanged."""
    if "payment" not in answer.ticked or "payment" not in plan.boxes:
        return None
    try:
        typed = CeilingSchema().load(request.form.to_dict())
    except ValidationError as error:
        raise InvalidCeiling(max_yen=plan.ceiling_yen) from error
    return consent.mandate(plan, typed_yen=int(typed["max_per_payment_yen"]), shops_shown=answer.shops)


def render(
    template: str,
    *,
    client: Client,
    member: SignedInMember,
    given: Given,
    plan: consent.Plan,
    ticked: Collection[str] | None = None,
    refusal: DomainError | None = None,
    **more: object,
) -> str:
    """The page. At first every box is ticked but payment's."""
    return render_template(
        template,
        client_name=client.name(current_locale()),
        issuer_name=current_issuer().name(current_locale()),
        member=member,
        shops=_shop_names(plan.shops if "payment" in plan.boxes else ()),
        shops_before=_shop_names(given.mandate.shops if given.mandate else ()),
        plan=plan,
        identity=[translate(f"oauth.scope.{scope}") for scope in plan.identity],
        given=given,
        ticked=[scope for scope in plan.boxes if scope != "payment"] if ticked is None else ticked,
        typed=request.form.get("max_per_payment_yen", plan.ceiling_yen),
        refusal=refusal,
        **more,
    )


def _shop_names(ids: Sequence[UUID]) -> list[str]:
    return server().controls.shops(ids, current_locale()) if ids else []
