"""The ledger's refusals: one table of stable codes with their HTTP status (the sentences are in the translations)."""

from __future__ import annotations

from app.errors import Detail, DomainError

HIT_HEADER = "Idempotency-Hit"
"""Says that this very request had been answered before, and that nothing moved now."""

STATUS_OF = {
    "insufficient_balance": 422,
    "payment_limit_exceeded": 422,
    "daily_limit_exceeded": 422,
    "monthly_limit_exceeded": 422,
    "mandate_exceeded": 403,
    "wallet_suspended": 403,
    "wallet_closed": 403,
    "wallet_unknown": 404,
    "card_lost": 403,
    "card_unknown": 404,
    "card_changed": 403,
    "card_expired": 403,
    "assurance_too_low": 403,
    "pin_required": 403,
    "pin_wrong": 403,
    "pin_locked": 403,
    "pin_not_set": 403,
    "card_proof_wrong": 403,
    "card_proof_expired": 403,
    "void_too_late": 409,
    "terminal_revoked": 403,
    "shop_closed": 403,
    "shop_unknown": 404,
    "money_not_accepted": 422,
    "invalid_amount": 422,
    "already_refunded": 409,
    "not_refundable": 422,
    "wallet_ceiling_exceeded": 422,
    "refund_exceeds_payment": 422,
    "capture_exceeds_hold": 422,
    "hold_unknown": 404,
    "hold_expired": 409,
    "hold_not_expired": 409,
    "hold_already_captured": 409,
    "hold_released": 409,
    "items_do_not_add_up": 422,
    "same_account": 422,
    "move_not_allowed": 422,
    "code_unknown": 404,
    "code_used": 409,
    "code_cancelled": 409,
    "code_expired": 409,
    "already_expired": 422,
    "nothing_expired": 409,
    "wallet_awaits_charges": 409,
    "wallet_has_holds": 409,
    "payout_quota_exceeded": 422,
    "proof_not_ready": 409,
    "record_changed": 409,
    "request_id_conflict": 409,
    "request_in_progress": 409,
    "temporarily_unavailable": 503,
    "outcome_unknown": 503,
}


class LedgerRefusal(DomainError):
    """A refusal of the ledger, by its code. `repeated`: an earlier request of this name got it already."""

    def __init__(self, code: str, *, repeated: bool = False, **detail: Detail) -> None:
        self.repeated = repeated
        self.code = code  # type: ignore[misc]  # one class for the whole table above
        self.status = STATUS_OF[code]  # type: ignore[misc]
        super().__init__(**detail)

    @property
    def headers(self) -> dict[str, str]:
        return {HIT_HEADER: "true"} if self.repeated else {}


class TemporarilyUnavailable(LedgerRefusal):
    """This sending moved nothing; try again, with the same key (of an earlier sending this says nothing)."""

    def __init__(self) -> None:
        super().__init__("temporarily_unavailable", retry_after_s=1)


class OutcomeUnknown(LedgerRefusal):
    """The database went away around the commit; ask again with the same key, and the answer will be the true one."""

    def __init__(self) -> None:
        super().__init__("outcome_unknown", retry_after_s=2)


class RequestInProgress(LedgerRefusal):
    """The first request of this name is still being worked on."""

    def __init__(self) -> None:
        super().__init__("request_in_progress", retry_after_s=2)
