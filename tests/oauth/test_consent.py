"""アクセス許可: what the page asks, and what comes of the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from werkzeug.test import TestResponse

from app import clock
from app.db import transaction
from app.oauth import grants_service
from app.oauth.errors import InvalidGrant
from app.oauth.models import OAuthGrant
from app.wallet import directory
from app.wallet.spend_control import GrantControls
from tests import factories
from tests.oauth.conftest import Member, ThirdParty, filled, payment_detail, sent_back, sign_in

DEFAULT_CEILING = 3_000
DEFAULT_SUMS = {"max_per_day_yen": 10_000, "max_per_month_yen": 50_000}
EVERYTHING = "openid profile email balance history payment offline_access"


def boxes(page: TestResponse) -> dict[str, bool]:
    """The permissions with a box, and whether it is ticked."""
    tags = [tag for tag in re.findall(r"<input[^>]*>", page.text, re.DOTALL) if 'name="permission"' in tag]
    return {value(tag): "checked" in tag for tag in tags}


def value(tag: str) -> str:
    found = re.search(r'value="([^"]*)"', tag)
    assert found, tag
    return found[1]


def ceiling_field(page: TestResponse) -> str:
    return next(tag for tag in re.findall(r"<input[^>]*>", page.text, re.DOTALL) if 'name="max_per_payment_yen"' in tag)


def given_before(page: TestResponse) -> str:
    """The part of the page that lists what was given before."""
    found = re.search(r"<h2>.*?</h2>(.*?)<form", page.text, re.DOTALL)
    return found[1] if found else ""


@pytest.fixture
def grant(rows: Callable[..., list[Any]]) -> Callable[[ThirdParty], Any]:
    """The one living grant of a client, or None."""

    def read(third_party: ThirdParty) -> Any:
        statement = "SELECT id, scopes, mandate FROM oauth_grant WHERE client_id = :id AND revoked_at IS NULL"
        found = rows(statement, id=third_party.id)
        assert len(found) <= 1
        return found[0] if found else None

    return read


@pytest.fixture
def spending(rows: Callable[..., list[Any]]) -> Callable[[Any], Any]:
    """What the ledger holds a grant to."""

    def read(grant_id: Any) -> Any:
        limits = "max_per_payment_yen, max_per_day_yen, max_per_month_yen, shops, monies, valid_until"
        return rows(f"SELECT status, {limits} FROM spend_control WHERE id = :id", id=grant_id)

    return read


def test_the_page_names_client_shops_and_member_and_has_a_box_per_permission(
    third_party: ThirdParty, member: Member
) -> None:
    page = member.browser.get(third_party.address(scope=EVERYTHING))

    for sentence in (
        "「試験アプリ」が、試験生協のあなたのアカウントへのアクセスを求めています。",
        "支払い先：北食堂",
        "残高の取得",
        "取引履歴の取得",
        "支払い",
        "氏名と表示言語",
        "「試験アプリ」を使っていない間も連携が続きます",
        "アクセスを許可する",
        "キャンセル",
        "組合 花子",
    ):
        assert sentence in page.text, sentence
    assert boxes(page) == {"balance": True, "history": True, "payment": False}
    assert f"¥{DEFAULT_CEILING:,}まで" in page.text
    assert value(ceiling_field(page)) == str(DEFAULT_CEILING)


def test_the_page_in_english(third_party: ThirdParty, member: Member) -> None:
    page = member.browser.get(third_party.address(scope=EVERYTHING, ui_locales="en"))

    for sentence in ("Test app asks for access to your account at Test Co-op.", "Paid to: North Canteen", "Cancel"):
        assert sentence in page.text, sentence


def test_only_what_is_asked_is_shown_and_only_what_is_shown_can_be_given(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any]
) -> None:
    asked = {"scope": "openid balance"}
    assert boxes(member.browser.get(third_party.address(**asked))) == {"balance": True}

    code = third_party.code(
        member, **asked, ticked=["balance", "history", "payment", "till", "offline_access", "root"], ceiling="100"
    )

    assert third_party.redeem(code).get_json()["scope"] == "openid balance"
    assert grant(third_party).scopes == ["openid", "balance"]


def test_payment_is_given_with_its_ceiling_and_the_ledger_is_told(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any], spending: Callable[[Any], Any]
) -> None:
    tokens = third_party.tokens(member, scope="balance payment", ticked=["payment"], ceiling="1000")

    limits = {"max_per_payment_yen": 1000, **DEFAULT_SUMS}
    assert tokens["scope"] == "payment"
    assert tokens["authorization_details"] == [{"type": "payment", "shops": [third_party.shop], **limits}]
    row = grant(third_party)
    assert row.mandate == {"shops": [str(third_party.shop_id)], **limits}
    assert spending(row.id) == [("active", 1000, 10_000, 50_000, [third_party.shop_id], None, None)]


@pytest.mark.parametrize("typed", ["1,000", "１０００", " 1000 ", "01000", "１，０００"])
def test_a_ceiling_is_read_as_people_type_it(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any], typed: str
) -> None:
    third_party.code(member, scope="payment", ticked=["payment"], ceiling=typed)

    assert grant(third_party).mandate["max_per_payment_yen"] == 1000


@pytest.mark.parametrize(
    "typed", ["3001", "0", "-1", "", "1e3", "10.5", "千円", "0x10", "1\0", "9" * 5000, "1_000", None]
)
def test_a_raised_or_malformed_ceiling_grants_nothing_and_names_the_field(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any], typed: str | None
) -> None:
    response = third_party.answer(
        member, scope="balance payment", ticked=["balance", "payment"], typed={"max_per_payment_yen": typed}
    )

    assert response.status_code == 422
    assert 'id="max_per_payment_yen-error"' in response.text
    assert 'aria-invalid="true"' in ceiling_field(response)
    assert boxes(response) == {"balance": True, "payment": True}
    assert grant(third_party) is None


def test_an_unticked_payment_needs_no_ceiling(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any], spending: Callable[[Any], Any]
) -> None:
    tokens = third_party.tokens(member, scope="balance payment", ticked=["balance"], ceiling="nonsense")

    assert tokens["scope"] == "balance"
    assert "authorization_details" not in tokens
    assert grant(third_party).mandate is None
    assert spending(grant(third_party).id) == []


@pytest.mark.parametrize("asked_yen", [500, 50_000])
def test_the_ceiling_offered_is_the_one_asked_for(third_party: ThirdParty, member: Member, asked_yen: int) -> None:
    asked = {"scope": "payment", "authorization_details": payment_detail(asked_yen)}

    page = member.browser.get(third_party.address(**asked))
    assert f"¥{asked_yen:,}まで" in page.text
    assert value(ceiling_field(page)) == str(asked_yen)
    assert third_party.answer(member, ticked=["payment"], ceiling=str(asked_yen + 1), **asked).status_code == 422
    tokens = third_party.tokens(member, ticked=["payment"], ceiling=str(asked_yen), **asked)
    assert tokens["authorization_details"][0]["max_per_payment_yen"] == asked_yen


def test_nothing_ticked_gives_the_identity_bundle(third_party: ThirdParty, member: Member) -> None:
    assert third_party.tokens(member, scope="openid profile balance", ticked=[])["scope"] == "openid profile"


@pytest.mark.parametrize("scope", ["balance history", "balance offline_access"])
def test_nothing_ticked_and_nothing_left_is_a_denial(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any], scope: str
) -> None:
    assert sent_back(third_party.answer(member, scope=scope, ticked=[]))["error"] == "access_denied"
    assert grant(third_party) is None


def test_staying_connected_is_nothing_by_itself_though_it_was_given_before(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any]
) -> None:
    third_party.code(member, scope="balance offline_access", ticked=["balance"])

    unticked = sent_back(third_party.answer(member, scope="history offline_access", ticked=[]))
    alone = sent_back(member.browser.get(third_party.address(scope="offline_access")))

    assert unticked["error"] == alone["error"] == "access_denied"
    assert grant(third_party).scopes == ["balance", "offline_access"]


def test_asking_again_goes_straight_through(third_party: ThirdParty, member: Member) -> None:
    third_party.code(member)

    again = sent_back(member.browser.get(third_party.address()))

    assert third_party.redeem(again["code"]).get_json()["scope"] == "openid balance history"


def test_asking_for_less_gives_less(third_party: ThirdParty, member: Member) -> None:
    third_party.code(member)

    less = sent_back(member.browser.get(third_party.address(scope="balance")))

    assert third_party.redeem(less["code"]).get_json()["scope"] == "balance"


def test_prompt_consent_shows_the_page_again(third_party: ThirdParty, member: Member) -> None:
    third_party.code(member)

    page = member.browser.get(third_party.address(prompt="consent"))

    assert page.status_code == 200
    assert boxes(page) == {}
    assert "残高の取得" in given_before(page)
    tokens = third_party.tokens(member, ticked=[], prompt="consent")
    assert tokens["scope"] == "openid balance history"


@pytest.mark.parametrize(
    ("profile", "redirect_uri"),
    [
        ("native", "http://127.0.0.1/cb"),
        ("native", "jp.example.app:/cb"),
        ("spa", "http://localhost:5173/cb"),
        ("spa", "http://[::1]:5173/cb"),
        ("spa", "https://localhost/cb"),
    ],
)
def test_an_app_on_the_members_own_machine_is_never_waved_through(
    new_third_party: Callable[..., ThirdParty], member: Member, profile: str, redirect_uri: str
) -> None:
    """RFC 8252 section 8.6: without a secret, another program there may pass itself off as this one."""
    local = new_third_party(profile=profile, redirect_uris=[redirect_uri, "https://app.example/callback"])
    local.code(member)

    assert member.browser.get(local.address()).status_code == 200
    assert sent_back(member.browser.get(local.address(prompt="none")))["error"] == "consent_required"
    assert "code" in sent_back(member.browser.get(local.address(redirect_uri="https://app.example/callback")))


def test_an_app_with_a_secret_is_waved_through_anywhere(
    new_third_party: Callable[..., ThirdParty], member: Member
) -> None:
    local = new_third_party(redirect_uris=["http://localhost:8010/cb"])
    local.code(member)

    assert "code" in sent_back(member.browser.get(local.address()))


def test_only_new_permissions_are_asked_and_the_grant_grows(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any]
) -> None:
    third_party.code(member, scope="openid balance", ticked=["balance"])

    page = member.browser.get(third_party.address(scope="openid balance history payment"))
    assert boxes(page) == {"history": True, "payment": False}
    assert "残高の取得" in given_before(page)
    tokens = third_party.tokens(member, scope="openid balance history payment", ticked=["payment"], ceiling="700")

    assert tokens["scope"] == "openid balance payment"
    assert grant(third_party).scopes == ["openid", "balance", "payment"]


def test_a_refused_permission_is_asked_again_next_time(third_party: ThirdParty, member: Member) -> None:
    third_party.code(member, scope="balance history", ticked=["balance"])

    assert boxes(member.browser.get(third_party.address(scope="balance history"))) == {"history": True}
    assert sent_back(member.browser.get(third_party.address(scope="balance")))["code"]


def test_a_lowered_ceiling_stays_when_the_client_names_none(third_party: ThirdParty, member: Member) -> None:
    third_party.code(member, scope="payment", ticked=["payment"], ceiling="500")

    again = sent_back(member.browser.get(third_party.address(scope="payment")))

    details = third_party.redeem(again["code"]).get_json()["authorization_details"]
    assert details[0]["max_per_payment_yen"] == 500


def test_a_higher_ceiling_is_asked_anew_and_needs_its_tick(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any], spending: Callable[[Any], Any]
) -> None:
    third_party.code(member, scope="payment", ticked=["payment"], ceiling="500")
    higher = {"scope": "payment", "authorization_details": payment_detail(2000)}

    page = member.browser.get(third_party.address(**higher))
    assert boxes(page) == {"payment": False}
    assert "1回¥500まで" in given_before(page)
    kept = third_party.tokens(member, ticked=[], **higher)
    raised = third_party.tokens(member, ticked=["payment"], ceiling="1500", **higher)

    assert kept["authorization_details"][0]["max_per_payment_yen"] == 500
    assert raised["authorization_details"][0]["max_per_payment_yen"] == 1500
    assert spending(grant(third_party).id) == [("active", 1500, 10_000, 50_000, [third_party.shop_id], None, None)]


@pytest.fixture
def change_shops(app: Flask, third_party: ThirdParty, rows: Callable[..., Any]) -> Callable[..., UUID]:
    """Gives the client another shop, beside those it has or in their place; returns its id."""

    def change(*, instead: bool) -> UUID:
        with app.app_context():
            shop_id = factories.shop(accepts=[factories.money()], name_ja="南書籍部")
        kept = "CAST('{}' AS uuid[])" if instead else "allowed_shops"
        rows(f"UPDATE oauth_client SET allowed_shops = {kept} || :shop WHERE id = :id", shop=shop_id, id=third_party.id)
        return shop_id

    return change


def test_another_shop_is_asked_anew(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any], change_shops: Callable[..., UUID]
) -> None:
    third_party.code(member, scope="payment", ticked=["payment"], ceiling="500")
    change_shops(instead=False)

    page = member.browser.get(third_party.address(scope="payment"))

    assert boxes(page) == {"payment": False}
    assert "支払い先：北食堂" in given_before(page)
    assert "南書籍部" not in given_before(page)
    assert "南書籍部" in page.text
    assert grant(third_party).mandate["shops"] == [str(third_party.shop_id)]


def test_a_shop_added_since_the_page_was_shown_is_not_given(
    third_party: ThirdParty,
    member: Member,
    grant: Callable[[ThirdParty], Any],
    spending: Callable[[Any], Any],
    change_shops: Callable[..., UUID],
) -> None:
    address = third_party.address(scope="payment")
    form = {**filled(member.browser.get(address)), "permission": "payment", "max_per_payment_yen": "500"}
    change_shops(instead=False)

    member.browser.post(address, data={**form, "decision": "allow"})

    assert grant(third_party).mandate["shops"] == [str(third_party.shop_id)]
    assert spending(grant(third_party).id) == [("active", 500, 10_000, 50_000, [third_party.shop_id], None, None)]
    assert boxes(member.browser.get(address)) == {"payment": False}, "the new one is asked for"


def test_a_shop_the_client_does_not_have_cannot_be_given(
    app: Flask, third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any]
) -> None:
    with app.app_context():
        foreign = factories.shop(accepts=[factories.money()])
    address = third_party.address(scope="payment")
    form = {**filled(member.browser.get(address)), "permission": "payment", "max_per_payment_yen": "500"}
    form["shop"] = [*form["shop"], str(foreign), "not a shop"]

    member.browser.post(address, data={**form, "decision": "allow"})

    assert grant(third_party).mandate["shops"] == [str(third_party.shop_id)]


def test_when_no_shop_of_the_page_is_left_the_page_comes_again(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any], change_shops: Callable[..., UUID]
) -> None:
    address = third_party.address(scope="balance payment")
    shown = filled(member.browser.get(address))
    new = change_shops(instead=True)

    answer = {"permission": ["balance", "payment"], "max_per_payment_yen": "500", "decision": "allow"}
    again = member.browser.post(address, data={**shown, **answer})

    assert again.status_code == 409
    assert "支払い先が変わりました" in again.text
    assert "支払い先：南書籍部" in again.text
    assert 'aria-invalid="true"' not in again.text
    assert grant(third_party) is None
    member.browser.post(address, data={**filled(again), **answer})
    assert grant(third_party).mandate["shops"] == [str(new)]


def test_each_member_and_each_client_has_a_grant_of_its_own(
    third_party: ThirdParty, new_third_party: Callable[..., ThirdParty], new_member: Callable[..., Member]
) -> None:
    first, second = new_member(), new_member()
    third_party.code(first)

    assert second.browser.get(third_party.address()).status_code == 200
    assert first.browser.get(new_third_party().address()).status_code == 200


def test_revoking_a_grant_ends_everything_at_once(
    app: Flask,
    third_party: ThirdParty,
    member: Member,
    grant: Callable[[ThirdParty], Any],
    spending: Callable[[Any], Any],
    living: Callable[[str], int],
) -> None:
    how = {"scope": "openid payment offline_access", "ticked": ["payment"], "ceiling": "500"}
    tokens = third_party.tokens(member, **how)
    code = sent_back(member.browser.get(third_party.address(scope="openid")))["code"]
    grant_id = grant(third_party).id

    with app.app_context(), transaction():
        grants_service.revoke(grant_id=grant_id, controls=GrantControls())

    assert living(third_party.id) == 0
    assert third_party.userinfo(tokens["access_token"]).status_code == 401
    assert third_party.refresh(tokens["refresh_token"]).get_json()["error"] == "invalid_grant"
    assert third_party.redeem(code).get_json()["error"] == "invalid_grant"
    assert spending(grant_id)[0].status == "revoked"
    assert boxes(member.browser.get(third_party.address(scope="openid payment"))) == {"payment": False}


def test_narrowing_a_grant_counts_for_living_tokens(
    app: Flask,
    third_party: ThirdParty,
    member: Member,
    grant: Callable[[ThirdParty], Any],
    spending: Callable[[Any], Any],
) -> None:
    how = {"scope": "openid email payment offline_access", "ticked": ["payment"], "ceiling": "500"}
    tokens = third_party.tokens(member, **how)
    assert "email" in third_party.userinfo(tokens["access_token"]).get_json()
    grant_id = grant(third_party).id

    with app.app_context(), transaction():
        grants_service.narrow(grant_id=grant_id, keep=["openid", "offline_access"], controls=GrantControls())

    assert "email" not in third_party.userinfo(tokens["access_token"]).get_json()
    assert spending(grant_id)[0].status == "revoked"
    refreshed = third_party.refresh(tokens["refresh_token"]).get_json()
    assert refreshed["scope"] == "openid offline_access"
    assert "authorization_details" not in refreshed
    third_party.code(member, scope="payment", ticked=["payment"], ceiling="300")
    assert spending(grant_id) == [("active", 300, 10_000, 50_000, [third_party.shop_id], None, None)]


def test_a_grant_that_was_revoked_gives_nothing(
    app: Flask, third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any]
) -> None:
    third_party.code(member)
    grant_id = grant(third_party).id
    with app.app_context(), transaction():
        grants_service.revoke(grant_id=grant_id, controls=GrantControls())

    with app.app_context(), pytest.raises(InvalidGrant), transaction():
        grants_service.lock_living(OAuthGrant.id == grant_id)


def test_the_database_holds_payment_and_mandate_together(app: Flask, third_party: ThirdParty, member: Member) -> None:
    third_party.code(member)
    with app.app_context(), pytest.raises(IntegrityError, match="payment_has_mandate"), transaction() as session:
        statement = text("UPDATE oauth_grant SET scopes = '{payment}' WHERE client_id = :id")
        session.execute(statement, {"id": third_party.id})


# --- the limits of payment, steered by the member


@pytest.fixture
def several(app: Flask, new_third_party: Callable[..., ThirdParty]) -> tuple[ThirdParty, list[UUID], list[str]]:
    """An app that may take payments for two shops, with their ids, and two monies."""
    with app.app_context():
        monies = [factories.money(name_ja="学食マネー"), factories.money(name_ja="書籍マネー")]
        shops = [factories.shop(accepts=monies, name_ja=name) for name in ("東食堂", "西書籍部")]
    return new_third_party(allowed_shops=shops), shops, monies


def in_days(days: int) -> str:
    """A day counted from the issuer's today, as a browser sends it."""
    return (clock.now().astimezone(ZoneInfo("Asia/Tokyo")).date() + timedelta(days=days)).isoformat()


