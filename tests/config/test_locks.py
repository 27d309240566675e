"""The lock budget, with other sessions in the way: who is held up, who gives way, and who is told what."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections, migrations, transaction
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from config import lock_watch, locks
from config.lock_watch import LockWatch
from config.locks import StillInUse, patiently
from tests.databases import DEADLINE, another_session, eventually, one, rows, run, until

Session = psycopg.Connection[Any]

ADD = "ALTER TABLE bottles ADD COLUMN size integer"
COLUMNS = "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'bottles'::regclass AND attnum > 0"
WAITS = "SELECT pid FROM pg_locks WHERE pid = %s AND NOT granted"
OLD = "SELECT xact_start < clock_timestamp() - interval '1 second' FROM pg_stat_activity WHERE pid = %s"


@pytest.fixture(autouse=True)
def bottles(empty_database: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(
        "CREATE TABLE bottles (id integer PRIMARY KEY, label text); INSERT INTO bottles VALUES (1, 'a'), (2, 'b');"
        " CREATE TABLE shelves (id integer PRIMARY KEY)"
    )
    settings.UNIFICATION_LOCK_TIMEOUT_MS = 200
    monkeypatch.setattr(locks, "PAUSES", (0.01,) * 6)


@pytest.fixture
def watch() -> Iterator[LockWatch]:
    yield lock_watch.begin(connection)
    lock_watch.end("default")


@pytest.fixture
def other() -> Iterator[Session]:
    """Another session, whose transaction stays open until the test ends it."""
    with another_session() as session:
        yield session


def between_tries(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> list[float]:
    """Call `act` with the number of the pause instead of pausing; gives the seconds that were asked for."""
    asked: list[float] = []

    def pause(seconds: float) -> None:
        asked.append(seconds)
        act(len(asked))

    monkeypatch.setattr(locks, "time", type("Clock", (), {"sleep": staticmethod(pause), "monotonic": time.monotonic}))
    return asked


@contextmanager
def lets_go_when_waited_for(session: Session) -> Iterator[None]:
    """`session` ends its transaction once Django's session waits for a lock."""
    pid = connection.connection.info.backend_pid

    def let_go() -> None:
        with another_session(autocommit=True) as witness:
            eventually(lambda: witness.execute(WAITS, [pid]).fetchone())
        session.commit()

    thread = threading.Thread(target=let_go)
    thread.start()
    yield
    thread.join()


def add() -> None:
    run(ADD)


# --- giving way -----------------------------------------------------------------------------------------------------


