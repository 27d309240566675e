"""The embedded server that the tests share, those of a test's own, which it may kill, and the distribution's."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from config.embedded import EmbeddedPostgres, configured

# Databases come and go by the hundred: in memory each costs a fraction of what it costs on a disk.
MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes
# Nothing of the shared server is to outlive the machine's failure. A process that is killed loses nothing by these.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "256MB"}


def place() -> Path:
    """Where servers of tests keep their data: in memory, where it has room. Every account may enter."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else Path("/tmp")


def share_a_server() -> None:
    """Have this process and its children use a server of this checkout's tests, not the one with `make demo`'s data."""
    name = f"unified-profiles-tests-{os.geteuid()}-{hashlib.sha256(bytes(settings.BASE_DIR)).hexdigest()[:12]}"
    settings.EMBEDDED_POSTGRES_DIR = os.environ["EMBEDDED_POSTGRES_DIR"] = str(place() / name)
    configured().options = NOT_DURABLE


def give_back_the_server() -> None:
    """Leave it; who is the last one removes its data."""
    server = configured()
    server.leave()
    if server.postmaster is None:
        shutil.rmtree(server.base, ignore_errors=True)


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
    with tempfile.TemporaryDirectory(dir=place()) as name:
        path = Path(name)
        path.chmod(0o755)
        yield path / "postgres"
        # Whatever a failed test left running.
        if pid := EmbeddedPostgres(path / "postgres").postmaster:
            os.kill(pid, signal.SIGQUIT)
            wait_for(lambda: not alive(pid))


class DistributionPostgres(EmbeddedPostgres):
    """A server of the distribution's newest PostgreSQL that has pg_trgm, which the wheel has not."""

    @staticmethod
    def found() -> Path | None:
        """Its `bin` directory, where Debian puts it."""
        versions = [path.parts[4] for path in Path("/usr").glob("share/postgresql/*/extension/pg_trgm.control")]
        binaries = [Path(f"/usr/lib/postgresql/{version}/bin") for version in sorted(versions, key=int)]
        return next((path for path in reversed(binaries) if (path / "postgres").exists()), None)

    def _binaries(self) -> tuple[int, Path]:
        path = self.found()
        assert path
        return int(path.parent.name), path


@contextmanager
def connected_to(server: EmbeddedPostgres) -> Iterator[None]:
    """Django's connection leads to another server."""
    address = server.join()
    before = connection.settings_dict.copy()
    connection.close()
    connection.settings_dict |= {
        "EMBEDDED": False,
        "HOST": address["host"],
        "PORT": address["port"],
        "USER": address["user"],
    }
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict |= before
        server.leave()
