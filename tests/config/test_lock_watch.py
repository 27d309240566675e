"""The lock watch: whom our session holds up, directly and through others, and whom it waits for itself."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from config import lock_watch
from config.lock_watch import LockWatch, Wait, caused
from tests.databases import another_session, eventually, run

Session = psycopg.Connection[Any]


def wait(pid: int, *blockers: int) -> Wait:
    return Wait(pid, frozenset(blockers), None, 5.0, None, None, "ShareLock")


def test_who_waits_for_one_who_waits_for_us_waits_for_us() -> None:
    waits = [wait(3, 2), wait(2, 1), wait(5, 4), wait(1, 9), wait(6, 5, 2)]
    assert [found.pid for found in caused(waits, {1})] == [3, 2, 6]
    assert caused(waits, {7}) == []


@pytest.fixture
def bottles(empty_database: str) -> None:
    run("CREATE TABLE bottles (id integer PRIMARY KEY, label text); INSERT INTO bottles VALUES (1, 'a'), (2, 'b')")


@pytest.fixture
def watch(bottles: None) -> Iterator[LockWatch]:
    watch = lock_watch.begin(connection)
    yield watch
    lock_watch.end("default")


def test_the_longest_wait_that_our_session_causes_is_measured(
    watch: LockWatch, background: Callable[[str], Session]
) -> None:
    with transaction.atomic():
        run("LOCK TABLE bottles IN SHARE ROW EXCLUSIVE MODE")
        held_up = background("UPDATE bottles SET label = 'c' WHERE id = 1").info.backend_pid
        eventually(lambda: watch.longest is not None)
        first = watch.longest
        assert first is not None
        eventually(lambda: watch.longest is not first)
    assert watch.longest is not None
    measured = watch.longest.wait
    assert (measured.pid, measured.name, measured.mode) == (held_up, "bottles", "RowExclusiveLock")
    assert measured.milliseconds > first.wait.milliseconds
    assert watch.longest.statement == "LOCK TABLE bottles IN SHARE ROW EXCLUSIVE MODE"


def test_a_queue_behind_our_waiting_statement_is_our_doing(
    watch: LockWatch, background: Callable[[str], Session]
) -> None:
    with another_session() as reader:
        reader.execute("SELECT count(*) FROM bottles")
        strong = background("ALTER TABLE bottles ADD COLUMN size integer")
        eventually(lambda: watch.samples > 2)
        assert watch.longest is None  # a wait of others for others
        watch.ours.add(strong.info.backend_pid)
        eventually(lambda: watch.hindrance(strong.info.backend_pid))
        held_up = background("SELECT count(*) FROM bottles").info.backend_pid
        eventually(lambda: watch.longest is not None and watch.longest.wait.pid == held_up)
        hindrance = watch.hindrance(strong.info.backend_pid)
        assert hindrance is not None
        assert (hindrance.wait.name, hindrance.wait.mode) == ("bottles", "AccessExclusiveLock")
        assert hindrance.wait.blockers == {reader.info.backend_pid}
        assert watch.longest is not None
        assert watch.longest.statement == "ALTER TABLE bottles ADD COLUMN size integer"


def test_a_watch_that_cannot_connect_says_why_and_disturbs_nobody(
    bottles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.ensure_connection()
    before = connection.settings_dict["NAME"]
    monkeypatch.setitem(connection.settings_dict, "NAME", "no_such_database")
    watch = lock_watch.begin(connection)
    monkeypatch.setitem(connection.settings_dict, "NAME", before)
    assert watch.failure is not None
    assert 'database "no_such_database" does not exist' in watch.failure
    run("UPDATE bottles SET label = 'c'")
    ended = lock_watch.end("default")
    assert ended is watch
    assert (watch.samples, watch.longest) == (0, None)


def test_a_watch_that_loses_its_connection_ends_and_says_so(watch: LockWatch) -> None:
    eventually(lambda: watch.samples)
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'unified-profiles lock watch'")
    eventually(lambda: watch.failure)
    assert lock_watch.end("default") is watch
    assert lock_watch.current("default") is None
