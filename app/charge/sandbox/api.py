"""The API for merchants' servers. It takes no card data: cards are entered on our own page."""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from flask import Blueprint, Response, g, request

from app.charge.sandbox import faults, payments, wire
from app.charge.sandbox.faults import Fault
from app.charge.sandbox.gateway import sandbox
from app.charge.sandbox.wire import ApiError

api = Blueprint("api", __name__, url_prefix="/v1")

JAPAN = timezone(timedelta(hours=9))
SETTLEMENT_COLUMNS = ("settled_on", "received_id", "payment_id", "order_id", "method", "amount_yen", "fee_yen")
_KEY = re.compile("[\x21-\x7e]{1,255}")
_CALLS_KEPT = 500
stopping = threading.Event()
"""Set when the program ends: nobody is kept waiting any longer."""


def authenticate() -> None:
    """The secret key, as the user name of HTTP Basic or as a Bearer token. Raises ApiError."""
    try:
        given = request.authorization
    except ValueError:  # Werkzeug's base64 of what is not ASCII
        given = None
    key = (given.username if given.type == "basic" else given.token) if given else None
    if key is None or not secrets.compare_digest(key.encode(), sandbox().settings.key.encode()):
        raise ApiError(401, "unauthorized", "send the secret key by HTTP Basic (as user name) or as a Bearer token")


api.before_request(authenticate)


@api.before_request
def something_goes_wrong_before() -> Response | None:
    """Nothing was done where this answers."""
    fault = _fault(faults.API_BEFORE)
    if fault is None:
        return None
    g.fault = fault.kind
    if fault.kind == "api_slow":
        stopping.wait(fault.lasts_s)
        return None
    return _trouble()


@api.after_request
def something_goes_wrong_after(response: Response) -> Response:
    """Everything was done, and the merchant does not hear of it."""
    fault = _fault(faults.API_AFTER) if "fault" not in g and response.status_code < 400 else None
    if fault is not None:
        g.fault = fault.kind
        response = _trouble()
    _log(response.status_code)
    if fault is not None and fault.kind == "api_timeout":
        stopping.wait(fault.lasts_s)
    if fault is not None and fault.kind in ("api_timeout", "api_cut"):
        _cut()
    return response


def _trouble() -> Response:
    return answered({"error": {"code": "internal_error", "message": "something went wrong on our side"}}, 500)


def _cut() -> None:
    """Close the connection, with nothing said."""
    connection = request.environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        connection.shutdown(socket.SHUT_RDWR)


def _fault(kinds: tuple[str, ...]) -> Fault | None:
    operation = (request.endpoint or "").rpartition(".")[2]
    with sandbox().transaction() as db:
        payment_id, order_id = _concerned(db)
        return faults.take(db, kinds, payment_id=payment_id, order_id=order_id, operation=operation)


def _concerned(db: sqlite3.Connection) -> tuple[str | None, str | None]:
    """The payment and the order that this request is about, where it names them."""
    order_id = request.args.get("order_id") or wire.peek(request.get_data(), "order_id")
    payment_id = (request.view_args or {}).get("payment_id")
    if payment_id is None and order_id is not None and order_id.isascii():
        found = payments.by_order(db, order_id)
        payment_id = found.id if found else None
    elif payment_id is not None:
        found = payments.by_id(db, payment_id)
        order_id = found.order_id if found else None
    return payment_id, order_id


def _log(status: int) -> None:
    operation = (request.endpoint or "").rpartition(".")[2]
    with sandbox().transaction() as db:
        db.execute(
            "INSERT INTO call (at, operation, path, status, fault) VALUES (?, ?, ?, ?, ?)",
            (time.time(), operation, request.path[:200], status, g.get("fault")),
        )
        db.execute("DELETE FROM call WHERE seq <= (SELECT max(seq) FROM call) - ?", (_CALLS_KEPT,))


