"""Embedded servers of a test's own, which it may kill."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config.embedded import EmbeddedPostgres


def alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has waited for does not."""
    answer = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(answer.strip()) and not answer.startswith("Z")


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def own_directory() -> Iterator[Path]:
    """Where an embedded server may keep its data: every account may enter, unlike pytest's own directories."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path / "postgres"
        # Whatever a failed test left running.
        if pid := EmbeddedPostgres(path / "postgres").postmaster:
            os.kill(pid, signal.SIGQUIT)
            wait_for(lambda: not alive(pid))
