"""連携アプリ: what the pages show, and that what is taken back is gone with the next call."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text
from werkzeug.test import TestResponse

from app import clock
from app.db import db, transaction
from app.issuer import mypage_url
from app.oauth import grants_service
from app.oauth.errors import MandateChanged
from app.oauth.ports import Mandate
from app.wallet.spend_control import GrantControls
from tests.live import eventually
from tests.oauth.conftest import Member, ThirdParty, hidden
from tests.oauth.shopper import Shopper, shopper

LIST = "/account/apps"
NOBODY = UUID(int=1)
ALL = {"balance": 200, "history": 200, "payment": 201}
TOKENS = 10_000


@pytest.fixture
def allowed(app: Flask, member: Member) -> Shopper:
    """An app that may do everything, with what it holds."""
    return shopper(app, member)


def words(page: TestResponse) -> str:
    """What a page says, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def send(browser: FlaskClient, address: str, **fields: Any) -> TestResponse:
    """Open the page of a form, fill it in and send it, and follow to where it leads."""
    page = browser.get(address)
    assert page.status_code == 200, page.text
    return browser.post(address, data={**hidden(page), **fields}, follow_redirects=True)


def limits(browser: FlaskClient, address: str) -> dict[str, Any]:
    """What the form of the limits holds when it is opened."""
    page = browser.get(f"{address}/limits")
    assert page.status_code == 200, page.text
    form: dict[str, Any] = {**hidden(page), "shop": []}
    for tag in re.findall(r"<input[^>]*>", page.text):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        assert name and value, tag
        if 'type="checkbox"' not in tag:
            form[name[1]] = value[1]
        elif "checked" in tag:
            form[name[1]].append(value[1])
    return form


def lower(allowed: Shopper, **changes: Any) -> TestResponse:
    """Send the form of the limits with these changes; the answer itself."""
    form = {**limits(allowed.member.browser, allowed.page), **changes}
    return allowed.member.browser.post(f"{allowed.page}/limits", data=form)


# What is shown


def test_the_list_says_what_each_app_may_do_and_has_done(allowed: Shopper) -> None:
    allowed.pay(300)

    page = allowed.member.browser.get(LIST)

    for sentence in (
        "試験アプリ",
        "氏名と表示言語",
        "残高の取得",
        "取引履歴の取得",
        "支払い",
        "連携の継続",
        "1回：¥1,000まで",
        "今日：¥10,000のうち¥300を使用",
        "今月：¥50,000のうち¥300を使用",
        "北食堂",
        "南書籍部",
        "なし（取り消すまで）",
    ):
        assert sentence in words(page), sentence
    meters = re.findall(r'<meter min="0" max="(\d+)"[^>]* value="(\d+)"', page.text)
    assert meters == [("10000", "300"), ("50000", "300")]


def test_times_are_the_issuers(allowed: Shopper, rows: Callable[..., Any]) -> None:
    grant_id = allowed.tokens["grant_id"]
    rows("UPDATE oauth_grant SET created_at = '2025-03-31T15:30Z', last_used_at = NULL WHERE id = :id", id=grant_id)
    assert "2025年4月1日 0:30" in words(allowed.member.browser.get(LIST))
    assert "まだ使われていません" in words(allowed.member.browser.get(LIST))

    rows("UPDATE oauth_grant SET last_used_at = '2024-12-31T15:00Z' WHERE id = :id", id=grant_id)
    for address in (LIST, allowed.page):
        assert "2025年1月1日 0:00" in words(allowed.member.browser.get(address))


def test_in_english(allowed: Shopper) -> None:
    page = allowed.member.browser.get(LIST, headers={"Accept-Language": "en"})
    for sentence in ("Connected apps", "Test app", "See balances", "Today: ¥0 of ¥10,000 used"):
        assert sentence in words(page), sentence


def test_an_empty_list_says_what_would_be_in_it(member: Member) -> None:
    page = member.browser.get(LIST)
    assert "許可しているアプリはありません" in words(page)
    assert "すべての許可を取り消す" not in words(page)


def test_only_ones_own_living_permissions_are_listed(
    allowed: Shopper, new_member: Callable[..., Member], new_third_party: Callable[..., ThirdParty]
) -> None:
    other = new_third_party()
    other.code(new_member())
    assert words(allowed.member.browser.get(LIST)).count("許可した日時") == 1

    send(allowed.member.browser, f"{allowed.page}/revoke")
    assert "許可しているアプリはありません" in words(allowed.member.browser.get(LIST))


