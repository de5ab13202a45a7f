"""A member with three monies at a shop, as their app, another app and the shop's back office see them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.db import transaction
from app.oauth.clients import register_client
from app.wallet import directory
from tests import factories
from tests.wallet.world import World

ALL = ("history", "balance", "profile")


class Books(World):
    """A world, and ways of reading it over HTTP."""

    def __init__(self, http: FlaskClient) -> None:
        super().__init__()
        self.http = http
        self.client_id = factories.oauth_client().id
        self.tokens: dict[Any, str] = {}

    @property
    def shop(self) -> str:
        return directory.shop_by_id(self.shop_id).code

    def get(self, path: str, *, scopes: tuple[str, ...] = ALL, language: str = "ja", **query: Any) -> TestResponse:
        """As the member's app."""
        if scopes not in self.tokens:
            self.tokens[scopes] = factories.access_token(
                member_id=self.member_id, client_id=self.client_id, scopes=scopes
            )
        return self._get(path, self.tokens[scopes], language, query)

    def get_as_shop(self, path: str, *shops: Any, **query: Any) -> TestResponse:
        """As the back office of these shops."""
        key = ("office", *shops)
        if key not in self.tokens:
            self.tokens[key] = back_office(*shops)
        return self._get(path, self.tokens[key], "ja", query)

    def page(self, **query: Any) -> dict[str, Any]:
        answer = self.get("/v1/transactions", **query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.get_json()
        return page

    def found(self, **query: Any) -> list[int]:
        """The amounts of a page."""
        return [one["amount_yen"] for one in self.page(**query)["transactions"]]

    def _get(self, path: str, token: str, language: str, query: dict[str, Any]) -> TestResponse:
        query = {name.rstrip("_"): value for name, value in query.items()}
        headers = {"Authorization": f"Bearer {token}", "Accept-Language": language}
        return self.http.get(path, query_string=query, headers=headers)


def back_office(*shops: Any) -> str:
    """A token of a program that reads these shops' books."""
    with transaction():
        row, _ = register_client(
            client_id=f"c_{secrets.token_hex(6)}",
            name_ja="売上管理",
            name_en="Back office",
            profile="service",
            scopes=["shop:read"],
            redirect_uris=[],
            allowed_shops=list(shops),
        )
        client_id = row.id
    return factories.access_token(member_id=None, client_id=client_id, scopes=["shop:read"])


@pytest.fixture
def books(app: Flask, client: FlaskClient) -> Iterator[Books]:
    with app.app_context():
        yield Books(client)
