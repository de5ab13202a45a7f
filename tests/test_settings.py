"""The server's settings: what stops the start, and what an https address brings with it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask

from app.settings import Settings, SettingsError

_KEY = base64.b64encode(b"k" * 32).decode()
GIVEN = {
    "DATABASE_URL": "postgresql://kumiai@db.example/kumiai",
    "KUMIAI_SECRET_KEY": _KEY,
    "KUMIAI_SEALING_KEY": _KEY,
    "KUMIAI_CARD_PEPPER": _KEY,
    "KUMIAI_ISSUER_URL": "https://pay.example.jp/",
    "KUMIAI_TRUSTED_PROXIES": "1",
}


def test_from_the_environment() -> None:
    settings = Settings.from_env(GIVEN)
    assert settings.production
    assert settings.issuer_url == "https://pay.example.jp"
    assert settings.trusted_proxies == 1
    assert _KEY not in repr(settings)


def test_the_key_of_lite_s_cards_is_for_those_who_issue_them() -> None:
    assert Settings.from_env(GIVEN).lite_s_key is None
    assert Settings.from_env({**GIVEN, "KUMIAI_LITE_S_KEY": ""}).lite_s_key is None
    settings = Settings.from_env({**GIVEN, "KUMIAI_LITE_S_KEY": _KEY})
    assert settings.lite_s_key == b"k" * 32
    assert "lite_s_key" not in repr(settings)
    with pytest.raises(SettingsError, match="KUMIAI_LITE_S_KEY must be 32 bytes"):
        Settings.from_env({**GIVEN, "KUMIAI_LITE_S_KEY": "c2hvcnQ="})


@pytest.mark.parametrize("said", [None, ""])
def test_over_https_in_production_the_proxies_must_be_counted(said: str | None) -> None:
    """Left at none, the proxy would be every caller, and its limits everybody's."""
    given = {name: value for name, value in GIVEN.items() if name != "KUMIAI_TRUSTED_PROXIES"}
    given |= {} if said is None else {"KUMIAI_TRUSTED_PROXIES": said}
    with pytest.raises(SettingsError, match="KUMIAI_TRUSTED_PROXIES: 1 where one proxy"):
        Settings.from_env(given)
    assert Settings.from_env({**given, "KUMIAI_TRUSTED_PROXIES": "0"}).trusted_proxies == 0
    assert Settings.from_env({**given, "KUMIAI_ENV": "development"}).trusted_proxies == 0
    assert Settings.from_env({**given, "KUMIAI_ISSUER_URL": "http://localhost:8000"}).trusted_proxies == 0


@pytest.mark.parametrize("count", ["one", "-1", "１", "1.0", "999"])
def test_a_count_of_proxies_is_a_number(count: str) -> None:
    with pytest.raises(SettingsError, match="KUMIAI_TRUSTED_PROXIES"):
        Settings.from_env({**GIVEN, "KUMIAI_TRUSTED_PROXIES": count})


@pytest.mark.parametrize("seconds", ["0", "-1", "1.5", "a week", "123456789"])
def test_how_long_a_hold_may_last_is_a_number_of_seconds(seconds: str) -> None:
    assert Settings.from_env(GIVEN).max_hold_s == 7 * 86_400
    assert Settings.from_env({**GIVEN, "KUMIAI_MAX_HOLD_S": "3600"}).max_hold_s == 3_600
    with pytest.raises(SettingsError, match="KUMIAI_MAX_HOLD_S"):
        Settings.from_env({**GIVEN, "KUMIAI_MAX_HOLD_S": seconds})


@pytest.mark.parametrize("environment", ["production", "development", "test"])
@pytest.mark.parametrize("url", ["http://192.168.0.7:8000", "http://pay.example.jp", "http://localhost.example.jp"])
def test_http_is_for_this_machine_alone(environment: str, url: str) -> None:
    """Authlib answers no request at such an address, whatever the environment."""
    with pytest.raises(SettingsError, match="KUMIAI_ISSUER_URL must begin with https://"):
        Settings.from_env({**GIVEN, "KUMIAI_ENV": environment, "KUMIAI_ISSUER_URL": url})


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_at_every_address_the_settings_let_through_a_request_is_answered(
    settings: Settings, new_app: Callable[[Settings], Flask], url: str
) -> None:
    allowed = Settings.from_env({**GIVEN, "KUMIAI_ENV": "development", "KUMIAI_ISSUER_URL": url})
    client = new_app(replace(settings, issuer_url=allowed.issuer_url)).test_client()
    assert client.get("/oauth/authorize").status_code == 400
    assert client.post("/oauth/token", data={"grant_type": "x"}).status_code == 400


