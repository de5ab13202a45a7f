"""The server's public API (`/v1`), as far as the member page reads it. What may not be read comes back as None."""

from __future__ import annotations

from typing import Any

from authlib.integrations.base_client import InvalidTokenError, OAuthError
from authlib.integrations.requests_client import OAuth2Session

from app.mypage.errors import AccessEnded, ServerAway
from app.mypage.oauth_client import server_within_reach


class BadCursor(Exception):
    """The server does not know this place in the history."""


class MemberApi:
    """One member's data, in one language. Each method raises AccessEnded or ServerAway."""

    def __init__(self, session: OAuth2Session, *, base_url: str, locale: str) -> None:
        self._session = session
        self._base_url = base_url
        self._locale = locale

    def name(self) -> str | None:
        """What the member is called."""
        me = self._get("/v1/me")
        return me["name"] if me else None

    def wallets(self) -> list[dict[str, Any]] | None:
        """The member's wallets with their balances."""
        found = self._get("/v1/wallets")
        return found["wallets"] if found else None

    def transactions(self, *, limit: int, cursor: str | None = None) -> dict[str, Any] | None:
        """`transactions`, newest first, and the `next_cursor` to older ones. Raises BadCursor."""
        return self._get("/v1/transactions", limit=limit, **({"cursor": cursor} if cursor else {}))

    def _get(self, path: str, **query: str | int) -> dict[str, Any] | None:
        with server_within_reach():
            try:
                response = self._session.get(
                    f"{self._base_url}{path}", params=query, headers={"Accept-Language": self._locale}
                )
            except (InvalidTokenError, OAuthError) as error:  # expired, and could not be renewed
                raise AccessEnded(str(error)) from error
            match response.status_code:
                case 401:
                    raise AccessEnded("the access token was refused")
                case 403:
                    return None
                case 422:
                    raise BadCursor
                case 429:
                    raise ServerAway("too many requests")
            response.raise_for_status()
            body: dict[str, Any] = response.json()
            return body
