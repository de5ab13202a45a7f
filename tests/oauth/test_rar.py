"""Authorization details of type `payment` (RFC 9396): what a client may ask, and what it is told it got."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from app.issuer import issuer_today
from app.wallet import directory
from tests import factories
from tests.oauth.conftest import Member, ThirdParty, filled, sent_back

DEFAULTS = {"max_per_payment_yen": 3_000, "max_per_day_yen": 10_000, "max_per_month_yen": 50_000}


def details(**limits: object) -> dict[str, str | None]:
    """The parameters of a request for payment within these limits."""
    return {"scope": "payment", "authorization_details": json.dumps([{"type": "payment", **limits}])}


def told(third_party: ThirdParty, member: Member, asked: dict[str, str | None], **typed: Any) -> dict[str, Any]:
    """The one authorization detail of the token response, the member having allowed what was offered or typed."""
    answer = third_party.tokens(member, ticked=["payment"], typed=typed, **asked)
    assert answer["scope"] == "payment"
    (detail,) = answer["authorization_details"]
    assert detail.pop("type") == "payment"
    assert isinstance(detail, dict)
    return detail


@pytest.fixture
def day(app: Flask) -> Callable[[int], str]:
    """A day so many days from the issuer's today, as ISO 8601 writes it."""

    def from_today(days: int) -> str:
        with app.app_context():
            return (issuer_today() + timedelta(days=days)).isoformat()

    return from_today


@pytest.fixture
def two_shops(app: Flask, new_third_party: Callable[..., ThirdParty]) -> tuple[ThirdParty, str, str]:
    """An app that may take payments for two shops, and their codes."""
    with app.app_context():
        money = factories.money()
        shops = [factories.shop(accepts=[money], name_ja=name) for name in ("東食堂", "西書籍部")]
        codes = [directory.shop_by_id(shop).code for shop in shops]
    return new_third_party(allowed_shops=shops), *codes


def test_every_limit_that_is_asked_for_can_be_given(
    app: Flask, third_party: ThirdParty, member: Member, day: Callable[[int], str]
) -> None:
    with app.app_context():
        money = factories.money()
    limits = {
        "money": [money],
        "shops": [third_party.shop],
        "max_per_payment_yen": 4_000,
        "max_per_day_yen": 20_000,
        "max_per_month_yen": 60_000,
        "until": day(30),
    }

    assert told(third_party, member, details(**limits)) == limits


def test_what_is_not_asked_for_is_the_issuers_default(third_party: ThirdParty, member: Member) -> None:
    assert told(third_party, member, details()) == {"shops": [third_party.shop], **DEFAULTS}


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ({"max_per_payment_yen": 20_000}, (20_000, 20_000, 50_000)),
        ({"max_per_payment_yen": 80_000}, (80_000, 80_000, 80_000)),
        ({"max_per_payment_yen": 20_000, "max_per_month_yen": 30_000}, (20_000, 20_000, 30_000)),
        ({"max_per_day_yen": 2_000}, (2_000, 2_000, 50_000)),
        ({"max_per_day_yen": 70_000}, (3_000, 70_000, 70_000)),
        ({"max_per_month_yen": 1_000}, (1_000, 1_000, 1_000)),
        ({"max_per_month_yen": 90_000}, (3_000, 10_000, 90_000)),
    ],
)
def test_defaults_are_fitted_to_the_ceilings_that_are_asked_for(
    third_party: ThirdParty, member: Member, asked: dict[str, int], offered: tuple[int, int, int]
) -> None:
    detail = told(third_party, member, details(**asked))

    assert tuple(detail[name] for name in DEFAULTS) == offered


def test_the_highest_ceilings_there_are(third_party: ThirdParty, member: Member) -> None:
    limits = {"max_per_payment_yen": 9_999_999, "max_per_day_yen": 99_999_999, "max_per_month_yen": 99_999_999}

    assert told(third_party, member, details(**limits)) == {"shops": [third_party.shop], **limits}


def test_only_the_shops_that_are_asked_for_are_offered(two_shops: tuple[ThirdParty, str, str], member: Member) -> None:
    third_party, east, _ = two_shops

    page = member.browser.get(third_party.address(**details(shops=[east])))

    assert "東食堂" in page.text
    assert "西書籍部" not in page.text
    assert told(third_party, member, details(shops=[east]))["shops"] == [east]


MALFORMED = [
    ("", "JSON"),
    ("{}", "array of one object"),
    ("[]", "array of one object"),
    ("[1]", "array of one object"),
    ("null", "array of one object"),
    ("[" * 5_000, "JSON"),
    ("[" * 50_000, "10000"),
    ('[{"type": "payment"}, {"type": "payment"}]', "array of one object"),
    ("[{}]", "type"),
    ('[{"type": "account"}]', "type"),
    ('[{"type": ["payment"]}]', "type"),
    ('[{"type": "payment", "type": "payment"}]', "twice"),
    ('[{"type": "payment", "max_per_day_yen": 1, "max_per_day_yen": 2}]', "twice"),
    ('[{"type": "payment", "max_per_day_yen": NaN}]', "max_per_day_yen"),
    ('[{"type": "payment", "max_per_day_yen": 1e3}]', "max_per_day_yen"),
    (f'[{{"type": "payment", "max_per_day_yen": {"9" * 5000}}}]', "JSON"),
    ('[{"type": "payment", "locations": ["https://x.example"]}]', "unknown field"),
    ('[{"type": "payment", "\\u65e5": 1}]', "unknown field"),
]


