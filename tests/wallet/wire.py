"""A wire between the poster and PostgreSQL that a test can cut at the worst moment."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

_PORT = 5432


class Wire:
    """Carries PostgreSQL's protocol both ways, to one database."""

    def __init__(self, database_url: str, directory: Path) -> None:
        self._target = conninfo_to_dict(database_url)
        self._path = directory / f".s.PGSQL.{_PORT}"
        self.url = f"postgresql://{self._target['user']}@/{self._target['dbname']}?host={quote(str(directory))}"
        self._away = self._lose_commit = self._then_stay_away = False
        self._open: set[socket.socket] = set()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self._path))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_next_commit(self, *, then_stay_away: bool = False) -> None:
        """PostgreSQL will commit once more, and nobody hears of it; perhaps nobody reaches it after that either."""
        self._lose_commit, self._then_stay_away = True, then_stay_away

    def go_away(self) -> None:
        """End every connection and take no other."""
        self._away = True
        for near in list(self._open):
            with suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Take connections again."""
        self._away = False

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if self._away:
                    near.close()
                    continue
                threading.Thread(target=self._carry, args=[near], daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        self._open.add(near)
        with near, self._dial() as far:
            answers = threading.Thread(target=self._pump, args=[far, near], daemon=True)
            answers.start()
            with suppress(OSError):
                while data := near.recv(65536):
                    if b"COMMIT" in data and self._lose_commit:
                        self._lose_commit, self._away = False, self._then_stay_away
                        near.shutdown(socket.SHUT_RDWR)  # the reply will find nobody
                        far.sendall(data)
                        break
                    far.sendall(data)
            with suppress(OSError):
                far.shutdown(socket.SHUT_WR)
            answers.join()
        self._open.discard(near)

    def _dial(self) -> socket.socket:
        host, port = str(self._target.get("host", "localhost")), self._target.get("port") or _PORT
        if host.startswith("/"):
            far = socket.socket(socket.AF_UNIX)
            far.connect(f"{host}/.s.PGSQL.{port}")
            return far
        return socket.create_connection((host, int(port)))

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        """Carry on until the source ends, even when the sink is gone: PostgreSQL is to finish what it was told."""
        with suppress(OSError):
            while data := source.recv(65536):
                with suppress(OSError):
                    sink.sendall(data)


@contextmanager
def wire(database_url: str) -> Iterator[Wire]:
    with tempfile.TemporaryDirectory(prefix="kumiai-wire-") as folder:
        between = Wire(database_url, Path(folder))
        try:
            yield between
        finally:
            between.close()
