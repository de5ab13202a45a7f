"""`kumiai run` and `kumiai mypage`: the server and the member page, the way production serves them (granian, WSGI)."""

from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path

import click

_ROOT = Path(__file__).parent.parent

_claims: list[socket.socket] = []
"""Held for as long as this process lives."""


def granian_command(target: str, *, host: str, port: int, workers: int, threads: int) -> list[str]:
    """The command line that serves a WSGI callable (`wsgi:app`, `wsgi:mypage`)."""
    return [
        sys.executable, "-m", "granian", target,
        "--interface", "wsgi",
        "--host", host,
        "--port", str(port),
        "--workers", str(workers),
        "--blocking-threads", str(threads),
        "--respawn-failed-workers",
        "--workers-kill-timeout", "10s",
        "--http", "1",
        "--no-ws",
        "--working-dir", str(_ROOT),
        "--log-level", "error",  # its warnings are about thread counts we chose
    ]  # fmt: skip


def keep_to_one_processor(*, claimed_as: str = "kumiai-processor") -> None:
    """Have this web process, and every thread it starts from now on, stay on one processor that is free of others.

    Of a Python process one thread runs at a time. Where its threads wander over the processors, each of them finds
    its cache cold: a quarter fewer payments per second on two cores (bench/README.md). Which processors are taken is
    said by sockets in Linux's abstract namespace, which end with their process however it ends; when all are taken,
    and on other systems, nothing happens.

    On its processor a thread that wakes does not interrupt the one that woke it (SCHED_BATCH, sched(7)): that one
    holds Python's lock, so the other could only go back to sleep. Half the switches are gone, a tenth of all the work.
    """
    if sys.platform != "linux":
        return
    for processor in sorted(os.sched_getaffinity(0)):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0{claimed_as}-{processor}")
            os.sched_setaffinity(0, {processor})
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        except OSError:  # taken by another, or not allowed here
            claim.close()
            continue
        _claims.append(claim)
        return


def work_without_pause() -> None:
    """Have Python look for garbage seldom, never among what was there at the start, and let threads finish their turn.

    What a request leaves behind goes with its last reference; circles are rare. By default Python looks through
    hundreds of thousands of objects again and again: a quarter of the work of a batch of payments. And a thread that
    computes hands Python's lock on after 5 ms, which is in the middle of nearly nothing here.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(0.02)


def _serve(target: str, *, host: str, port: int, workers: int, threads: int) -> None:
    command = granian_command(target, host=host, port=port, workers=workers, threads=threads)
    os.execv(command[0], command)  # noqa: S606  # our own interpreter, no shell


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--threads", default=32, show_default=True, help="Requests in hand per process.")
def run(host: str, port: int, workers: int, threads: int) -> None:
    """Serve the authorization server, the wallet API and the pages."""
    from app.reader.profiles import ProfilesWrong, profiles
    from app.settings import Settings

    settings = Settings.from_env()  # a missing setting is said here, once, not by every worker
    try:
        profiles(settings.reader_profiles)
    except ProfilesWrong as error:
        raise click.ClickException(f"KUMIAI_READER_PROFILES: {error}") from None
    _serve("wsgi:app", host=host, port=port, workers=workers, threads=threads)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8001, show_default=True)
@click.option("--workers", default=1, show_default=True, help="Processes.")
@click.option("--threads", default=16, show_default=True, help="Requests in hand per process.")
def mypage(host: str, port: int, workers: int, threads: int) -> None:
    """Serve the member page (マイページ), an OAuth client of the server."""
    from app.mypage.settings import MypageSettings, MypageSettingsError

    try:
        MypageSettings.from_env()
    except MypageSettingsError as error:
        raise click.ClickException(str(error)) from None
    _serve("wsgi:mypage", host=host, port=port, workers=workers, threads=threads)
