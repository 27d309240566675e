"""unification_status, pause and resume: read from another terminal while `migrate` is at work, stands, or is through."""

import json
import re
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from config import lock_watch
from legacy_customers.apps import ONE_AT_A_TIME
from legacy_customers.sample.stories import load_story
from legacy_customers.unification import throttle
from legacy_customers.unification.verify import verify
from tests.databases import another_session, eventually, one, rows, run, until

Code = int


@pytest.fixture(autouse=True)
def looks_at_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "LOOK_AGAIN", 0.0)


def status(*arguments: str) -> tuple[Code, str]:
    out = StringIO()
    try:
        call_command("unification_status", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def as_json() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(status("--json")[1])
    return found


class Replica:
    """A receiver of the server's log that speaks its protocol: it says itself how far it has replayed what it was sent."""

    def __init__(self, name: str) -> None:
        given = connection.get_connection_params()
        keep = {key: given[key] for key in ("host", "port", "user", "password") if given.get(key)}
        self.session = psycopg.connect(**keep, autocommit=True, replication="true", application_name=name)

    def __enter__(self) -> "Replica":
        start = one("SELECT pg_current_wal_flush_lsn()::text")
        self.session.pgconn.exec_(f"START_REPLICATION PHYSICAL {start}".encode())
        return self

    def __exit__(self, *unused: object) -> None:
        self.session.close()

    def replays(self, place: int) -> None:
        """Say that the log is written, flushed and replayed up to `place`, once that much has come."""
        sent = 0
        while sent < place:
            size, message = self.session.pgconn.get_copy_data(0)
            assert size > 0
            if message[:1] == b"w":  # its place, the log's end and the time before it, each 8 bytes
                sent = struct.unpack(">Q", message[1:9])[0] + len(message) - 25
        self.session.pgconn.put_copy_data(struct.pack(">cQQQQ?", b"r", place, place, place, 0, False))
        self.session.pgconn.flush()


@contextmanager
def migrating(*target: str) -> Iterator[None]:
    """`migrate` in a thread, with a connection of its own; fails where it does."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            call_command("migrate", *target, verbosity=1, stdout=StringIO())
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        run("UPDATE unification_pauses SET ended_at = now() WHERE ended_at IS NULL")
        thread.join()
    assert failures == []


def test_an_empty_database_has_nothing_to_take_over(empty_database: str) -> None:
    code, printed = status()
    assert code == 0
    assert printed.startswith(f"{empty_database}: nothing to take over, ")


def test_a_legacy_database_is_not_begun_and_nothing_of_it_can_be_paused(empty_database: str) -> None:
    load_story(connection, "seed")
    assert status()[0] == 5
    assert as_json()["state"] == "not begun"
    with pytest.raises(CommandError, match="No take-over has begun in this database"):
        status("--pause")
    assert one("SELECT to_regclass('unification_pauses')") is None


def test_a_unified_database_is_done_and_shows_its_counts(seed: str) -> None:
    run("INSERT INTO users (email, password_hash, first_name) VALUES ('new@example.com', 'x', 'New')")
    code, printed = status()
    assert code == 0
    assert "  used: users write by " in printed
    assert "  not seen: reads of customers (scans of the table): as long as the sync is on" in printed
    found = as_json()
    assert (found["state"], found["holder"], found["logged"]) == ("done", None, None)
    assert {step["name"]: step["finished"] for step in found["steps"]} == dict.fromkeys(
        ["capture", "backup", "old_trigger", "identity", "consolidate", "conflicts", "orders", "sync"], True
    )
    assert found["sync"]["faults"] == []
    assert [(used["shape"], used["kind"], used["count"], used["source"]) for used in found["usage"]] == [
        ("users", "write", 1, "log")
    ]
    assert found["conflicts"] == one("SELECT count(*) FROM field_conflicts")


def test_a_trigger_of_the_sync_that_sleeps_is_a_fault(seed: str) -> None:
    run("ALTER TABLE customers DISABLE TRIGGER unification_sync_updated")
    code, printed = status()
    assert code == 3
    assert "    trigger unification_sync_updated on customers is disabled\n" in printed


def test_it_reads_in_a_transaction_that_cannot_write(seed: str) -> None:
    modes: set[str] = set()

    def wrapper(execute: Any, statement: Any, params: Any, many: bool, context: Any) -> Any:
        result = execute(statement, params, many, context)
        with context["connection"].connection.cursor() as cursor:
            modes.add(str(cursor.execute("SHOW transaction_read_only").fetchone()[0]))
        return result

    with connection.execute_wrapper(wrapper):
        status()
    assert modes == {"on"}


def test_a_stopped_run_says_what_is_open_and_what_is_logged(empty_database: str) -> None:
    load_story(connection, "seed")
    call_command("migrate", "legacy_customers", "0005", verbosity=0)
    run("UPDATE customers SET notes = 'written meanwhile'")
    code, printed = status()
    assert code == 5
    assert f"{empty_database}: stopped, " in printed
    assert f"written meanwhile and not carried over yet: {one('SELECT count(*) FROM customers')} rows" in printed


def test_a_paused_run_stops_before_its_next_step_and_goes_on(empty_database: str) -> None:
    load_story(connection, "seed")
    call_command("migrate", "legacy_customers", "0004", verbosity=0)
    assert status("--pause", "lunch")[1] == "Paused: it stops before its next batch or step.\n"
    assert status("--pause", "again")[1] == "It was paused already; nothing was changed.\n"
    with migrating():
        until(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND (classid::bigint << 32) | objid::bigint = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            ONE_AT_A_TIME,
        )
        found = as_json()
        assert found["state"] == "paused"
        assert found["holder"]["pid"] != connection.connection.info.backend_pid
        [pause] = found["pauses"]
        assert (pause["cause"], pause["reason"], pause["times"]) == ("operator", "lunch", 1)
        assert one("SELECT count(*) FROM legacy_identities") == 0
        assert status()[0] == 4
        assert status("--resume")[1] == "Resumed: it goes on.\n"
    assert status("--resume")[1] == "It was not paused; nothing was changed.\n"
    assert verify(connection).passed
    assert status()[0] == 0


def test_it_stops_within_a_step_before_the_next_batch(
    empty_database: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UNIFICATION_RANGE_ROWS = 7
    load_story(connection, "shop")
    call_command("migrate", "legacy_customers", "0007", verbosity=0)
    # Whoever finishes the second range pauses the run.
    run(
        "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF (SELECT count(finished_at) FROM unification_ranges WHERE phase = 'orders') = 2 THEN"
        " INSERT INTO unification_pauses (cause, by) VALUES ('operator', 'test') ON CONFLICT DO NOTHING; END IF;"
        " RETURN NULL; END $$;"
        "CREATE TRIGGER pause AFTER UPDATE ON unification_ranges FOR EACH STATEMENT EXECUTE FUNCTION pause();"
        "ALTER TABLE unification_ranges ENABLE ALWAYS TRIGGER pause"
    )
    with migrating():
        until("SELECT EXISTS (SELECT FROM unification_pauses)")
        done = "SELECT count(finished_at) FROM unification_ranges WHERE phase = 'orders'"
        assert one(done) == 2
        [step] = [step for step in as_json()["steps"] if step["name"] == "orders"]
        assert (step["finished"], step["done"]) == (False, 2.0)
        run("DROP FUNCTION pause() CASCADE")
    assert verify(connection).passed


# --- who comes first ----------------------------------------------------------------------------------------------


def test_a_long_vacuum_of_a_table_of_ours_is_let_first(
    seed: str, settings: Any, background: Callable[[str], "psycopg.Connection[Any]"]
) -> None:
    settings.UNIFICATION_VACUUM_S = 0.000001
    # A page that somebody reads is not frozen meanwhile: the vacuum waits for it.
    with another_session() as reader:
        reader.execute("DECLARE reading CURSOR FOR SELECT * FROM orders")
        reader.execute("FETCH 1 FROM reading")
        pid = background("VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) orders").info.backend_pid
        until(
            "SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum AS v JOIN pg_stat_activity AS a USING (pid)"
            " WHERE v.datname = current_database() AND a.wait_event IN ('BufferPin', 'BufferCleanup'))"
        )
        reason = throttle._vacuum(connection)
    assert reason is not None
    assert reason.startswith(f"pid {pid} has been vacuuming orders for ")
    until("SELECT NOT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE datname = current_database())")
    assert throttle._vacuum(connection) is None
    settings.UNIFICATION_VACUUM_S = 0
    assert throttle._vacuum(connection) is None


def test_who_waits_for_a_lock_of_ours_is_let_first(
    seed: str, settings: Any, background: Callable[[str], "psycopg.Connection[Any]"]
) -> None:
    settings.UNIFICATION_WAITER_MS = 1
    watch = lock_watch.begin(connection)
    try:
        assert throttle._waiter(connection) is None
        with transaction.atomic():
            run("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE")
            pid = background("UPDATE orders SET total_amount = total_amount").info.backend_pid
            # Seen twice by the watch: the first time it may have waited for less than a millisecond.
            until("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)", pid)
            seen = watch.samples
            eventually(lambda: watch.samples > seen + 1)
            reason = throttle._waiter(connection)
            assert reason is not None
            assert re.fullmatch(rf"pid {pid} waited \d+ ms for orders", reason)
        until("SELECT NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = %s)", pid)
        seen = watch.samples
        eventually(lambda: watch.samples > seen + 1)
        throttle._waiter(connection)  # what it saw before it had the lock
        assert throttle._waiter(connection) is None
    finally:
        lock_watch.end(connection.alias)


def test_a_replica_that_lags_is_let_first(seed: str, settings: Any) -> None:
    settings.UNIFICATION_REPLICA_LAG_S = 0.000001
    assert throttle._replica(connection) is None
    with Replica("slow") as replica:
        run("CHECKPOINT")
        replica.replays(int(one("SELECT pg_current_wal_flush_lsn() - '0/0'")))
        until("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE replay_lag IS NOT NULL)")
        reason = throttle._replica(connection)
        assert reason is not None
        assert re.fullmatch(r"replica slow is \d+\.\d s behind", reason)
        settings.UNIFICATION_REPLICA_LAG_S = 3600
        assert throttle._replica(connection) is None
    settings.UNIFICATION_REPLICA_LAG_S = 0.000001
    until("SELECT NOT EXISTS (SELECT FROM pg_stat_replication WHERE application_name = 'slow')")
    assert throttle._replica(connection) is None


def test_each_pause_is_told_once_kept_and_counted(
    seed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["replica r1 is 12.0 s behind", "replica r1 is 11.0 s behind", None, None])
    monkeypatch.setattr(throttle, "CAUSES", {"replica_lag": lambda connection: next(answers)})
    throttle.progress.listen(True)
    try:
        throttle.let_others_first(connection)
        throttle.let_others_first(connection)
    finally:
        throttle.progress.listen(False)
    first, last = capsys.readouterr().out.splitlines()
    assert first == "    pausing: replica r1 is 12.0 s behind"
    assert last.startswith("    going on after ")
    [pause] = as_json()["pauses"]
    assert (pause["cause"], pause["times"], pause["since"]) == ("replica_lag", 1, None)
    assert rows("SELECT reason, ended_at >= began_at FROM unification_pauses") == [
        ("replica r1 is 12.0 s behind", True)
    ]
