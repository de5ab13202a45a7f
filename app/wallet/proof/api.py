"""`GET /v1/transactions/{id}/proof`: the member's own proof file."""

from __future__ import annotations

from uuid import UUID

from flask import Response

from app.oauth import cors
from app.oauth.protector import Bearer, current_access
from app.wallet.proof import proofs
from app.wallet.proof.schemas import ProofView
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.protection import protected_by

blueprint = Blueprint(
    "proof", __name__, url_prefix="/v1", description="That the books were not changed afterwards, for anyone to check."
)
blueprint.after_request(cors.allow_registered)


@blueprint.get("/transactions/<uuid:transaction_id>/proof")
@blueprint.response(200, ProofView())
@protected_by(Bearer("history"))
def proof(transaction_id: UUID) -> Response:
    """A file that proves one transaction of the member, without this server

    The day after, every transaction is under a signed root. Until then this answers 409 `proof_not_ready` with
    `Retry-After`: what is not signed yet would prove nothing.
    """
    access = current_access()
    assert access.member_id is not None
    own = proofs.proof(transaction_id=transaction_id, sections=proofs.OWN, member_id=access.member_id)
    return json_response(own, status=200)
