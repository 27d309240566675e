"""A contract step killed while it dumps: it leaves nothing of anybody's data, and its own reads are nobody's use."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from legacy_customers.unification import evidence
from legacy_customers.unification.contract import dump
from tests.databases import another_session, eventually, one, rows, until
from tests.legacy_customers.contract import contract, failures, step, until_step, wait
from tests.legacy_customers.test_migrate import DEADLINE, manage

SCHEMA = "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
# The real pg_dump, which then does not end: the step is killed after it has read, and before it knows.
LINGERS = """#!/bin/sh
[ "$1" = --version ] && exec {real} --version
{real} "$@" && echo $$ > {mark}.new && mv {mark}.new {mark} && exec sleep 600
"""
ALONE = (
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
)


@pytest.fixture
def dumps(settings: Any, tmp_path: Path) -> Path:
    settings.UNIFICATION_DUMP_DIR = str(tmp_path / "dumps")
    return tmp_path / "dumps"


def killed_in_its_dump(database: str, name: str, dumps: Path) -> None:
    real, own = dump.find_tools(connection).directory, dumps.parent / "bin"
    own.mkdir()
    mark = own / "has-read"
    (own / "pg_dump").write_text(LINGERS.format(real=real / "pg_dump", mark=mark))
    (own / "pg_dump").chmod(0o700)
    (own / "pg_restore").symlink_to(real / "pg_restore")
    process = manage(database, "contract_unification", "--step", name, PG_BIN=str(own), UNIFICATION_DUMP_DIR=str(dumps))
    eventually(lambda: mark.exists() or process.poll() is not None, "the dump has read")
    process.send_signal(signal.SIGKILL)
    os.kill(int(mark.read_text()), signal.SIGKILL)
    process.communicate(timeout=DEADLINE)
    until(ALONE)


@pytest.mark.parametrize(("before", "name"), [("fence", "users_columns"), ("users_columns", "legacy_tables")])
def test_a_step_killed_in_its_dump_leaves_nothing_and_goes_on(seed: str, dumps: Path, before: str, name: str) -> None:
    until_step(before)
    wait()
    schema = rows(SCHEMA)
    killed_in_its_dump(seed, name, dumps)
    assert rows(SCHEMA) == schema
    assert [path.suffix for path in dumps.iterdir() if f"-{name}-" in path.name] == [".part"]
    assert failures() == {}
    assert f"{name} is done." in step(name)
    assert [path.suffix for path in dumps.iterdir() if f"-{name}-" in path.name] == [".dump"]


def test_what_a_killed_dump_has_read_is_nobodys_use_and_who_comes_later_is_seen(seed: str, dumps: Path) -> None:
    until_step("users_columns")
    wait()
    killed_in_its_dump(seed, "legacy_tables", dumps)
    assert one("SELECT seq_scan > 0 FROM pg_stat_user_tables WHERE relname = 'user_profiles'")
    assert "Nothing speaks against legacy_tables." in contract("--plan")
    evidence.sample(connection)
    assert [use for use in evidence.gather(connection) if use.shape == "user_profiles" and use.kind == "read"] == []
    with another_session(autocommit=True) as late:
        late.execute("SELECT count(*) FROM user_profiles")
        late.execute("SELECT pg_stat_force_next_flush()")
    evidence.sample(connection)
    assert [use.who for use in evidence.gather(connection) if use.shape == "user_profiles" and use.kind == "read"] == [
        "(role unknown)"
    ]
