"""The sandbox gateway in this process, over a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.charge.sandbox.factory import create_sandbox
from app.charge.sandbox.gateway import EXTENSION, Sandbox
from app.charge.sandbox.settings import SandboxSettings
from app.charge.sandbox.storage import Storage

KEY = "sk_sandbox_test"
RETURN_URL = "http://localhost:8001/charge/return?order=1"
_TOKEN = re.compile(r'name="token" value="([^"]+)"')


@dataclass
class Desk:
    """A merchant and a customer before one sandbox. Nothing is sent: there are no threads."""

    sandbox: Sandbox
    client: FlaskClient

    def api(self, method: str, path: str, json: Any = None, **options: Any) -> TestResponse:
        """A call of the merchant's server, or of a script."""
        return self.client.open(path, method=method, json=json, auth=(KEY, ""), **options)

    def card(self, **changes: Any) -> dict[str, Any]:
        """A new card payment."""
        made = self.api("POST", "/v1/payments", card_order(**changes))
        assert made.status_code == 201, made.text
        return dict(made.get_json())

    def slip(self, **changes: Any) -> dict[str, Any]:
        """A new slip."""
        made = self.api("POST", "/v1/payments", slip_order(**changes))
        assert made.status_code == 201, made.text
        return dict(made.get_json())

    def seen(self, ref: str) -> dict[str, Any]:
        """A payment with its events."""
        return dict(self.api("GET", f"/test/payments/{ref}").get_json())

    def fault(self, kind: str, **how: Any) -> None:
        assert self.api("POST", "/test/faults", {"kind": kind, **how}).status_code == 201

    def post(self, path: str, *, page: str | None = None, **form: str) -> TestResponse:
        """Send a form of the page at `page` (default: where it is sent to)."""
        token = _TOKEN.search(self.client.get(page or path).text)
        assert token is not None
        return self.client.post(path, data={"token": token[1], **form})


def card_order(**changes: Any) -> dict[str, Any]:
    given = {
        "method": "card",
        "order_id": str(uuid4()),
        "amount_yen": 5_000,
        "description": "学食 チャージ",
        "return_url": RETURN_URL,
    }
    return {name: value for name, value in {**given, **changes}.items() if value is not ...}


def slip_order(**changes: Any) -> dict[str, Any]:
    given = {
        "method": "konbini",
        "order_id": str(uuid4()),
        "amount_yen": 3_000,
        "description": "教科書 チャージ",
        "chain": "seicomart",
        "name": "組合 花子",
        "name_kana": "クミアイ ハナコ",
        "email": "hanako@example.ac.jp",
        "phone": "09012345678",
        "pay_until": (datetime.now(UTC) + timedelta(days=7)).isoformat(),
    }
    return {name: value for name, value in {**given, **changes}.items() if value is not ...}


def _sandbox(folder: Path) -> Sandbox:
    settings = SandboxSettings(key=KEY, webhook_secret="whsec_" + "c2VjcmV0" * 4, folder=folder)
    return Sandbox(settings, Storage(folder))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The application; its templates are compiled once."""
    return create_sandbox(_sandbox(tmp_path_factory.mktemp("program")))


@pytest.fixture
def desk(program: Flask, tmp_path: Path) -> Iterator[Desk]:
    sandbox = _sandbox(tmp_path)
    program.extensions[EXTENSION] = sandbox
    yield Desk(sandbox, program.test_client())
    sandbox.storage.close()
