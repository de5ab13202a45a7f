"""Folders for the data of the PostgreSQL servers that tests start."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 4 * 1024**3


@contextmanager
def data_folder() -> Iterator[Path]:
    """An empty folder for as long as the block lasts, in memory where the system has such a place with room.

    A database is made there in a tenth of the time, and nothing is tested less: what is killed in tests is a process,
    never the machine. Not pytest's own folder: the embedded PostgreSQL opens its parents' modes, and pytest closes
    them again.
    """
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES
    with tempfile.TemporaryDirectory(prefix="kumiai-test-", dir=_MEMORY if in_memory else None) as folder:
        yield Path(folder)