def test_the_co_ops_own_page_is_marked(
    app: Flask, allowed: Shopper, new_third_party: Callable[..., ThirdParty]
) -> None:
    assert "生協のページ" not in words(allowed.member.browser.get(LIST))
    with app.app_context():
        own = new_third_party(redirect_uris=[f"{mypage_url()}/callback"])
    own.code(allowed.member)
    assert words(allowed.member.browser.get(LIST)).count("生協のページ") == 1


def test_an_app_the_office_stopped_is_said_to_be(allowed: Shopper, rows: Callable[..., Any]) -> None:
    rows("UPDATE oauth_client SET status = 'revoked' WHERE id = :id", id=allowed.third_party.id)
    assert "停止中" in words(allowed.member.browser.get(LIST))


def test_what_the_office_took_from_the_app_is_not_shown(allowed: Shopper, rows: Callable[..., Any]) -> None:
    rows("UPDATE oauth_client SET scopes = '{openid,payment}' WHERE id = :id", id=allowed.third_party.id)
    assert "残高の取得" not in words(allowed.member.browser.get(LIST))


def test_permissions_that_ran_out_are_said_to_have(allowed: Shopper, rows: Callable[..., Any]) -> None:
    statement = 'UPDATE oauth_grant SET mandate = mandate || \'{"until": "2026-01-31"}\' WHERE id = :id'
    rows(statement, id=allowed.tokens["grant_id"])
    page = allowed.member.browser.get(allowed.page)
    assert "2026年1月31日で期限が切れたため、支払えません。" in words(page)
    assert "/limits" not in page.text
    assert allowed.member.browser.get(f"{allowed.page}/limits").status_code == 404


def test_between_the_pages_of_the_account(allowed: Shopper) -> None:
    page = allowed.member.browser.get(LIST)
    assert 'href="/account/apps" aria-current="page"' in page.text
    assert 'href="/account/password"' in page.text
    assert 'href="http://localhost:8001"' in page.text


# Who may


PAGES = ("", "/revoke", "/limits", "/permissions/balance")
FORMS = PAGES[1:]


def test_a_stranger_signs_in_and_comes_back(app: Flask, allowed: Shopper) -> None:
    for address in (LIST, f"{LIST}/revoke-all", *(allowed.page + path for path in PAGES)):
        answer = app.test_client().get(address)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/login?next={address}")
    for address in (f"{LIST}/revoke-all", *(allowed.page + path for path in FORMS)):
        answer = app.test_client().post(address)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/login?next={address}")
    assert allowed.can() == ALL


def test_another_members_app_is_not_there(allowed: Shopper, new_member: Callable[..., Member], app: Flask) -> None:
    stranger = shopper(app, new_member())
    token = hidden(stranger.member.browser.get(f"{stranger.page}/revoke"))
    for path in PAGES:
        assert stranger.member.browser.get(allowed.page + path).status_code == 404
    for path in FORMS:
        form = {**limits(stranger.member.browser, stranger.page), **token}
        assert stranger.member.browser.post(allowed.page + path, data=form).status_code == 404
    assert allowed.can() == ALL


@pytest.mark.parametrize("path", [f"/{NOBODY}", "/nothing", "/%00", f"/{NOBODY}/limits"])
def test_what_does_not_exist_is_not_there(allowed: Shopper, path: str) -> None:
    assert allowed.member.browser.get(LIST + path).status_code == 404


@pytest.mark.parametrize("path", FORMS)
def test_no_other_site_can_send_the_forms(allowed: Shopper, path: str) -> None:
    form = limits(allowed.member.browser, allowed.page)
    address = allowed.page + path
    without = {name: value for name, value in form.items() if name != "csrf_token"}

    assert allowed.member.browser.post(address, data=without).status_code == 400
    crossing = {"Sec-Fetch-Site": "cross-site"}
    assert allowed.member.browser.post(address, data=form, headers=crossing).status_code == 400
    assert allowed.member.browser.post(f"{LIST}/revoke-all").status_code == 400
    assert allowed.can() == ALL


# One permission


@pytest.mark.parametrize("permission", ["balance", "history", "payment"])
def test_a_permission_that_is_taken_away_is_gone_with_the_next_call_and_no_other(
    allowed: Shopper, permission: str
) -> None:
    assert allowed.can() == ALL

    page = send(allowed.member.browser, f"{allowed.page}/permissions/{permission}")

    assert "許可を1つ取り消しました" in words(page)
    assert allowed.can() == {**ALL, permission: 403}
    assert allowed.member.browser.get(f"{allowed.page}/permissions/{permission}").status_code == 404


