"""A sandbox gateway for the tests of charging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask

from app.db import dispose
from app.factory import create_app
from app.settings import Settings
from app.wallet import ledger
from tests import factories
from tests.charge.scene import Scene
from tests.charge.vendor import Vendor, vendor
from tests.conftest import TestServer


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    with vendor(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def sandbox(sandbox_process: Vendor) -> Iterator[Vendor]:
    """The session's sandbox gateway, with nothing set to go wrong and webhooks that wait.

    Tests share its payments: ask for those of your own.
    """
    yield sandbox_process
    sandbox_process.calm()


@pytest.fixture(scope="session")
def charging_app(
    postgres: TestServer, template: str, make_settings: Callable[[str], Settings], sandbox_process: Vendor
) -> Iterator[Flask]:
    """The server with the sandbox as its gateway, over a database of its own: all of its books must agree."""
    with postgres.database(template=template) as name:
        made = create_app(replace(make_settings(postgres.url(name)), **sandbox_process.settings))
        with made.app_context():
            factories.issuer()
        yield made
        ledger.close()
        with made.app_context():
            dispose()


@pytest.fixture
def scene(charging_app: Flask, sandbox: Vendor) -> Iterator[Scene]:
    """A member who charges. In the end the books are clean."""
    made = Scene(charging_app, sandbox)
    yield made
    made.clean()
