"""What a member does for the safety of the whole account: a new password, signing out everywhere.

After either nothing goes on that was signed in or allowed to act before: sessions (their clients hear of it), tokens,
and what is on its way to becoming one. The grants stay, so clients ask again without a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import update

from app import clock
from app.db import session
from app.member import service, sessions
from app.oauth import backchannel, grants_service
from app.oauth.models import AuthorizationCode


def sessions_ended(session_ids: Sequence[UUID]) -> None:
    """What the end of sessions, for whatever reason, means to clients. Runs in the transaction that ends them.

    A code given in such a session is not redeemed any more. One that is being redeemed at this moment is waited for,
    so that its client, which only now becomes one of the session's, is told too.
    """
    theirs = (AuthorizationCode.session_id.in_(session_ids), AuthorizationCode.expires_at > clock.now())
    coming = update(AuthorizationCode).where(*theirs, AuthorizationCode.used_at.is_(None))
    session().execute(coming.values(used_at=clock.now()))
    backchannel.tell_clients(session_ids)


def sign_out_everywhere(member_id: UUID) -> None:
    """End every session and every token of the member, at once. Runs in the caller's transaction."""
    sessions.revoke_all_sessions(member_id)
    grants_service.revoke_tokens_of_member(member_id)


def change_password(member_id: UUID, *, current: str, new: str) -> None:
    """Set a new password, and sign the member out everywhere. Raises what `service.change_password` does."""
    service.change_password(member_id, current=current, new=new)
    sign_out_everywhere(member_id)


def reset_password(*, code_id: UUID, digits: str, new: str) -> None:
    """The same for a member who gives a mailed code in place of the former password.

    Raises what `service.reset_password` does.
    """
    sign_out_everywhere(service.reset_password(code_id=code_id, digits=digits, new=new))
