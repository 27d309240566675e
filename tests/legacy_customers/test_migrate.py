"""`migrate`, undisturbed, interrupted, killed, repeated and run twice at once: always the same result."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from legacy_customers.apps import ONE_AT_A_TIME
from legacy_customers.sample.people import generate
from legacy_customers.sample.stories import Story, load_story
from legacy_customers.unification import (
    backup,
    bulk_load,
    conflicts,
    consolidate,
    identity,
    live_indexes,
    orders,
    ranges,
    workers,
)
from legacy_customers.unification.sources import columns_of
from legacy_customers.unification.verify import verify
from tests.databases import DEADLINE, another_session, one, rows, run, until

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
STEPS = ("backup", "old_trigger", "identity", "consolidate", "conflicts", "orders")
MIGRATIONS = (
    *("legacy_customers.0001_initial", "accounts.0001_initial", "orders.0001_initial", "profiles.0001_initial"),
    *("profiles.0002_history", "legacy_customers.0002_functions", "legacy_customers.0003_backup"),
    *("legacy_customers.0004_old_trigger", "legacy_customers.0005_identity", "legacy_customers.0006_profiles"),
    *("legacy_customers.0007_conflicts", "legacy_customers.0008_orders", "legacy_customers.0009_customers_view"),
)


class Interrupted(Exception):
    """Stands for a crash."""


def migrate() -> None:
    call_command("migrate", verbosity=0)


# Ids that chance gives, and what they stand for: a guest's new account, and the profile of who had no customers row.
BY_CHANCE = """
    SELECT user_id::text, concat('account of ', customer_id) FROM legacy_identities
    WHERE position = 1 AND "case" IN ('new_user', 'separate')
    UNION ALL
    SELECT id::text, concat('profile of ', user_id) FROM profiles
    WHERE NOT EXISTS (SELECT FROM backup_customers AS c WHERE c.id = profiles.id)
