"""Events that are no transactions: written in the transaction that causes them, made into deliveries by the feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text

from app.db import session
from app.issuer import current_issuer
from app.wallet.webhooks.event_types import EVENT_TYPES, GRANT_REVOKED
from app.wallet.webhooks.models import WebhookEvent

# Only where somebody listens for it: most permissions end unheard.
_GRANTS_REVOKED = text("""
    INSERT INTO webhook_event (issuer_id, type, member_id, client_id, data)
    SELECT given.issuer_id, :type, given.member_id, given.client_id,
           jsonb_build_object('grant_id', given.id, 'client_id', given.client_id, 'member_id', given.member_id)
      FROM oauth_grant given
     WHERE given.id = ANY(:ids) AND EXISTS (
           SELECT FROM webhook_endpoint endpoint
            WHERE endpoint.status = 'active' AND :type = ANY(endpoint.events)
              AND (endpoint.client_id = given.client_id OR EXISTS (
                   SELECT FROM webhook_app app
                    WHERE app.client_id = endpoint.client_id AND app.app_id = given.client_id)))
     ORDER BY given.id
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)))


def emit_event(event_type: str, *, member_id: UUID, data: Mapping[str, Any]) -> None:
    """Have whoever may read this member's balances told, with the surrounding transaction.

    `data` is what the webhook says beside `member_id`: codes and identifiers, nothing that needs a language.
    """
    assert event_type in EVENT_TYPES, event_type
    session().add(
        WebhookEvent(
            issuer_id=current_issuer().id,
            type=event_type,
            member_id=member_id,
            data={"member_id": str(member_id), **data},
        )
    )
    session().flush()


def tell_client(event_type: str, *, client_id: str, subject: UUID, data: Mapping[str, Any]) -> None:
    """Have one client told of what concerns it alone, such as a job of its own, with the surrounding transaction."""
    assert event_type in EVENT_TYPES, event_type
    session().add(
        WebhookEvent(
            issuer_id=current_issuer().id, type=event_type, client_id=client_id, subject=subject, data=dict(data)
        )
    )
    session().flush()


def grants_revoked(grant_ids: Sequence[UUID]) -> None:
    """Have the clients of these grants told that they ended, in one statement, with the surrounding transaction.

    Call it after the ledger was told: by the row it locks, every payment of theirs comes before.
    """
    session().execute(_GRANTS_REVOKED, {"type": GRANT_REVOKED, "ids": list(grant_ids)})
