"""The server dies under `migrate`, at several of its steps: the next run goes on, and everything is there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.embedded import EmbeddedPostgres
from tests.servers import alive, own_directory, wait_for

MANAGE = Path(__file__).parents[2] / "manage.py"
STEPS = ("legacy_customers.0003_backup", "legacy_customers.0006_profiles", "legacy_customers.0011_sync")


def start(directory: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A command on the embedded server of `directory`."""
    return subprocess.Popen(
        [sys.executable, "-u", str(MANAGE), *arguments],
        env={**os.environ, "DATABASE_URL": "", "EMBEDDED_POSTGRES_DIR": str(directory), "UNIFICATION_RANGE_ROWS": "50"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def command(directory: Path, *arguments: str) -> str:
    """What a command prints, once it has ended well."""
    process = start(directory, *arguments)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 0, printed
    return printed


def crash_at(directory: Path, step: str) -> None:
    """Kill the server without warning when `migrate` begins a step; it fails, and nothing is left of the server."""
    process = start(directory, "migrate")
    assert process.stdout is not None
    printed = ""
    while not printed.endswith(f"Applying {step}..."):
        printed += process.stdout.read(1) or pytest.fail(printed)
    pid = EmbeddedPostgres(directory).postmaster
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    printed += process.communicate(timeout=120)[0]
    assert process.returncode != 0, printed
    wait_for(lambda: not alive(pid))


def test_a_server_that_dies_at_any_step_loses_nothing() -> None:
    with own_directory() as directory:
        command(directory, "load_legacy_sample", "--story", "shop")
        for step in STEPS:
            crash_at(directory, step)
        command(directory, "migrate")
        assert "failed" not in command(directory, "verify_unification")