@api.post("/payments", endpoint="create")
def create() -> Response:
    """A payment for an order: 201, or 200 where the order has its payment already."""
    return _once(_created)


def _created(db: sqlite3.Connection) -> tuple[dict[str, Any], int]:
    asked = wire.read_order(request.get_data())
    try:
        payment, new = payments.create(db, asked)
    except payments.OrderConflict:
        raise ApiError(422, "order_conflict", "this order has another payment", field="order_id") from None
    return wire.dump_payment(db, payment, url=sandbox().settings.url), 201 if new else 200


@api.get("/payments", endpoint="find")
def find() -> Response:
    """The payment of one of the merchant's orders, as a list of one or none."""
    order_id = request.args.get("order_id", "")
    if not re.fullmatch("[A-Za-z0-9_-]{1,64}", order_id):
        raise wire.invalid("order_id", "must be one of your order ids")
    with sandbox().transaction() as db:
        payments.do_what_is_due(db)
        found = payments.by_order(db, order_id)
        listed = [wire.dump_payment(db, found, url=sandbox().settings.url)] if found else []
    return answered({"payments": listed})


@api.get("/payments/<payment_id>", endpoint="get")
def get(payment_id: str) -> Response:
    with sandbox().transaction() as db:
        payments.do_what_is_due(db)
        return answered(wire.dump_payment(db, existing(db, payment_id), url=sandbox().settings.url))


@api.post("/payments/<payment_id>/cancel", endpoint="cancel")
def cancel(payment_id: str) -> Response:
    """Make it unpayable. What was paid, or is over, stays as it is, and is answered."""

    def cancelled(db: sqlite3.Connection) -> tuple[dict[str, Any], int]:
        wire.Fields(request.get_data()).done()
        payments.do_what_is_due(db)
        payment = payments.cancel(db, existing(db, payment_id))
        return wire.dump_payment(db, payment, url=sandbox().settings.url), 200

    return _once(cancelled)


@api.get("/settlements/<day>.csv", endpoint="settlement")
def settlement(day: str) -> Response:
    """What arrived on a day of Japan, and our fees, as CSV."""
    try:
        begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=JAPAN)
        span = (begin.timestamp(), (begin + timedelta(days=1)).timestamp())
    except (ValueError, OverflowError):
        raise wire.invalid("day", "must be a day such as 2026-11-25") from None
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(SETTLEMENT_COLUMNS)
    with sandbox().transaction() as db:
        for row in payments.received_between(db, *span):
            values = (row["id"], row["payment_id"], row["order_id"], row["method"], row["amount_yen"], row["fee_yen"])
            writer.writerow((begin.date().isoformat(), *values))
    return Response(text.getvalue(), mimetype="text/csv")


def existing(db: sqlite3.Connection, payment_id: str) -> payments.Payment:
    """The payment, or a 404."""
    found = payments.by_id(db, payment_id) if payment_id.isascii() else None
    if found is None:
        raise ApiError(404, "not_found", "there is no such payment")
    return found


def _once(work: Callable[[sqlite3.Connection], tuple[dict[str, Any], int]]) -> Response:
    """Do it, or answer what was answered when this Idempotency-Key came before. Refusals are not kept."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise wire.invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    asked = f"{request.path}\n{request.get_data().decode(errors='replace')}"
    with sandbox().transaction() as db:
        kept = db.execute("SELECT * FROM answered WHERE key = ?", (key,)).fetchone()
        if kept is not None:
            if kept["asked"] != asked:
                raise ApiError(422, "idempotency_key_reused", "this key came with another request")
            return Response(kept["body"], kept["status"], mimetype="application/json")
        body, status = work(db)
        answer = answered(body, status)
        if key is not None:
            values = (key, asked, status, answer.get_data(as_text=True))
            db.execute("INSERT INTO answered (key, asked, status, body) VALUES (?, ?, ?, ?)", values)
    return answer


def answered(body: dict[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    return Response(json.dumps(body, ensure_ascii=False), status, mimetype="application/json")