def test_a_lock_that_comes_later_is_waited_for_and_others_write_meanwhile(
    other: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.execute("SELECT count(*) FROM bottles")

    def others_work(pause: int) -> None:
        with another_session(autocommit=True) as writer:
            writer.execute("SET lock_timeout = '1ms'; UPDATE bottles SET label = label || 'x' WHERE id = 1")
        if pause == 3:
            other.commit()

    asked = between_tries(monkeypatch, others_work)
    patiently(connection, add)
    assert len(asked) == 3
    assert one(COLUMNS) == "id label size"
    assert one("SELECT label FROM bottles WHERE id = 1") == "axxx"


def test_a_writer_who_queues_behind_a_try_gets_on_while_the_blocker_stays(
    other: Session, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UNIFICATION_LOCK_TIMEOUT_MS = 2000
    other.execute("SELECT count(*) FROM bottles")
    run("SET statement_timeout = '60s'")
    pid, written = connection.connection.info.backend_pid, threading.Event()

    def write() -> None:
        with another_session(autocommit=True) as writer:
            eventually(lambda: writer.execute(WAITS, [pid]).fetchone())
            writer.execute("UPDATE bottles SET label = 'c' WHERE id = 1")
        written.set()

    def given_way(pause: int) -> None:
        assert written.wait(DEADLINE)
        other.commit()

    asked = between_tries(monkeypatch, given_way)
    writer = threading.Thread(target=write)
    writer.start()
    patiently(connection, add)
    writer.join()
    assert (len(asked), one(COLUMNS)) == (1, "id label size")


def test_a_unit_that_is_refused_a_lock_gives_back_those_that_it_had(
    other: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.execute("UPDATE bottles SET label = 'c' WHERE id = 1")

    def both() -> None:
        run("ALTER TABLE shelves ADD COLUMN room text")
        run(ADD)

    def nothing_is_held(pause: int) -> None:
        with another_session() as third:
            third.execute("LOCK TABLE shelves IN ACCESS EXCLUSIVE MODE NOWAIT")
        if pause == 2:
            other.commit()

    asked = between_tries(monkeypatch, nothing_is_held)
    patiently(connection, both)
    assert len(asked) == 2
    assert one("SELECT count(*) FROM pg_attribute WHERE attrelid = 'shelves'::regclass AND attname = 'room'") == 1


def test_within_a_transaction_the_tries_are_savepoints(other: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    other.execute("SELECT count(*) FROM bottles")
    between_tries(monkeypatch, lambda pause: other.commit())
    with transaction.atomic():
        run("INSERT INTO shelves VALUES (1)")
        patiently(connection, add)
    assert (one("SELECT count(*) FROM shelves"), one(COLUMNS)) == (1, "id label size")


def test_a_row_that_another_transaction_wrote_is_waited_for_too(
    other: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.execute("UPDATE bottles SET label = 'c' WHERE id = 1")
    asked = between_tries(monkeypatch, lambda pause: other.commit())
    patiently(connection, lambda: run("UPDATE bottles SET label = label || '!'"))
    assert len(asked) == 1
    assert rows("SELECT label FROM bottles ORDER BY 1") == [("b!",), ("c!",)]


def test_an_error_that_is_no_refused_lock_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = between_tries(monkeypatch, lambda pause: None)
    with pytest.raises(OperationalError):
        patiently(connection, lambda: run("SET statement_timeout = '1ms'; SELECT pg_sleep(60)"))
    assert asked == []


def test_pauses_grow_and_vary(other: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PAUSES", (1.0, 10.0, 100.0))
    other.execute("SELECT count(*) FROM bottles")
    # It is not yet a second old: nobody is long in the way.
    monkeypatch.setattr(locks, "STANDING", locks.STANDING.replace("1 second", "1 hour"))
    asked = between_tries(monkeypatch, lambda pause: other.commit() if pause == 3 else None)
    patiently(connection, add)
    assert [low <= seconds <= low * 3 for seconds, low in zip(asked, (0.5, 5.0, 50.0), strict=True)] == [True] * 3
    assert asked[1] / asked[0] != 10


# --- letting pass -----------------------------------------------------------------------------------------------------


def test_an_old_transaction_is_let_pass_before_the_next_try(
    watch: LockWatch, other: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.execute("SELECT count(*) FROM bottles")
    until(OLD, other.info.backend_pid)
    tries: list[str] = []

    def attempt() -> None:
        tries.append("try")
        run(ADD)

    # Many looks, and no try that would queue the others behind it, until it is gone.
    asked = between_tries(monkeypatch, lambda pause: other.commit() if pause == 20 else None)
    patiently(connection, attempt)
    assert (len(asked), tries) == (20, ["try", "try"])


def test_an_old_reader_is_not_waited_for_by_who_gets_on_with_readers(
    watch: LockWatch, other: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with another_session() as reader:
        reader.execute("SELECT count(*) FROM bottles")
        until(OLD, reader.info.backend_pid)
        other.execute("UPDATE bottles SET label = 'c' WHERE id = 1")
        with connection.schema_editor() as editor, pytest.raises(OperationalError), transaction.atomic():
            editor.execute("LOCK TABLE bottles IN SHARE ROW EXCLUSIVE MODE", None)
        hindrance = watch.hindrance(connection.connection.info.backend_pid)
        assert hindrance is not None
        until(OLD, other.info.backend_pid)
        assert [found.pid for found in locks.standing(connection, hindrance, watch.ours)] == [other.info.backend_pid]
        other.commit()
        assert locks.standing(connection, hindrance, watch.ours) == []


def test_activity_is_seen_as_it_is_also_within_a_transaction(watch: LockWatch, other: Session) -> None:
    with transaction.atomic():
        rows("SELECT * FROM pg_stat_activity")
        other.execute("LOCK TABLE bottles IN ACCESS SHARE MODE")
        wait = lock_watch.Wait(
            0, frozenset(), None, 0, one("SELECT 'bottles'::regclass::oid"), "bottles", "AccessExclusiveLock"
        )
        hindrance = lock_watch.Hindrance(wait, frozenset())
        eventually(lambda: locks.standing(connection, hindrance, watch.ours))


# --- giving up --------------------------------------------------------------------------------------------------------


def test_giving_up_names_who_is_in_the_way_and_changes_nothing(watch: LockWatch, other: Session, settings: Any) -> None:
    settings.UNIFICATION_LOCK_PATIENCE_S = 0
    other.execute("SELECT label FROM bottles WHERE id = 1")
    until(OLD, other.info.backend_pid)

    def unit() -> None:
        run("INSERT INTO shelves VALUES (1)")
        run(ADD)

    with pytest.raises(StillInUse) as refusal:
        patiently(connection, unit)
    pid, user = other.info.backend_pid, other.info.user
    began, asked = rows(
        "SELECT date_trunc('second', xact_start)::text, date_trunc('second', query_start)::text FROM pg_stat_activity"
        " WHERE pid = %s",
        pid,
    )[0]
    assert re.sub(r"\d+ s\.", "N s.", str(refusal.value)) == (
        "bottles (AccessExclusiveLock) stays in use: no lock in 1 tries over N s. In the way:"
        f" pid {pid} ({user}, idle in transaction), in a transaction since {began}, query since {asked}:"
        " SELECT label FROM bottles WHERE id = 1. Nothing of this step was changed. Wait for that to end, or end it"
        f" (SELECT pg_terminate_backend({pid})), and run the command again; or raise UNIFICATION_LOCK_PATIENCE_S."
    )
    assert (one("SELECT count(*) FROM shelves"), one(COLUMNS)) == (0, "id label")


def test_the_tries_are_counted_and_the_last_one_has_its_limit(
    watch: LockWatch, other: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "STANDING", locks.STANDING.replace("1 second", "1 hour"))
    other.execute("SELECT count(*) FROM bottles")
    limits: list[str] = []

    def attempt() -> None:
        limits.append(one("SHOW lock_timeout"))
        run(ADD)

    with pytest.raises(StillInUse, match=r"no lock in 7 tries .* many short transactions, none of them longer"):
        patiently(connection, attempt)
    assert limits == ["200ms"] * 7


def test_a_worker_of_the_same_run_is_ours_from_its_first_unit(watch: LockWatch) -> None:
    pids: list[int] = []

    def work() -> None:
        patiently(connections["default"], lambda: pids.append(one("SELECT pg_backend_pid()")))
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert watch.ours == {connection.connection.info.backend_pid, *pids}
    assert len(watch.ours) == 2


def test_without_a_watch_those_who_hold_tables_are_named(
    other: Session, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.UNIFICATION_LOCK_TIMEOUT_MS = 10
    monkeypatch.setattr(LockWatch, "start", lambda self: self)  # as where no connection is left
    other.execute("SELECT count(*) FROM bottles")
    until(OLD, other.info.backend_pid)
    with pytest.raises(StillInUse) as refusal:
        patiently(connection, add)
    assert f"In the way: pid {other.info.backend_pid} (" in str(refusal.value)


# --- the schema editor and migrations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("atomic", [True, False])
def test_every_statement_within_an_editor_has_the_limit_and_after_it_none(atomic: bool) -> None:
    run("SET lock_timeout = '7s'")
    with connection.schema_editor(atomic=atomic):
        assert one("SHOW lock_timeout") == "200ms"
        # An autovacuum gives way to who waits for longer than that.
        assert one("SHOW deadlock_timeout") == ("100ms" if atomic else "1s")
    assert (one("SHOW lock_timeout"), one("SHOW deadlock_timeout")) == ("7s", "1s")
    with pytest.raises(ZeroDivisionError), connection.schema_editor(atomic=atomic):
        raise ZeroDivisionError
    assert one("SHOW lock_timeout") == "7s"


def operation(statement: str) -> migrations.RunSQL:
    return migrations.RunSQL(statement, migrations.RunSQL.noop)


def plan_of(*operations: Any, atomic: bool = True) -> tuple[Migration, list[str]]:
    """A migration made patient, and a list that says when it failed for good."""
    migration, failures = Migration("0001_initial", "cellar"), []  # type: tuple[Migration, list[str]]
    migration.operations, migration.atomic = list(operations), atomic  # type: ignore[misc]
    locks.be_patient([(migration, False)], lambda: failures.append("failed"))
    return migration, failures


def test_a_migration_is_tried_again_whole(other: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    migration, failures = plan_of(operation("INSERT INTO shelves VALUES (1)"), operation(ADD))
    other.execute("SELECT count(*) FROM bottles")
    between_tries(monkeypatch, lambda pause: other.commit() if pause == 2 else None)
    with connection.schema_editor(atomic=True) as editor:
        migration.apply(ProjectState(), editor)
    assert (one("SELECT count(*) FROM shelves"), one(COLUMNS), failures) == (1, "id label size", [])


def test_deferred_statements_belong_to_their_migration(other: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def defer(apps: Any, editor: Any) -> None:
        editor.deferred_sql.append(ADD)

    migration, _ = plan_of(migrations.RunPython(defer))
    other.execute("SELECT count(*) FROM bottles")
    between_tries(monkeypatch, lambda pause: other.commit() if pause == 2 else None)
    with connection.schema_editor(atomic=True) as editor:
        migration.apply(ProjectState(), editor)
        assert editor.deferred_sql == []
    assert one(COLUMNS) == "id label size"


def test_a_migration_that_gives_up_says_so_once_and_leaves_nothing(other: Session, settings: Any) -> None:
    settings.UNIFICATION_LOCK_PATIENCE_S = 0
    migration, failures = plan_of(operation("INSERT INTO shelves VALUES (1)"), operation(ADD))
    other.execute("SELECT count(*) FROM bottles")
    with pytest.raises(StillInUse), connection.schema_editor(atomic=True) as editor:
        migration.apply(ProjectState(), editor)
    assert (one("SELECT count(*) FROM shelves"), failures) == (0, ["failed"])


def test_an_index_built_concurrently_waits_longer_for_it_is_in_nobodys_way(
    other: Session, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UNIFICATION_LOCK_TIMEOUT_MS = 1
    asked = between_tries(monkeypatch, lambda pause: None)
    migration, _ = plan_of(operation("CREATE INDEX CONCURRENTLY bottles_label ON bottles (label)"), atomic=False)
    other.execute("UPDATE bottles SET label = 'c' WHERE id = 1")
    with lets_go_when_waited_for(other), connection.schema_editor(atomic=False) as editor:
        migration.apply(ProjectState(), editor)
        assert one("SHOW lock_timeout") == "1ms"
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'bottles_label'::regclass") == [(True,)]
    assert asked == []
