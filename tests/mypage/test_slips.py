"""The numbers of a slip and a chain's steps, as gateways differ: each calls for what it gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from app.mypage.factory import create_mypage
from app.mypage.settings import MypageSettings
from app.web.locale import translate

CHAINS = ("lawson", "ministop", "familymart", "seicomart", "daily_yamazaki", "seven_eleven")


@pytest.fixture(params=["ja", "en"])
def parts(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The macros of the charging pages, in each language."""
    settings = MypageSettings(key=b"k" * 32, client_secret="secret", issuer_url="http://localhost:9")
    app: Flask = create_mypage(settings)
    with app.test_request_context(headers={"Accept-Language": request.param}):
        yield app.jinja_env.get_template("mypage/charge_parts.html").module


def slip(**fields: str) -> dict[str, str | None]:
    return {"company_code": None, "receipt_no": "123456", "confirmation_no": None, "barcode": None, **fields}


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


@pytest.mark.parametrize("chain", CHAINS)
def test_every_chain_has_its_steps_before_and_after_it_is_ordered(parts: Any, chain: str) -> None:
    for html in (parts.chain_steps(chain), parts.chain_steps(chain, slip())):
        assert html.count("<li>") == html.count("<svg") >= 2
        assert "mypage." not in html, "a sentence is missing"
    assert parts.way_in_pictures(chain).count("<svg") == parts.chain_steps(chain).count("<li>")


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ({}, ["receipt_no.familymart"]),
        ({"company_code": "20020"}, ["company_code", "receipt_no.familymart"]),
        ({"confirmation_no": "09012345678"}, ["receipt_no.familymart", "confirmation_no.phone"]),
        ({"confirmation_no": "4321"}, ["receipt_no.familymart", "confirmation_no"]),
    ],
)
def test_the_step_at_the_machine_names_what_the_slip_has(parts: Any, given: dict[str, str], called: list[str]) -> None:
    said = words(parts.chain_steps("familymart", slip(**given)))
    names = {name: translate(f"mypage.slip.{name}").lower() for name in ("company_code", *called)}
    for name, shown in names.items():
        assert (shown in said) == (name in called)


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        ("20020", "20020"),
        ("123456", "123 456"),
        ("09012345678", "090 1234 5678"),
        ("123456789012", "1234 5678 9012"),
        ("1234567890123", "1234 5678 90123"),
        ("9" * 20, "9999 9999 9999 9999 9999"),
        ("9" * 23, "9999 9999 9999 9999 9999 999"),
        ("7", "7"),
    ],
)
def test_a_number_is_shown_whole_and_in_groups(parts: Any, digits: str, shown: str) -> None:
    assert words(parts.number("", digits)) == shown