def dated(values: dict[str, Any]) -> dict[str, Any]:
    """With days counted from today, which is another one where tests were collected before midnight."""
    return {name: in_days(value.days) if isinstance(value, timedelta) else value for name, value in values.items()}


def wrong_fields(page: TestResponse) -> set[str]:
    """The fields that say by themselves that they are wrong."""
    assert page.status_code == 422, page.status_code
    assert "まだ何も許可していません" in page.text
    marked = {tag for tag in re.findall(r"<input[^>]*>", page.text, re.DOTALL) if 'aria-invalid="true"' in tag}
    names = {found[1] for tag in marked if (found := re.search(r'name="([^"]*)"', tag))}
    assert names == set(re.findall(r'class="error" id="([a-z_]+)-error"', page.text))
    return names


def test_every_limit_can_be_lowered(
    several: tuple[ThirdParty, list[UUID], list[str]],
    member: Member,
    grant: Callable[[ThirdParty], Any],
    spending: Callable[[Any], Any],
) -> None:
    third_party, shops, monies = several
    typed = {
        "max_per_payment_yen": "５００",
        "max_per_day_yen": "1,000",
        "max_per_month_yen": " 2，000 ",
        "shop": str(shops[1]),
        "money": monies[0],
        "until": in_days(5),
    }
    asked = payment_detail(3_000, money=monies, until=in_days(30))

    third_party.code(member, scope="payment", authorization_details=asked, ticked=["payment"], typed=typed)

    until = date.fromisoformat(in_days(5))
    assert spending(grant(third_party).id) == [("active", 500, 1_000, 2_000, [shops[1]], [monies[0]], until)]


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"max_per_day_yen": "10001"}, {"max_per_day_yen"}),
        ({"max_per_month_yen": "50001"}, {"max_per_month_yen"}),
        ({"max_per_day_yen": "", "max_per_month_yen": None}, {"max_per_day_yen", "max_per_month_yen"}),
        ({"max_per_payment_yen": "x", "max_per_day_yen": "0"}, {"max_per_payment_yen", "max_per_day_yen"}),
        ({"shop": []}, {"shop"}),
        ({"money": []}, {"money"}),
        ({"money": "no_such"}, {"money"}),
        ({"until": ""}, {"until"}),
        ({"until": timedelta(days=-1)}, {"until"}),
        ({"until": timedelta(days=31)}, {"until"}),
        ({"until": "2050-02-30"}, {"until"}),
        ({"until": "soon\ud800"}, {"until"}),
        (
            {"max_per_day_yen": "-5", "until": "x", "shop": [], "money": []},
            {"max_per_day_yen", "until", "shop", "money"},
        ),
    ],
)
def test_each_wrong_limit_says_so_by_itself_and_nothing_is_allowed(
    several: tuple[ThirdParty, list[UUID], list[str]],
    member: Member,
    grant: Callable[[ThirdParty], Any],
    typed: dict[str, Any],
    wrong: set[str],
) -> None:
    third_party, _, monies = several
    asked = {
        "scope": "balance payment",
        "authorization_details": payment_detail(3_000, money=monies, until=in_days(30)),
    }
    typed = {
        name: value.encode("utf-8", "replace") if isinstance(value, str) else value
        for name, value in dated(typed).items()
    }

    page = third_party.answer(member, ticked=["balance", "payment"], typed=typed, **asked)

    assert wrong_fields(page) == wrong
    assert boxes(page) == {"balance": True, "payment": True}
    assert ("<details" in page.text and " open>" in page.text) == bool(wrong - {"max_per_payment_yen"})
    assert grant(third_party) is None


