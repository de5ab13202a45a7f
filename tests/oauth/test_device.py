"""The device grant (RFC 8628): codes, polling, the page where a member types the code and decides."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import clock
from app.db import transaction
from app.ids import secret_hash
from app.oauth import grants_service, typed_codes
from app.oauth.suspension import suspend_member
from app.wallet.spend_control import GrantControls
from tests import factories
from tests.oauth.conftest import Member, ThirdParty, filled, hidden, payment_detail
from tests.oauth.keyholder import USERINFO, Keyholder, Signer
from tests.oauth.test_identity import decode
from tests.oauth.test_races import THREADS, at_once, statuses
from tests.oauth.test_token import error

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SCOPE = "openid balance history"


@pytest.fixture
def screen(new_third_party: Callable[..., ThirdParty]) -> ThirdParty:
    """An app on a device without a browser."""
    return new_third_party(profile="native", redirect_uris=["http://127.0.0.1/callback"])


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time stands still but for this."""
    instant = [clock.now()]
    monkeypatch.setattr(clock, "now", lambda: instant[0])

    def forward(seconds: float) -> None:
        instant[0] += timedelta(seconds=seconds)

    return forward


def ask(app: ThirdParty, **form: str) -> dict[str, Any]:
    response = app.post("/oauth/device_authorization", **{"scope": SCOPE, **form})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.get_json()
    return answer


def poll(app: ThirdParty, asked: dict[str, Any]) -> TestResponse:
    return app.post(grant_type=GRANT, device_code=asked["device_code"])


def enter(member: Member, user_code: str) -> TestResponse:
    """The member types the code; the answer is not followed."""
    page = member.browser.get("/oauth/device")
    return member.browser.post("/oauth/device", data={**hidden(page), "user_code": user_code})


def question(member: Member, user_code: str) -> str:
    """The address of the page that asks, once the code is typed."""
    answer = enter(member, user_code)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def reply(member: Member, address: str, *, decision: str = "allow", **form: Any) -> TestResponse:
    """The member presses a button on the page that asks."""
    page = member.browser.get(address)
    assert page.status_code == 200, page.text
    sent = {**filled(page), "permission": ["balance", "history"], "decision": decision, **form}
    return member.browser.post(address, data=sent)


def allow(member: Member, asked: dict[str, Any], **form: Any) -> None:
    assert reply(member, question(member, asked["user_code"]), **form).status_code == 303


# --- The device begins


def test_the_answer_to_a_device(app: Flask, screen: ThirdParty, rows: Callable[..., list[Any]]) -> None:
    response = screen.post("/oauth/device_authorization", scope=SCOPE)

    assert response.headers["Cache-Control"] == "no-store"
    answer = response.get_json()
    page = "http://localhost:8000/oauth/device"
    assert re.fullmatch(r"kdc_[A-Za-z0-9_-]{43}", answer["device_code"])
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", answer["user_code"])
    assert answer["verification_uri"] == page
    assert answer["verification_uri_complete"] == f"{page}?user_code={answer['user_code']}"
    assert (answer["expires_in"], answer["interval"]) == (600, 5)
    kept = rows("SELECT * FROM oauth_device WHERE client_id = :id", id=screen.id)
    assert len(kept) == 1
    assert kept[0].device_hash == secret_hash(answer["device_code"])
    letters = answer["user_code"].replace("-", "")
    assert secret_hash(letters) != kept[0].user_code_hash  # who reads the table could try all 20^8
    assert not {answer["device_code"], answer["user_code"], letters} & {str(value) for value in kept[0]}


def test_discovery_says_where(app: Flask) -> None:
    metadata = app.test_client().get("/.well-known/oauth-authorization-server").get_json()
    assert metadata["device_authorization_endpoint"] == "http://localhost:8000/oauth/device_authorization"
    assert GRANT in metadata["grant_types_supported"]


