"""`kumiai dev` as a real process: what it starts, what it says, and that nothing is left of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.folders import data_folder
from tests.ports import free_port

READY_WITHIN_S = 60
GONE_WITHIN_S = 40


class Product:
    """`kumiai dev` on a folder of its own."""

    def __init__(self, folder: Path, *, port: int, mypage_port: int, sandbox_port: int) -> None:
        self.instance = folder / "instance"
        self.port = port
        self.mypage_port = mypage_port
        self.sandbox_port = sandbox_port
        self.log = folder / "log"
        plain = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        self.environment = {**plain, "KUMIAI_INSTANCE": str(self.instance), "LANG": "en_US.UTF-8"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from app.cli import main; main()", *arguments]

    def dev_command(self) -> list[str]:
        ports = ("--mypage-port", str(self.mypage_port), "--sandbox-port", str(self.sandbox_port))
        return self.command("dev", "--port", str(self.port), *ports)

    @contextmanager
    def running(self) -> Iterator[psutil.Popen]:
        """The product, once it has said that it runs; whatever the test leaves of it is killed."""
        with self.log.open("wb") as log:
            process = psutil.Popen(self.dev_command(), env=self.environment, stdout=log, stderr=log)
        started: list[psutil.Process] = []
        try:
            until(lambda: "Kumiai is running" in self.said() or process.poll() is not None, READY_WITHIN_S)
            assert process.poll() is None, self.said()
            started = process.children(recursive=True)
            yield process
        finally:
            for each in (process, *started):
                if each.is_running():
                    each.kill()
            process.wait()

    def said(self) -> str:
        return self.log.read_text()

    def once(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return run(self.command(*arguments), self.environment)

    def reset(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from app.supervisor import reset; reset()"]
        return run(command, self.environment)

    def postgres(self) -> psutil.Process:
        return psutil.Process(int((self.instance / "postgres" / "postmaster.pid").read_text().split()[0]))

    def secrets(self) -> dict[str, str]:
        known: dict[str, str] = json.loads((self.instance / "secrets.json").read_text())
        return known


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=READY_WITHIN_S)


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with data_folder() as folder:
        product = Product(folder, port=free_port(), mypage_port=free_port(), sandbox_port=free_port())
        yield product
        product.reset()


def until(condition: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def answers(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN_S)
    assert alive == []


def test_it_runs_everything_and_ctrl_c_stops_everything(product: Product) -> None:
    with product.running() as supervisor:
        assert answers(product.port) < 500
        assert answers(product.mypage_port) < 500
        assert answers(product.sandbox_port) < 500
        assert f"http://localhost:{product.port}/dev/mailbox" in product.said()
        for private in ("secrets.json", "demo.env"):
            assert (product.instance / private).stat().st_mode & 0o777 == 0o600
        verified = product.once("ledger", "verify")  # finds the database through demo.env
        assert verified.returncode == 0, verified.stdout + verified.stderr
        started = [*supervisor.children(recursive=True), product.postgres()]
        assert len(started) >= 9, "four launchers, four programs, PostgreSQL"
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(GONE_WITHIN_S) == 0
        assert_gone(started)
    assert not (product.instance / "demo.env").exists()


def test_a_second_run_keeps_the_data_and_one_folder_has_one_run(product: Product) -> None:
    secrets = product.secrets()
    with product.running() as supervisor:
        assert product.secrets() == secrets
        other = Product(product.instance.parent, port=free_port(), mypage_port=free_port(), sandbox_port=free_port())
        refused = run(other.dev_command(), other.environment)
        assert refused.returncode == 1
        assert "is in use by a make run in another terminal" in refused.stderr
        not_now = product.reset()
        assert not_now.returncode == 1
        assert "is in use by a make run in another terminal" in not_now.stderr
        assert answers(product.port) < 500
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(GONE_WITHIN_S) == 0


def test_when_one_program_dies_everything_stops(product: Product) -> None:
    with product.running() as supervisor:
        started = [*supervisor.children(recursive=True), product.postgres()]
        worker = next(
            each for each in started if each.cmdline()[-1] == "worker" and "app.launcher" not in each.cmdline()
        )
        worker.kill()
        assert supervisor.wait(GONE_WITHIN_S) == 1
        assert_gone(started)
    assert "worker ended" in product.said()


def test_when_the_database_dies_everything_stops_and_the_next_run_has_the_data(product: Product) -> None:
    with product.running() as supervisor:
        started = supervisor.children(recursive=True)
        product.postgres().kill()
        assert supervisor.wait(GONE_WITHIN_S) == 1
        assert_gone(started)
    assert "The database ended" in product.said()
    with product.running() as supervisor:
        verified = product.once("ledger", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert not verified.stdout.startswith("0 ")
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(GONE_WITHIN_S) == 0


def test_kill_9_of_the_supervisor_leaves_no_program(product: Product) -> None:
    with product.running() as supervisor:
        started = supervisor.children(recursive=True)
        postgres = product.postgres()
        supervisor.kill()
        assert_gone(started)
    assert postgres.is_running()  # nobody is left to stop it: the next start takes it over, or reset stops it
    done = product.reset()
    assert done.returncode == 0, done.stderr
    assert_gone([postgres])
    assert list(product.instance.glob("*")) == [product.instance / "dev.lock"]


@pytest.mark.parametrize("taken", ["port", "mypage_port", "sandbox_port"])
def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path, taken: str) -> None:
    product = Product(tmp_path, port=free_port(), mypage_port=free_port(), sandbox_port=free_port())
    with socket.socket() as other:
        other.bind(("127.0.0.1", getattr(product, taken)))
        other.listen()
        refused = run(product.dev_command(), product.environment)
    assert refused.returncode == 1
    variable = f"KUMIAI_{taken.upper()}"
    assert f"Port {getattr(product, taken)} is taken" in refused.stderr
    assert f"{variable}=18000 make run" in refused.stderr
    assert not product.instance.exists()


def test_ports_can_be_named_in_the_environment(tmp_path: Path) -> None:
    product = Product(tmp_path, port=free_port(), mypage_port=free_port(), sandbox_port=free_port())
    environment = {**product.environment, "KUMIAI_PORT": str(product.port), "LANG": "C"}
    with socket.socket() as other:
        other.bind(("127.0.0.1", product.port))
        other.listen()
        refused = run(product.command("dev"), environment)
    assert refused.returncode == 1
    assert f"ポート {product.port} はすでに使われています" in refused.stderr
