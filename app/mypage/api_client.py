"""The server's public API (`/v1`), as far as the member page uses it. What may not be read comes back as None."""

from __future__ import annotations

from typing import Any

import requests
from authlib.integrations.base_client import InvalidTokenError, OAuthError
from authlib.integrations.requests_client import OAuth2Session

from app.mypage.errors import AccessEnded, NotAllowed, Refused, ServerAway, SignInAgain, Unsure
from app.mypage.oauth_client import server_within_reach

Answer = dict[str, Any]


class MemberApi:
    """One member's data, in one language.

    Reading raises AccessEnded, ServerAway and Refused; what moves value raises NotAllowed, SignInAgain and Unsure too.
    """

    def __init__(self, session: OAuth2Session, *, base_url: str, locale: str) -> None:
        self._session = session
        self._base_url = base_url
        self._locale = locale

    def me(self) -> Answer:
        """`name` (or None) and the `scopes` the member gave."""
        return self._get("/v1/me") or {"name": None, "scopes": []}

    def wallets(self) -> list[Answer] | None:
        """The member's wallets with their balances."""
        found = self._get("/v1/wallets")
        return found["wallets"] if found else None

    def monies(self) -> list[Answer]:
        """The co-op's monies and their rules."""
        found = self._get("/v1/monies")
        return found["monies"] if found else []

    def shops(self) -> list[Answer]:
        """The shops that members may pay at through this page, and what each accepts."""
        found = self._get("/v1/shops")
        return found["shops"] if found else []

    def transactions(self, **query: Any) -> Answer | None:
        """`transactions`, newest first, and the `next_cursor` to older ones."""
        given = {name.rstrip("_"): value for name, value in query.items() if value not in (None, "")}
        return self._get("/v1/transactions", **given)

    def transaction(self, transaction_id: str) -> Answer | None:
        return self._get(f"/v1/transactions/{transaction_id}")

    def by_request(self, key: str) -> Answer:
        """What became of the request that was sent with this key."""
        return self._get(f"/v1/transactions/by-request/{key}") or {}

    def file(self, path: str) -> requests.Response | None:
        """A file of the API as it comes, to be handed on."""
        response = self._send("GET", path, stream=True)
        return None if response.status_code == requests.codes.forbidden else _checked(response)

    def scanned(self, code: str) -> Answer | None:
        """What a shop's code asks for."""
        return self._get("/v1/shop-codes/scanned", code=code)

    def try_payment(self, **body: Any) -> Answer:
        """What would become of a payment; nothing moves."""
        return self._ask("/v1/payments", {**body, "dry_run": True}, scope="payment")

    def pay_by_code(self, *, key: str, code: str, money: str, strategy: str) -> Answer:
        """Pay what a shop's code asks for."""
        body = {"code": code, "money": money, "strategy": strategy}
        return self._move_value("/v1/payments/by-code", body, key=key, scope="payment")

    def try_move(self, *, source: str, target: str, amount_yen: int) -> Answer:
        """What would become of a move; nothing moves."""
        body = {"from": source, "to": target, "amount_yen": amount_yen, "dry_run": True}
        return self._ask("/v1/moves", body, scope="move")

    def move(self, *, key: str, source: str, target: str, amount_yen: int) -> Answer:
        body = {"from": source, "to": target, "amount_yen": amount_yen}
        return self._move_value("/v1/moves", body, key=key, scope="move")

    def new_code(self) -> Answer:
        """A one-time code to be shown to a till."""
        return self._ask("/v1/codes", {}, scope="payment")

    def charge_options(self) -> Answer | None:
        """What may be charged now, and how."""
        return self._get("/v1/charges/options")

    def charges(self, *, cursor: str | None = None) -> Answer | None:
        """`charges`, newest first, and the `next_cursor` to older ones."""
        return self._get("/v1/charges", **({"cursor": cursor} if cursor else {}))

    def charge(self, charge_id: str) -> Answer | None:
        return self._get(f"/v1/charges/{charge_id}")

    def order_charge(self, *, key: str, **body: Any) -> Answer:
        """Order a charge; the same key again is the same order."""
        return self._move_value("/v1/charges", body, key=key, scope="charge")

    def cancel_charge(self, charge_id: str) -> Answer:
        return self._ask(f"/v1/charges/{charge_id}/cancel", {}, scope="charge")

    def change_chain(self, charge_id: str, *, key: str, chain: str) -> Answer:
        """Another slip in the place of this one."""
        return self._move_value(f"/v1/charges/{charge_id}/chain", {"chain": chain}, key=key, scope="charge")

    def charge_links(self) -> list[Answer]:
        """The member's charge links that work."""
        found = self._get("/v1/charge-links")
        return found["links"] if found else []

    def new_charge_link(self, *, money: str, shown_as: str) -> Answer:
        """With its `url`, which is told this once."""
        return self._ask("/v1/charge-links", {"money": money, "shown_as": shown_as}, scope="charge")

    def end_charge_link(self, link_id: str) -> None:
        _checked(self._send("DELETE", f"/v1/charge-links/{link_id}"))

    def find_charge_link(self, code: str) -> Answer:
        """Whose wallet it is for: `shown_as` and `money`."""
        return self._ask("/v1/charge-links/find", {"code": code}, scope="charge")

    def cards(self) -> Answer | None:
        """`cards`, those in use first, and the state of the member's `pin`."""
        return self._get("/v1/cards")

    def report_card_lost(self, card_id: str) -> None:
        self._ask(f"/v1/cards/{card_id}/lost", {}, scope="card")

    def card_code(self) -> Answer:
        """By which a till registers a card: `code`, told this once, and `expires_at`."""
        return self._ask("/v1/cards/registration-codes", {}, scope="card")

    def set_pin(self, pin: str) -> None:
        _checked(self._send("PUT", "/v1/cards/pin", json={"pin": pin}))

    def code_status(self, code_id: str) -> Answer | None:
        return self._get(f"/v1/codes/{code_id}")

    def _get(self, path: str, **query: Any) -> Answer | None:
        response = self._send("GET", path, params=query)
        if response.status_code == requests.codes.forbidden:
            return None
        with server_within_reach():
            body: Answer = _checked(response).json()
            return body

    def _ask(self, path: str, body: Answer, *, scope: str, **headers: str) -> Answer:
        response = self._send("POST", path, json=body, headers=headers)
        with server_within_reach():
            if response.status_code == requests.codes.forbidden and _problem(response)["code"] == "insufficient_scope":
                raise NotAllowed(scope)
            answer: Answer = _checked(response).json()
            return answer

    def _move_value(self, path: str, body: Answer, *, key: str, scope: str) -> Answer:
        """A lost answer, and one that says to ask again, is not a no."""
        try:
            return self._ask(path, body, scope=scope, **{"Idempotency-Key": key})
        except ServerAway as error:
            raise Unsure(str(error)) from error
        except Refused as error:
            if error.code == "request_in_progress":
                raise Unsure(error.code) from error
            raise

    def _send(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> Any:
        with server_within_reach():
            try:
                return self._session.request(
                    method,
                    f"{self._base_url}{path}",
                    headers={"Accept-Language": self._locale, **(headers or {})},
                    **options,
                )
            except (InvalidTokenError, OAuthError) as error:  # expired, and could not be renewed
                raise AccessEnded(str(error)) from error


def _checked(response: requests.Response) -> requests.Response:
    """The response, if it says yes."""
    status = response.status_code
    if status == requests.codes.too_many_requests:
        raise ServerAway("too many requests")
    if status == requests.codes.unauthorized:
        raise _signed_in_too_long_ago(response) or AccessEnded("the access token was refused")
    with server_within_reach():
        if status >= 500:
            response.raise_for_status()
        if status >= 400:
            raise Refused(_problem(response))
    return response


def _signed_in_too_long_ago(response: requests.Response) -> SignInAgain | None:
    """RFC 9470 section 3. The server says `max_age` in the header; its problem says it too."""
    with server_within_reach():
        problem = _problem(response)
    if problem["code"] != "insufficient_user_authentication":
        return None
    return SignInAgain(int(problem["max_age_s"]))


def _problem(response: requests.Response) -> Answer:
    """The problem an answer tells; what is none is a server in trouble."""
    problem = response.json()
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        raise ValueError("an answer without a code")
    return problem
