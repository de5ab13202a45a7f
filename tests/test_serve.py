"""How the web processes share a machine's processors."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.live import ROOT

_PROGRAM = """
import os, sys, threading
from app.serve import keep_to_one_processor
keep_to_one_processor(claimed_as=sys.argv[1])
def say():
    assert len(os.sched_getaffinity(0)) > 1 or os.sched_getscheduler(0) == os.SCHED_BATCH
    print(*sorted(os.sched_getaffinity(0)), flush=True)
thread = threading.Thread(target=say)
thread.start()
sys.stdin.read()
"""


def start(stack: ExitStack, name: str) -> tuple[subprocess.Popen[str], set[int]]:
    """A process that claims a processor and lives until the stack ends; the processors its threads may use."""
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, name], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    )
    stack.callback(process.kill)
    assert process.stdout is not None
    return process, {int(number) for number in process.stdout.readline().split()}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process choose its processors")
def test_each_web_process_has_a_processor_of_its_own_while_there_are_enough() -> None:
    every, name = os.sched_getaffinity(0), secrets.token_hex(8)
    with ExitStack() as stack:
        started = [start(stack, name) for _ in every]
        taken = [processors for _, processors in started]
        assert all(len(processors) == 1 for processors in taken)
        assert set().union(*taken) == every
        assert start(stack, name)[1] == every, "all are taken: this one goes where there is time"
        first, its_processor = started[0]
        first.kill()
        first.wait()
        assert start(stack, name)[1] == its_processor, "a process that follows a dead one takes its place"