@pytest.mark.parametrize(("text", "problem"), MALFORMED)
def test_what_is_not_one_payment_object_goes_back_to_the_client(
    third_party: ThirdParty, member: Member, text: str, problem: str
) -> None:
    address = third_party.address(scope="payment", authorization_details=text)

    back = sent_back(member.browser.get(address))

    assert (back["error"], back["state"]) == ("invalid_authorization_details", "st4te")
    assert problem in back["error_description"]


WRONG = [
    *({name: value} for name in DEFAULTS for value in (0, -1, 1.5, "100", None, True, [1], 100_000_000)),
    {"max_per_payment_yen": 10_000_000},
    *({name: value} for name in ("shops", "money") for value in ([], "x", [1], [None], {}, None, ["a", "a"])),
    {"shops": ["no-such-shop"]},
    {"shops": ["\ud800"]},
    {"shops": ["x" * 2_000]},
    {"money": ["no_such"]},
    *({"until": value} for value in ("", "2050-13-01", "2050-02-30", "20500101", "2050-W01-1", "2050-1-1", 2050, None)),
    {"until": "2020-01-01"},
    {"until": "2050-01-01T00:00:00Z"},
    {"until": "２０５０-01-01"},
]


@pytest.mark.parametrize("limits", WRONG, ids=str)
def test_a_limit_that_cannot_be_meant_is_refused_by_its_name(
    third_party: ThirdParty, member: Member, limits: dict[str, object]
) -> None:
    back = sent_back(member.browser.get(third_party.address(**details(**limits))))

    assert back["error"] == "invalid_authorization_details"
    assert next(iter(limits)) in back["error_description"]


@pytest.mark.parametrize(
    "limits",
    [
        {"max_per_payment_yen": 2, "max_per_day_yen": 1},
        {"max_per_day_yen": 2, "max_per_month_yen": 1},
        {"max_per_payment_yen": 2, "max_per_month_yen": 1},
    ],
)
def test_ceilings_that_contradict_one_another_are_refused(
    third_party: ThirdParty, member: Member, limits: dict[str, object]
) -> None:
    back = sent_back(member.browser.get(third_party.address(**details(**limits))))

    assert back["error"] == "invalid_authorization_details"
    assert "must not fall" in back["error_description"]


def test_yesterday_is_too_late_and_today_is_not(
    third_party: ThirdParty, member: Member, day: Callable[[int], str]
) -> None:
    late = sent_back(member.browser.get(third_party.address(**details(until=day(-1)))))

    assert late["error"] == "invalid_authorization_details"
    assert told(third_party, member, details(until=day(0)))["until"] == day(0)


def test_a_shop_of_others_cannot_be_asked_for(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    other = new_third_party()

    back = sent_back(member.browser.get(third_party.address(**details(shops=[third_party.shop, other.shop]))))

    assert back["error"] == "invalid_authorization_details"
    assert "shops" in back["error_description"]


def test_what_was_lowered_is_told_at_every_token(
    third_party: ThirdParty, member: Member, day: Callable[[int], str]
) -> None:
    asked = details(max_per_payment_yen=2_000)
    asked["scope"] = "payment offline_access"
    lowered = {"max_per_payment_yen": "500", "max_per_day_yen": "600", "max_per_month_yen": "700", "until": day(3)}

    first = third_party.tokens(member, ticked=["payment"], typed=lowered, **asked)
    again = third_party.refresh(first["refresh_token"]).get_json()

    expected = {
        "type": "payment",
        "shops": [third_party.shop],
        "max_per_payment_yen": 500,
        "max_per_day_yen": 600,
        "max_per_month_yen": 700,
        "until": day(3),
    }
    assert first["authorization_details"] == again["authorization_details"] == [expected]


@pytest.mark.parametrize("grant_type", ["authorization_code", "refresh_token", "client_credentials"])
def test_a_token_cannot_be_asked_narrower_than_its_grant(
    third_party: ThirdParty, member: Member, grant_type: str
) -> None:
    """RFC 9396 section 6: refused, since the ledger holds every token to its grant. No code is lost by it."""
    code = third_party.code(member, ticked=["payment"], **details())

    refused = third_party.redeem(code, grant_type=grant_type, authorization_details="[]")

    assert (refused.status_code, refused.get_json()["error"]) == (400, "invalid_authorization_details")
    assert "authorization request" in refused.get_json()["error_description"]
    assert third_party.redeem(code).status_code == 200


def test_the_page_offers_exactly_what_is_asked(
    app: Flask, two_shops: tuple[ThirdParty, str, str], member: Member, day: Callable[[int], str]
) -> None:
    third_party, *codes = two_shops
    with app.app_context():
        monies = [factories.money(name_ja="学食マネー"), factories.money(name_ja="書籍マネー")]
    limits = {"money": monies, "shops": codes, "max_per_payment_yen": 1_234, "until": day(9)}

    form = filled(member.browser.get(third_party.address(**details(**limits))))

    assert sorted(form["money"]) == sorted(monies)
    assert len(form["shop"]) == 2
    assert (form["max_per_payment_yen"], form["until"]) == (["1234"], [day(9)])
