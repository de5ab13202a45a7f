"""Draws the sequence pictures of the guides: `python docs/pictures/sequences.py` writes one SVG per flow here."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

LANE, ROW, TOP, MARGIN = 330, 46, 70, 110
INK, QUIET, ACCENT = "#1a1a1c", "#626264", "#0017c1"

MEMBER, APP, KUMIAI = 0, 1, 2
LANES = ("Member's browser", "Your app", "Kumiai")

Step = tuple[int, int, str]

FLOWS: dict[str, tuple[tuple[str, ...], list[Step]]] = {
    "oauth-code": (
        LANES,
        [
            (MEMBER, APP, "“Connect my e-money”"),
            (APP, MEMBER, "303 to /oauth/authorize (state, nonce, PKCE challenge)"),
            (MEMBER, KUMIAI, "sign in: password, then the mailed code"),
            (MEMBER, KUMIAI, "アクセス許可: boxes, ceilings, “Allow access”"),
            (KUMIAI, MEMBER, "303 to your redirect_uri (code, state, iss)"),
            (MEMBER, APP, "code, state, iss: check state and iss"),
            (APP, KUMIAI, "POST /oauth/token (code, PKCE verifier)"),
            (KUMIAI, APP, "access token, refresh token, ID token, what was allowed"),
            (APP, KUMIAI, "GET /v1/wallets, POST /v1/payments (Bearer)"),
        ],
    ),
    "oauth-fapi2": (
        LANES,
        [
            (APP, KUMIAI, "POST /oauth/par (assertion, DPoP proof, the whole request)"),
            (KUMIAI, APP, "201 request_uri, good once and for minutes"),
            (APP, MEMBER, "303 to /oauth/authorize (client_id, request_uri)"),
            (MEMBER, KUMIAI, "sign in, アクセス許可"),
            (KUMIAI, MEMBER, "303 to your redirect_uri (code, state, iss)"),
            (MEMBER, APP, "code, state, iss: check state and iss"),
            (APP, KUMIAI, "POST /oauth/token (assertion, DPoP proof, code, verifier)"),
            (KUMIAI, APP, "token_type DPoP: worth nothing without your key"),
            (APP, KUMIAI, "GET /v1/… (Authorization: DPoP, a fresh proof each time)"),
        ],
    ),
    "oauth-device": (
        ("Member's phone", "Your device", "Kumiai"),
        [
            (APP, KUMIAI, "POST /oauth/device_authorization"),
            (KUMIAI, APP, "device_code, user_code, verification_uri"),
            (APP, MEMBER, "shows: open …/oauth/device and type WDJB-MJHT"),
            (APP, KUMIAI, "POST /oauth/token (device_code), every 5 seconds"),
            (KUMIAI, APP, "authorization_pending"),
            (MEMBER, KUMIAI, "sign in, type the code, アクセス許可"),
            (APP, KUMIAI, "POST /oauth/token (device_code)"),
            (KUMIAI, APP, "access token, refresh token, what was allowed"),
        ],
    ),
    "oauth-step-up": (
        LANES,
        [
            (APP, KUMIAI, "POST /v1/payments, above the step-up amount"),
            (KUMIAI, APP, "401 insufficient_user_authentication, max_age=300"),
            (APP, MEMBER, "303 to /oauth/authorize (the same, and max_age=300)"),
            (MEMBER, KUMIAI, "sign in again; nothing new is asked"),
            (KUMIAI, MEMBER, "303 to your redirect_uri (code, state, iss)"),
            (MEMBER, APP, "code, state, iss"),
            (APP, KUMIAI, "POST /oauth/token"),
            (APP, KUMIAI, "POST /v1/payments again, with the same Idempotency-Key"),
            (KUMIAI, APP, "201: paid, once"),
        ],
    ),
    "api-lost-reply": (
        ("Your app", "Kumiai"),
        [
            (0, 1, "POST /v1/payments, Idempotency-Key: order-17"),
            (1, 0, "201: paid. It gets lost on its way"),
            (0, 1, "the same request, with the same key"),
            (1, 0, "201, the same answer, Idempotency-Hit: true"),
        ],
    ),
    "api-shop-code": (
        ("Member's app", "Till", "Kumiai"),
        [
            (APP, KUMIAI, "POST /v1/shop-codes (amount)"),
            (KUMIAI, APP, "code, url: shown as a QR code"),
            (APP, MEMBER, "the member scans it"),
            (MEMBER, KUMIAI, "GET /v1/shop-codes/scanned: shop, amount"),
            (MEMBER, KUMIAI, "POST /v1/payments/by-code (Idempotency-Key)"),
            (APP, KUMIAI, "GET /v1/shop-codes/{id}, every second"),
            (KUMIAI, APP, "used, transaction_id; or why the last scan did not pay"),
        ],
    ),
    "api-member-code": (
        ("Member's app", "Till", "Kumiai"),
        [
            (MEMBER, KUMIAI, "POST /v1/codes, again every 30 seconds"),
            (KUMIAI, MEMBER, "code, good for 60 seconds"),
            (MEMBER, APP, "the till scans it"),
            (APP, KUMIAI, "POST /v1/code-payments (code, amount, Idempotency-Key)"),
            (KUMIAI, APP, "201: amount, new balance"),
            (MEMBER, KUMIAI, "GET /v1/codes/{id}: used"),
        ],
    ),
}


def picture(lanes: tuple[str, ...], steps: list[Step]) -> str:
    """One flow as an SVG."""
    width, height = 2 * MARGIN + LANE * (len(lanes) - 1), TOP + ROW * len(steps) + 40
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            'font-family="system-ui, sans-serif" font-size="12">',
            f"<title>{escape(' – '.join(lanes))}</title>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            f'orient="auto"><path d="M0 0 8 4 0 8z" fill="{ACCENT}"/></marker></defs>',
            *_lanes(lanes, height),
            *_steps(steps),
            "</svg>\n",
        ]
    )


def _lanes(lanes: tuple[str, ...], height: int) -> Iterator[str]:
    for number, name in enumerate(lanes):
        x = MARGIN + LANE * number
        yield f'<rect x="{x - 80}" y="14" width="160" height="30" rx="6" fill="#f1f1f4" stroke="{QUIET}"/>'
        yield f'<text x="{x}" y="33" text-anchor="middle" font-weight="600" fill="{INK}">{escape(name)}</text>'
        yield f'<path d="M{x} 44V{height - 14}" stroke="{QUIET}" stroke-dasharray="3 4"/>'


def _steps(steps: list[Step]) -> Iterator[str]:
    for number, (origin, target, words) in enumerate(steps):
        y = TOP + ROW * number + 22
        begin, end = MARGIN + LANE * origin, MARGIN + LANE * target
        yield f'<path d="M{begin} {y}H{end}" stroke="{ACCENT}" stroke-width="1.5" marker-end="url(#tip)"/>'
        middle = (begin + end) / 2
        label = f"{number + 1}. {words}"
        yield (
            f'<text x="{middle}" y="{y - 8}" text-anchor="middle" fill="{INK}" paint-order="stroke" '
            f'stroke="#fff" stroke-width="5">{escape(label)}</text>'
        )


def main() -> None:
    for name, (lanes, steps) in FLOWS.items():
        (Path(__file__).parent / f"{name}.svg").write_text(picture(lanes, steps))


if __name__ == "__main__":
    main()
