"""Amounts and instants as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from app.web.formats import moment, signed_yen


@pytest.mark.parametrize(
    ("amount_yen", "text"), [(1_234_567, "+¥1,234,567"), (-380, "−¥380"), (0, "¥0")], ids=["in", "out", "nothing"]
)
def test_signed_yen(amount_yen: int, text: str) -> None:
    assert signed_yen(amount_yen) == text


@pytest.mark.parametrize(("locale", "text"), [("ja", "2020年1月1日 0:05"), ("en", "1 Jan 2020 0:05")])
def test_moment_is_in_the_issuer_s_time_zone(app: Flask, locale: str, text: str) -> None:
    with app.test_request_context(headers={"Accept-Language": locale}):
        assert moment("2019-12-31T15:05:00+00:00") == text  # already New Year in Tokyo
        assert moment(datetime(2019, 12, 31, 15, 5, tzinfo=UTC)) == text


def test_moment_names_the_year_only_where_it_is_not_this_one(app: Flask) -> None:
    now = datetime.now(UTC) + timedelta(hours=9)  # Tokyo has no summer time
    with app.test_request_context(headers={"Accept-Language": "ja"}):
        assert moment(f"{now.year}-06-15T03:34:00Z") == "6月15日 12:34"
        assert moment(f"{now.year - 1}-06-15T03:34:00Z") == f"{now.year - 1}年6月15日 12:34"