def test_what_was_typed_stays_in_the_form(several: tuple[ThirdParty, list[UUID], list[str]], member: Member) -> None:
    third_party, shops, _ = several
    typed = {"max_per_payment_yen": "９０００", "max_per_day_yen": "７００", "shop": str(shops[1]), "until": in_days(2)}

    page = third_party.answer(member, scope="payment", ticked=["payment"], typed=typed)

    kept = filled(page)
    assert {name: kept[name] for name in typed} == {name: [value] for name, value in typed.items()}


def test_limits_without_an_end_are_good_until_they_are_taken_back(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any]
) -> None:
    third_party.code(member, scope="payment", ticked=["payment"], typed={"until": ""})

    assert "until" not in grant(third_party).mandate


@pytest.mark.parametrize("written", ["{y}/{m}/{d}", "{y}年{m}月{d}日", "{y}.{m}.{d}"])
def test_a_day_is_read_as_people_write_it(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any], written: str
) -> None:
    day = date.fromisoformat(in_days(40))
    typed = {"until": written.format(y=day.year, m=day.month, d=day.day)}

    third_party.code(member, scope="payment", ticked=["payment"], typed=typed)

    assert grant(third_party).mandate["until"] == day.isoformat()


def test_a_ceiling_above_the_one_for_a_longer_time_means_that_one(
    third_party: ThirdParty, member: Member, grant: Callable[[ThirdParty], Any]
) -> None:
    """Who lets an app have ¥800 a month need not type so three times."""
    third_party.code(member, scope="payment", ticked=["payment"], typed={"max_per_month_yen": "800"})

    mandate = grant(third_party).mandate
    assert [mandate[name] for name in ("max_per_payment_yen", "max_per_day_yen", "max_per_month_yen")] == [
        800,
        800,
        800,
    ]


