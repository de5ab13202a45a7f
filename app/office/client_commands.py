"""`kumiai client …`: how the office registers apps (連携アプリ) and looks after them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from sqlalchemy import func, select

from app import clock
from app.db import session, transaction
from app.errors import DomainError, NotFound
from app.oauth import invitations, registry
from app.oauth.clients import register_client
from app.oauth.errors import InvalidClientMetadata
from app.oauth.models import OAuthClient, OAuthGrant
from app.oauth.profiles import PROFILES
from app.oauth.scopes import SCOPES
from app.office import client_view
from app.office.database import database
from app.wallet.models import Shop
from app.wallet.spend_control import GrantControls
from app.web.terminal import say

_PROFILE = click.Choice(list(PROFILES))
_SCOPE = click.Choice(list(SCOPES))
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def client() -> None:
    """Register apps (OAuth clients) and look after them."""


@client.command()
def profiles() -> None:
    """The kinds of client there are, and what each must do."""
    for line in client_view.profiles():
        click.echo(line)


@client.command()
@click.option("--profile", type=_PROFILE, required=True, help="See `kumiai client profiles`.")
@click.option("--id", "client_id", required=True, help="The client_id, such as canteen_order.")
@click.option("--name-ja", required=True, help="What members read on the consent page.")
@click.option("--name-en", required=True)
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="Again for each.")
@click.option("--scope", "scopes", type=_SCOPE, multiple=True, required=True, help="The most it may be given; again.")
@click.option("--shop", "shops", multiple=True, metavar="CODE", help="Where it may take payments; again for each.")
@click.option("--jwks", type=_FILE, help="Its public keys, for private_key_jwt.")
@click.option("--post-logout-redirect-uri", "post_logout_redirect_uris", multiple=True)
@click.option("--backchannel-logout-uri")
@click.option("--id-token-alg", default="ES256", show_default=True)
def add(client_id: str, shops: Sequence[str], jwks: Path | None, **metadata: Any) -> None:
    """Register a client; its secret is shown this once."""
    with _office(), transaction():
        row, secret = register_client(client_id=client_id, allowed_shops=_shops(shops), jwks=_keys(jwks), **metadata)
        said = list(client_view.registered(row, secret=secret))
    for line in said:
        click.echo(line)


@client.command("list")
def list_() -> None:
    """Every client, revoked ones too."""
    grants = (
        select(func.count()).where(OAuthGrant.client_id == OAuthClient.id, OAuthGrant.revoked_at.is_(None))
    ).scalar_subquery()
    with _office() as zone, transaction():
        rows = session().execute(select(OAuthClient, grants).order_by(OAuthClient.created_at, OAuthClient.id)).all()
        lines = list(client_view.table([(row, count) for row, count in rows], zone=zone))
    for line in lines or [say("client.nothing")]:
        click.echo(line)


@client.command()
@click.argument("client_id")
def show(client_id: str) -> None:
    """All that is registered of one client."""
    with _office(client_id), transaction():
        row = session().get(OAuthClient, client_id)
        if row is None:
            raise NotFound
        lines = list(client_view.details(row))
    for line in lines:
        click.echo(line)


@client.command("set")
@click.argument("client_id")
@click.option("--name-ja")
@click.option("--name-en")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="All of them: the others go.")
@click.option("--scope", "scopes", type=_SCOPE, multiple=True, help="All of them.")
@click.option("--shop", "shops", multiple=True, metavar="CODE", help="All of them.")
@click.option("--no-shops", is_flag=True, help="It may take no payments any more.")
@click.option("--jwks", type=_FILE, help="All its keys: the others go, and so does its secret.")
@click.option("--post-logout-redirect-uri", "post_logout_redirect_uris", multiple=True, help="All of them.")
@click.option("--backchannel-logout-uri", help="Empty: none.")
@click.option("--id-token-alg")
def set_(client_id: str, shops: Sequence[str], no_shops: bool, jwks: Path | None, **options: Any) -> None:
    """Change a client, and show what became different. What is not named stays."""
    changes: dict[str, Any] = {name: value for name, value in options.items() if value not in (None, ())}
    if changes.get("backchannel_logout_uri") == "":
        changes["backchannel_logout_uri"] = None
    if jwks is not None:
        changes["jwks"] = _keys(jwks)
    with _office(client_id), transaction():
        row = registry.locked(client_id)
        before = list(client_view.details(row))
        registry.change(row, replace(registry.metadata_of(row), **changes))
        if shops or no_shops:
            registry.set_shops(row, _shops(shops))
        difference = list(client_view.difference(before, list(client_view.details(row))))
    for line in difference:
        click.echo(line)
    click.echo(say("client.changed" if difference else "client.unchanged"))


@client.command()
@click.argument("client_id")
def secret(client_id: str) -> None:
    """Give a client a new secret; the old one ends at once."""
    with _office(client_id), transaction():
        new = registry.renew_secret(registry.locked(client_id))
    click.echo(f"client_secret  {new}\n")
    click.echo(say("client.secret_new"))


@client.command()
@click.argument("client_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke(client_id: str, yes: bool) -> None:
    """End a client for good, with every grant and token it has."""
    with _office(client_id):
        if not yes and not click.confirm(_what_ends(client_id)):
            raise click.ClickException(say("client.not_revoked"))
        with transaction():
            registry.revoke(registry.locked(client_id), controls=GrantControls())
    click.echo(say("client.revoked", client_id=client_id))


@client.command()
@click.option("--profile", "profiles", type=_PROFILE, multiple=True, required=True, help="Again for each kind.")
@click.option("--scope", "scopes", type=_SCOPE, multiple=True, required=True, help="The most; again for each.")
@click.option("--uses", default=1, show_default=True, help="Registrations.")
@click.option("--days", default=7, show_default=True)
@click.option("--note", required=True, help="Whom it is for.")
def invite(uses: int, days: int, **invitation: Any) -> None:
    """Let a developer register clients without you (RFC 7591), by an initial access token."""
    with _office() as zone, transaction():
        token = invitations.invite(uses=uses, days=days, **invitation)
        url = f"{client_view.issuer_url()}/oauth/register"
        until = client_view.day(clock.now(), zone=zone, days=days)
    click.echo(f"{token}\n")
    click.echo(say("client.invited", uses=uses, until=until))
    click.echo(say("client.invited_how", url=url))


@contextmanager
def _office(client_id: str = "") -> Iterator[Any]:
    """The database, with every refusal said by field. Yields the issuer's time zone."""
    with database() as settings:
        try:
            yield settings.zone
        except NotFound:
            raise click.ClickException(say("client.none", client_id=client_id)) from None
        except InvalidClientMetadata as error:
            field = str(error.detail["field"])
            rule = say(f"client.rule.{field}")
            raise click.ClickException(say("client.wrong", field=field, rule=rule)) from None
        except DomainError as error:
            said = (say(f"error.{error.code}{part}", **error.detail) for part in ("", ".cure"))
            raise click.ClickException("\n".join(said)) from None


def _what_ends(client_id: str) -> str:
    with transaction():
        row = registry.locked(client_id)
        living = select(func.count()).where(OAuthGrant.client_id == client_id, OAuthGrant.revoked_at.is_(None))
        grants = session().scalar(living)
        return say("client.revoke_sure", client_id=client_id, name=row.name_ja, grants=grants)


def _shops(codes: Sequence[str]) -> list[UUID]:
    """The shops of these codes. Raises InvalidClientMetadata."""
    statement = select(Shop.code, Shop.id).where(Shop.code.in_(codes))
    known = {row.code: row.id for row in session().execute(statement)}
    if known.keys() != set(codes):
        raise InvalidClientMetadata(field="allowed_shops")
    return [known[code] for code in codes]


def _keys(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        keys = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        keys = None
    if not isinstance(keys, dict):
        raise click.ClickException(say("client.unreadable_jwks", path=path))
    return keys
