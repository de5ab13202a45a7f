"""The guides: blocks are the files, errors are the server's, commands work, links lead somewhere."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc.jwk import ECKey

from app.db import transaction
from app.errors import DomainError
from app.issuer import current_issuer
from app.oauth import errors
from app.oauth.profiles import PROFILES
from app.oauth.scopes import SCOPES, Consent
from app.settings import Settings
from app.wallet import setup
from app.wallet.errors import STATUS_OF
from app.wallet.webhooks.event_types import EVENT_TYPES, TEST
from tests import factories
from tests.conftest import ROOT
from tests.docs_examples.run import EXAMPLES
from tests.oauth.office import kumiai_for

OPERATING = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/oauth.md").read_text(encoding="utf-8")
API = (ROOT / "docs/api.md").read_text(encoding="utf-8")
CODES = sorted(
    {
        refusal.code
        for _, refusal in inspect.getmembers(errors, inspect.isclass)
        if issubclass(refusal, DomainError) and hasattr(refusal, "code")
    }
)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_blocks_are_the_files() -> None:
    include = _module(ROOT / "docs/include_examples.py")
    for page in (PAGE, API):
        assert include.included(page) == page, "run: python docs/include_examples.py"
    named = [*include.named(PAGE), *include.named(API)]
    assert sorted(named) == sorted(path.name for path in EXAMPLES.iterdir() if path.is_file())


def test_the_api_names_every_error_and_event_and_address(app: Flask) -> None:
    errors = _module(ROOT / "docs/include_errors.py")
    assert errors.included(API) == API, "run: python docs/include_errors.py"
    told = {code for codes in errors.statuses().values() for code in codes}
    assert told >= STATUS_OF.keys() - errors.NOT_TOLD
    for event in (*EVENT_TYPES, TEST):
        assert f"`{event}`" in API
    subjects = {path.split("/")[2] for path in app.extensions["kumiai.openapi"]["paths"]}
    assert [subject for subject in subjects if f"/v1/{subject}" not in API] == []


def test_pictures_are_as_drawn() -> None:
    sequences = _module(ROOT / "docs/pictures/sequences.py")
    for name, (lanes, steps) in sequences.FLOWS.items():
        assert (ROOT / f"docs/pictures/{name}.svg").read_text() == sequences.picture(lanes, steps)
        assert f"pictures/{name}.svg" in (PAGE if name.startswith("oauth") else API)


@pytest.mark.parametrize("code", CODES)
def test_every_error_has_its_row_and_its_page(client: FlaskClient, code: str) -> None:
    rows = re.findall(rf"^\| `{code}` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 1
    assert client.get(f"/docs/errors/{code}").status_code == 200


def test_every_profile_and_scope_is_there() -> None:
    for name in PROFILES:
        assert f"`{name}`" in PAGE
    for scope, consent in SCOPES.items():
        assert consent is Consent.NONE or f"`{scope}`" in PAGE


@pytest.mark.parametrize("name", ["oauth.md", "api.md", "operating.md", "proof.md", "gateways.md", "sandbox.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= _anchors(page)
    for place, _, anchor in (found.partition("#") for found in re.findall(r"\]\(([^)#:][^):]*)\)", page)):
        assert (ROOT / "docs" / place).is_file(), place
        assert not anchor or anchor in _anchors((ROOT / "docs" / place).read_text(encoding="utf-8")), (place, anchor)


def test_what_the_office_does_with_money_works_in_its_order(
    fresh_app: Flask, make_settings: Callable[[str], Settings], fresh_database: str
) -> None:
    with fresh_app.app_context():
        member_id = factories.member(email="hanako@example.ac.jp")
        factories.oauth_client(client_id="canteen_order")
        factories.oauth_client(client_id="order_server", profile="service", scopes=["webhook"])
    kumiai = kumiai_for(make_settings(fresh_database))
    office = r"kumiai (money|move-rule|shop|member|wallet|settlement|webhook|ledger) "
    commands = [line for line in _commands(OPERATING) if re.match(office, line)]
    assert len(commands) == 24
    for command in commands:
        done = kumiai(*shlex.split(command, comments=True)[1:], input="y\n")
        assert done.exit_code == 0, (command, done.output)
        if command.startswith("kumiai money open-wallets"):
            with fresh_app.app_context():
                factories.charge(member_id=member_id, money="meal", amount_yen=100)


def _anchors(page: str) -> set[str]:
    """As GitHub makes them: a heading of a name that was there before gets a number."""
    found: set[str] = set()
    for anchor in map(_anchor, re.findall(r"^#+ (.+)$", page, re.MULTILINE)):
        found.add(anchor if anchor not in found else f"{anchor}-1")
    return found


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _commands(page: str) -> list[str]:
    return [
        command.replace("\\\n", " ")
        for block in re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        for command in re.findall(r"^kumiai (?:[^\n]*\\\n)*[^\n]*", block, re.MULTILINE)
    ]


COMMANDS = _commands(PAGE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_office_can_register_each(
    fresh_app: Flask,
    make_settings: Callable[[str], Settings],
    fresh_database: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    key = ECKey.generate_key("P-256").as_dict(private=False)
    (tmp_path / "big_app.jwks.json").write_text(json.dumps({"keys": [key]}))
    done = kumiai_for(make_settings(fresh_database))(*shlex.split(command)[1:])
    assert done.exit_code == 0, done.output


def test_there_are_commands() -> None:
    assert {re.search(r"--profile (\w+)", command)[1] for command in COMMANDS} == set(PROFILES) - {"till"}  # type: ignore[index]


def test_the_commands_of_operating_work_in_their_order(
    fresh_app: Flask, make_settings: Callable[[str], Settings], fresh_database: str
) -> None:
    with fresh_app.app_context(), transaction():
        setup.open_shop(
            issuer_id=current_issuer().id, code="canteen", name_ja="中央食堂", name_en="Central Canteen", accepts=[]
        )
    kumiai = kumiai_for(make_settings(fresh_database))
    commands = [line for line in _commands(OPERATING) if re.match(r"kumiai (client|keys)", line)]
    assert len(commands) == 11
    for command in commands:
        done = kumiai(*shlex.split(command, comments=True)[1:], input="y\n")
        young = command == "kumiai keys rotate" or command.startswith("kumiai keys rotate  ")
        assert (done.exit_code == 0) is not young, (command, done.output)  # its next key is not six minutes old
