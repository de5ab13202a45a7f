"""`kumiai …` as the office types it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from click.testing import CliRunner, Result

from app.cli import main
from app.settings import Settings
from tests.live import server_env

Kumiai = Callable[..., Result]


def kumiai_for(settings: Settings) -> Kumiai:
    """Runs a command with a server's settings, in English."""
    environment = {**server_env(settings), "LANG": "en_US.UTF-8"}

    def run(*arguments: str, **options: Any) -> Result:
        options = {"env": environment, **options}
        result = CliRunner().invoke(main, arguments, **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
