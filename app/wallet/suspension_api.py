"""`POST /v1/suspend`: an app stops the member's account (アカウント停止)."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from app.db import transaction
from app.oauth import cors
from app.oauth.protector import Bearer, current_access
from app.wallet import directory, suspension
from app.wallet.schemas import MoneyView
from app.web.arguments import Blueprint
from app.web.locale import current_locale
from app.web.protection import protected_by


class StoppedView(Schema):
    """An account that is stopped."""

    member_id = fields.String(
        required=True, metadata={"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-000000000010"}
    )
    status = fields.String(required=True, metadata={"description": "Always `suspended`.", "example": "suspended"})
    suspended_at = fields.String(
        required=True,
        metadata={
            "format": "date-time",
            "description": "No payment has an instant after this one.",
            "example": "2026-11-23T03:34:56.789012+00:00",
        },
    )
    monies = fields.List(
        fields.Nested(MoneyView()), required=True, metadata={"description": "The monies that cannot be spent any more."}
    )


blueprint = Blueprint("suspension", __name__, url_prefix="/v1", description="Stopping the member's account.")
blueprint.after_request(cors.allow_registered)


@blueprint.post("/suspend")
@blueprint.response(200, StoppedView())
@protected_by(Bearer("suspend"))
def suspend() -> dict[str, Any]:
    """Stop the member's account, at once

    Every wallet is suspended, and every session and token ends: this one too, so a repeated call is answered 401
    `invalid_token`, which says that the account is stopped. Only the co-op's office can resume it.
    """
    access = current_access()
    assert access.member_id is not None, "only a member gives this scope"
    with transaction():
        stopped = suspension.suspend(access.member_id, actor=access.client_id)
    known = (directory.money(code) for code in stopped.monies)
    return {
        "member_id": str(stopped.member_id),
        "status": "suspended",
        "suspended_at": stopped.suspended_at.isoformat(),
        "monies": [money.view(current_locale()) for money in known if money is not None],
    }
