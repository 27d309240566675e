"""`migrate` beside others who use the tables: it gives way, names who is in its way, and tells what it cost them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from config import lock_watch, locks
from config.locks import StillInUse
from legacy_customers.models import MigrationRun
from legacy_customers.sample.stories import load_story
from legacy_customers.unification import runs
from legacy_customers.unification.verify import verify
from tests.accounts.legacy import shape
from tests.databases import another_session, eventually, one, rows, run, until

Session = psycopg.Connection[Any]


def migrate(**options: Any) -> None:
    call_command("migrate", **{"verbosity": 0, **options})


@contextmanager
def migrating(**options: Any) -> Iterator[None]:
    """`migrate` in a thread, with a connection of its own; fails where it does."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            migrate(**options)
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()
    assert failures == []


@pytest.fixture
def legacy(empty_database: str) -> None:
    load_story(connection, "seed")


def test_a_table_that_stays_in_use_stops_it_by_name_and_nothing_is_half_done(legacy: None, settings: Any) -> None:
    settings.UNIFICATION_LOCK_PATIENCE_S = 0
    before = shape("users")
    with another_session(application_name="a long report") as report:
        pid, user = report.info.backend_pid, report.info.user
        report.execute("SELECT count(*) FROM users")
        until(
            "SELECT xact_start < clock_timestamp() - interval '1 second' FROM pg_stat_activity WHERE pid = %s",
            pid,
        )
        with pytest.raises(StillInUse) as refusal:
            migrate()
    message = str(refusal.value)
    assert message.startswith("users (AccessExclusiveLock) stays in use: no lock in 1 tries over ")
    assert f"In the way: pid {pid} ({user}, a long report, idle in transaction)" in message
    assert f"SELECT pg_terminate_backend({pid})" in message
    assert shape("users") == before
    assert rows("SELECT app, name FROM django_migrations") == [("legacy_customers", "0001_initial")]
    assert one("SELECT to_regclass('adopted_tables')") is None
    migrate()
    assert verify(connection).passed
    assert list(MigrationRun.objects.order_by("id").values_list("succeeded", flat=True)) == [False, True]


def test_it_goes_on_when_the_table_is_free_again(legacy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    other = another_session()
    other.execute("UPDATE users SET phone = phone")
    standing = locks.standing

    def gone_after_a_look(*arguments: Any) -> Any:
        found = standing(*arguments)
        other.commit()
        return found

    monkeypatch.setattr(locks, "standing", gone_after_a_look)
    monkeypatch.setattr(locks, "PAUSES", (0.01,) * 6)
    migrate()
    other.close()
    assert verify(connection).passed


GATE = 4243
# Whoever alters users waits for the gate, holding the table.
CREATE_GATE = f"""
CREATE FUNCTION gate() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.users') THEN
        PERFORM pg_advisory_xact_lock({GATE});
    END IF;
END
$$;
CREATE EVENT TRIGGER gate ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION gate()
"""


def test_the_longest_wait_that_it_caused_is_kept_and_told(
    legacy: None, background: Callable[[str], Session], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.UNIFICATION_LOCK_TIMEOUT_MS = 60_000
    run(CREATE_GATE)
    with migrating(verbosity=1), another_session(autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [GATE])
        until("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s)", GATE)
        held_up = background("UPDATE users SET phone = phone").info.backend_pid
        eventually(lambda: (watch := lock_watch.current("default")) is not None and watch.longest)
    kept = MigrationRun.objects.get()
    assert kept.succeeded
    assert kept.longest_wait_ms is not None
    assert kept.longest_wait_ms > 0
    statement = kept.detail.pop("statement")
    assert statement.startswith('ALTER TABLE "users" ')
    assert kept.detail.pop("samples") > 0
    assert kept.detail == {"resolution_ms": 20, "pid": held_up, "relation": "users", "mode": "RowExclusiveLock"}
    assert (
        f"locks: the longest wait that this run caused another session was {kept.longest_wait_ms:,.0f} ms"
        f" (pid {held_up}, RowExclusiveLock on users, during: {statement}), sampled every 20 ms\n"
    ) in capsys.readouterr().out


def test_it_runs_without_a_measurement_where_no_connection_is_left(
    legacy: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**parameters: Any) -> None:
        raise psycopg.OperationalError("sorry, too many clients already")

    monkeypatch.setattr(lock_watch.psycopg, "connect", refused)
    migrate(verbosity=1)
    monkeypatch.undo()
    assert verify(connection).passed
    assert not MigrationRun.objects.exists()
    assert "measuring ended early: sorry, too many clients already" in capsys.readouterr().out


def test_what_is_kept_of_a_failed_run_does_not_wait_for_that_runs_own_locks(seed: str) -> None:
    before = MigrationRun.objects.count()
    with transaction.atomic():
        run("LOCK TABLE unification_runs IN ACCESS EXCLUSIVE MODE")
        runs.begin(connection, [])
        runs.end(connection, succeeded=False)
    assert MigrationRun.objects.count() == before
    assert lock_watch.current("default") is None


def test_a_plan_of_nothing_is_no_run(seed: str) -> None:
    before = MigrationRun.objects.count()
    migrate()
    assert MigrationRun.objects.count() == before == 1


@pytest.mark.parametrize(
    ("app", "reached", "index", "table", "column"),
    [
        ("legacy_customers", "0007", "orders_user", "orders", "user_id"),
        ("orders", "0001", "orders_tenant", "orders", "tenant_id"),
        ("orders", "0001", "orders_one_per_receipt", "orders", "receipt_number"),
        ("legacy_customers", "0006", "users_login", "users", "email"),
        ("profiles", "0005", "profiles_merged_into", "profiles", "merged_into_id"),
    ],
)
def test_an_index_that_an_interrupted_build_left_is_built_anew(
    legacy: None, app: str, reached: str, index: str, table: str, column: str
) -> None:
    migrate(app_label=app, migration_name=reached)
    run(f"CREATE INDEX {index} ON {table} ({column})")
    run(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{index}'::regclass")
    left = one(f"SELECT '{index}'::regclass::oid")
    migrate()
    assert rows(f"SELECT indisvalid, indexrelid <> {left} FROM pg_index WHERE indexrelid = '{index}'::regclass") == [
        (True, True)
    ]
