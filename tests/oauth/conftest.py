"""An app's developer, a member at a browser, and what passes between them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from app import clock
from app.db import autocommit, transaction
from app.ids import new_secret, secret_hash
from app.member.models import MemberSession
from app.wallet import directory
from tests import factories

RESOURCE = 'resource_metadata="http://localhost:8000/.well-known/oauth-protected-resource"'
BARE = f'Bearer realm="kumiai", {RESOURCE}, DPoP realm="kumiai", algs="ES256 PS256 EdDSA", {RESOURCE}'
"""The challenge to a request without a token."""
VERIFIER = factories.CODE_VERIFIER
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Member:
    """A member and the browser they are signed in with."""

    id: UUID
    browser: FlaskClient


@dataclass(frozen=True)
class ThirdParty:
    """An app registered here, which speaks to the server as its developer wrote it."""

    app: Flask
    id: str
    secret: str | None
    redirect_uri: str
    shop_id: UUID | None = None
    shop: str | None = None
    """The code of its shop."""

    def query(self, **changes: str | None) -> str:
        """An authorization request in good order, with changes; None leaves a parameter out."""
        parameters = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid balance history",
            "state": "st4te",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return urlencode({name: value for name, value in parameters.items() if value is not None})

    def address(self, **changes: str | None) -> str:
        return f"/oauth/authorize?{self.query(**changes)}"

    def answer(
        self,
        member: Member,
        *,
        ticked: Sequence[str] = ("balance", "history"),
        ceiling: str | None = None,
        decision: str | None = "allow",
        typed: Mapping[str, Any] | None = None,
        **changes: str | None,
    ) -> TestResponse:
        """The member opens the consent page, ticks boxes, types limits (None: no such field), presses a button."""
        page = member.browser.get(self.address(**changes))
        assert page.status_code == 200, (page.status_code, page.headers.get("Location"), page.text)
        form: dict[str, Any] = {**filled(page), "permission": list(ticked), "decision": decision, **(typed or {})}
        if ceiling is not None:
            form["max_per_payment_yen"] = ceiling
        form = {name: value for name, value in form.items() if value is not None}
        return member.browser.post(self.address(**changes), data=form)

    def code(self, member: Member, **how: Any) -> str:
        """The code of a consent."""
        return sent_back(self.answer(member, **how))["code"]

    def post(self, path: str = "/oauth/token", *, basic: bool = True, **form: str) -> TestResponse:
        headers = {}
        if self.secret is None:
            form = {"client_id": self.id, **form}
        elif basic:
            credentials = base64.b64encode(f"{self.id}:{self.secret}".encode()).decode()
            headers["Authorization"] = f"Basic {credentials}"
        else:
            form = {"client_id": self.id, "client_secret": self.secret, **form}
        return self.app.test_client().post(path, data=form, headers=headers)

    def redeem(self, code: str, **changes: str) -> TestResponse:
        form = {
            "grant_type": "authorization_code",
            "redirect_uri": self.redirect_uri,
            "code_verifier": VERIFIER,
            **changes,
        }
        return self.post(code=code, **form)

    def refresh(self, token: str, **form: str) -> TestResponse:
        return self.post(grant_type="refresh_token", refresh_token=token, **form)

    def tokens(self, member: Member, **how: Any) -> dict[str, Any]:
        """The tokens of a consent."""
        response = self.redeem(self.code(member, **how))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.get_json()
        return answer

    def userinfo(self, access_token: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {access_token}"}
        return self.app.test_client().get("/oauth/userinfo", headers=headers)


def hidden(page: TestResponse) -> dict[str, list[str]]:
    """What a page's form carries unseen."""
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text):
        fields.setdefault(name, []).append(value)
    assert "csrf_token" in fields, page.text
    return fields


def filled(page: TestResponse) -> dict[str, list[str]]:
    """What a page's form sends when nothing is typed: hidden fields, texts and days, and boxes that are ticked."""
    fields: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", page.text, re.DOTALL):
        field = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        if "name" in field and (field["type"] != "checkbox" or re.search(r"\schecked\b", tag)):
            fields.setdefault(field["name"], []).append(field.get("value", ""))
    assert "csrf_token" in fields, page.text
    return fields


def sent_back(response: TestResponse) -> dict[str, str]:
    """The parameters a redirect gives back to the client."""
    assert response.status_code == 303, (response.status_code, response.text)
    parameters = parse_qs(urlsplit(response.headers["Location"]).query, strict_parsing=True)
    assert all(len(values) == 1 for values in parameters.values()), parameters
    return {name: values[0] for name, values in parameters.items()}


def payment_detail(yen: object, **limits: object) -> str:
    """`authorization_details` that ask for payments of `yen`, and for these limits."""
    return json.dumps([{"type": "payment", "max_per_payment_yen": yen, **limits}])


@pytest.fixture
def new_member(app: Flask) -> Callable[..., Member]:
    """Makes members who are signed in (since `auth_time`)."""

    def make(*, auth_time: datetime | None = None) -> Member:
        with app.app_context():
            member_id = factories.member()
        browser = app.test_client()
        sign_in(app, browser, member_id, auth_time=auth_time)
        return Member(id=member_id, browser=browser)

    return make


def sign_in(app: Flask, browser: FlaskClient, member_id: UUID, *, auth_time: datetime | None = None) -> None:
    """A session such as password and code would have begun."""
    secret, now = new_secret("kss_"), clock.now()
    with app.app_context(), transaction() as session:
        session.add(
            MemberSession(
                secret_hash=secret_hash(secret),
                member_id=member_id,
                auth_time=auth_time or now,
                expires_at=now + timedelta(hours=1),
            )
        )
    with browser.session_transaction() as cookie:
        cookie["sid"] = secret


@pytest.fixture
def member(new_member: Callable[..., Member]) -> Member:
    return new_member()


@pytest.fixture
def new_third_party(app: Flask) -> Callable[..., ThirdParty]:
    """Registers apps; each may take payments for a shop of its own."""

    def make(*, profile: str = "web", **registration: Any) -> ThirdParty:
        with app.app_context():
            shop_id = factories.shop(accepts=[factories.money()], name_ja="北食堂", name_en="North Canteen")
            registration.setdefault("allowed_shops", [shop_id])
            client = factories.oauth_client(profile=profile, **registration)
            code = directory.shop_by_id(shop_id).code
        return ThirdParty(
            app=app,
            id=client.id,
            secret=client.secret,
            redirect_uri=client.redirect_uris[0] if client.redirect_uris else "",
            shop_id=shop_id,
            shop=code,
        )

    return make


@pytest.fixture
def third_party(new_third_party: Callable[..., ThirdParty]) -> ThirdParty:
    return new_third_party()


@pytest.fixture
def rows(app: Flask) -> Callable[..., list[Any]]:
    """What the database holds, read from outside of any request."""

    def read(statement: str, **values: Any) -> list[Any]:
        with app.app_context(), autocommit().connect() as connection:
            result = connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    return read


@pytest.fixture
def living(rows: Callable[..., list[Any]]) -> Callable[[str], int]:
    """How many tokens of a client are not revoked."""

    def count(client_id: str) -> int:
        statement = "SELECT count(*) FROM oauth_token WHERE client_id = :client AND revoked_at IS NULL"
        return int(rows(statement, client=client_id)[0][0])

    return count