def test_a_user_code_that_is_taken_is_not_given_again(screen: ThirdParty, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = ask(screen)["user_code"].replace("-", "")
    letters = iter(f"{taken}{taken}BBBBCCCC")
    monkeypatch.setattr(secrets, "choice", lambda _: next(letters))

    assert ask(screen)["user_code"] == "BBBB-CCCC"


def test_a_client_with_a_secret_must_prove_it(third_party: ThirdParty) -> None:
    assert ask(third_party)["user_code"]
    browser = third_party.app.test_client()

    bare = browser.post("/oauth/device_authorization", data={"client_id": third_party.id, "scope": SCOPE})

    assert (bare.status_code, error(bare)) == (401, "invalid_client")


@pytest.mark.parametrize("profile", ["spa", "till", "service"])
def test_other_kinds_of_client_have_no_devices(new_third_party: Callable[..., ThirdParty], profile: str) -> None:
    client = new_third_party(profile=profile)
    response = client.post("/oauth/device_authorization", scope=SCOPE)
    assert (response.status_code, error(response)) == (400, "unauthorized_client")
    assert error(client.post(grant_type=GRANT, device_code="kdc_x")) == "unauthorized_client"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "openid nothing"}, "invalid_scope"),
        ({"scope": "openid charge"}, "invalid_scope"),
        ({"scope": "balance\x00"}, "invalid_request"),
        ({"scope": "balance", "authorization_details": payment_detail(500)}, "invalid_authorization_details"),
        ({"scope": "payment", "authorization_details": payment_detail(0)}, "invalid_authorization_details"),
        ({"scope": "payment", "authorization_details": "[" * 5000}, "invalid_authorization_details"),
        (
            {"scope": "payment", "authorization_details": '[{"type": "payment\\ud800"}]'},
            "invalid_authorization_details",
        ),
    ],
)
def test_what_a_device_cannot_ask(screen: ThirdParty, form: dict[str, str], expected: str) -> None:
    response = screen.post("/oauth/device_authorization", **form)
    assert (response.status_code, error(response)) == (400, expected)


def test_parameters_come_once_and_in_the_body(screen: ThirdParty) -> None:
    browser, path = screen.app.test_client(), "/oauth/device_authorization"
    twice = browser.post(path, data={"client_id": screen.id, "scope": ["balance", "history"]})
    in_query = browser.post(f"{path}?client_id={screen.id}", data={"scope": SCOPE})
    as_json = browser.post(path, json={"client_id": screen.id, "scope": SCOPE})
    assert {error(each) for each in (twice, in_query, as_json)} == {"invalid_request"}
    assert "scope" in twice.get_json()["error_description"]


