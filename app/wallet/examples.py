"""What the examples of one operation say otherwise than the fields do: a refund is a transaction, but no payment.

They tell one story: 花子 pays ¥450 of meal money, gets ¥200 back, reserves a book for ¥1,200 and takes it for ¥1,000.
"""

from __future__ import annotations

from typing import Any

_MEAL = {"code": "meal", "name": "学食マネー"}
_BASE = {"code": "base", "name": "ベースマネー"}
_POINTS = {"code": "points", "name": "ポイント"}
_BOOKSTORE = {"id": "01936a7c-5b1e-7a10-8000-000000000002", "code": "bookstore", "name": "書籍購買部"}
_PAYMENT_ID = "01936a7c-5b1e-7a10-8000-0000000000aa"
_HOLD_ID = "01936a7c-5b1e-7a10-8000-0000000000ab"


def _part(money: dict[str, str], signed_amount_yen: int, balance_yen: int | None) -> dict[str, Any]:
    return {"money": money, "signed_amount_yen": signed_amount_yen, "balance_yen": balance_yen}


DRY_RUN: dict[str, Any] = {"request_id": None}

REFUND: dict[str, Any] = {
    "id": "01936a7c-5b1e-7a10-8000-0000000000ac",
    "receipt_no": "0000-1240",
    "kind": "refund",
    "amount_yen": 200,
    "signed_amount_yen": 200,
    "parts": [_part(_MEAL, 200, 1_750), _part(_POINTS, -2, 2)],
    "points_granted_yen": -2,
    "points_missing_yen": 0,
    "description": "A定食の取り消し",
    "metadata": {},
    "request_id": "refund-2026-11-23-0001",
    "reverses": _PAYMENT_ID,
    "created_at": "2026-11-23T04:10:12.345678+00:00",
    "balance_yen": 1_750,
}
REFUND_DRY_RUN = {**REFUND, "id": None, "receipt_no": None, "request_id": None, "created_at": None}
PAYMENT_WITH_REFUND = {"refunds": [REFUND]}

HOLD_BODY: dict[str, Any] = {
    "amount_yen": 1_200,
    "money": "base",
    "shop": "bookstore",
    "items": [{"group": "book", "amount_yen": 1_200, "name": "線形代数の教科書"}],
    "description": "図書の予約",
    "metadata": {"order": "B-3"},
}
HOLD: dict[str, Any] = {
    "id": _HOLD_ID,
    "receipt_no": "0000-1250",
    "kind": "hold",
    "amount_yen": 1_200,
    "signed_amount_yen": 0,
    "money": _BASE,
    "parts": [],
    "points_granted_yen": 0,
    "points_missing_yen": 0,
    "shop": _BOOKSTORE,
    "description": "図書の予約",
    "metadata": {"order": "B-3", "items": HOLD_BODY["items"]},
    "request_id": "hold-2026-11-23-0001",
    "hold_id": _HOLD_ID,
    "created_at": "2026-11-23T03:34:56.123456+00:00",
    "balance_yen": 3_000,
}
HOLD_VIEW = {"money": _BASE, "shop": _BOOKSTORE, "metadata": HOLD["metadata"]}
CAPTURE_BODY = {"amount_yen": 1_000}
CAPTURE = {
    **HOLD,
    "id": "01936a7c-5b1e-7a10-8000-0000000000ad",
    "receipt_no": "0000-1260",
    "kind": "capture",
    "amount_yen": 1_000,
    "signed_amount_yen": -1_000,
    "parts": [_part(_BASE, -1_000, 2_000)],
    "metadata": {},
    "request_id": "capture-2026-11-23-0001",
    "created_at": "2026-11-23T03:40:01.234567+00:00",
    "balance_yen": 2_000,
}
RELEASE = {
    **HOLD,
    "id": "01936a7c-5b1e-7a10-8000-0000000000ae",
    "receipt_no": "0000-1261",
    "kind": "release",
    "description": "予約の取り消し",
    "metadata": {},
    "request_id": "release-2026-11-23-0001",
    "created_at": "2026-11-23T03:40:01.234567+00:00",
}

MOVE_BODY = {"amount_yen": 1_000}
MOVE: dict[str, Any] = {
    "id": "01936a7c-5b1e-7a10-8000-0000000000af",
    "receipt_no": "0000-1270",
    "kind": "move",
    "amount_yen": 1_000,
    "signed_amount_yen": -1_000,
    "money": _BASE,
    "parts": [_part(_BASE, -1_000, 2_000), _part(_MEAL, 1_000, 2_550)],
    "points_granted_yen": 0,
    "points_missing_yen": 0,
    "shop": None,
    "description": "学食マネーへ",
    "metadata": {},
    "request_id": "move-2026-11-23-0001",
    "balance_yen": 2_000,
}
MOVE_DRY_RUN = {**MOVE, "id": None, "receipt_no": None, "request_id": None, "created_at": None}

