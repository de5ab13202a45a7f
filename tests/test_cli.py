"""`kumiai`: every command it lists is there, and the list of addresses is the server's."""

from __future__ import annotations

import base64
import re

import pytest
from click.testing import CliRunner
from flask import Flask

from app.cli import main
from app.settings import Settings

_KEY = base64.b64encode(b"k" * 32).decode()


@pytest.mark.parametrize("name", main.list_commands(main.make_context("kumiai", [], resilient_parsing=True)))
def test_every_listed_command_says_what_it_does(name: str) -> None:
    answer = CliRunner().invoke(main, [name, "--help"])
    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith(f"Usage: main {name}")


def test_routes_lists_every_address_with_who_may_call_it(app: Flask, settings: Settings) -> None:
    keys = dict.fromkeys(("KUMIAI_SECRET_KEY", "KUMIAI_SEALING_KEY", "KUMIAI_CARD_PEPPER"), _KEY)
    places = {"DATABASE_URL": settings.database_url, "KUMIAI_MAIL_URL": settings.mail_url}
    answer = CliRunner().invoke(main, ["routes"], env={"KUMIAI_ENV": "test", **places, **keys})
    assert answer.exit_code == 0, answer.output
    lines = answer.output.splitlines()
    assert len(lines) == len(list(app.url_map.iter_rules()))
    (payment,) = (line for line in lines if " /v1/payments " in line)
    assert re.fullmatch(r"POST +/v1/payments +\S.*payment.*", payment)
    assert not [line for line in lines if "no protection" in line]


def test_a_missing_setting_is_named() -> None:
    answer = CliRunner().invoke(main, ["migrate"], env={"DATABASE_URL": None})
    assert answer.exit_code == 1
    assert "set DATABASE_URL" in answer.output
