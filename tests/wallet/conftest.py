from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.wallet.poster import Poster


@pytest.fixture
def posters(fresh_database: str) -> Iterator[tuple[Poster, Poster]]:
    """Two of them at one database of the test's own: they stand for two web processes."""
    pair = (Poster(fresh_database), Poster(fresh_database))
    yield pair
    for poster in pair:
        poster.close()
