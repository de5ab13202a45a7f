"""`kumiai routes`: every address of the server, and who may call it. What protects each is said where it is written."""

from __future__ import annotations

from collections.abc import Iterator

import click
from flask import Flask
from werkzeug.routing import Rule

from app.factory import create_app
from app.settings import Settings, development_environment
from app.web.protection import protection_of

_MADE_BY_FLASK = frozenset({"HEAD", "OPTIONS"})


@click.command()
def routes() -> None:
    """List every address of the server, with who may call it."""
    for line in described(create_app(Settings.from_env(development_environment()))):
        click.echo(line)


def described(app: Flask) -> Iterator[str]:
    """One line per address, by address: its methods, its path, its protection."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, _methods(rule))):
        protection = protection_of(app.view_functions[rule.endpoint])
        who = protection.describe() if protection else "refused: it declares no protection"
        yield f"{_methods(rule):<9} {rule.rule:<45} {who}"


def _methods(rule: Rule) -> str:
    return ",".join(sorted((rule.methods or set()) - _MADE_BY_FLASK)) or "OPTIONS"