def test_wrong_limits_in_english(third_party: ThirdParty, member: Member) -> None:
    page = third_party.answer(
        member, scope="payment", ticked=["payment"], typed={"max_per_day_yen": "x", "until": "x"}, ui_locales="en"
    )

    assert "Enter an amount from ¥1 to ¥10,000, in digits." in page.text
    assert "Enter today or a later day." in page.text
    assert "Nothing has been allowed yet." in page.text


LOWERED = {"max_per_day_yen": "1000", "max_per_month_yen": "1500"}


@pytest.mark.parametrize(
    ("limits", "beyond"),
    [
        ({}, False),
        ({"max_per_payment_yen": 500}, False),
        ({"max_per_day_yen": 1_000}, False),
        ({"max_per_day_yen": 1_001}, True),
        ({"max_per_month_yen": 1_501}, True),
        ({"until": timedelta(days=10)}, False),
        ({"until": timedelta(days=11)}, True),
        ({"money": 1}, False),
        ({"money": 2}, True),
    ],
    ids=str,
)
def test_only_what_goes_beyond_the_earlier_limits_is_asked_again(
    several: tuple[ThirdParty, list[UUID], list[str]],
    member: Member,
    grant: Callable[[ThirdParty], Any],
    limits: dict[str, Any],
    beyond: bool,
) -> None:
    third_party, _, monies = several
    first = payment_detail(1_000, money=[monies[0]], until=in_days(10))
    third_party.code(member, scope="payment", authorization_details=first, ticked=["payment"], typed=LOWERED)
    before = grant(third_party).mandate
    if "money" in limits:
        limits = {"money": monies[: limits["money"]]}
    asked = {"scope": "payment", "authorization_details": json.dumps([{"type": "payment", **dated(limits)}])}

    page = member.browser.get(third_party.address(**asked))

    assert (page.status_code == 200) == beyond
    if beyond:
        assert boxes(page) == {"payment": False}
        third_party.code(member, ticked=[], **asked)
    assert grant(third_party).mandate == before, "the earlier limits stay unless the box is ticked"


