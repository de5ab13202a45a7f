"""`kumiai keys …`: the keys that sign ID tokens, from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import click
from flask import Flask

from app import clock, db
from app.oauth import keys as service
from app.oauth.models import SigningKey
from app.seal import SealBroken
from app.settings import Settings, development_environment
from app.web.terminal import aligned, say

_COLUMNS = ("kid", "alg", "state", "since", "then")


@click.group()
def keys() -> None:
    """Look after the keys that sign ID tokens."""


@keys.command("list")
def list_() -> None:
    """Every key, what it does, and what comes next for it."""
    with _database() as settings, db.transaction():
        rows = service.every_key()
        lines = [tuple(say(f"keys.column.{name}") for name in _COLUMNS)]
        lines += [_described(row, settings=settings) for row in rows]
        for line in aligned(lines):
            click.echo(line)
        service.check_seals(rows, sealing_key=settings.sealing_key)


@keys.command()
@click.option("--alg", type=click.Choice(service.ALGS), default=service.ALG, show_default=True)
@click.option(
    "--now", "at_once", is_flag=True, help="Even before every app can know the next key: for one that leaked."
)
def rotate(alg: str, at_once: bool) -> None:
    """Let the next key sign, retire the current one, and publish a new next one."""
    with _database() as settings:
        try:
            with db.transaction():
                done = service.rotate(alg=alg, sealing_key=settings.sealing_key, at_once=at_once)
        except service.NextKeyTooYoung as young:
            ready_at = _local(young.ready_at, settings=settings)
            raise click.ClickException(say("keys.next_too_young", alg=alg, ready_at=ready_at)) from None
        except service.KeysRotatedMeanwhile:
            raise click.ClickException(say("keys.rotated_meanwhile", alg=alg)) from None
        until = _local(clock.now() + service.PUBLISHED_AFTER, settings=settings)
        click.echo(
            say("keys.rotated", alg=alg, current=done.current, retired=done.retired, next=done.next, until=until)
        )


@contextmanager
def _database() -> Iterator[Settings]:
    """The server's database. Another KUMIAI_SEALING_KEY than the server's is said in a sentence."""
    settings = Settings.from_env(development_environment())
    app = Flask(__name__)
    app.extensions["kumiai.settings"] = settings
    db.init_app(app, settings)
    with app.app_context():
        try:
            yield settings
        except SealBroken:
            raise click.ClickException(say("keys.seal_broken")) from None
        finally:
            db.dispose()


def _described(row: SigningKey, *, settings: Settings) -> tuple[str, ...]:
    since = {"next": row.created_at, "current": row.current_at, "retired": row.retired_at}[row.state]
    assert since is not None, "the database holds each state to its times"
    return row.kid, row.alg, row.state, _local(since, settings=settings), _then(row, settings=settings)


def _then(row: SigningKey, *, settings: Settings) -> str:
    if row.state == "current":
        return say("keys.then.current")
    if row.retired_at is not None:
        return _then_retired(row.retired_at, settings=settings)
    ready_at = service.signs_from(row.created_at)
    if ready_at > clock.now():
        return say("keys.then.next_waits", ready_at=_local(ready_at, settings=settings))
    return say("keys.then.next", alg=row.alg)


def _then_retired(retired_at: datetime, *, settings: Settings) -> str:
    published_until, kept_until = retired_at + service.PUBLISHED_AFTER, retired_at + service.KEPT_AFTER
    if clock.now() < published_until:
        return say("keys.then.retired", until=_local(published_until, settings=settings))
    return say("keys.then.kept", until=_local(kept_until, settings=settings))


def _local(instant: datetime, *, settings: Settings) -> str:
    return instant.astimezone(settings.zone).isoformat(sep=" ", timespec="seconds")
