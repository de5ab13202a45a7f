"""Runs one program for as long as a pipe stays open: `python -m app.launcher <pipe> <command> …`.

`kumiai dev` holds the other end. However it ends, by Ctrl-C or by kill -9, the pipe closes, and this process asks
the program to stop, waits, and then takes everything of its process group down. Nothing but the standard library:
it starts in a blink.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

STOP_WITHIN_S = 10


def main(pipe: int, command: list[str]) -> int:
    """Run `command` (in this process's group) until it ends or the pipe closes. Returns its exit code."""
    child = subprocess.Popen(command)  # noqa: S603  # our own command line, no shell
    threading.Thread(target=_stop_when_closed, args=(pipe, child), daemon=True).start()
    return child.wait()


def _stop_when_closed(pipe: int, child: subprocess.Popen[bytes]) -> None:
    while os.read(pipe, 1):
        pass
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_WITHIN_S)
    os.killpg(0, signal.SIGKILL)  # whoever is left of the group, this process included


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
