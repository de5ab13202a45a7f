from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from app.db import database_url
from app.wallet.verify import verify


@pytest.fixture(autouse=True)
def _books_stay_clean(app: Flask) -> Iterator[None]:
    """Every test runs in an app context, and leaves books that add up."""
    with app.app_context():
        yield
        assert verify(database_url())[1] == []
