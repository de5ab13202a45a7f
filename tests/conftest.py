"""What every test stands on: a real PostgreSQL with the real migrations, and the real app over it.

With DATABASE_URL set, that server is used (a database of its own is made in it); otherwise the embedded one is
started for the session. One database serves the whole session: tests keep apart by making their own members,
shops and clients (see `tests/factories.py`), and a test that must break things asks for `fresh_database`.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg import sql

from app import clock
from app.db import dispose
from app.embedded import EmbeddedPostgres
from app.factory import create_app
from app.migrate import upgrade
from app.settings import Settings
from app.wallet import ledger
from tests import factories, live
from tests.folders import data_folder

ROOT = Path(__file__).parent.parent

# A busy machine is slow, not wrong.
hypothesis.settings.register_profile("kumiai", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("kumiai")

for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]  # everything a test speaks to is on this machine


# A shell that starts the tests in the background has Ctrl-C ignored, and the programs that are tested inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = (
    "tests/test_supervisor.py",
    "tests/browser/",
    "tests/wallet/test_ledger_machine.py",
    "tests/docs_examples/",
    "tests/oauth/test_migration.py",
    "tests/reader/agent/",
    "tests/wallet/bulk/",
    "tests/stories/",
    "tests/oauth/test_hostile_input.py",
    "tests/contract/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin first, so that no process works on one while the others have nothing left."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


class TestServer:
    """Where this session's databases are."""

    __test__ = False

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url

    def url(self, database: str) -> str:
        base, _, query = self.admin_url.partition("?")
        return f"{base.rsplit('/', 1)[0]}/{database}" + (f"?{query}" if query else "")

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    @contextmanager
    def database(self, *, template: str = "template0") -> Iterator[str]:
        """A database for as long as the block lasts; yields its name."""
        name = f"kumiai_test_{secrets.token_hex(4)}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield name
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestServer]:
    with ExitStack() as stack:
        given = os.environ.get("DATABASE_URL")
        if given:
            yield TestServer(given)
        else:
            folder = stack.enter_context(data_folder())
            embedded = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
            yield TestServer(embedded.url("postgres"))


@pytest.fixture(scope="session")
def template(postgres: TestServer) -> Iterator[str]:
    """A migrated, empty database to copy from."""
    with postgres.database() as name:
        upgrade(postgres.url(name))
        yield name


@pytest.fixture(scope="session")
def database_url(postgres: TestServer, template: str) -> Iterator[str]:
    """The session's shared database."""
    with postgres.database(template=template) as name:
        yield postgres.url(name)


@pytest.fixture
def fresh_database(postgres: TestServer, template: str) -> Iterator[str]:
    """A migrated, empty database of this test's own; yields its URL."""
    with postgres.database(template=template) as name:
        yield postgres.url(name)


@pytest.fixture(scope="session")
def make_settings(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Settings]:
    """Settings for a database URL, as a test wants them: fixed keys, mail into a folder."""
    instance = tmp_path_factory.mktemp("instance")

    def make(database_url: str) -> Settings:
        return Settings(
            environment="test",
            database_url=database_url,
            secret_key=b"s" * 32,
            sealing_key=b"e" * 32,
            card_pepper=b"p" * 32,
            mail_url=f"maildir:{instance / 'mailbox'}",
            sms_url=f"maildir:{instance / 'mailbox'}",
            instance_path=instance,
        )

    return make


@pytest.fixture(scope="session")
def settings(database_url: str, make_settings: Callable[[str], Settings]) -> Settings:
    return make_settings(database_url)


@pytest.fixture(scope="session")
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    with app.app_context():
        factories.issuer()
    yield app
    ledger.close()
    with app.app_context():
        dispose()


@pytest.fixture
def fresh_app(fresh_database: str, make_settings: Callable[[str], Settings]) -> Iterator[Flask]:
    """The app over a database of this test's own, with an issuer in it."""
    app = create_app(make_settings(fresh_database))
    with app.app_context():
        factories.issuer()
    yield app
    ledger.close()
    with app.app_context():
        dispose()


@pytest.fixture
def new_app() -> Iterator[Callable[[Settings], Flask]]:
    """Makes servers with other settings than the tests'."""
    made: list[Flask] = []

    def make(settings: Settings) -> Flask:
        made.append(create_app(settings))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still, so that no limit's window ends in the middle of the test."""
    instant = clock.now()
    monkeypatch.setattr(clock, "now", lambda: instant)


@pytest.fixture(scope="session")
def live_server(
    postgres: TestServer,
    template: str,
    make_settings: Callable[[str], Settings],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[live.Live]:
    """Server, worker and member page as processes over a database of their own, for as long as the session lasts."""
    with postgres.database(template=template) as name:
        settings = make_settings(postgres.url(name))
        with live.live(settings, directory=tmp_path_factory.mktemp("live")) as running:
            yield running
