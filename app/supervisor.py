"""`kumiai dev`, which is `make run`: the product running on one machine, with nothing to set up.

It starts PostgreSQL (unless DATABASE_URL names one), migrates, seeds the demo co-op, starts the server, the member
page, the sandbox gateway and a worker, and stops all of it again: on Ctrl-C, on SIGTERM, when one of them dies. Each
program runs under `app.launcher`, which ends it when this process's pipe closes, so that kill -9 leaves none behind
either.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from app.db import dispose
from app.demo.seed import PASSWORD, seed
from app.embedded import EmbeddedPostgres
from app.factory import create_app
from app.instance import Instance, InstanceInUse
from app.launcher import STOP_WITHIN_S
from app.migrate import upgrade
from app.settings import Settings
from app.wallet import ledger
from app.web.terminal import say

DATABASE = "kumiai"

_ANSWER_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.1
_LOOK_AT_POSTGRES_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Program:
    """One thing to run: `kumiai <arguments>`, which answers on `port`, or on none."""

    name: str
    arguments: tuple[str, ...]
    port: int | None = None


class Stop(Exception):
    """Time to stop everything. `sentence` says why, unless somebody asked for it."""

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@click.command()
@click.option("--port", default=8000, show_default=True, envvar="KUMIAI_PORT", help="Of the server.")
@click.option("--mypage-port", default=8001, show_default=True, envvar="KUMIAI_MYPAGE_PORT", help="Of the member page.")
@click.option("--sandbox-port", default=8002, show_default=True, envvar="KUMIAI_SANDBOX_PORT", help="Of the gateway.")
def dev(port: int, mypage_port: int, sandbox_port: int) -> None:
    """Run everything on this machine, for development and for trying it out."""
    options = ((port, "KUMIAI_PORT"), (mypage_port, "KUMIAI_MYPAGE_PORT"), (sandbox_port, "KUMIAI_SANDBOX_PORT"))
    for each, option in options:
        if not _free(each):
            raise click.ClickException(say("dev.port_taken", port=each, variable=option))
    instance = _instance()
    supervisor = Supervisor(instance, port=port, mypage_port=mypage_port, sandbox_port=sandbox_port)
    try:
        with instance.in_use():
            supervisor.run()
    except InstanceInUse:
        raise click.ClickException(say("dev.in_use", path=instance.path)) from None
    except Stop as stop:
        if stop.sentence:
            raise click.ClickException(stop.sentence) from None


@click.command()
def reset() -> None:
    """Forget the demo's data, so that the next start begins again. Raises ClickException while something runs."""
    instance = _instance()
    try:
        with instance.in_use():
            instance.forget()
    except InstanceInUse:
        raise click.ClickException(say("dev.in_use", path=instance.path)) from None
    click.echo(say("dev.forgotten"))