CHARGE_BODY = {"amount_yen": 1_000, "money": "meal"}
CHARGE: dict[str, Any] = {
    "id": "01936a7c-5b1e-7a10-8000-0000000000b0",
    "receipt_no": "0000-1280",
    "kind": "charge",
    "amount_yen": 1_000,
    "signed_amount_yen": 1_000,
    "parts": [_part(_MEAL, 1_000, 2_550)],
    "points_granted_yen": 0,
    "points_missing_yen": 0,
    "shop": None,
    "description": "",
    "metadata": {},
    "request_id": "charge-2026-11-23-0001",
    "balance_yen": 2_550,
}
TAP = {
    "description": "",
    "metadata": {"assurance": "fcf"},
    "request_id": "tap-2026-11-23-0001",
    "taken_at": "2026-11-23T12:34:56.123000+09:00",
}
VOID: dict[str, Any] = {
    **REFUND,
    "amount_yen": 450,
    "signed_amount_yen": 450,
    "parts": [_part(_MEAL, 450, 2_000), _part(_POINTS, -4, 0)],
    "points_granted_yen": -4,
    "description": "",
    "request_id": "void:tap-2026-11-23-0009",
    "balance_yen": 2_000,
}
BY_CODE: dict[str, Any] = {"metadata": {}}

_UNSEEN = [_part(_MEAL, -450, None), _part(_POINTS, 4, None)]
BATCH_BODY = {
    "payments": [
        {"request_id": "meal-plan-2026-11-0001", "description": "ミールプラン 11月23日", "metadata": {}},
        {
            "request_id": "meal-plan-2026-11-0002",
            "member": "01936a7c-5b1e-7a10-8000-000000000011",
            "description": "ミールプラン 11月23日",
            "metadata": {},
        },
    ]
}
BATCH = {
    "results": [
        {
            "request_id": "meal-plan-2026-11-0001",
            "transaction": {
                "description": "ミールプラン 11月23日",
                "metadata": {"items": [{"group": "meal", "amount_yen": 450, "name": "A定食"}]},
                "request_id": "meal-plan-2026-11-0001",
                "parts": _UNSEEN,
                "balance_yen": None,
            },
        },
        {"request_id": "meal-plan-2026-11-0002", "status": 422, "problem": {}},
    ]
}

MONIES = {
    "monies": [
        {
            **_BASE,
            "groups": None,
            "expiry": {"rule": "after_charge", "month_day": None, "min_days": None, "months": 24},
            "points": None,
            "moves_to": [{"money": _MEAL}],
        },
        {"moves_to": []},
        {
            **_POINTS,
            "backing": "free",
            "groups": None,
            "expiry": {"rule": "fixed_date", "month_day": "03-31", "min_days": 0, "months": None},
            "ceiling_yen": None,
            "max_per_payment_yen": None,
            "max_per_day_yen": None,
            "max_per_month_yen": None,
            "points": None,
            "moves_to": [],
        },
    ]
}

CANCELLED_CODE = {"status": "cancelled", "last_refusal": None, "last_refused_at": None}
MEMBERS_CODE = {"amount_yen": None, "expires_at": "2026-11-23T03:35:56.123456+00:00"}
EXAMINING = {
    "state": "examining",
    "bad_lines": 0,
    "good_lines": 0,
    "sum_yen": 0,
    "left_sum_yen": 0,
    "sums": [],
    "examined_at": None,
}
RUNNING = {"state": "running", "started_at": "2026-11-23T03:36:00.345678+00:00"}
STOPPED = {**RUNNING, "state": "stopped"}
ROTATED = {"previous_secret_until": "2026-11-24T03:34:56.123456+00:00"}
RESENT = {"state": "waiting", "delivered_at": None}
RESULTS_CSV = (
    "line,reference,member,money,kind,amount_yen,expires_on,description,state,code,reason,transaction_id,balance_yen\r\n"
    "2,2,hanako@example.ac.jp,points,grant,500,,新入生歓迎ポイント,accepted,,,01936a7c-5b1e-7a10-8000-0000000000b1,504\r\n"
    "3,3,taro@example.ac.jp,points,grant,500,,新入生歓迎ポイント,accepted,,,01936a7c-5b1e-7a10-8000-0000000000b2,500\r\n"
    "4,4,alice@example.ac.jp,points,grant,,,新入生歓迎ポイント,bad,amount_form,金額は整数（円）で書いてください,,\r\n"
)
RESULTS_LINES = (
    '{"line":2,"reference":"2","member":"hanako@example.ac.jp","money":"points","kind":"grant","amount_yen":500,'
    '"expires_on":null,"description":"新入生歓迎ポイント","state":"accepted","code":null,"reason":null,'
    '"transaction_id":"01936a7c-5b1e-7a10-8000-0000000000b1","balance_yen":504}\n'
)
STATEMENT_CSV = (
    "created_at,receipt_no,kind,shop,description,money,money_name,amount_yen,balance_yen\r\n"
    "2026-11-01T00:00:00+09:00,,opening,,,meal,学食マネー,,2000\r\n"
    "2026-11-23T12:34:56.123456+09:00,0000-1234,payment,中央食堂,昼食 A定食,meal,学食マネー,-450,1550\r\n"
    "2026-11-30T23:59:59.999999+09:00,,closing,,,meal,学食マネー,,1550\r\n"
)
SETTLEMENT_CSV = (
    "settlement,state,first_day,through_day,money,name,backing,payments,payments_yen,refunds,refunds_yen,others_yen,"
    "carried_in_yen,settled_yen,carried_out_yen,reimbursed,fee_rate_bp,fee_yen,payable_yen\r\n"
    "canteen-0012,closed,2026-11-23,2026-11-23,meal,学食マネー,paid,128,61440,1,450,0,0,60990,0,True,150,914,60076\r\n"
)
