"""Array literals: what goes to PostgreSQL as one comes back as it was, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wallet.documents import array, sparse

TEXTS = st.lists(
    st.none()
    | st.sampled_from(
        ["", "NULL", "null", "{}", '"', "\\", 'a "b" \\c', "改行\nと\tタブ", "昼食 🍙", '{"items": ["a"]}']
    )
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


@given(values=TEXTS)
def test_texts_arrive_as_they_are(connection: psycopg.Connection, values: list[str | None]) -> None:
    assert connection.execute("SELECT %s::text[]", [array(values)]).fetchone() == (values,)


@given(values=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_numbers_arrive_as_they_are(connection: psycopg.Connection, values: list[int | None]) -> None:
    assert connection.execute("SELECT %s::bigint[]", [array(values)]).fetchone() == (values,)


def test_a_column_that_nobody_fills_in_is_filled_up_with_nulls(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        "SELECT * FROM unnest(%s::int[], %s::text[]) AS r(n, said)", [array([1, 2]), sparse([None, None])]
    )
    assert rows.fetchall() == [(1, None), (2, None)]
