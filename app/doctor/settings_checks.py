"""What can be said of the settings without a database. They are read as they stand: unusable ones are findings too."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import combinations
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from app.doctor.finding import Environment, Finding, Level, SettingsCheck, critical_in_production
from app.settings import Settings, SettingsError

KEYS = ("KUMIAI_SECRET_KEY", "KUMIAI_SEALING_KEY", "KUMIAI_CARD_PEPPER")
LITE_S_KEY = "KUMIAI_LITE_S_KEY"
"""Only co-ops that issue Lite-S cards have it."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FEWEST_DISTINCT_BYTES = 16  # of 32 random bytes fewer are distinct once in 10^10 keys


def usable(environment: Environment) -> Iterator[Finding]:
    """The server itself would not start with these."""
    try:
        Settings.from_env(environment)
    except (SettingsError, ValueError) as error:
        yield Finding(code="settings_refused", level=Level.CRITICAL, values={"error": error})


def in_production(environment: Environment) -> Iterator[Finding]:
    if (name := environment.get("KUMIAI_ENV", "production")) != "production":
        yield Finding(code="not_production", level=Level.CRITICAL, values={"name": name})


def issuer_over_tls(environment: Environment) -> Iterator[Finding]:
    """Tokens, passwords and cookies travel on it (RFC 9700 section 2.6)."""
    url = environment.get("KUMIAI_ISSUER_URL", Settings.issuer_url)
    if not url.startswith("https://"):
        yield Finding(code="issuer_http", level=Level.CRITICAL, values={"url": url})


def mypage_over_tls(environment: Environment) -> Iterator[Finding]:
    url = environment.get("KUMIAI_MYPAGE_URL", Settings.mypage_url)
    if not url.startswith("https://"):
        yield Finding(code="mypage_http", level=Level.WARNING, values={"url": url})


def proxies_said(environment: Environment) -> Iterator[Finding]:
    """Behind a proxy that is not counted every caller has its address, and limits on strangers stop everybody."""
    https = environment.get("KUMIAI_ISSUER_URL", "").startswith("https://")
    if https and environment.get("KUMIAI_TRUSTED_PROXIES", "0") in ("", "0"):
        yield Finding(code="no_trusted_proxies", level=Level.WARNING)


def messages_leave(environment: Environment) -> Iterator[Finding]:
    for name in ("KUMIAI_MAIL_URL", "KUMIAI_SMS_URL"):
        if environment.get(name, "").startswith("maildir:"):
            yield Finding(code="messages_to_folder", level=Level.CRITICAL, values={"variable": name})


def dev_mailbox_shut(environment: Environment) -> Iterator[Finding]:
    """Anybody who opens the page reads every six-digit code."""
    development = environment.get("KUMIAI_ENV", "production") != "production"
    if development and environment.get("KUMIAI_MAIL_URL", "").startswith("maildir:"):
        yield Finding(code="dev_mailbox", level=Level.WARNING)


def sender_named(environment: Environment) -> Iterator[Finding]:
    sender = environment.get("KUMIAI_MAIL_FROM", Settings.mail_from)
    if sender.rpartition("@")[2] in ("", "localhost", "example.com", "example.jp"):
        yield Finding(code="mail_from", level=Level.WARNING, values={"sender": sender})


def keys_strong(environment: Environment) -> Iterator[Finding]:
    for name in _keys(environment):
        key = _key(environment, name)
        if key is None:
            yield Finding(code="key_missing", level=Level.CRITICAL, values={"variable": name})
        elif len(set(key)) < _FEWEST_DISTINCT_BYTES or (key.isascii() and key.decode().isprintable()):
            yield Finding(code="key_weak", level=Level.CRITICAL, values={"variable": name})


def keys_differ(environment: Environment) -> Iterator[Finding]:
    """One key that leaks must not open what the others protect."""
    for one, other in combinations(_keys(environment), 2):
        if (key := _key(environment, one)) is not None and key == _key(environment, other):
            yield Finding(code="keys_equal", level=Level.CRITICAL, values={"one": one, "other": other})


def database_over_tls(environment: Environment) -> Iterator[Finding]:
    """Only `verify-full` and `verify-ca` know that it is our database at the other end (libpq, section 32.19)."""
    try:
        target = conninfo_to_dict(environment.get("DATABASE_URL", ""))
    except psycopg.ProgrammingError:
        return  # `usable` or the attempt to connect says it
    hosts = str(target.get("host") or environment.get("PGHOST") or "").split(",")
    remote = [host for host in hosts if host and not host.startswith("/") and host not in _LOOPBACK]
    mode = str(target.get("sslmode") or environment.get("PGSSLMODE") or "prefer")
    if remote and mode not in ("verify-full", "verify-ca"):
        level = Level.WARNING if mode == "require" else Level.CRITICAL
        yield Finding(code="database_tls", level=level, values={"host": remote[0], "mode": mode})


def mail_over_tls(environment: Environment) -> Iterator[Finding]:
    """The mail adapter asks for STARTTLS everywhere but on this machine; another scheme is refused by it."""
    scheme = urlsplit(environment.get("KUMIAI_MAIL_URL", Settings.mail_url)).scheme
    if scheme not in ("smtp", "smtps", "maildir"):
        yield Finding(code="mail_scheme", level=critical_in_production(environment), values={"scheme": scheme})


CHECKS: tuple[SettingsCheck, ...] = (
    usable,
    in_production,
    issuer_over_tls,
    mypage_over_tls,
    proxies_said,
    messages_leave,
    dev_mailbox_shut,
    sender_named,
    mail_over_tls,
    keys_strong,
    keys_differ,
    database_over_tls,
)


def _keys(environment: Environment) -> tuple[str, ...]:
    """The keys this server has to have."""
    return (*KEYS, LITE_S_KEY) if environment.get(LITE_S_KEY) else KEYS


def _key(environment: Environment, name: str) -> bytes | None:
    try:
        key = base64.b64decode(environment.get(name, ""), validate=True)
    except ValueError:
        return None
    return key if len(key) == 32 else None