class Supervisor:
    """Starts everything in order, watches, and stops it in the opposite order."""

    def __init__(self, instance: Instance, *, port: int, mypage_port: int, sandbox_port: int) -> None:
        self._instance = instance
        self._port = port
        self._mypage_port = mypage_port
        self._sandbox_port = sandbox_port
        self._asked_to_stop = False
        self._postgres: EmbeddedPostgres | None = None
        self._postgres_answered_at = 0.0

    def run(self) -> None:
        """Run until somebody or something ends it. Raises Stop when everything has been stopped."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        with ExitStack() as stack:
            click.echo(say("dev.database"))
            environment = self._environment(stack)
            self._unless_asked()
            click.echo(say("dev.data"))
            _prepare(environment)
            self._unless_asked()
            self._instance.publish(environment)
            stack.callback(self._instance.unpublish)
            running = stack.enter_context(_running(self._programs(), environment))
            self._wait_for_answers(running)
            click.echo(_welcome(environment))
            while True:
                self._look_after(running)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_stop = True

    def _unless_asked(self) -> None:
        if self._asked_to_stop:
            click.echo(say("dev.stopping"))
            raise Stop

    def _environment(self, stack: ExitStack) -> dict[str, str]:
        """The variables of this instance. What the caller's environment sets is kept."""
        mailbox = f"maildir:{self._instance.mailbox}"
        issuer_url = os.environ.get("KUMIAI_ISSUER_URL") or f"http://localhost:{self._port}"
        made = {
            **self._instance.secrets(),
            "KUMIAI_INSTANCE": str(self._instance.path),
            "KUMIAI_ISSUER_URL": issuer_url,
            "KUMIAI_MYPAGE_URL": f"http://localhost:{self._mypage_port}",
            "KUMIAI_SANDBOX_URL": f"http://localhost:{self._sandbox_port}",
            "KUMIAI_MAIL_URL": mailbox,
            "KUMIAI_SMS_URL": mailbox,
            "KUMIAI_TILL_SERVER": issuer_url,
            "KUMIAI_TILL_CLIENT_ID": "till_canteen",
        }
        environment = {name: os.environ.get(name) or value for name, value in made.items()}
        database_url = os.environ.get("DATABASE_URL") or self._embedded_database(stack)
        return {**environment, "DATABASE_URL": database_url, "KUMIAI_ENV": "development"}

    def _embedded_database(self, stack: ExitStack) -> str:
        try:
            postgres = stack.enter_context(EmbeddedPostgres(self._instance.postgres))
        except subprocess.SubprocessError as error:
            raise Stop(say("dev.no_database", log=self._instance.postgres / "log", error=error)) from error
        postgres.create_database(DATABASE)
        self._postgres = postgres
        return postgres.url(DATABASE)

    def _programs(self) -> list[Program]:
        return [
            Program("server", ("run", "--port", str(self._port)), self._port),
            Program("worker", ("worker",)),
            Program("mypage", ("mypage", "--port", str(self._mypage_port)), self._mypage_port),
            Program("sandbox", ("sandbox", "--port", str(self._sandbox_port)), self._sandbox_port),
        ]

    def _wait_for_answers(self, running: dict[Program, subprocess.Popen[bytes]]) -> None:
        deadline = time.monotonic() + _ANSWER_WITHIN_S
        for program in running:
            while program.port is not None and not _answers(program.port):
                self._look_after(running)
                if time.monotonic() > deadline:
                    raise Stop(say("dev.no_answer", program=program.name, port=program.port))

    def _look_after(self, running: dict[Program, subprocess.Popen[bytes]]) -> None:
        """One look at what runs. Raises Stop."""
        self._unless_asked()
        for program, process in running.items():
            if process.poll() is not None:
                raise Stop(say("dev.ended", program=program.name, code=process.returncode))
        self._look_after_postgres()
        time.sleep(_LOOK_EVERY_S)

    def _look_after_postgres(self) -> None:
        """Raises Stop where the one we started is gone. One that DATABASE_URL names is not ours to look after."""
        now = time.monotonic()
        if self._postgres is None or now - self._postgres_answered_at < _LOOK_AT_POSTGRES_EVERY_S:
            return
        if not self._postgres.answers():
            raise Stop(say("dev.database_ended", log=self._instance.postgres / "log"))
        self._postgres_answered_at = now


@contextmanager
def _running(
    programs: list[Program], environment: Mapping[str, str]
) -> Iterator[dict[Program, subprocess.Popen[bytes]]]:
    """The programs, each in a session of its own, until the block ends."""
    reading, writing = os.pipe()
    running: dict[Program, subprocess.Popen[bytes]] = {}
    try:
        for program in programs:
            running[program] = _start(program, environment, reading)
        yield running
    finally:
        os.close(writing)  # every launcher sees this and stops its program
        os.close(reading)
        for process in running.values():
            _end(process)


def _start(program: Program, environment: Mapping[str, str], pipe: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from app.cli import main; main()", *program.arguments]
    return subprocess.Popen(  # noqa: S603  # our own command line, no shell
        [sys.executable, "-m", "app.launcher", str(pipe), *command],
        env={**os.environ, **environment},
        pass_fds=[pipe],
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_WITHIN_S + 5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what a killed launcher may have left
    process.wait()


def _prepare(environment: Mapping[str, str]) -> None:
    """Bring the database to the newest shape and the demo co-op into it."""
    upgrade(environment["DATABASE_URL"])
    app = create_app(Settings.from_env({**os.environ, **environment}))
    with app.app_context():
        try:
            seed(environment)
        finally:
            ledger.close()
            dispose()


def _answers(port: int) -> bool:
    """Whether something speaks HTTP there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse()
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _instance() -> Instance:
    return Instance(Path(os.environ.get("KUMIAI_INSTANCE") or "instance"))


def _welcome(environment: Mapping[str, str]) -> str:
    server, mypage = environment["KUMIAI_ISSUER_URL"], environment["KUMIAI_MYPAGE_URL"]
    sandbox = environment["KUMIAI_SANDBOX_URL"]
    return "\n" + say("dev.welcome", server=server, mypage=mypage, sandbox=sandbox, password=PASSWORD)
