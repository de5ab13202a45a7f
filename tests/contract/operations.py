"""Every operation of the API in one table: who calls it, and what the names in its example are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.charge.schemas import LINK_CODE
from app.openapi_examples import IN_PATH
from app.reader.schemas import IDM as CARD_IDM
from app.reader.schemas import REGISTRATION_CODE
from app.wallet.codes.schemas import MEMBERS_DIGITS, SHOPS_DIGITS
from tests.contract.stage import Stage

Names = Mapping[str, str]
"""What stands in an example, and what stands for it here."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path. Without `names`, its example can be sent as it is."""

    method: str
    path: str
    caller: str
    names: Callable[[Stage], Names] = lambda stage: {}
    without: tuple[str, ...] = ()
    """Parameters that are left out: with them, the answer is of another kind."""

    @property
    def id(self) -> str:
        return f"{self.method} {self.path}"


def _get(
    path: str, caller: str = "member", names: Callable[[Stage], Names] = lambda stage: {}, *without: str
) -> Operation:
    return Operation(method="GET", path=path, caller=caller, names=names, without=without)


def _post(path: str, caller: str = "member", names: Callable[[Stage], Names] = lambda stage: {}) -> Operation:
    return Operation(method="POST", path=path, caller=caller, names=names)


def _put(path: str, caller: str) -> Operation:
    return Operation(method="PUT", path=path, caller=caller)


def _delete(path: str, caller: str, names: Callable[[Stage], Names]) -> Operation:
    return Operation(method="DELETE", path=path, caller=caller, names=names)


def _id(parameter: str, make: Callable[[Stage], str]) -> Callable[[Stage], Names]:
    """The one id that an example names, and how what it stands for is made."""
    return lambda stage: {IN_PATH[parameter]: make(stage)}


def _delivery(stage: Stage) -> Names:
    endpoint, delivery = stage.delivery()
    return {IN_PATH["endpoint_id"]: endpoint, IN_PATH["delivery_id"]: delivery}


def _other_card(stage: Stage) -> Names:
    """Another card than that which pays in the other examples."""
    return {CARD_IDM: stage.new_idm()}


_payment = _id("payment_id", Stage.payment)
_sealed = _id("transaction_id", lambda stage: stage.sealed)
_hold = _id("hold_id", Stage.hold)
_charge = _id("charge_id", Stage.charge)
_job = _id("job_id", Stage.job)
_running = _id("job_id", lambda stage: stage.job(running=True))
_settlement = _id("settlement_id", Stage.settlement)
_endpoint = _id("endpoint_id", Stage.endpoint)
_code = _id("code_id", lambda stage: stage.code()["id"])
_shop_code = _id("code_id", lambda stage: stage.shop_code()["id"])
_HOOKS = "/v1/webhook-endpoints"
_DELIVERIES = f"{_HOOKS}/{{endpoint_id}}/deliveries"

