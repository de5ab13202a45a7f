"""What PostgreSQL says of itself and of what it holds, clients apart."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta

from alembic.config import Config
from alembic.script import ScriptDirectory

from app import clock
from app.demo.seed import MEMBERS
from app.doctor.finding import Connection, DatabaseCheck, Environment, Finding, Level, critical_in_production
from app.migrate import ROOT
from app.seal import SealBroken, unseal

OLDEST_VERSION = 15
CLOCK_MAY_DIFFER = timedelta(seconds=2)
MESSAGES_MAY_WAIT = timedelta(minutes=10)
EXPIRED_TOKENS_MAY_WAIT = 1_000_000
DAY_MAY_WAIT = timedelta(hours=25)
KEY_MAY_SIGN_FOR = timedelta(days=366)
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


def version(connection: Connection, environment: Environment) -> Iterator[Finding]:
    major = connection.info.server_version // 10_000
    if major < OLDEST_VERSION:
        yield Finding(code="postgres_old", level=Level.CRITICAL, values={"version": major})


def durable(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """What was acknowledged must survive a power cut: it is money."""
    for name in _DURABLE:
        if connection.execute("SELECT current_setting(%s)", [name]).fetchone() == ("off",):
            yield Finding(code="not_durable", level=Level.CRITICAL, values={"setting": name})


def not_superuser(connection: Connection, environment: Environment) -> Iterator[Finding]:
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row == (True,):
        level = min(critical_in_production(environment), Level.WARNING)
        yield Finding(code="superuser", level=level)


def same_clock(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """Codes live for a minute and proofs for less; both clocks judge them."""
    before = clock.now()
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    after = clock.now()
    assert row is not None
    apart = row[0] - (before + (after - before) / 2)
    if abs(apart) > CLOCK_MAY_DIFFER + (after - before) / 2:
        yield Finding(code="clocks_differ", level=Level.WARNING, values={"seconds": round(apart.total_seconds(), 1)})


def migrated(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """Looked at first: on another shape of the database the checks after it cannot ask their questions."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    row = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone() if row == (True,) else None
    if found != (newest,):
        at = found[0] if found else "-"
        yield Finding(code="not_migrated", level=Level.CRITICAL, values={"found": at, "newest": newest})


def has_issuer(connection: Connection, environment: Environment) -> Iterator[Finding]:
    if connection.execute("SELECT FROM issuer").fetchone() is None:
        yield Finding(code="no_issuer", level=Level.CRITICAL)


def no_demo_members(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """Everybody knows their password."""
    emails = [member.email for member in MEMBERS]
    statement = "SELECT email FROM member WHERE email = ANY(%s) AND status = 'active' ORDER BY email"
    if found := [row[0] for row in connection.execute(statement, [emails])]:
        level = critical_in_production(environment)
        yield Finding(code="demo_members", level=level, values={"emails": ", ".join(found)})


def messages_delivered(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """Without a worker, or a mail server that takes its mail, nobody gets a code and nobody signs in."""
    statement = """
        SELECT count(*), floor(extract(epoch FROM now() - min(created_at)) / 60)::int FROM outbox
         WHERE state = 'waiting' AND created_at < now() - %s
    """
    row = connection.execute(statement, [MESSAGES_MAY_WAIT]).fetchone()
    if row and row[0]:
        yield Finding(code="messages_wait", level=Level.CRITICAL, values={"count": row[0], "minutes": row[1]})


def purged(connection: Connection, environment: Environment, most: int = EXPIRED_TOKENS_MAY_WAIT) -> Iterator[Finding]:
    statement = "SELECT count(*) FROM (SELECT FROM oauth_token WHERE expires_at < now() LIMIT %s) AS expired"
    row = connection.execute(statement, [most + 1]).fetchone()
    if row and row[0] > most:
        yield Finding(code="purge_behind", level=Level.WARNING, values={"count": f"{most:,}"})


def signing_keys_ready(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """A next key is published before it signs, so that a rotation breaks nobody."""
    statement = """
        SELECT current.alg, current.current_at < now() - %s,
               EXISTS (SELECT FROM signing_key next WHERE next.alg = current.alg AND next.state = 'next')
          FROM signing_key current WHERE current.state = 'current' ORDER BY current.alg
    """
    for alg, old, next_is_there in connection.execute(statement, [KEY_MAY_SIGN_FOR]):
        if not next_is_there:
            yield Finding(code="no_next_key", level=Level.WARNING, values={"alg": alg})
        if old:
            yield Finding(code="key_old", level=Level.WARNING, values={"alg": alg})


def seals_open(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """With another KUMIAI_SEALING_KEY than the one they were sealed with, no ID token can be signed."""
    try:
        key = base64.b64decode(environment.get("KUMIAI_SEALING_KEY", ""), validate=True)
    except ValueError:
        return  # said by `keys_strong`
    if len(key) != 32:
        return
    for kid, sealed in connection.execute(
        "SELECT kid, private_sealed FROM signing_key WHERE private_sealed IS NOT NULL ORDER BY created_at"
    ):
        try:
            unseal(key, bytes(sealed))
        except SealBroken:
            yield Finding(code="seal_broken", level=Level.CRITICAL, values={"kid": kid})


def proofs_signed(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """A day is signed soon after its end. Where it is not, no worker runs, or its log says what stops it."""
    statement = """
        SELECT floor(extract(epoch FROM now() - t.created_at) / 3600)::int
          FROM issuer_head h
          JOIN transaction t ON t.issuer_id = h.issuer_id AND t.position = 1 + coalesce(
               (SELECT b.last_position FROM proof_day d JOIN proof_block b ON b.issuer_id = d.issuer_id
                   AND b.number = d.last_block WHERE d.issuer_id = h.issuer_id ORDER BY d.last_block DESC LIMIT 1), 0)
         WHERE t.created_at < now() - %s
    """
    for (hours,) in connection.execute(statement, [DAY_MAY_WAIT]):
        yield Finding(code="proofs_behind", level=Level.WARNING, values={"hours": hours})


SERVER_CHECKS: tuple[DatabaseCheck, ...] = (version, durable, not_superuser, same_clock)
CONTENT_CHECKS: tuple[DatabaseCheck, ...] = (
    has_issuer,
    no_demo_members,
    messages_delivered,
    purged,
    signing_keys_ready,
    seals_open,
    proofs_signed,
)