def test_the_app_asks_again_for_what_was_taken_away(allowed: Shopper) -> None:
    send(allowed.member.browser, f"{allowed.page}/permissions/balance")
    asked = allowed.member.browser.get(allowed.third_party.address(scope="openid balance"))
    assert asked.status_code == 200
    allowed.third_party.code(allowed.member, scope="openid balance", ticked=["balance"])
    assert allowed.can() == ALL


def test_without_the_connection_kept_nothing_is_renewed(allowed: Shopper) -> None:
    send(allowed.member.browser, f"{allowed.page}/permissions/offline_access")

    assert allowed.can() == ALL, "what it has now lasts its ten minutes"
    refused = allowed.third_party.refresh(allowed.tokens["refresh_token"])
    assert refused.get_json()["error"] == "invalid_grant"


def test_a_persons_name_can_be_taken_away_but_not_the_sign_in(allowed: Shopper) -> None:
    assert "name" in allowed.third_party.userinfo(allowed.tokens["access_token"]).get_json()
    send(allowed.member.browser, f"{allowed.page}/permissions/profile")
    assert set(allowed.third_party.userinfo(allowed.tokens["access_token"]).get_json()) == {"sub"}

    assert allowed.member.browser.get(f"{allowed.page}/permissions/openid").status_code == 404
    form = hidden(allowed.member.browser.get(f"{allowed.page}/revoke"))
    for wrong in ("openid", "till", "phone", "x" * 5_000, "あ"):
        answer = allowed.member.browser.post(f"{allowed.page}/permissions/{wrong}", data=form)
        assert answer.status_code == 404, wrong


