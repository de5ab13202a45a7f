"""`kumiai sandbox`: the sandbox gateway as a program of its own, for development and for trying things out.

Werkzeug's own server serves it: it lets a view cut the connection, which is one of the faults on offer, and all of it
(pages, webhooks, clock) is one process over one folder. Nobody should reach it who may not make play money.
"""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

import click
from werkzeug.serving import WSGIRequestHandler, make_server

from app.charge.sandbox.api import stopping
from app.charge.sandbox.factory import create_sandbox
from app.charge.sandbox.gateway import Sandbox
from app.charge.sandbox.sender import Threads
from app.charge.sandbox.settings import SandboxSettings, SandboxSettingsError
from app.charge.sandbox.storage import FolderTaken, Storage


class _Quiet(WSGIRequestHandler):
    """What was asked is in the console; the terminal belongs to others. Trouble is still told."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8002, show_default=True)
def sandbox(host: str, port: int) -> None:
    """Run the sandbox gateway: a payment vendor to try charging with, where no real money moves."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    try:
        settings = SandboxSettings.from_env()
        running = Sandbox(settings, Storage(settings.folder))
    except SandboxSettingsError as error:
        raise click.ClickException(str(error)) from None
    except FolderTaken as error:
        raise click.ClickException(f"another sandbox runs on {error}") from None
    server = make_server(host, port, create_sandbox(running), threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]  # of socketserver.ThreadingMixIn

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        threading.Thread(target=server.shutdown).start()  # it waits for the loop that this very thread runs

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    threads = Threads(running)
    threads.start()
    server.serve_forever()
    threads.stop()
    running.storage.close()
