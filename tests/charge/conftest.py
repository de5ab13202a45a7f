"""A sandbox gateway for the tests of charging."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
