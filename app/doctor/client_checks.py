"""What the registered clients are allowed that they had better not be. One finding for all clients of a kind."""

from __future__ import annotations

from collections.abc import Iterator

from app.doctor.finding import Connection, DatabaseCheck, Environment, Finding, Level, critical_in_production

UNUSED_AFTER_DAYS = 180
CREDENTIAL_OLD_AFTER_DAYS = 366


def no_pkce(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """PKCE is optional to them, against RFC 9700 section 2.1.1."""
    yield from _named(connection, "profile = 'oidc_basic'", code="clients_without_pkce", level=Level.WARNING)


def redirects_over_tls(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """A code sent over http, or to whatever listens on a member's machine (RFC 9700 section 4.1); native apps may."""
    condition = """
        profile <> 'native'
        AND EXISTS (SELECT FROM unnest(redirect_uris || post_logout_redirect_uris) AS uri
                     WHERE uri !~ '^https://' OR uri ~ '^https://(localhost|127[.]0[.]0[.]1)([:/?]|$)')
    """
    level = min(critical_in_production(environment), Level.WARNING)
    yield from _named(connection, condition, code="clients_redirect_http", level=level)


def payment_has_shops(connection: Connection, environment: Environment) -> Iterator[Finding]:
    condition = "'payment' = ANY(scopes) AND allowed_shops = '{}'"
    yield from _named(connection, condition, code="clients_without_shops", level=Level.NOTE)


def used(connection: Connection, environment: Environment) -> Iterator[Finding]:
    """What nobody uses is only there to be misused."""
    condition = f"""
        created_at < now() - interval '{UNUSED_AFTER_DAYS} days'
        AND NOT EXISTS (SELECT FROM oauth_grant WHERE client_id = client.id AND revoked_at IS NULL
                           AND coalesce(last_used_at, created_at) > now() - interval '{UNUSED_AFTER_DAYS} days')
        AND NOT EXISTS (SELECT FROM oauth_token WHERE client_id = client.id AND expires_at > now())
    """  # noqa: S608  # two constants of ours
    yield from _named(connection, condition, code="clients_unused", level=Level.NOTE, days=UNUSED_AFTER_DAYS)


def credentials_young(connection: Connection, environment: Environment) -> Iterator[Finding]:
    condition = f"""
        num_nonnulls(secret_hash, jwks) > 0
        AND credential_at < now() - interval '{CREDENTIAL_OLD_AFTER_DAYS} days'
    """
    yield from _named(connection, condition, code="credentials_old", level=Level.NOTE)


def invitations(connection: Connection, environment: Environment) -> Iterator[Finding]:
    statement = """
        SELECT count(*), string_agg(note, ', ' ORDER BY created_at) FROM oauth_initial_access_token
         WHERE uses_left > 0 AND expires_at > now()
    """
    row = connection.execute(statement).fetchone()
    if row and row[0]:
        yield Finding(code="invitations_living", level=Level.NOTE, values={"count": row[0], "notes": row[1]})


CHECKS: tuple[DatabaseCheck, ...] = (
    no_pkce,
    redirects_over_tls,
    payment_has_shops,
    used,
    credentials_young,
    invitations,
)


def _named(connection: Connection, condition: str, *, code: str, level: Level, **values: object) -> Iterator[Finding]:
    """A finding that names every active client of which `condition` (ours, never a caller's) holds."""
    statement = f"SELECT id FROM oauth_client client WHERE status = 'active' AND ({condition}) ORDER BY id"  # noqa: S608
    if ids := [row[0] for row in connection.execute(statement.encode())]:
        yield Finding(code=code, level=level, values={"clients": ", ".join(ids), **values})