def test_limits_that_ran_out_are_asked_anew(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    third_party.code(member, scope="payment", ticked=["payment"], typed={"until": in_days(1)})
    assert "code" in sent_back(member.browser.get(third_party.address(scope="payment")))

    yesterday = f'{{"until": "{in_days(-1)}"}}'
    rows(
        "UPDATE oauth_grant SET mandate = mandate || CAST(:until AS jsonb) WHERE client_id = :id",
        until=yesterday,
        id=third_party.id,
    )

    assert boxes(member.browser.get(third_party.address(scope="payment"))) == {"payment": False}


def test_an_unticked_shop_is_not_paid_and_is_asked_for_another_time(
    several: tuple[ThirdParty, list[UUID], list[str]], member: Member, grant: Callable[[ThirdParty], Any]
) -> None:
    third_party, shops, _ = several

    third_party.code(member, scope="payment", ticked=["payment"], typed={"shop": str(shops[0])})

    assert grant(third_party).mandate["shops"] == [str(shops[0])]
    assert boxes(member.browser.get(third_party.address(scope="payment"))) == {"payment": False}


def test_a_payment_beyond_the_day_is_refused_by_the_api(
    app: Flask, new_third_party: Callable[..., ThirdParty], new_member: Callable[..., Member]
) -> None:
    """From the consent page to the ledger, and what is left is said."""
    with app.app_context():
        holder = factories.holder(balance_yen=5_000)
        shop = directory.shop_by_id(holder.shop_id).code
    third_party, browser = new_third_party(allowed_shops=[holder.shop_id]), app.test_client()
    sign_in(app, browser, holder.member_id)
    member = Member(id=holder.member_id, browser=browser)
    tokens = third_party.tokens(member, scope="payment", ticked=["payment"], typed={"max_per_day_yen": "1000"})

    def pay(amount_yen: int) -> TestResponse:
        headers = {"Authorization": f"Bearer {tokens['access_token']}", "Idempotency-Key": f"pay-{amount_yen}"}
        body = {"money": holder.money, "shop": shop, "amount_yen": amount_yen}
        return app.test_client().post("/v1/payments", json=body, headers=headers)

    assert pay(700).status_code == 201
    refused = pay(301)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "mandate_exceeded")
    assert {"limit": "max_per_day_yen", "max_yen": 1_000, "left_yen": 300}.items() <= refused.get_json().items()
    assert pay(300).status_code == 201
