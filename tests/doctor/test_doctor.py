"""`kumiai doctor`: each check is made to fire, and is silent where all is well."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from flask import Flask

from app import clock
from app.db import transaction
from app.demo.seed import HANAKO
from app.doctor import client_checks, database_checks, settings_checks
from app.doctor.command import examine
from app.doctor.finding import Connection, Finding, Level, SettingsCheck, connect
from app.oauth import keys
from app.settings import Settings
from app.web.terminal import say
from tests import factories
from tests.live import server_env
from tests.oauth.office import kumiai_for
from tests.ports import free_port


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


GOOD = {
    "KUMIAI_ENV": "production",
    "DATABASE_URL": "postgresql://kumiai@db.example/kumiai?sslmode=verify-full",
    "KUMIAI_SECRET_KEY": new_key(),
    "KUMIAI_SEALING_KEY": new_key(),
    "KUMIAI_CARD_PEPPER": new_key(),
    "KUMIAI_ISSUER_URL": "https://pay.midori.example",
    "KUMIAI_MYPAGE_URL": "https://my.midori.example",
    "KUMIAI_MAIL_URL": "smtps://mail.midori.example",
    "KUMIAI_MAIL_FROM": "no-reply@midori.example",
    "KUMIAI_TRUSTED_PROXIES": "1",
}
SAME = new_key()


def codes(findings: Iterator[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def test_good_settings_are_good() -> None:
    for check in settings_checks.CHECKS:
        assert list(check(GOOD)) == [], check


@pytest.mark.parametrize(
    ("check", "changes", "code", "level"),
    [
        (settings_checks.usable, {"KUMIAI_TIME_ZONE": "Asia/Tokyo", "DATABASE_URL": ""}, "settings_refused", 3),
        (settings_checks.usable, {"KUMIAI_TRUSTED_PROXIES": "many"}, "settings_refused", 3),
        (settings_checks.in_production, {"KUMIAI_ENV": "development"}, "not_production", 3),
        (settings_checks.issuer_over_tls, {"KUMIAI_ISSUER_URL": "http://pay.midori.example"}, "issuer_http", 3),
        (settings_checks.issuer_over_tls, {"KUMIAI_ISSUER_URL": None}, "issuer_http", 3),
        (settings_checks.mypage_over_tls, {"KUMIAI_MYPAGE_URL": "http://my.midori.example"}, "mypage_http", 2),
        (settings_checks.proxies_said, {"KUMIAI_TRUSTED_PROXIES": "0"}, "no_trusted_proxies", 2),
        (settings_checks.proxies_said, {"KUMIAI_TRUSTED_PROXIES": None}, "no_trusted_proxies", 2),
        (settings_checks.messages_leave, {"KUMIAI_MAIL_URL": "maildir:/tmp/mail"}, "messages_to_folder", 3),
        (settings_checks.messages_leave, {"KUMIAI_SMS_URL": "maildir:/tmp/mail"}, "messages_to_folder", 3),
        (
            settings_checks.dev_mailbox_shut,
            {"KUMIAI_ENV": "development", "KUMIAI_MAIL_URL": "maildir:/tmp/mail"},
            "dev_mailbox",
            2,
        ),
        (settings_checks.sender_named, {"KUMIAI_MAIL_FROM": None}, "mail_from", 2),
        (settings_checks.mail_over_tls, {"KUMIAI_MAIL_URL": "http://mail.midori.example"}, "mail_scheme", 3),
        (settings_checks.keys_strong, {"KUMIAI_SECRET_KEY": None}, "key_missing", 3),
        (settings_checks.keys_strong, {"KUMIAI_SECRET_KEY": "c2hvcnQ="}, "key_missing", 3),
        (settings_checks.keys_strong, {"KUMIAI_SECRET_KEY": "not base64"}, "key_missing", 3),
        (
            settings_checks.keys_strong,
            {"KUMIAI_SEALING_KEY": base64.b64encode(b"k" * 32).decode()},
            "key_weak",
            3,
        ),
        (
            settings_checks.keys_strong,
            {"KUMIAI_CARD_PEPPER": base64.b64encode(b"correct horse battery staple 012").decode()},
            "key_weak",
            3,
        ),
        (settings_checks.keys_strong, {"KUMIAI_LITE_S_KEY": base64.b64encode(b"k" * 32).decode()}, "key_weak", 3),
        (settings_checks.keys_differ, {"KUMIAI_CARD_PEPPER": SAME, "KUMIAI_LITE_S_KEY": SAME}, "keys_equal", 3),
        (settings_checks.usable, {"KUMIAI_LITE_S_KEY": "c2hvcnQ="}, "settings_refused", 3),
        (settings_checks.keys_differ, {"KUMIAI_SECRET_KEY": SAME, "KUMIAI_SEALING_KEY": SAME}, "keys_equal", 3),
        (settings_checks.database_over_tls, {"DATABASE_URL": "postgresql://db.example/kumiai"}, "database_tls", 3),
        (
            settings_checks.database_over_tls,
            {"DATABASE_URL": "postgresql://db.example/kumiai?sslmode=require"},
            "database_tls",
            2,
        ),
    ],
)
def test_what_is_wrong_with_the_settings(
    check: SettingsCheck, changes: dict[str, str | None], code: str, level: int
) -> None:
    environment = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    (finding,) = check(environment)
    assert (finding.code, finding.level) == (code, Level(level))


@pytest.mark.parametrize("url", ["postgresql:///kumiai", "postgresql://localhost/kumiai", "postgresql://?host=/run"])
def test_a_database_on_this_machine_needs_no_tls(url: str) -> None:
    assert list(settings_checks.database_over_tls({**GOOD, "DATABASE_URL": url})) == []


@pytest.fixture
def settings(fresh_database: str, make_settings: Callable[[str], Settings]) -> Settings:
    return make_settings(fresh_database)


@pytest.fixture
def app(fresh_app: Flask) -> Flask:
    return fresh_app


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with connect(settings.database_url) as connection:
        yield connection


def one(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_a_good_database_is_good(app: Flask, connection: Connection) -> None:
    checks = (*database_checks.SERVER_CHECKS, database_checks.migrated, *database_checks.CONTENT_CHECKS)
    for check in (*checks, *client_checks.CHECKS):
        assert codes(check(connection, GOOD)) in ([], ["superuser"]), check


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_database_that_may_forget(settings: Settings, connection: Connection, setting: str) -> None:
    """The last can be set for one connection, the others only for the whole server."""
    if setting == "synchronous_commit":
        connection.execute("SET synchronous_commit = off")
        finding = one(database_checks.durable(connection, GOOD))
        assert (finding.code, finding.level, finding.values) == ("not_durable", Level.CRITICAL, {"setting": setting})
        return
    if os.environ.get("DATABASE_URL"):
        pytest.skip("that PostgreSQL is not ours to set")
    connection.execute(f"ALTER SYSTEM SET {setting} = off")
    try:
        assert reloaded(settings.database_url, setting, "off")
        assert [finding.values for finding in database_checks.durable(connection, GOOD)] == [{"setting": setting}]
    finally:
        connection.execute(f"ALTER SYSTEM RESET {setting}")
        assert reloaded(settings.database_url, setting, "on")


def reloaded(url: str, setting: str, value: str) -> bool:
    """Whether the server, told to read its settings again, comes to `value`."""
    with psycopg.connect(url, autocommit=True) as asking:
        asking.execute("SELECT pg_reload_conf()")
    for _ in range(200):
        with psycopg.connect(url, autocommit=True) as asking:
            if asking.execute("SELECT current_setting(%s)", [setting]).fetchone() == (value,):
                return True
            asking.execute("SELECT pg_sleep(0.05)")
    return False


def test_a_superuser_is_noted(connection: Connection) -> None:
    if connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() != (True,):
        pytest.skip("this PostgreSQL gave us an ordinary role")
    assert one(database_checks.not_superuser(connection, GOOD)).level is Level.WARNING
    connection.execute("CREATE ROLE kumiai_doctor_test")
    connection.execute("SET ROLE kumiai_doctor_test")
    try:
        assert list(database_checks.not_superuser(connection, GOOD)) == []
    finally:
        connection.execute("RESET ROLE")
        connection.execute("DROP ROLE kumiai_doctor_test")


@pytest.mark.parametrize("apart_s", [-3, 3])
def test_clocks_that_differ(connection: Connection, monkeypatch: pytest.MonkeyPatch, apart_s: int) -> None:
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + timedelta(seconds=apart_s))
    finding = one(database_checks.same_clock(connection, GOOD))
    assert finding.code == "clocks_differ"
    seconds = finding.values["seconds"]
    assert isinstance(seconds, float)
    assert abs(seconds + apart_s) < 1


def test_an_old_postgresql_and_an_old_shape(settings: Settings, connection: Connection) -> None:
    class Old:
        """What a connection to PostgreSQL 14 says of it; there is none to connect to."""

        class info:  # noqa: N801  # psycopg's name
            server_version = 140_012

    assert codes(database_checks.version(Old, GOOD)) == ["postgres_old"]  # type: ignore[arg-type]
    assert list(database_checks.migrated(connection, GOOD)) == []
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert one(database_checks.migrated(connection, GOOD)).values["found"] == "0001"
    connection.execute("DROP TABLE alembic_version")
    assert one(database_checks.migrated(connection, GOOD)).code == "not_migrated"
    environment = {**GOOD, "DATABASE_URL": settings.database_url}
    assert "no_issuer" not in codes(examine(environment)), "nothing is asked of tables that may not be there"


def test_no_issuer(connection: Connection) -> None:
    assert codes(database_checks.has_issuer(connection, GOOD)) == ["no_issuer"]


def test_demo_members(app: Flask, connection: Connection) -> None:
    with app.app_context():
        factories.member(email=HANAKO.email)
    finding = one(database_checks.no_demo_members(connection, GOOD))
    assert (finding.level, finding.values) == (Level.CRITICAL, {"emails": HANAKO.email})
    assert one(database_checks.no_demo_members(connection, {"KUMIAI_ENV": "development"})).level is Level.NOTE


def test_messages_that_wait(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO outbox (id, topic, payload_sealed, created_at)"
        " VALUES (gen_random_uuid(), 'mail', 'x', now() - interval '9 minutes'),"
        " (gen_random_uuid(), 'sms', 'x', now() - interval '11 minutes')"
    )
    finding = one(database_checks.messages_delivered(connection, GOOD))
    assert (finding.level, finding.values) == (Level.CRITICAL, {"count": 1, "minutes": 11})


def test_expired_tokens_that_wait(app: Flask, connection: Connection) -> None:
    with app.app_context():
        client = factories.oauth_client()
    connection.execute(
        "INSERT INTO oauth_token (token_hash, kind, family_id, client_id, scopes, expires_at)"
        " SELECT sha256(n::text::bytea), 'access', gen_random_uuid(), %s, '{}', now() - interval '1 s'"
        " FROM generate_series(1, 11) n",
        [client.id],
    )
    assert list(database_checks.purged(connection, GOOD, 11)) == []
    assert one(database_checks.purged(connection, GOOD, 10)).code == "purge_behind"


def test_signing_keys(app: Flask, settings: Settings, connection: Connection) -> None:
    with app.app_context(), transaction():
        keys.current_key(sealing_key=settings.sealing_key)
    environment = {**GOOD, "KUMIAI_SEALING_KEY": base64.b64encode(settings.sealing_key).decode()}
    assert list(database_checks.signing_keys_ready(connection, environment)) == []
    assert list(database_checks.seals_open(connection, environment)) == []
    assert set(codes(database_checks.seals_open(connection, GOOD))) == {"seal_broken"}

    connection.execute("UPDATE signing_key SET current_at = now() - interval '367 days' WHERE state = 'current'")
    connection.execute("DELETE FROM signing_key WHERE state = 'next'")
    assert codes(database_checks.signing_keys_ready(connection, environment)) == ["no_next_key", "key_old"]


def named(findings: Iterator[Finding]) -> list[str]:
    clients: list[str] = []
    for finding in findings:
        clients += str(finding.values["clients"]).split(", ")
    return sorted(clients)


def test_clients(app: Flask, connection: Connection) -> None:
    with app.app_context():
        shop = factories.shop(accepts=[factories.money()])
        good = factories.oauth_client(client_id="good", allowed_shops=[shop])
        factories.oauth_client(client_id="basic", profile="oidc_basic", allowed_shops=[shop])
        factories.oauth_client(client_id="shopless")
        for name, profile in (("loopback", "web"), ("native", "native")):
            factories.oauth_client(
                client_id=name, profile=profile, redirect_uris=["http://127.0.0.1/cb"], allowed_shops=[shop]
            )
        factories.oauth_client(
            client_id="tls_loopback", redirect_uris=["https://localhost:8443/cb"], allowed_shops=[shop]
        )
        member_id = factories.member()
    assert named(client_checks.no_pkce(connection, GOOD)) == ["basic"]
    assert named(client_checks.payment_has_shops(connection, GOOD)) == ["shopless"]
    assert named(client_checks.redirects_over_tls(connection, GOOD)) == ["loopback", "tls_loopback"]
    assert one(client_checks.redirects_over_tls(connection, GOOD)).level is Level.WARNING

    assert named(client_checks.used(connection, GOOD)) == []
    assert named(client_checks.credentials_young(connection, GOOD)) == []
    connection.execute("UPDATE oauth_client SET created_at = now() - interval '2 years', credential_at = created_at")
    with app.app_context():
        factories.access_token(member_id=member_id, client_id=good.id, scopes=["balance"])
    connection.execute(
        "UPDATE oauth_client SET credential_at = now() - interval '367 days' WHERE id IN ('good', 'native')"
    )
    unused = ["basic", "loopback", "native", "shopless", "tls_loopback"]
    assert named(client_checks.used(connection, GOOD)) == unused
    assert named(client_checks.credentials_young(connection, GOOD)) == ["good"], "a public one has none"

    connection.execute("UPDATE oauth_client SET status = 'revoked'")
    assert [code for check in client_checks.CHECKS for code in codes(check(connection, GOOD))] == []


def test_invitations(app: Flask, settings: Settings, connection: Connection) -> None:
    kumiai = kumiai_for(settings)
    kumiai("client", "invite", "--profile", "web", "--scope", "openid", "--note", "研究室")
    finding = one(client_checks.invitations(connection, GOOD))
    assert (finding.level, finding.values) == (Level.NOTE, {"count": 1, "notes": "研究室"})
    connection.execute("UPDATE oauth_initial_access_token SET uses_left = 0")
    assert list(client_checks.invitations(connection, GOOD)) == []


def test_without_a_database_the_rest_is_still_said() -> None:
    environment = {"DATABASE_URL": f"postgresql://localhost:{free_port()}/none"}
    found = codes(examine(environment))
    assert {"no_database", "key_missing", "settings_refused", "issuer_http"} <= set(found)
    assert "no_database" in codes(examine({"DATABASE_URL": "mysql://x"}))


def test_the_command(app: Flask, settings: Settings) -> None:
    kumiai = kumiai_for(settings)
    told = kumiai("doctor")
    assert told.exit_code == 1, "test keys, http, no production"
    first = told.output.splitlines()[0]
    assert first.startswith("critical")
    assert "\n          → " in told.output
    report = json.loads(kumiai("doctor", "--json").output)
    assert report["level"] == "critical"
    assert {"not_production", "key_weak"} <= {finding["code"] for finding in report["findings"]}
    assert all(finding["what"] and finding["cure"] for finding in report["findings"])
    in_japanese = kumiai("doctor", env={**server_env(settings), "LANG": "ja_JP.UTF-8"})
    assert in_japanese.output.startswith("重大")


def test_only_what_is_critical_makes_the_status_1(app: Flask, settings: Settings) -> None:
    environment = {**GOOD, "DATABASE_URL": settings.database_url, "LANG": "en"}
    well = kumiai_for(settings)("doctor", env=environment)
    assert well.exit_code == 0, well.output
    with app.app_context():
        factories.oauth_client(profile="oidc_basic")
    warned = kumiai_for(settings)("doctor", env=environment)
    assert (warned.exit_code, "Clients that may go without PKCE" in warned.output) == (0, True), warned.output


def test_every_finding_has_its_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "en")
    sources = (settings_checks, database_checks, client_checks)
    named = {code for module in sources for code in re.findall(r'code="(\w+)"', Path(module.__file__).read_text())}
    assert "issuer_http" in named
    for code in named | {"no_database"}:
        for key in (f"doctor.{code}", f"doctor.{code}.cure"):
            assert not say(key).startswith("doctor."), key
