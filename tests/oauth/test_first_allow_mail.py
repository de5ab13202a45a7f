"""The mail about an app that was allowed something: when it comes, when not, and what it says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from app.db import autocommit
from app.issuer import mypage_url
from app.oauth import allow_mail
from app.seal import unseal
from app.settings import Settings
from tests.oauth.conftest import Member, ThirdParty, hidden, payment_detail, sent_back
from tests.oauth.test_races import at_once

ALLOWED = "【試験生協】「試験アプリ」へのアクセス許可のお知らせ"
PAYMENT = "【試験生協】「試験アプリ」への支払い許可のお知らせ"
PAY: dict[str, Any] = {"scope": "openid payment", "ticked": ["payment"], "ceiling": "700"}


@pytest.fixture
def mails(app: Flask, settings: Settings) -> Callable[[Member], list[dict[str, str]]]:
    """The mails waiting for a member, oldest first."""

    def read(member: Member) -> list[dict[str, str]]:
        with app.app_context(), autocommit().connect() as connection:
            email = connection.scalar(text("SELECT email FROM member WHERE id = :id"), {"id": member.id})
            statement = "SELECT payload_sealed FROM outbox WHERE topic = 'mail' AND state = 'waiting' ORDER BY id"
            rows = connection.scalars(text(statement)).all()
        payloads = [json.loads(unseal(settings.sealing_key, row)) for row in rows]
        return [payload for payload in payloads if payload["to"] == email]

    return read


def subjects(mails: list[dict[str, str]]) -> list[str]:
    return [mail["subject"] for mail in mails]


def test_the_first_permission_brings_one_that_says_what_and_how_to_undo_it(
    third_party: ThirdParty, member: Member, mails: Callable[[Member], list[dict[str, str]]], settings: Settings
) -> None:
    third_party.code(
        member, scope="openid profile balance payment offline_access", ticked=["balance", "payment"], ceiling="700"
    )

    (mail,) = mails(member)

    assert mail["subject"] == ALLOWED
    lines = mail["text"].splitlines()
    assert lines[0] == "組合 花子 様"
    assert lines[2] == "試験生協です。「試験アプリ」に、あなたのアカウントへのアクセスを許可しました。"
    for line in (
        "・氏名と表示言語",
        "・残高の取得",
        "・支払い",
        "・連携の継続",
        "・1回の上限：¥700",
        "・1日の上限：¥10,000",
        "・1か月の上限：¥50,000",
        "・支払い先：北食堂",
        f"{settings.issuer_url}/account/apps",
    ):
        assert line in lines, line
    assert "取引履歴の取得" not in mail["text"]
    assert "\n\n\n" not in mail["text"]


def test_it_is_in_the_members_language(
    third_party: ThirdParty, member: Member, mails: Callable[..., Any], rows: Callable[..., Any]
) -> None:
    rows("UPDATE member SET locale = 'en' WHERE id = :id", id=member.id)
    third_party.code(member, **PAY)

    (mail,) = mails(member)

    assert mail["subject"] == "Test Co-op: you allowed Test app to access your account"
    lines = mail["text"].splitlines()
    for line in ("Dear 花子 組合,", "- Per payment: up to ¥700", "- Paid to: North Canteen"):
        assert line in lines, line
    assert "\n\n\n" not in mail["text"]


def test_the_time_is_the_issuers(
    third_party: ThirdParty,
    member: Member,
    mails: Callable[..., Any],
    rows: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows("UPDATE member_session SET expires_at = '2027-02-01' WHERE member_id = :id", id=member.id)
    page = member.browser.get(third_party.address())
    form = {**hidden(page), "permission": ["balance"], "decision": "allow"}
    instant = datetime(2026, 12, 31, 15, 5, tzinfo=UTC)
    with monkeypatch.context() as patch:
        patch.setattr(allow_mail.clock, "now", lambda: instant)
        member.browser.post(third_party.address(), data=form)
    assert "2027年1月1日 0:05" in mails(member)[0]["text"]


def test_asking_again_brings_none(
    third_party: ThirdParty, member: Member, mails: Callable[[Member], list[dict[str, str]]]
) -> None:
    third_party.code(member, scope="openid balance", ticked=["balance"])
    third_party.code(member, scope="openid history", ticked=["history"])
    assert "code" in sent_back(member.browser.get(third_party.address(scope="openid history")))
    third_party.code(member, scope="openid history", ticked=[], prompt="consent")

    assert subjects(mails(member)) == [ALLOWED]


def test_payment_that_is_added_brings_another(
    third_party: ThirdParty, member: Member, mails: Callable[[Member], list[dict[str, str]]]
) -> None:
    third_party.code(member, scope="openid balance", ticked=["balance"])
    third_party.code(member, **PAY)

    assert subjects(mails(member)) == [ALLOWED, PAYMENT]
    assert "あなたのマネーでの支払いを許可しました" in mails(member)[1]["text"]
    assert "・残高の取得" in mails(member)[1]["text"]


def test_payment_beyond_its_limits_brings_another_and_within_them_none(
    third_party: ThirdParty, member: Member, mails: Callable[[Member], list[dict[str, str]]]
) -> None:
    third_party.code(member, **PAY)
    higher = {"scope": "openid payment", "authorization_details": payment_detail(2_000), "ticked": ["payment"]}
    third_party.code(member, **higher, ceiling="600")
    assert subjects(mails(member)) == [ALLOWED]

    third_party.code(member, **higher, ceiling="1500")
    assert subjects(mails(member)) == [ALLOWED, PAYMENT]
    assert "・1回の上限：¥1,500" in mails(member)[1]["text"]


def test_an_app_that_is_allowed_anew_after_it_was_revoked_is_news(
    third_party: ThirdParty, member: Member, mails: Callable[[Member], list[dict[str, str]]]
) -> None:
    grant_id = third_party.tokens(member)["grant_id"]
    address = f"/account/apps/{grant_id}/revoke"
    member.browser.post(address, data=hidden(member.browser.get(address)))
    third_party.code(member)

    assert subjects(mails(member)) == [ALLOWED, ALLOWED]


@pytest.mark.parametrize("decision", ["cancel", None, "Allow"])
def test_what_is_denied_brings_none(
    third_party: ThirdParty, member: Member, mails: Callable[..., Any], decision: str | None
) -> None:
    third_party.answer(member, decision=decision)
    assert mails(member) == []


def test_nothing_ticked_is_nothing_allowed(
    third_party: ThirdParty, member: Member, mails: Callable[..., Any], rows: Callable[..., Any]
) -> None:
    refused = sent_back(third_party.answer(member, scope="balance offline_access", ticked=[]))
    assert refused["error"] == "access_denied"
    assert mails(member) == []
    assert rows("SELECT id FROM oauth_grant WHERE client_id = :id", id=third_party.id) == []


def test_of_twenty_consents_at_once_one_brings_it(
    app: Flask, third_party: ThirdParty, member: Member, mails: Callable[[Member], list[dict[str, str]]]
) -> None:
    page = member.browser.get(third_party.address(scope="openid balance payment"))
    form = {**hidden(page), "permission": ["balance", "payment"], "decision": "allow"}
    form |= {"max_per_payment_yen": "700", "max_per_day_yen": "10000", "max_per_month_yen": "50000"}
    with member.browser.session_transaction() as cookie:
        held = dict(cookie)

    def consent(_: int) -> int:
        browser = app.test_client()
        with browser.session_transaction() as own:
            own.update(held)
        return browser.post(third_party.address(scope="openid balance payment"), data=form).status_code

    assert Counter(at_once(consent)) == {303: 20}
    assert subjects(mails(member)) == [ALLOWED]


def test_the_co_ops_own_page_is_no_news_unless_it_may_pay(
    app: Flask,
    new_third_party: Callable[..., ThirdParty],
    member: Member,
    mails: Callable[[Member], list[dict[str, str]]],
) -> None:
    with app.app_context():
        own = new_third_party(redirect_uris=[f"{mypage_url()}/callback"])
    own.code(member)
    assert mails(member) == []

    own.code(member, **PAY)
    assert subjects(mails(member)) == [PAYMENT]


@pytest.mark.parametrize(
    "uris",
    [
        ["https://localhost:8001/callback"],
        ["http://localhost:800/callback"],
        ["http://localhost/callback"],
        ["https://localhost.evil.example/callback"],
        ["http://localhost:8001/callback", "https://app.example/callback"],
    ],
)
def test_only_what_is_all_at_the_member_pages_own_address_is_the_co_ops(
    app: Flask, new_third_party: Callable[..., ThirdParty], member: Member, mails: Callable[..., Any], uris: list[str]
) -> None:
    with app.app_context():
        assert mypage_url() == "http://localhost:8001"
    new_third_party(redirect_uris=uris).code(member)
    assert subjects(mails(member)) == [ALLOWED]


def test_a_name_stands_on_one_line(
    third_party: ThirdParty, member: Member, mails: Callable[..., Any], rows: Callable[..., Any]
) -> None:
    rows("UPDATE oauth_client SET name_ja = E'試験\\r\\nBcc: x@evil.example' WHERE id = :id", id=third_party.id)
    third_party.code(member)
    assert mails(member)[0]["subject"] == "【試験生協】「試験 Bcc: x@evil.example」へのアクセス許可のお知らせ"
