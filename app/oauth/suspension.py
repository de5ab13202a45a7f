"""Stopping a member's account (アカウント停止): nobody signs in, and nothing that was signed in or allowed goes on."""

from __future__ import annotations

from uuid import UUID

from app.member import service
from app.oauth import grants_service


def suspend_member(member_id: UUID) -> None:
    """Suspend the member, and end every session and every token, at once. Runs in the caller's transaction.

    The ledger is told by `app.wallet.suspension.suspend`, which calls this.

    The grants stay: when the office resumes the account, clients ask again. What is being signed in or issued at this
    moment is waited for and ended too, or finds the member suspended.
    """
    service.suspend(member_id)
    grants_service.revoke_tokens_of_member(member_id)