OPERATIONS = (
    _get("/v1/me"),
    _get("/v1/wallets", "member", lambda stage: {}, "at"),
    _get("/v1/wallets/{money}", "member", lambda stage: {}, "at"),
    _get("/v1/monies"),
    _get("/v1/shops"),
    _get("/v1/transactions"),
    _get("/v1/transactions/{transaction_id}", "member", _payment),
    _get("/v1/transactions/{transaction_id}/proof", "member", _sealed),
    _get("/v1/transactions/{transaction_id}/receipt.pdf", "member", _payment),
    _get("/v1/transactions/by-request/{request_id}", "member", _id("request_id", Stage.request_id)),
    _get("/v1/statements/{month}"),
    _get("/v1/statements/{month}.csv"),
    _get("/v1/statements/{month}.pdf"),
    _post("/v1/payments"),
    _get("/v1/payments/{payment_id}", "member", _payment),
    _post("/v1/payments/{payment_id}/refunds", "member", _payment),
    _post("/v1/payments/batch", "plan"),
    _post("/v1/holds"),
    _get("/v1/holds/{hold_id}", "member", _hold),
    _post("/v1/holds/{hold_id}/capture", "member", _hold),
    _post("/v1/holds/{hold_id}/release", "member", _hold),
    _post("/v1/moves"),
    _get("/v1/charges/options"),
    _post("/v1/charges"),
    _get("/v1/charges"),
    _get("/v1/charges/{charge_id}", "member", _charge),
    _post("/v1/charges/{charge_id}/cancel", "member", _charge),
    _post("/v1/charges/{charge_id}/chain", "member", _charge),
    _post("/v1/charge-links"),
    _get("/v1/charge-links"),
    _post("/v1/charge-links/find", "member", lambda stage: {LINK_CODE: stage.charge_link()["code"]}),
    _delete("/v1/charge-links/{link_id}", "member", _id("link_id", lambda stage: stage.charge_link()["id"])),
    _post("/v1/codes"),
    _get("/v1/codes/{code_id}", "member", _code),
    _delete("/v1/codes/{code_id}", "member", _code),
    _get("/v1/shop-codes/scanned", "member", lambda stage: {SHOPS_DIGITS: stage.shop_code()["code"]}),
    _post("/v1/payments/by-code", "member", lambda stage: {SHOPS_DIGITS: stage.shop_code()["code"]}),
    _post("/v1/shop-codes", "till"),
    _get("/v1/shop-codes/{code_id}", "till", _shop_code),
    _delete("/v1/shop-codes/{code_id}", "till", _shop_code),
    _post("/v1/code-payments", "till", lambda stage: {MEMBERS_DIGITS: stage.code(caller="wallet")["code"]}),
    _post("/v1/code-charges", "till", lambda stage: {MEMBERS_DIGITS: stage.code("charge", caller="wallet")["code"]}),
    _post("/v1/taps", "till"),
    _post("/v1/taps/preview", "till"),
    _post("/v1/taps/{tap_id}/void", "till", lambda stage: {IN_PATH["tap_id"]: stage.tap()}),
    _post("/v1/taps/challenges", "till"),
    _get("/v1/reader-profiles", "till"),
    _get("/v1/cards"),
    _post("/v1/cards", "member", _other_card),
    _post("/v1/cards/{card_id}/lost", "member", _id("card_id", Stage.card)),
    _put("/v1/cards/pin", "member"),
    _post("/v1/cards/registration-codes"),
    _post(
        "/v1/card-registrations",
        "till",
        lambda stage: {REGISTRATION_CODE: stage.registration_code()} | _other_card(stage),
    ),
    _post("/v1/cards/handed-in", "till", lambda stage: {CARD_IDM: stage.card_number()}),
    _post("/v1/suspend", "stopping"),
    _get("/v1/shops/{shop}/transactions", "shop"),
    _get("/v1/shops/{shop}/balance", "shop"),
    _get("/v1/settlements", "shop"),
    _get("/v1/settlements/{settlement_id}", "shop", _settlement),
    _get("/v1/settlements/{settlement_id}/statement.pdf", "shop", _settlement),
    _get("/v1/settlements/{settlement_id}/statement.csv", "shop", _settlement),
    _post("/v1/bulk", "bulk"),
    _get("/v1/bulk/{job_id}", "bulk", _job),
    _get("/v1/bulk/{job_id}/problems", "bulk", _job),
    _post("/v1/bulk/{job_id}/start", "bulk", _job),
    _post("/v1/bulk/{job_id}/stop", "bulk", _running),
    _get("/v1/bulk/{job_id}/results", "bulk", _running),
    _delete("/v1/bulk/{job_id}", "bulk", _job),
    _post(_HOOKS, "service"),
    _get(_HOOKS, "service"),
    _get(f"{_HOOKS}/{{endpoint_id}}", "service", _endpoint),
    Operation(method="PATCH", path=f"{_HOOKS}/{{endpoint_id}}", caller="service", names=_endpoint),
    _delete(f"{_HOOKS}/{{endpoint_id}}", "service", _endpoint),
    _post(f"{_HOOKS}/{{endpoint_id}}/rotate-secret", "service", _endpoint),
    _post(f"{_HOOKS}/{{endpoint_id}}/test", "service", _endpoint),
    _get(_DELIVERIES, "service", _endpoint),
    _get(f"{_DELIVERIES}/{{delivery_id}}", "service", _delivery),
    _post(f"{_DELIVERIES}/{{delivery_id}}/resend", "service", _delivery),
)