@pytest.mark.parametrize(("issuer_url", "tls"), [("https://pay.example.jp", True), ("http://localhost:8000", False)])
@pytest.mark.parametrize("proxies", [0, 1])
def test_an_https_address_brings_secure_cookies_and_strict_transport_security(
    settings: Settings, new_app: Callable[[Settings], Flask], issuer_url: str, tls: bool, proxies: int
) -> None:
    """Whatever a proxy says or leaves out: the scheme is the settings'."""
    app = new_app(replace(settings, issuer_url=issuer_url, trusted_proxies=proxies))
    for headers in ({}, {"X-Forwarded-Proto": "http" if tls else "https"}):
        answers = [app.test_client().get(path, headers=headers) for path in ("/login", "/language/en", "/v1/me")]
        assert {"Strict-Transport-Security" in answer.headers for answer in answers} == {tls}
        assert ["Secure" in answer.headers["Set-Cookie"] for answer in answers[:2]] == [tls, tls]


SANDBOX = {"KUMIAI_SANDBOX_KEY": "sk_sandbox_1", "KUMIAI_SANDBOX_WEBHOOK_SECRET": "whsec_c2VjcmV0"}
VENDORS = {
    "KUMIAI_KOMOJU_SECRET_KEY": "sk_live_1",
    "KUMIAI_KOMOJU_WEBHOOK_SECRET": "one",
    "KUMIAI_STRIPE_SECRET_KEY": "sk_live_2",
    "KUMIAI_STRIPE_WEBHOOK_SECRET": "whsec_1,whsec_2",
}


def test_in_development_the_sandbox_is_charged_at_where_it_has_its_key() -> None:
    development = {**GIVEN, "KUMIAI_ENV": "development"}
    settings = Settings.from_env({**development, **SANDBOX, "KUMIAI_SANDBOX_URL": "http://localhost:8002/"})
    assert (settings.charge_gateway, settings.sandbox_url) == ("sandbox", "http://localhost:8002")
    assert "sk_sandbox_1" not in repr(settings)
    assert "whsec_" not in repr(settings)
    assert Settings.from_env(development).charge_gateway == ""
    other = {**VENDORS, "KUMIAI_CHARGE_GATEWAY": "stripe"}
    assert Settings.from_env({**development, **SANDBOX, **other}).charge_gateway == "stripe"


@pytest.mark.parametrize("missing", SANDBOX)
def test_the_sandbox_needs_both_its_secrets(missing: str) -> None:
    given = {**GIVEN, **SANDBOX, "KUMIAI_ENV": "test", "KUMIAI_CHARGE_GATEWAY": "sandbox", missing: ""}
    with pytest.raises(SettingsError, match=missing):
        Settings.from_env(given)


def test_production_does_not_take_play_money() -> None:
    assert Settings.from_env({**GIVEN, **SANDBOX}).charge_gateway == ""
    with pytest.raises(SettingsError, match="KUMIAI_CHARGE_GATEWAY=sandbox is for development"):
        Settings.from_env({**GIVEN, **SANDBOX, "KUMIAI_CHARGE_GATEWAY": "sandbox"})


def test_a_gateway_that_there_is_not() -> None:
    with pytest.raises(SettingsError, match="komoju or stripe"):
        Settings.from_env({**GIVEN, "KUMIAI_CHARGE_GATEWAY": "paypal"})


@pytest.mark.parametrize("missing", VENDORS)
def test_a_vendor_needs_its_key_and_its_webhook_secret(missing: str) -> None:
    name = "komoju" if "KOMOJU" in missing else "stripe"
    given = {**GIVEN, **VENDORS, "KUMIAI_CHARGE_GATEWAY": name}
    settings = Settings.from_env(given)
    assert settings.charge_gateway == name
    assert settings.stripe_webhook_secrets == ("whsec_1", "whsec_2")
    assert not any(secret in repr(settings) for secret in ("sk_live", "whsec_"))
    with pytest.raises(SettingsError, match=f"KUMIAI_{name.upper()}_SECRET_KEY"):
        Settings.from_env({**given, missing: ""})