def test_with_the_last_permission_the_app_is_gone(
    third_party: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    tokens = third_party.tokens(member, scope="balance offline_access", ticked=["balance"])

    page = send(member.browser, f"{LIST}/{tokens['grant_id']}/permissions/balance")

    assert "アプリの許可を取り消しました" in words(page)
    assert "許可しているアプリはありません" in words(page)
    assert living(third_party.id) == 0


# Lower limits


def test_a_lower_ceiling_holds_for_the_next_payment(allowed: Shopper) -> None:
    assert allowed.pay(900).status_code == 201

    page = lower(allowed, max_per_payment_yen="５００", max_per_day_yen="1,300")

    assert page.status_code == 303
    shown = words(allowed.member.browser.get(allowed.page))
    assert "1回：¥500まで" in shown
    assert "今日：¥1,300のうち¥900を使用" in shown
    assert allowed.pay(501).get_json()["code"] == "mandate_exceeded"
    assert allowed.pay(400).status_code == 201
    assert allowed.pay(1).get_json()["code"] == "mandate_exceeded", "the day's ¥1,300 are spent"
    details = allowed.third_party.refresh(allowed.tokens["refresh_token"]).get_json()["authorization_details"][0]
    assert details["max_per_payment_yen"] == 500


def test_a_shop_that_is_unticked_is_paid_no_more(allowed: Shopper) -> None:
    assert allowed.pay(1, shop=1).status_code == 201
    shops = limits(allowed.member.browser, allowed.page)["shop"]
    assert len(shops) == 2

    lower(allowed, shop=shops[:1])

    assert sorted([allowed.pay(1, shop=0).status_code, allowed.pay(1, shop=1).status_code]) == [201, 403]
    assert lower(allowed, shop=[]).status_code == 422, "no shop at all would be to take payment away"


def test_an_end_that_is_set_can_only_come_nearer(allowed: Shopper) -> None:
    soon, later = (clock.now().date() + timedelta(days=days) for days in (5, 9))
    assert lower(allowed, until=soon.isoformat()).status_code == 303
    assert limits(allowed.member.browser, allowed.page)["until"] == soon.isoformat()

    for wrong in (later.isoformat(), "", "2020-01-01", "明日"):
        answer = lower(allowed, until=wrong)
        assert answer.status_code == 422, wrong
        assert re.search(r'name="until"[^>]*aria-invalid="true"', answer.text), wrong
    assert limits(allowed.member.browser, allowed.page)["until"] == soon.isoformat()


@pytest.mark.parametrize("field", ["max_per_payment_yen", "max_per_day_yen", "max_per_month_yen"])
@pytest.mark.parametrize("typed", ["99999999", "0", "", "-5", "千円", "1.5", "9" * 300])
def test_what_is_wrong_is_named_and_stays_typed(allowed: Shopper, field: str, typed: str) -> None:
    answer = lower(allowed, **{field: typed})

    assert answer.status_code == 422
    wrong = [tag for tag in re.findall(r"<input[^>]*>", answer.text) if 'aria-invalid="true"' in tag]
    assert len(wrong) == 1
    assert f'name="{field}"' in wrong[0]
    assert f'value="{typed}"' in wrong[0]
    assert "支払いの条件をご確認ください" in words(answer)
    assert "1回：¥1,000まで" in words(allowed.member.browser.get(allowed.page))


def test_a_second_tab_cannot_raise_what_the_first_lowered(allowed: Shopper) -> None:
    stale = limits(allowed.member.browser, allowed.page)
    lower(allowed, max_per_payment_yen="300")

    answer = allowed.member.browser.post(f"{allowed.page}/limits", data={**stale, "max_per_day_yen": "2000"})

    assert answer.status_code == 422
    assert re.search(r'name="max_per_payment_yen"[^>]*value="1000"[^>]*aria-invalid="true"', answer.text)
    assert allowed.pay(301).status_code == 403


def stored(rows: Callable[..., Any], allowed: Shopper) -> Mandate:
    ((kept,),) = rows("SELECT mandate FROM oauth_grant WHERE id = :id", id=allowed.tokens["grant_id"])
    return Mandate.from_stored(kept)


def test_limits_that_changed_between_reading_and_writing_are_not_written_over(
    app: Flask, allowed: Shopper, rows: Callable[..., Any]
) -> None:
    """The other tab's change comes after this one's form was read."""
    form = limits(allowed.member.browser, allowed.page)
    seen, grant_id = stored(rows, allowed), UUID(allowed.tokens["grant_id"])
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    with ThreadPoolExecutor(1) as pool:
        with app.app_context(), transaction():
            to = replace(seen, max_per_month_yen=4_000)
            grants_service.lower(grant_id=grant_id, seen=seen, to=to, controls=GrantControls())
            late = {**form, "max_per_payment_yen": "300"}
            answering = pool.submit(allowed.member.browser.post, f"{allowed.page}/limits", data=late)
            eventually(lambda: len(rows(waiting)) == 1 or None)
        answer = answering.result(30)

    assert answer.status_code == 409
    assert "支払いの条件が変わりました" in words(answer)
    assert 'value="300"' in answer.text
    assert stored(rows, allowed).max_per_payment_yen == 1_000
    assert stored(rows, allowed).max_per_month_yen == 4_000


@pytest.mark.parametrize(
    "raised",
    [
        {"max_per_payment_yen": 1_001},
        {"max_per_day_yen": 10_001},
        {"max_per_month_yen": 50_001},
        {"shops": (NOBODY,)},
        {"until": None},
        {"until": date(2031, 1, 1)},
        {"monies": None},
        {"monies": ("meal", "book")},
    ],
    ids=str,
)
def test_the_service_itself_lets_nothing_be_raised(
    app: Flask, allowed: Shopper, rows: Callable[..., Any], raised: dict[str, Any]
) -> None:
    seen = stored(rows, allowed).stored() | {"until": "2030-12-31", "monies": ["meal"]}
    statement = 'UPDATE oauth_grant SET mandate = mandate || \'{"until": "2030-12-31", "monies": ["meal"]}\''
    rows(f"{statement} WHERE id = :id", id=allowed.tokens["grant_id"])
    same = Mandate.from_stored(seen)
    fields = ("max_per_payment_yen", "max_per_day_yen", "max_per_month_yen", "shops", "monies", "until")
    to = Mandate(**{**{name: getattr(same, name) for name in fields}, **raised})

    with app.app_context(), pytest.raises(MandateChanged), transaction():
        grants_service.lower(grant_id=allowed.tokens["grant_id"], seen=same, to=to, controls=GrantControls())
    assert stored(rows, allowed) == same


def test_a_permission_that_was_taken_back_meanwhile_cannot_be_lowered_into_life(allowed: Shopper) -> None:
    form = limits(allowed.member.browser, allowed.page)
    send(allowed.member.browser, f"{allowed.page}/permissions/payment")

    answer = allowed.member.browser.post(f"{allowed.page}/limits", data=form)

    assert answer.status_code == 404
    assert allowed.pay(1).status_code == 403


# Everything


def test_revoking_an_app_ends_everything_it_has(
    allowed: Shopper, living: Callable[[str], int], rows: Callable[..., Any]
) -> None:
    asked = allowed.member.browser.get(f"{allowed.page}/revoke")
    assert "「試験アプリ」の許可を取り消しますか" in words(asked)
    assert allowed.can() == ALL, "looking at the question does nothing"

    page = send(allowed.member.browser, f"{allowed.page}/revoke")

    assert "アプリの許可を取り消しました" in words(page)
    assert allowed.can() == {"balance": 401, "history": 401, "payment": 401}
    assert allowed.third_party.refresh(allowed.tokens["refresh_token"]).status_code == 400
    assert living(allowed.third_party.id) == 0
    status = rows("SELECT status FROM spend_control WHERE id = :id", id=allowed.tokens["grant_id"])
    assert status == [("revoked",)]
    assert allowed.member.browser.get(allowed.page).status_code == 404
    assert "アプリの許可を取り消しました" not in words(allowed.member.browser.get(LIST)), "said once"


def test_revoking_all_ends_every_app_of_this_member_and_no_other(
    app: Flask, allowed: Shopper, new_member: Callable[..., Member]
) -> None:
    second, other = shopper(app, allowed.member), shopper(app, new_member())
    asked = allowed.member.browser.get(f"{LIST}/revoke-all")
    assert "すべての許可を取り消しますか" in words(asked)

    page = send(allowed.member.browser, f"{LIST}/revoke-all")

    assert "すべての許可を取り消しました" in words(page)
    for gone in (allowed, second):
        assert gone.can() == {"balance": 401, "history": 401, "payment": 401}
    assert other.can() == ALL
    assert allowed.member.browser.get(LIST).status_code == 200, "the member stays signed in here"


@pytest.fixture
def statements(app: Flask) -> Any:
    """What is sent to the database, as it is sent."""
    sent: list[str] = []

    def note(*args: Any) -> None:
        sent.append(args[2])

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def many_tokens(rows: Callable[..., Any]) -> Callable[[Shopper], None]:
    """Gives a grant ten thousand living tokens."""

    def make(allowed: Shopper) -> None:
        rows(
            """
            INSERT INTO oauth_token (token_hash, kind, family_id, client_id, member_id, grant_id, scopes, expires_at)
            SELECT sha256(convert_to(gen_random_uuid()::text, 'UTF8')), 'access', gen_random_uuid(), :client, :member,
                   :grant, '{openid}', now() + interval '1 hour'
              FROM generate_series(1, :count)
            """,
            client=allowed.third_party.id,
            member=allowed.member.id,
            grant=allowed.tokens["grant_id"],
            count=TOKENS,
        )
        rows("ANALYZE oauth_token")

    return make


def on(table: str, statements: list[str]) -> list[str]:
    return [each for each in statements if f"UPDATE {table} SET" in each]


@pytest.mark.parametrize("which", ["one", "all"])
def test_ten_thousand_tokens_end_in_one_update(
    allowed: Shopper,
    many_tokens: Callable[[Shopper], None],
    statements: list[str],
    living: Callable[[str], int],
    which: str,
) -> None:
    many_tokens(allowed)
    address = f"{LIST}/revoke-all" if which == "all" else f"{allowed.page}/revoke"
    form = hidden(allowed.member.browser.get(address))
    statements.clear()

    begun = datetime.now(UTC)
    assert allowed.member.browser.post(address, data=form).status_code == 303

    assert datetime.now(UTC) - begun < timedelta(seconds=5)
    assert living(allowed.third_party.id) == 0
    assert len(on("oauth_token", statements)) == 1
    assert len(on("oauth_grant", statements)) == 1
    assert len(on("spend_control", statements)) == 1
    assert len(statements) <= 6, statements


def test_the_update_finds_the_tokens_by_their_grant(
    app: Flask, allowed: Shopper, many_tokens: Callable[[Shopper], None], new_member: Callable[..., Member]
) -> None:
    """Among all the living tokens of others, and without a look at those that are dead."""
    many_tokens(shopper(app, new_member()))
    with app.app_context(), transaction() as session:
        statement = text(
            "EXPLAIN UPDATE oauth_token SET revoked_at = now() WHERE grant_id = :grant AND revoked_at IS NULL"
        )
        plan = "\n".join(session.scalars(statement, {"grant": allowed.tokens["grant_id"]}))
    assert "ix_oauth_token_grant_id" in plan
    assert "Seq Scan" not in plan
