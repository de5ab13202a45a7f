"""A sandbox gateway for the tests of charging."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from app.db import dispose
from app.factory import create_app
from app.settings import Settings
from tests.charge.scene import Scene
from tests.charge.vendor import Vendor, vendor


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
def charging_app(app: Flask, settings: Settings, sandbox_process: Vendor) -> Iterator[Flask]:
    """The server with the sandbox as its gateway."""
    made = create_app(replace(settings, **sandbox_process.settings))
    yield made
    with made.app_context():
        dispose()


@pytest.fixture
def scene(charging_app: Flask, sandbox: Vendor) -> Iterator[Scene]:
    """A member who charges. In the end the books are clean."""
    made = Scene(charging_app, sandbox)
    yield made
    made.clean()