"""
# What a run leaves; what the clock or a sequence gave is left out.
LEFT = {
    "profiles": "to_jsonb(t)",
    "profile_aliases": "to_jsonb(t)",
    "field_conflicts": "to_jsonb(t) - 'id' - 'created_at'",
    "merge_suggestions": "to_jsonb(t) - 'id' - 'created_at'",
    "profile_history": "to_jsonb(t)",
    "legacy_identities": "to_jsonb(t)",
    "legacy_attachments": "to_jsonb(t) - 'id'",
    "users": "to_jsonb(t) || CASE WHEN password_hash LIKE '!%' THEN '{\"password_hash\": \"!\"}' ELSE '{}' END::jsonb",
    "customers": "to_jsonb(t)",
    "orders": "to_jsonb(t)",
    # How many rows identity wrote is not known any more to a run that found it done; its cases are.
    "unification_phases": "CASE name WHEN 'identity' THEN jsonb_build_object('name', name, 'cases', detail -> 'cases')"
    " ELSE jsonb_build_object('name', name, 'rows', rows, 'detail', detail - 'set_aside' - 'rows') END",
}


def outcome() -> dict[str, list[str]]:
    """Every row that a run leaves, in a form that two runs share."""
    meanings = dict(rows(BY_CHANCE))
    uuids = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    return {
        table: sorted(
            uuids.sub(lambda found: meanings.get(found[0], found[0]), row)
            for (row,) in rows(f"SELECT ({cells})::text FROM {table} AS t")
        )
        for table, cells in LEFT.items()
    }


def schema() -> list[str]:
    """Keys, indexes and triggers: what a copy that was broken off may have left aside."""
    return sorted(
        line
        for (line,) in rows(
            "SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace"
            " UNION ALL SELECT concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index"
            " JOIN pg_class AS c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace"
            " UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
            " UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
    )


Result = tuple[dict[str, list[str]], list[str]]


def _undisturbed(template: str) -> Result:
    connection.close()
    before, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], template
    try:
        return outcome(), schema()
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


@pytest.fixture
def undisturbed_shop(shop_template: str, empty_database: str) -> Result:
    """What one run over the shop leaves; the shop itself is loaded into an empty database, and not migrated yet."""
    result = _undisturbed(shop_template)
    load_story(connection, "shop")
    return result


@pytest.fixture
def undisturbed_seed(seed_template: str, empty_database: str) -> Result:
    """The same for the seed."""
    result = _undisturbed(seed_template)
    load_story(connection, "seed")
    return result


def assert_same(expected: Result) -> None:
    found = outcome()
    for table, wanted in expected[0].items():
        assert found[table] == wanted, table
    assert schema() == expected[1]
    report = verify(connection)
    assert {name: seen.samples for name, seen in report.checks.items() if not seen.passed} == {}


# --- undisturbed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table", ["users", "profiles", "orders", "profile_aliases", "field_conflicts", "customers_view"]
)
def test_an_empty_database_gets_the_shape_of_an_adopted_one(
    table: str, empty_database: str, shop_template: str
) -> None:
    migrate()
    created = columns_of(connection, table)
    assert rows("SELECT name, detail FROM unification_phases") == [("fingerprint", "{}")]
    assert rows("SELECT relname FROM pg_class WHERE relname LIKE 'backup\\_%' OR relname = 'customers'") == []
    connection.close()
    before, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], shop_template
    try:
        adopted = columns_of(connection, table)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
    roles = {"user_role_simple": "character varying(50)"}
    assert created == {name: roles.get(adopted[name], adopted[name]) for name in created}


@pytest.mark.parametrize("story", ["seed", "shop"])
def test_a_second_migrate_changes_nothing(story: Story, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(story)
    before = [*rows("SELECT name, started_at, finished_at, detail FROM unification_phases ORDER BY 1")]
    stored = [rows(f"SELECT ctid::text, xmin::text, t::text FROM {table} AS t ORDER BY 3") for table in LEFT]
    migrate()
    assert rows("SELECT name, started_at, finished_at, detail FROM unification_phases ORDER BY 1") == before
    assert [rows(f"SELECT ctid::text, xmin::text, t::text FROM {table} AS t ORDER BY 3") for table in LEFT] == stored


def test_many_small_ranges_give_what_one_range_gives(undisturbed_shop: Result, settings: Any) -> None:
    settings.UNIFICATION_RANGE_ROWS = 7
    migrate()
    ranges = dict(rows("SELECT phase, count(*) FROM unification_ranges GROUP BY 1"))
    assert ranges["consolidate"] >= 3
    assert ranges["conflicts:customers"] >= 3
    assert ranges["orders"] >= 3
    assert rows("SELECT count(*) FROM unification_ranges WHERE finished_at IS NULL") == [(0,)]
    assert_same(undisturbed_shop)


@pytest.mark.parametrize("range_rows", [7, 500_000])
def test_several_workers_give_what_one_gives(undisturbed_shop: Result, settings: Any, range_rows: int) -> None:
    settings.UNIFICATION_RANGE_ROWS = range_rows
    call_command("migrate", workers=3, verbosity=0)
    assert rows(
        "SELECT count(*) >= 3, count(finished_at) = count(*) FROM unification_ranges WHERE phase = 'orders'"
    ) == [(True, True)]
    assert_same(undisturbed_shop)


@pytest.mark.parametrize("function", ["insert_profiles", "make_work_tables"])
def test_a_worker_that_fails_stops_the_others_and_the_next_run_goes_on(
    undisturbed_shop: Result, settings: Any, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    settings.UNIFICATION_RANGE_ROWS = 7
    settings.UNIFICATION_WORKERS = 2
    fails_once(monkeypatch, consolidate, function, 2)
    with pytest.raises(Interrupted):
        migrate()
    until(
        "SELECT count(*) <= 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    migrate()
    assert_same(undisturbed_shop)


@pytest.mark.parametrize(
    ("owner", "function"),
    [
        (backup, "count_and_hash"),
        (live_indexes, "build_for_sync"),
        (orders, "find_turns"),
        (orders, "index_concurrently"),
    ],
)
def test_what_is_done_beside_a_step_may_fail_and_the_next_run_goes_on(
    undisturbed_shop: Result, settings: Any, monkeypatch: pytest.MonkeyPatch, owner: Any, function: str
) -> None:
    settings.UNIFICATION_WORKERS = 2
    fails_once(monkeypatch, owner, function, 1)
    with pytest.raises(Interrupted):
        migrate()
    migrate()
    assert_same(undisturbed_shop)
    assert rows("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid") == []


@pytest.mark.parametrize("statement", ["ANALYZE profile_aliases", "ANALYZE field_conflicts"])
def test_an_index_that_was_built_ahead_is_built_once_by_the_next_run(
    undisturbed_shop: Result, settings: Any, statement: str
) -> None:
    settings.UNIFICATION_WORKERS = 2
    with failing_at(statement), pytest.raises(Interrupted):
        migrate()
    built: list[str] = []
    real = bulk_load._build_index

    def building(row: Any, session: Any, stopped: threading.Event) -> None:
        built.append(row[2])
        real(row, session, stopped)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bulk_load, "_build_index", building)
        migrate()
    assert {"profiles_tags", "field_conflicts_rule"} & set(built)
    assert len(built) == len(set(built))
    assert_same(undisturbed_shop)


def test_what_a_block_is_broken_off_with_ends_what_is_done_beside_it(seed: str) -> None:
    begun, ended = threading.Event(), threading.Event()

    def long(session: Any, stopped: threading.Event) -> None:
        begun.set()
        try:
            with session.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(600)")
        finally:
            ended.set()

    def broken_off() -> None:
        with workers.chosen(2), workers.beside(connection, long):
            assert begun.wait(60)
            raise Interrupted

    with pytest.raises(Interrupted):
        broken_off()
    assert ended.is_set()


@pytest.mark.parametrize(("number", "parallel"), [(1, "0"), (2, "1")])
def test_a_worker_is_one_process(seed: str, number: int, parallel: str) -> None:
    def allowed() -> set[str]:
        return {one(f"SELECT current_setting('{name}')") for name in workers.PARALLEL}

    before = allowed()
    with workers.chosen(number), workers.bounded(connection):
        assert allowed() == {parallel}
    assert allowed() == before


def test_the_orders_of_a_page_that_get_a_user_take_turns(empty_database: str) -> None:
    generate(connection, 1000)
    call_command("migrate", "legacy_customers", "0007", verbosity=0)
    orders.find_turns(connection, orders.REPOINTING_TABLE, orders.FIND)
    shares = rows(
        "SELECT (place::text::point)[0], array_agg(turn ORDER BY turn) FROM unification_repointing GROUP BY 1"
    )
    assert len(shares) > 100
    # What a quarter of them leaves free has room for each of the other quarters.
    for _, turns in shares:
        counts = [turns.count(turn) for turn in range(1, orders.TURNS + 1)]
        assert counts[0] in (counts[-1], counts[-1] + 1)
        assert counts == sorted(counts, reverse=True)
    with updates_of_orders() as updated:
        migrate()
    # Each turn of a batch is a statement, and a commit, of its own.
    assert len(updated) % orders.TURNS == 0
    assert sum(updated) == 1190


@contextmanager
def updates_of_orders() -> Iterator[list[int]]:
    """How many rows each statement changed that gives orders their user."""
    counts: list[int] = []

    def wrapper(execute: Any, statement: Any, params: Any, many: bool, context: Any) -> Any:
        result = execute(statement, params, many, context)
        text = statement if isinstance(statement, str) else statement.as_string(context["connection"].connection)
        if text.strip().startswith("UPDATE orders AS src"):
            counts.append(context["cursor"].rowcount)
        return result

    with connection.execute_wrapper(wrapper):
        yield counts


# --- interrupted --------------------------------------------------------------------------------------------------


def fails_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    """The function fails the `call`-th time that it is called, and never again."""
    real, calls = getattr(owner, name), [0]

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise Interrupted
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize(
    ("owner", "function", "call"),
    [
        (backup, "count_and_hash", 4),
        (consolidate, "insert_profiles", 2),
        (consolidate, "make_work_tables", 1),
        (conflicts, "insert_conflicts", 2),
        (conflicts, "insert_conflicts", 12),
        (ranges.Stretch, "holds", 3),
        (orders, "KEEP_DATE", 0),
    ],
    ids=[
        "backup",
        "a_range_of_the_copy",
        "before_the_copy",
        "a_range_of_conflicts",
        "a_later_range_of_conflicts",
        "a_range",
        "orders",
    ],
)
def test_an_error_inside_a_step_is_made_good_by_the_next_run(
    undisturbed_shop: Result,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    function: str,
    call: int,
) -> None:
    settings.UNIFICATION_RANGE_ROWS = 7
    if call:
        fails_once(monkeypatch, owner, function, call)
        with pytest.raises(Interrupted):
            migrate()
    else:
        with failing_at("UPDATE orders AS src SET user_id", nth=2), pytest.raises(Interrupted):
            migrate()
    migrate()
    assert_same(undisturbed_shop)


def test_what_an_earlier_release_broke_off_while_it_put_keys_back_goes_on(undisturbed_shop: Result) -> None:
    with failing_at("ANALYZE profile_aliases"), pytest.raises(Interrupted):
        migrate()
    # It noted a key whole, and not its index.
    run(
        """UPDATE unification_phases SET detail = jsonb_set(detail, '{set_aside,profiles}', (
            SELECT jsonb_agg(jsonb_set(r, '{3}', CASE r ->> 2 WHEN 'profiles_pkey' THEN '"PRIMARY KEY (id)"'
                WHEN 'profiles_user_id_key' THEN '"UNIQUE (user_id)"' ELSE r -> 3 END))
            FROM jsonb_array_elements(detail #> '{set_aside,profiles}') AS r
            WHERE r ->> 0 = 'constraint' OR r ->> 2 NOT IN ('profiles_pkey', 'profiles_user_id_key')))
        WHERE name = 'consolidate'"""
    )
    migrate()
    assert_same(undisturbed_shop)


@contextmanager
def failing_at(start: str, nth: int = 1, param: str | None = None) -> Iterator[None]:
    """The nth statement that starts so (and has this parameter) fails before it reaches the server, once."""
    seen = [0]

    def wrapper(execute: Any, statement: Any, params: Any, many: bool, context: Any) -> Any:
        text = statement if isinstance(statement, str) else statement.as_string(context["connection"].connection)
        if text.strip().startswith(start) and (param is None or param in [str(value) for value in params]):
            seen[0] += 1
            if seen[0] == nth:
                raise Interrupted
        return execute(statement, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield


@pytest.mark.parametrize("name", list(identity._ANALYZED))
def test_an_error_in_the_decision_is_made_good_by_the_next_run(undisturbed_seed: Result, name: str) -> None:
    table = identity._ANALYZED[name]
    with failing_at(f'ANALYZE "{table}"'), pytest.raises(Interrupted):
        migrate()
    assert rows("SELECT count(*) FROM legacy_identities") == [(0,)]
    migrate()
    assert_same(undisturbed_seed)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_was_done_and_not_noted_is_not_done_twice(undisturbed_seed: Result, step: str) -> None:
    with failing_at("UPDATE unification_phases SET finished_at", param=step), pytest.raises(Interrupted):
        migrate()
    migrate()
    assert_same(undisturbed_seed)


@pytest.mark.parametrize("name", MIGRATIONS)
def test_a_migration_that_was_done_and_not_recorded_is_not_done_twice(
    undisturbed_seed: Result, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real, failed = MigrationRecorder.record_applied, []

    def failing(self: MigrationRecorder, app: str, migration: str) -> None:
        if f"{app}.{migration}" == name and not failed:
            failed.append(name)
            raise Interrupted
        real(self, app, migration)

    monkeypatch.setattr(MigrationRecorder, "record_applied", failing)
    with pytest.raises(Interrupted):
        migrate()
    migrate()
    assert_same(undisturbed_seed)


def test_the_old_trigger_comes_back_after_an_interrupted_drop(undisturbed_seed: Result) -> None:
    with failing_at("UPDATE unification_phases SET finished_at", param="old_trigger"), pytest.raises(Interrupted):
        migrate()
    migrate()
    call_command("migrate", "legacy_customers", "zero", verbosity=0)
    assert rows("SELECT tgname FROM pg_trigger WHERE tgrelid = 'users'::regclass AND NOT tgisinternal") == [
        ("create_customer_on_user_insert",)
    ]


# --- killed -------------------------------------------------------------------------------------------------------


def start(database: str, *arguments: str, range_rows: int = 7) -> "subprocess.Popen[str]":
    """`manage.py migrate` on the test's database, in a process of its own."""
    return manage(database, "migrate", *arguments, UNIFICATION_RANGE_ROWS=str(range_rows))


def manage(database: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """A command of `manage.py` on the test's database, in a process of its own."""
    params = connection.get_connection_params()
    login = params["user"] + (f":{params['password']}" if params.get("password") else "")
    # A socket's directory stands in the URL's path.
    host = f"/{params['host']}" if params["host"].startswith("/") else f"{params['host']}:{params.get('port', 5432)}"
    return subprocess.Popen(
        [sys.executable, str(MANAGE), *arguments],
        env={**os.environ, "DATABASE_URL": f"postgres://{login}@{host}/{database}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def holding(lock: int) -> Iterator[None]:
    """A session that has the advisory lock."""
    with another_session(autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [lock])
        yield


GATE = 4242
# The second finished range of a step waits for the gate, inside its transaction.
CREATE_GATE = f"""
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(finished_at) FROM unification_ranges WHERE phase = TG_ARGV[0]) >= 2 THEN
        PERFORM pg_advisory_xact_lock({GATE});
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER gate AFTER UPDATE ON unification_ranges FOR EACH STATEMENT EXECUTE FUNCTION gate(%s);
ALTER TABLE unification_ranges ENABLE ALWAYS TRIGGER gate
"""
# Of this database: other tests wait for the same gate in theirs.
WAITING = (
    "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
WAITS = f"SELECT EXISTS (SELECT {WAITING})"


@pytest.mark.parametrize("phase", ["consolidate", "conflicts:customers", "orders"])
def test_a_killed_run_is_taken_up_where_it_was(undisturbed_shop: Result, empty_database: str, phase: str) -> None:
    call_command("migrate", "legacy_customers", "0002", verbosity=0)
    rows(CREATE_GATE.replace("%s", f"'{phase}'"))
    with holding(GATE):
        process = start(empty_database, "--verbosity=0")
        until(WAITS, GATE)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=DEADLINE)
    until("SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()")
    assert rows("SELECT count(*) FROM unification_ranges WHERE phase = %s AND finished_at IS NOT NULL", phase) == [(1,)]
    [kept] = rows(
        "SELECT first_page, finished_at FROM unification_ranges WHERE finished_at IS NOT NULL AND phase = %s", phase
    )
    rows("DROP FUNCTION gate() CASCADE")
    migrate()
    assert rows("SELECT finished_at FROM unification_ranges WHERE phase = %s AND first_page = %s", phase, kept[0]) == [
        (kept[1],)
    ]
    assert_same(undisturbed_shop)


def test_a_workers_session_that_is_ended_stops_the_run_and_the_next_one_goes_on(
    undisturbed_shop: Result, empty_database: str
) -> None:
    call_command("migrate", "legacy_customers", "0002", verbosity=0)
    rows(CREATE_GATE.replace("%s", "'orders'"))
    with holding(GATE):
        process = start(empty_database, "--verbosity=1", "--workers=2")
        until(WAITS, GATE)
        rows(
            f"SELECT pg_terminate_backend(pid) {WAITING}",
            GATE,
        )
    printed = process.communicate(timeout=DEADLINE)[0]
    assert process.returncode == 1
    assert "a worker failed, the others have stopped: terminating connection due to administrator command" in printed
    until("SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()")
    rows("DROP FUNCTION gate() CASCADE")
    migrate()
    assert_same(undisturbed_shop)


# --- two at once --------------------------------------------------------------------------------------------------


def test_two_runs_at_once_leave_what_one_leaves(undisturbed_shop: Result, empty_database: str) -> None:
    connection.close()
    processes = [start(empty_database) for _ in range(2)]
    printed = [process.communicate(timeout=DEADLINE)[0] for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes in ([0, 0], [0, 1]), printed
    for process, text in zip(processes, printed, strict=True):
        if process.returncode:
            assert text.rstrip().endswith(
                "CommandError: Another `migrate` changed this database meanwhile. Nothing was done; run this again to go"
                " on from there."
            )
    assert_same(undisturbed_shop)


def test_a_second_run_waits_and_says_so_while_the_first_is_at_work(seed: str) -> None:
    with holding(ONE_AT_A_TIME):
        process = start(seed)
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any("another `migrate` is at work on this database, waiting for its end" in line for line in lines)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 0


def test_a_plan_that_another_run_carried_out_is_refused(
    undisturbed_seed: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate()
    with monkeypatch.context() as patched:
        # As the plan saw it: nothing had been applied yet.
        real, calls = MigrationRecorder.applied_migrations, [0]

        def stale(self: MigrationRecorder) -> Any:
            calls[0] += 1
            return {} if calls[0] <= 2 else real(self)

        patched.setattr(MigrationRecorder, "applied_migrations", stale)
        with pytest.raises(CommandError) as refusal:
            migrate()
    assert str(refusal.value) == (
        "Another `migrate` changed this database meanwhile. Nothing was done; run this again to go on from there."
    )
    assert_same(undisturbed_seed)


def test_the_lock_is_free_after_a_run_and_after_a_failed_one(undisturbed_seed: Result) -> None:
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    with failing_at("UPDATE unification_phases SET finished_at"), pytest.raises(Interrupted):
        migrate()
    assert rows(locks) == [(1,)]
    migrate()
    assert rows(locks) == [(0,)]