def test_a_wrong_method_is_answered_in_json(screen: ThirdParty) -> None:
    wrong = screen.app.test_client().get("/oauth/device_authorization")
    assert (wrong.status_code, error(wrong)) == (405, "invalid_request")
    assert set(wrong.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


@pytest.mark.usefixtures("still_clock")
def test_devices_of_one_client_are_counted_per_network(screen: ThirdParty) -> None:
    def from_network(address: str) -> TestResponse:
        return screen.app.test_client().post(
            "/oauth/device_authorization",
            data={"client_id": screen.id, "scope": SCOPE},
            environ_base={"REMOTE_ADDR": address},
        )

    assert {from_network("192.0.2.60").status_code for _ in range(60)} == {200}
    refused = from_network("192.0.2.60")
    assert (refused.status_code, error(refused)) == (429, "temporarily_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert from_network("192.0.2.61").status_code == 200


# --- Polling


def test_from_the_code_to_the_tokens(screen: ThirdParty, member: Member, rows: Callable[..., list[Any]]) -> None:
    asked = ask(screen, scope=f"{SCOPE} offline_access")
    assert error(poll(screen, asked)) == "authorization_pending"

    allow(member, asked, permission=["balance"])
    response = poll(screen, asked)

    assert response.headers["Cache-Control"] == "no-store"
    answer = response.get_json()
    assert answer["scope"] == "openid balance offline_access"
    assert "id_token" in answer
    assert screen.userinfo(answer["access_token"]).get_json()["sub"] == str(member.id)
    assert screen.refresh(answer["refresh_token"]).status_code == 200
    assert rows("SELECT scopes FROM oauth_grant WHERE client_id = :id", id=screen.id) == [
        (["openid", "balance", "offline_access"],)
    ]


def test_a_client_with_a_secret_polls_with_it(third_party: ThirdParty, member: Member) -> None:
    asked = ask(third_party)
    allow(member, asked)
    bare = third_party.app.test_client().post(
        "/oauth/token",
        data={"client_id": third_party.id, "grant_type": GRANT, "device_code": asked["device_code"]},
    )
    assert (bare.status_code, error(bare)) == (401, "invalid_client")
    assert poll(third_party, asked).status_code == 200


def test_its_id_token_is_of_the_member_but_of_no_browser(screen: ThirdParty, member: Member) -> None:
    asked = ask(screen)
    allow(member, asked)

    id_token = poll(screen, asked).get_json()["id_token"]

    claims = decode(screen.app, id_token).claims
    assert (claims["sub"], claims["aud"]) == (str(member.id), screen.id)
    assert claims.keys() >= {"iss", "iat", "exp", "auth_time", "at_hash"}
    assert not {"sid", "nonce"} & claims.keys()


def test_tokens_of_a_device_are_bound_to_the_key_it_shows(screen: ThirdParty, member: Member) -> None:
    holder, key = Keyholder(screen), Signer.new()
    asked = ask(screen, scope=f"{SCOPE} offline_access")
    allow(member, asked)

    answer = holder.post(proof=key.proof(), grant_type=GRANT, device_code=asked["device_code"]).get_json()

    assert answer["token_type"] == "DPoP"
    access = answer["access_token"]
    assert screen.userinfo(access).status_code == 401
    assert holder.call(access, proof=key.proof(USERINFO, method="GET", token=access)).status_code == 200
    assert holder.refresh(answer["refresh_token"], proof=Signer.new().proof()).get_json()["error"] == "invalid_grant"


def test_a_client_with_keys_signs_for_both_codes(new_third_party: Callable[..., ThirdParty], member: Member) -> None:
    signer = Signer.new()
    web = Keyholder(new_third_party(jwks=signer.jwks), signer)
    asked = web.post(path="/oauth/device_authorization", scope=SCOPE).get_json()
    allow(member, asked)
    assert web.post(grant_type=GRANT, device_code=asked["device_code"]).status_code == 200


def test_who_polls_too_fast_is_slowed_down_by_five_seconds_each_time(
    screen: ThirdParty, member: Member, pass_time: Callable[[float], None]
) -> None:
    asked = ask(screen)

    def after(seconds: float) -> str:
        pass_time(seconds)
        return error(poll(screen, asked))

    assert after(0) == "authorization_pending"  # the first may come at once
    assert after(5) == "authorization_pending"
    assert after(4.5) == "authorization_pending"  # the network brings some a little closer together
    assert after(2) == "slow_down"  # 10 seconds from now on
    assert after(5) == "slow_down"  # 15
    assert after(10) == "slow_down"  # 20
    assert after(20) == "authorization_pending"
    allow(member, asked)
    assert poll(screen, asked).status_code == 200  # who is allowed need not wait


def test_slow_down_is_counted_although_it_is_a_refusal(
    screen: ThirdParty, still_clock: None, rows: Callable[..., list[Any]]
) -> None:
    asked = ask(screen)
    for _ in range(3):
        poll(screen, asked)
    assert rows("SELECT interval_s FROM oauth_device WHERE client_id = :id", id=screen.id) == [(15,)]


def test_of_twenty_polls_at_once_nineteen_are_too_fast(screen: ThirdParty, rows: Callable[..., list[Any]]) -> None:
    asked = ask(screen)

    errors = [error(response) for response in at_once(lambda _: poll(screen, asked))]

    assert sorted(errors) == ["authorization_pending", *["slow_down"] * (THREADS - 1)]
    assert rows("SELECT interval_s FROM oauth_device WHERE client_id = :id", id=screen.id) == [(5 + 5 * 19,)]


def test_a_denied_device_is_told_so(screen: ThirdParty, member: Member, living: Callable[[str], int]) -> None:
    asked = ask(screen)
    reply(member, question(member, asked["user_code"]), decision="cancel")
    for _ in range(2):
        assert error(poll(screen, asked)) == "access_denied"
    assert living(screen.id) == 0


@pytest.mark.parametrize("decision", ["", "Allow", "yes"])
def test_only_the_very_word_allow_is_consent(screen: ThirdParty, member: Member, decision: str) -> None:
    asked = ask(screen)
    allow(member, asked, decision=decision)
    assert error(poll(screen, asked)) == "access_denied"


def test_an_answer_that_is_useful_for_nothing_is_a_denial(
    screen: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    asked = ask(screen, scope="balance offline_access")
    allow(member, asked, permission=[])
    assert error(poll(screen, asked)) == "access_denied"
    assert rows("SELECT FROM oauth_grant WHERE client_id = :id", id=screen.id) == []


def test_an_expired_code_is_told_so_whether_allowed_or_not(
    screen: ThirdParty, member: Member, pass_time: Callable[[float], None], living: Callable[[str], int]
) -> None:
    waiting, allowed = ask(screen), ask(screen)
    allow(member, allowed)
    pass_time(601)
    assert [error(poll(screen, asked)) for asked in (waiting, allowed)] == ["expired_token"] * 2
    assert living(screen.id) == 0


@pytest.mark.parametrize("device_code", ["kdc_unknown", "'; --", "名前", "k" * 100_000])
def test_trap_3_an_unknown_code_is_an_invalid_grant(screen: ThirdParty, device_code: str) -> None:
    response = screen.post(grant_type=GRANT, device_code=device_code)
    assert (response.status_code, error(response)) == (400, "invalid_grant")


def test_a_missing_code_is_named(screen: ThirdParty) -> None:
    for form in ({}, {"device_code": ""}):
        response = screen.post(grant_type=GRANT, **form)
        assert error(response) == "invalid_request"
        assert "device_code" in response.get_json()["error_description"]


def test_another_clients_code_is_an_invalid_grant_and_unharmed(
    screen: ThirdParty, third_party: ThirdParty, member: Member
) -> None:
    asked = ask(screen)
    assert error(poll(third_party, asked)) == "invalid_grant"
    allow(member, asked)
    assert error(poll(third_party, asked)) == "invalid_grant"
    assert poll(screen, asked).status_code == 200


def test_a_user_code_is_no_device_code(screen: ThirdParty) -> None:
    asked = ask(screen)
    assert error(poll(screen, {"device_code": asked["user_code"]})) == "invalid_grant"


def test_trap_3_a_second_redemption_ends_what_the_first_gave(
    screen: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    asked = ask(screen, scope=f"{SCOPE} offline_access")
    allow(member, asked)
    first = poll(screen, asked).get_json()
    refreshed = screen.refresh(first["refresh_token"]).get_json()

    assert error(poll(screen, asked)) == "invalid_grant"

    assert living(screen.id) == 0
    assert screen.userinfo(refreshed["access_token"]).status_code == 401


def test_of_twenty_redemptions_one_wins_and_its_tokens_are_revoked(
    screen: ThirdParty, member: Member, living: Callable[[str], int]
) -> None:
    asked = ask(screen, scope=f"{SCOPE} offline_access")
    allow(member, asked)

    responses = at_once(lambda _: poll(screen, asked))

    assert statuses(responses) == {200: 1, 400: THREADS - 1}
    assert {error(response) for response in responses if response.status_code == 400} == {"invalid_grant"}
    assert living(screen.id) == 0


def revoke(app: Flask, member: Member, rows: Callable[..., list[Any]], client_id: str) -> None:
    grant_id = rows("SELECT id FROM oauth_grant WHERE client_id = :id", id=client_id)[0][0]
    with app.app_context(), transaction():
        grants_service.revoke(grant_id=grant_id, controls=GrantControls())


def test_a_permission_taken_back_before_the_poll_is_worth_nothing(
    app: Flask, screen: ThirdParty, member: Member, rows: Callable[..., list[Any]], living: Callable[[str], int]
) -> None:
    asked = ask(screen)
    allow(member, asked)
    revoke(app, member, rows, screen.id)
    assert error(poll(screen, asked)) == "invalid_grant"
    assert living(screen.id) == 0


def test_what_a_suspended_member_allowed_stays_dead_when_the_account_is_resumed(
    app: Flask, screen: ThirdParty, member: Member, rows: Callable[..., list[Any]], living: Callable[[str], int]
) -> None:
    asked = ask(screen)
    allow(member, asked)
    with app.app_context(), transaction():
        suspend_member(member.id)
    assert error(poll(screen, asked)) == "invalid_grant"
    rows("UPDATE member SET status = 'active' WHERE id = :id", id=member.id)
    assert error(poll(screen, asked)) == "invalid_grant"
    assert living(screen.id) == 0


def test_a_suspension_while_twenty_poll_leaves_no_token(
    app: Flask,
    new_third_party: Callable[..., ThirdParty],
    new_member: Callable[..., Member],
    living: Callable[..., int],
) -> None:
    for _ in range(3):
        screen, member = new_third_party(profile="native"), new_member()
        asked = ask(screen)
        allow(member, asked)

        def poll_or_suspend(number: int) -> int:
            if number:
                return poll(screen, asked).status_code  # noqa: B023  # run before the loop goes on
            with app.app_context(), transaction():
                suspend_member(member.id)  # noqa: B023
            return 200

        assert set(at_once(poll_or_suspend)) <= {200, 400}
        assert living(screen.id) == 0


def test_a_scope_the_office_took_away_meanwhile_is_not_given(
    screen: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    asked = ask(screen)
    rows("UPDATE oauth_client SET scopes = '{openid,balance}' WHERE id = :id", id=screen.id)
    page = member.browser.get(question(member, asked["user_code"]))
    assert 'value="history"' not in page.text
    allow(member, asked)
    assert poll(screen, asked).get_json()["scope"] == "openid balance"


# --- The pages


def test_a_stranger_signs_in_and_comes_back_with_the_code(app: Flask, screen: ThirdParty) -> None:
    code = ask(screen)["user_code"]
    answer = app.test_client().get(f"/oauth/device?user_code={code}")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/login?next=/oauth/device?user_code%3D{code}"


def test_the_code_in_the_address_is_filled_in_and_no_more(screen: ThirdParty, member: Member) -> None:
    asked = ask(screen)
    page = member.browser.get(asked["verification_uri_complete"])
    assert f'value="{asked["user_code"]}"' in page.text
    assert "http-equiv" not in page.text
    assert "<script" not in page.text
    assert error(poll(screen, asked)) == "authorization_pending"


def test_the_page_says_which_app_what_and_shows_the_code(screen: ThirdParty, member: Member) -> None:
    asked = ask(screen, scope="openid balance payment")
    page = member.browser.get(question(member, asked["user_code"]))
    assert "試験アプリ" in page.text
    assert asked["user_code"] in page.text
    assert "表示されていない場合は、キャンセル" in page.text
    assert "残高の取得" in page.text
    assert "北食堂" in page.text
    assert re.search(r'value="balance"[^>]*checked', page.text)
    assert not re.search(r'value="payment"[^>]*checked', page.text)  # never pre-ticked
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Content-Security-Policy"].endswith("form-action 'self'")


def full_width(letters: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) for letter in letters)


@pytest.mark.parametrize(
    "as_typed",
    [
        str.lower,
        lambda code: code.replace("-", ""),
        lambda code: code.replace("-", " "),
        lambda code: f"  {code}\t",
        lambda code: " ".join(code),
        full_width,
        lambda code: full_width(code.lower().replace("-", "")) + "\u3000",
        *(lambda code, dash=dash: code.replace("-", dash) for dash in "ー‐–—―−－・_."),
    ],
)
def test_a_code_is_read_as_it_is_meant(screen: ThirdParty, member: Member, as_typed: Callable[[str], str]) -> None:
    assert enter(member, as_typed(ask(screen)["user_code"])).status_code == 303


@pytest.mark.parametrize(
    "typed", ["", "BCDF", "BCDF-GHJKL", "BCDF-GHJ1", "AEIO-UAEI", "ＢＣＤ\x00", "９" * 8, "B" * 200_000]
)
def test_what_is_no_code_is_refused_and_costs_no_try(
    member: Member, rows: Callable[..., list[Any]], typed: str
) -> None:
    for _ in range(6):
        page = enter(member, typed)
        assert page.status_code == 422
    assert "コードは英字8文字です" in page.text
    assert 'aria-invalid="true"' in page.text
    assert len(page.text) < 10_000


def test_unknown_expired_and_answered_codes_are_told_apart_by_nobody(
    screen: ThirdParty, member: Member, new_member: Callable[..., Member], rows: Callable[..., list[Any]]
) -> None:
    answered, expired, orphan = ask(screen), ask(screen), ask(screen)
    allow(member, answered)
    rows(
        "UPDATE oauth_device SET expires_at = now() WHERE device_hash = :hash",
        hash=secret_hash(expired["device_code"]),
    )

    def body(code: str) -> tuple[int, str]:
        page = enter(new_member(), code)
        return page.status_code, re.sub(r'value="[^"]*"|\?[^"]*', "", page.text)

    pages = {body(code) for code in ("BBBB-BBBB", answered["user_code"], expired["user_code"])}
    rows("UPDATE oauth_client SET status = 'revoked' WHERE id = :id", id=screen.id)
    pages.add(body(orphan["user_code"]))
    assert len(pages) == 1
    status, text = pages.pop()
    assert status == 404
    assert "このコードは使えません" in text


@pytest.mark.usefixtures("still_clock")
def test_five_wrong_codes_shut_the_door_to_that_member(
    screen: ThirdParty, member: Member, new_member: Callable[..., Member]
) -> None:
    asked = ask(screen)
    assert [enter(member, "BBBB-BBBB").status_code for _ in range(5)] == [404] * 5

    refused = enter(member, asked["user_code"])

    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert enter(new_member(), asked["user_code"]).status_code == 303


@pytest.mark.usefixtures("still_clock")
def test_right_codes_are_not_counted(screen: ThirdParty, member: Member) -> None:
    for _ in range(7):
        assert enter(member, ask(screen)["user_code"]).status_code == 303


@pytest.mark.usefixtures("still_clock")
def test_wrong_codes_are_counted_per_network_too(new_member: Callable[..., Member], screen: ThirdParty) -> None:
    address = f"2001:db8:{secrets.token_hex(2)}::1"  # where no other test guesses

    def guess(member: Member) -> int:
        form = hidden(member.browser.get("/oauth/device"))
        form["user_code"] = ["BBBB-BBBB"]
        return member.browser.post("/oauth/device", data=form, environ_base={"REMOTE_ADDR": address}).status_code

    many = [new_member() for _ in range(11)]
    assert [guess(member) for member in many[:10] for _ in range(5)] == [404] * 50
    assert guess(many[10]) == 429


def test_the_way_to_the_question_belongs_to_one_member(
    screen: ThirdParty, member: Member, new_member: Callable[..., Member]
) -> None:
    """Neither a ticket sent by another member nor one made up leads past the page where the code is typed."""
    asked = ask(screen)
    address = question(member, asked["user_code"])
    other = new_member()
    made_up = [
        "/oauth/device/consent",
        "/oauth/device/consent?ticket=x",
        address[:-1] + ("A" if address[-1] != "A" else "B"),
    ]
    for path in (address, *made_up):
        for answer in (
            other.browser.get(path),
            other.browser.post(path, data={"csrf_token": csrf(other), "decision": "allow"}),
        ):
            assert (answer.status_code, answer.headers["Location"]) == (303, "/oauth/device"), path
    assert error(poll(screen, asked)) == "authorization_pending"


def csrf(member: Member) -> str:
    return hidden(member.browser.get("/oauth/device"))["csrf_token"][0]


@pytest.mark.parametrize("path", ["/oauth/device", "/oauth/device/consent"])
def test_no_form_is_taken_without_its_csrf_token_or_from_elsewhere(member: Member, path: str) -> None:
    assert member.browser.post(path, data={"user_code": "BBBB-BBBB"}).status_code == 400
    elsewhere = member.browser.post(path, data={"csrf_token": csrf(member)}, headers={"Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 400
    assert elsewhere.mimetype == "text/html"


def test_of_two_members_who_type_one_code_the_first_answer_counts(
    screen: ThirdParty, member: Member, new_member: Callable[..., Member], rows: Callable[..., list[Any]]
) -> None:
    asked, second = ask(screen), new_member()
    first_question, second_question = question(member, asked["user_code"]), question(second, asked["user_code"])
    form = hidden(second.browser.get(second_question))
    assert reply(member, first_question).status_code == 303

    late = second.browser.post(second_question, data={**form, "permission": ["balance"], "decision": "allow"})

    assert (late.status_code, late.headers["Location"]) == (303, "/oauth/device")
    answer = poll(screen, asked).get_json()
    assert screen.userinfo(answer["access_token"]).get_json()["sub"] == str(member.id)
    assert rows("SELECT count(*) FROM oauth_grant WHERE client_id = :id", id=screen.id) == [(1,)]


def test_of_twenty_answers_at_once_one_counts(
    screen: ThirdParty, new_member: Callable[..., Member], rows: Callable[..., list[Any]]
) -> None:
    asked = ask(screen)
    members = [new_member() for _ in range(THREADS)]
    forms = []
    for member in members:
        address = question(member, asked["user_code"])
        forms.append((member, address, hidden(member.browser.get(address))))

    def answer(number: int) -> TestResponse:
        member, address, form = forms[number]
        return member.browser.post(address, data={**form, "permission": ["balance"], "decision": "allow"})

    at_once(answer)

    assert rows("SELECT count(*) FROM oauth_grant WHERE client_id = :id", id=screen.id) == [(1,)]
    assert poll(screen, asked).status_code == 200


def test_the_last_page_says_what_came_of_it(screen: ThirdParty, member: Member) -> None:
    for decision, said in (("allow", "連携しました"), ("cancel", "連携しませんでした")):
        asked = ask(screen)
        done = reply(member, question(member, asked["user_code"]), decision=decision)
        assert done.status_code == 303
        for _ in range(2):  # reloading it sends nothing again
            page = member.browser.get(done.headers["Location"])
            assert page.status_code == 200
            assert f"<h1>{said}</h1>" in page.text
            assert "試験アプリ" in page.text


def test_an_app_that_was_allowed_before_does_not_pass_without_its_page(
    third_party: ThirdParty, member: Member, rows: Callable[..., list[Any]]
) -> None:
    third_party.code(member, scope=SCOPE)
    asked = ask(third_party)

    address = question(member, asked["user_code"])

    page = member.browser.get(address)
    assert "すでに許可している内容" in page.text
    assert asked["user_code"] in page.text
    assert error(poll(third_party, asked)) == "authorization_pending"
    assert reply(member, address, permission=[]).status_code == 303
    assert poll(third_party, asked).get_json()["scope"] == SCOPE
    assert rows("SELECT count(*) FROM oauth_grant WHERE client_id = :id", id=third_party.id) == [(1,)]


# --- Payment


def test_payment_is_allowed_with_its_ceiling(screen: ThirdParty, member: Member) -> None:
    asked = ask(screen, scope="openid payment", authorization_details=payment_detail(2_000))
    address = question(member, asked["user_code"])

    too_much = reply(member, address, permission=["payment"], max_per_payment_yen="2001")
    assert too_much.status_code == 422
    assert "まだ何も許可していません" in too_much.text
    assert asked["user_code"] in too_much.text
    assert error(poll(screen, asked)) == "authorization_pending"

    assert reply(member, address, permission=["payment"], max_per_payment_yen="４５０").status_code == 303
    answer = poll(screen, asked).get_json()
    assert answer["scope"] == "openid payment"
    assert answer["authorization_details"][0]["max_per_payment_yen"] == 450


def test_every_limit_a_device_asks_for_is_shown_and_comes_back(screen: ThirdParty, member: Member) -> None:
    limits = {"max_per_day_yen": 3_000, "max_per_month_yen": 9_000, "until": "2099-03-31"}
    asked = ask(screen, scope="openid payment", authorization_details=payment_detail(2_000, **limits))
    address = question(member, asked["user_code"])
    page = member.browser.get(address).text
    assert all(text in page for text in ("3,000", "9,000", 'value="2099-03-31"'))

    reply(member, address, permission=["payment"], max_per_month_yen="5000", until="2098-01-31")

    given = poll(screen, asked).get_json()["authorization_details"][0]
    assert {name: given[name] for name in ("max_per_payment_yen", *limits)} == {
        "max_per_payment_yen": 2_000,
        "max_per_day_yen": 3_000,
        "max_per_month_yen": 5_000,
        "until": "2098-01-31",
    }


def test_a_shop_the_office_took_away_meanwhile_is_not_paid(
    app: Flask, new_third_party: Callable[..., ThirdParty], member: Member, rows: Callable[..., list[Any]]
) -> None:
    with app.app_context():
        money = factories.money()
        north, south = (factories.shop(accepts=[money], name_ja=name) for name in ("北購買", "南購買"))
    screen = new_third_party(profile="native", allowed_shops=[north, south])
    codes = dict(rows("SELECT id, code FROM shop WHERE id IN (:north, :south)", north=north, south=south))
    asked = {
        shop: ask(screen, scope="balance payment", authorization_details=payment_detail(500, shops=shop))
        for shop in ((codes[north],), (codes[north], codes[south]))
    }
    rows(
        "UPDATE oauth_client SET allowed_shops = ARRAY[CAST(:south AS uuid)] WHERE id = :id", south=south, id=screen.id
    )

    none_left, one_left = (member.browser.get(question(member, each["user_code"])).text for each in asked.values())

    assert 'value="payment"' not in none_left
    assert "南購買" in one_left
    assert "北購買" not in one_left


def test_a_client_without_shops_cannot_ask_to_pay(new_third_party: Callable[..., ThirdParty]) -> None:
    screen = new_third_party(profile="native", allowed_shops=[])
    response = screen.post("/oauth/device_authorization", scope="payment")
    assert error(response) == "invalid_scope"


def test_nobody_can_guess_a_living_code() -> None:
    """The figures beside the limits in `device_pages`: a member's tries of a day against 10,000 living codes."""
    codes = len(set(typed_codes.LETTERS)) ** typed_codes.LENGTH
    assert 20 * 10_000 / codes < 1e-5
