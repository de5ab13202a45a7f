"""Clients as the office reads them in the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy import select

from app.db import session
from app.oauth.models import OAuthClient
from app.oauth.profiles import PROFILES, Profile
from app.wallet.models import Shop
from app.web.terminal import aligned, say

_COLUMNS = ("id", "name", "profile", "status", "grants", "scopes", "since")


def issuer_url() -> str:
    url: str = current_app.extensions["kumiai.settings"].issuer_url
    return url


def day(instant: datetime, *, zone: ZoneInfo, days: int = 0) -> str:
    """The day of an instant, `days` later, where the issuer is."""
    return (instant + timedelta(days=days)).astimezone(zone).date().isoformat()


def profiles() -> Iterator[str]:
    """The table of profiles, in words."""
    for name, profile in PROFILES.items():
        yield f"{name}  {say(f'client.profiles.what.{name}')}"
        for line in _demands(profile):
            yield f"    {line}"


def _demands(profile: Profile) -> Iterator[str]:
    ways = [say("client.profiles.secret")] if "client_secret_basic" in profile.auth_methods else []
    ways += [say("client.profiles.keys")] if "private_key_jwt" in profile.auth_methods else []
    methods = say("client.profiles.or").join(ways) if profile.confidential else say("client.profiles.public")
    yield say("client.profiles.auth", methods=methods)
    grants = (grant.rpartition(":")[2] for grant in sorted(profile.grant_types))
    yield say("client.profiles.grants", grants=", ".join(grants))
    if profile.acts_for_members:
        yield say("client.profiles.redirects")
        for rule in ("pkce", "nonce", "pushed", "bound"):
            if getattr(profile, rule):
                yield say(f"client.profiles.{rule}")


def table(rows: Sequence[tuple[OAuthClient, int]], *, zone: ZoneInfo) -> Iterator[str]:
    """One line per client, with how many members allow it now."""
    if not rows:
        return
    lines = [tuple(say(f"client.col.{name}") for name in _COLUMNS)]
    lines += [
        (
            row.id,
            row.name_ja,
            row.profile,
            say(f"client.status.{row.status}"),
            f"{grants:,}",
            " ".join(row.scopes),
            day(row.created_at, zone=zone),
        )
        for row, grants in rows
    ]
    yield from aligned(lines)


def details(row: OAuthClient) -> Iterator[str]:
    """All that is registered, a line for each value, in the words of `kumiai client add`."""
    yield f"client_id  {row.id}"
    yield f"profile  {row.profile}"
    yield f"status  {say(f'client.status.{row.status}')}"
    yield f"registered  {say('client.by.office' if row.registration_hash is None else 'client.by.itself')}"
    yield f"name_ja  {row.name_ja}"
    yield f"name_en  {row.name_en}"
    yield f"credential  {_credential(row)}"
    for key in (row.jwks or {}).get("keys", []):
        yield f"key  {json.dumps(key, ensure_ascii=False, sort_keys=True)}"
    for uri in row.redirect_uris:
        yield f"redirect_uri  {uri}"
    for scope in row.scopes:
        yield f"scope  {scope}"
    for code in _codes(row):
        yield f"shop  {code}"
    for uri in row.post_logout_redirect_uris:
        yield f"post_logout_redirect_uri  {uri}"
    if row.backchannel_logout_uri is not None:
        yield f"backchannel_logout_uri  {row.backchannel_logout_uri}"
    yield f"id_token_alg  {row.id_token_alg}"


def difference(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """What went and what came, each with its sign."""
    yield from (f"- {line}" for line in before if line not in after)
    yield from (f"+ {line}" for line in after if line not in before)


def registered(row: OAuthClient, *, secret: str | None) -> Iterator[str]:
    """What the office hands to the app's developer."""
    yield say("client.added")
    yield ""
    yield f"client_id      {row.id}"
    if secret is not None:
        yield f"client_secret  {secret}"
        yield ""
        yield say("client.secret_once")
    else:
        yield ""
        yield say("client.has_keys" if row.jwks is not None else "client.is_public")
    if "payment" in row.scopes and not row.allowed_shops:
        yield say("client.no_shops", client_id=row.id)


def _credential(row: OAuthClient) -> str:
    if row.jwks is not None:
        return "private_key_jwt"
    return "none" if row.secret_hash is None else "client_secret"


def _codes(row: OAuthClient) -> list[str]:
    return list(session().scalars(select(Shop.code).where(Shop.id.in_(row.allowed_shops)).order_by(Shop.code)))
