"""Runs a file of docs/examples as its reader would: as a program, with its settings in the environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.conftest import ROOT
from tests.live import READY_WITHIN_S, read_until

EXAMPLES = ROOT / "docs/examples"
_NEEDS = {".sh": ("bash", "curl", "jq", "openssl", "base64"), ".mjs": ("node",), ".py": ()}


class Example:
    """A running example."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.running = running

    def said(self, words: str) -> str:
        """What it says up to the line with `words`."""
        return read_until(self.running, words)

    def address(self) -> str:
        """The address it wants opened."""
        return self.said("Open this: ").rpartition("Open this: ")[2].strip()

    def answer(self, text: str) -> None:
        """Type a line."""
        assert self.running.stdin is not None
        self.running.stdin.write(f"{text}\n")
        self.running.stdin.flush()

    def rest(self, *, status: int = 0) -> str:
        """The rest of what it says; it ends with this exit status."""
        said, _ = self.running.communicate(timeout=READY_WITHIN_S)
        assert self.running.returncode == status, said
        return said


@contextmanager
def example(name: str, *arguments: str, **environment: str | None) -> Iterator[Example]:
    """The example of this name, for as long as the block lasts. Skipped where a program it needs is not at hand."""
    command = [*_command(name), *arguments]
    known = {name: value for name, value in environment.items() if value is not None}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env={**os.environ, **known}, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=EXAMPLES
    ) as running:
        try:
            yield Example(running)
        finally:
            running.kill()


def _command(name: str) -> Sequence[str]:
    kind = name[name.index(".") :]
    for program in _NEEDS[kind]:
        if shutil.which(program) is None:
            pytest.skip(f"{name} needs {program}, which is not on this machine")
    if kind == ".mjs" and (major := _node_major()) < 20:
        pytest.skip(f"{name} needs Node 20 or newer, this is {major}")
    program = {".sh": ["bash"], ".mjs": ["node"], ".py": [sys.executable, "-u"]}[kind]
    return [*program, str(EXAMPLES / name)]


def _node_major() -> int:
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.lstrip("v").split(".")[0])
