"""`kumiai proof check`: reads a proof file and says what it proves. No server, no database, no settings."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from app.wallet.proof import check as checking
from app.wallet.proof.check import NotProven, Proven, Unreadable

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NOT_PROVEN, _UNREADABLE = 1, 2
_TIMES = {"created_at", "taken_at"}


@click.group()
def proof() -> None:
    """Proofs that the books were not changed afterwards."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console without ✓ gets to read the rest


@proof.command()
@click.argument("file", type=_FILE)
@click.option("--keys", type=_FILE, help="The issuer's keys: what its /proof/keys or /oauth/jwks.json said.")
def check(file: Path, keys: Path | None) -> None:
    """Check a proof FILE, here and without any server.

    Exit status 0: proven; 1: not proven; 2: no proof file.
    """
    try:
        proven = checking.check(_load(file), keys=_keys(keys))
    except Unreadable as error:
        _end(_UNREADABLE, _say("unreadable", part=error.part))
    except NotProven as error:
        _end(_NOT_PROVEN, _say("not_proven"), _say(f"not_proven.{error.step}"))
    click.secho("✓ " + _say("proven"), fg="green", bold=True)
    for line in (*_described(proven), "", *_anchored(proven, compared=keys is not None)):
        click.echo(line)


def _load(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        return checking.load(opened.read(checking.MAX_BYTES + 1))


def _keys(file: Path | None) -> list[dict[str, Any]] | None:
    """The keys of a JWK set; a file that is none ends the command."""
    if file is None:
        return None
    try:
        found = _load(file).get("keys")
    except Unreadable:
        found = None
    if not isinstance(found, list) or not all(isinstance(key, dict) for key in found):
        _end(_UNREADABLE, _say("unreadable_keys"))
    return found


def _described(proven: Proven) -> Iterator[str]:
    """The transaction, as its sections say it; what is null is left out."""
    zone = _zone(str(proven.day["time_zone"]))
    for name, value in {**proven.receipt, **(proven.details or {})}.items():
        if value not in (None, "", {}):
            label = _sentences().get(f"field.{name}", _printable(name))
            yield f"  {label}: {_shown(name, value, zone)}"


def _anchored(proven: Proven, *, compared: bool) -> Iterator[str]:
    """What all of it rests on: the day, and the key."""
    day = proven.day
    yield _say("day", day=day["day"], first=day["first_position"], last=day["last_position"], issuer=day["iss"])
    yield _say("key.known" if compared else "key.claimed", kid=proven.kid, issuer=day["iss"])


def _shown(name: str, value: object, zone: ZoneInfo | None) -> str:
    if name in _TIMES and zone is not None:
        try:
            local = datetime.fromisoformat(str(value)).astimezone(zone)
        except (ValueError, OverflowError):
            return _printable(value)
        return f"{local:%Y-%m-%d %H:%M:%S} ({zone.key})"
    if name == "amount_yen" and isinstance(value, int):
        return f"¥{value:,}"
    if name == "kind":
        return _sentences().get(f"kind.{value}", _printable(value))
    return _printable(value)


def _printable(value: object) -> str:
    """A stranger's text: what would steer the terminal is written out."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a name it never heard of, or no list of zones here
        return None


def _end(status: int, *lines: str) -> NoReturn:
    for line in lines:
        click.secho("✗ " + line if line is lines[0] else line, fg="red", err=True)
    sys.exit(status)


def _say(key: str, **values: object) -> str:
    shown = {name: _printable(value) for name, value in values.items()}
    return _sentences()[key].format(**shown)


def _sentences() -> Mapping[str, str]:
    """In English where LANG asks for it, else in Japanese."""
    return _read("en" if os.environ.get("LANG", "").lower().startswith("en") else "ja")


@cache
def _read(lang: str) -> Mapping[str, str]:
    """JSON: where this runs there may be nothing that reads the server's translations."""
    text = files("app.wallet.proof").joinpath(f"{lang}.json").read_text(encoding="utf-8")
    sentences: Mapping[str, str] = json.loads(text)
    return sentences
