from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from app.db import database_url
from app.wallet.verify import verify


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


@pytest.fixture(autouse=True, scope="module")
def _books_stay_clean(app: Flask) -> Iterator[None]:
    """Whatever the tests of a module did, the books add up."""
    yield
    with app.app_context():
        assert verify(database_url())[1] == []
