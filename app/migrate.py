"""`kumiai migrate`: bring the database to the newest shape."""

from __future__ import annotations

from pathlib import Path

import click
from alembic import command
from alembic.config import Config

from app.settings import Settings

ROOT = Path(__file__).parent.parent


def upgrade(database_url: str) -> None:
    """Run every migration that the database has not had yet."""
    config = Config()
    config.attributes["database_url"] = database_url
    config.set_main_option("script_location", str(ROOT / "migrations"))
    command.upgrade(config, "head")


@click.command()
def migrate() -> None:
    """Bring the database to the newest shape."""
    upgrade(Settings.from_env().database_url)
    click.echo("the database is up to date")
