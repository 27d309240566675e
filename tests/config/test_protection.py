"""Protected tables: what is refused, by which means, and how whoever means it is let through."""

from collections.abc import Iterator

import pytest
from django.db import DatabaseError, connection, transaction

from config import protection
from config.protection import Means
from tests.databases import another_session, one, rows, run

MAKE = """
CREATE TABLE bottles (id integer PRIMARY KEY, label text, size integer);
CREATE TABLE crates (id integer PRIMARY KEY, bottle_id integer REFERENCES bottles (id));
INSERT INTO bottles VALUES (1, 'Wein', 75), (2, NULL, NULL);
"""
BOTTLES = [(1, "Wein", 75), (2, None, None)]


@pytest.fixture
def bottles(empty_database: str) -> None:
    run(MAKE)
    protection.install(connection, ["bottles", "no_such_table"])


# --- by event triggers ----------------------------------------------------------------------------------------------

LOSSES = {
    "DROP TABLE bottles CASCADE": "table bottles",
    "DROP SCHEMA public CASCADE": "this would take the list of protected tables, and those that are on it",
    "ALTER TABLE bottles DROP COLUMN label": "column bottles.label",
    "ALTER TABLE bottles RENAME TO flasks": "the name of table bottles",
    "ALTER INDEX bottles RENAME TO flasks": "the name of table bottles",
    "ALTER TABLE bottles RENAME label TO name": "the name of a column, now public.bottles.name",
    "ALTER SCHEMA public RENAME TO cellar": "this would move the list of protected tables, and those that are on it",
    "CREATE SCHEMA cellar; ALTER TABLE bottles SET SCHEMA cellar": "the name of table bottles",
    "TRUNCATE bottles CASCADE": "every row of bottles",
    "SET session_replication_role = replica; TRUNCATE crates, bottles": "every row of bottles",
    "SET session_replication_role = replica; DROP TABLE crates, bottles": "table bottles",
    "DROP TABLE protected_tables": "this would take the list of protected tables, and those that are on it",
}


@pytest.mark.usefixtures("bottles")
@pytest.mark.parametrize("statement", LOSSES)
def test_a_statement_that_loses_something_is_refused(statement: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        run(statement)
    assert (
        str(refused.value).splitlines()[0].removeprefix("refused, for it is protected: ").removeprefix("refused: ")
        == (LOSSES[statement])
    )
    assert rows("SELECT * FROM bottles ORDER BY id") == BOTTLES


@pytest.mark.usefixtures("bottles")
def test_another_role_is_refused_too_and_its_own_tables_are_its_own() -> None:
    run("CREATE ROLE bottler; GRANT CREATE ON SCHEMA public TO bottler; ALTER TABLE bottles OWNER TO bottler")
    try:
        run("SET ROLE bottler")
        run("CREATE TABLE corks (id integer); ALTER TABLE corks RENAME TO caps; DROP TABLE caps")
        with pytest.raises(DatabaseError, match="refused, for it is protected: table bottles"):
            run("DROP TABLE bottles CASCADE")
        with pytest.raises(DatabaseError, match="permission denied for function release_protection"):
            run("SELECT release_protection('mine')")
    finally:
        run("RESET ROLE; REASSIGN OWNED BY bottler TO CURRENT_USER; DROP OWNED BY bottler; DROP ROLE bottler")
    assert rows("SELECT * FROM bottles ORDER BY id") == BOTTLES


@pytest.mark.usefixtures("bottles")
def test_everything_else_goes_on() -> None:
    run("ALTER TABLE bottles ADD COLUMN year integer")
    run("ALTER TABLE bottles ALTER COLUMN label SET DEFAULT 'x'; ALTER TABLE bottles ALTER COLUMN size TYPE bigint")
    run("COMMENT ON COLUMN bottles.size IS 'in cl'; CREATE INDEX ON bottles (label); DROP INDEX bottles_label_idx")
    run("CREATE TEMP TABLE t (a integer); ALTER TABLE t RENAME a TO b; DROP TABLE t")
    run("CREATE TEMP TABLE bottles (a integer); DROP TABLE pg_temp.bottles")
    run("DELETE FROM bottles; TRUNCATE crates; DROP TABLE crates")
    assert protection.in_force(connection, ["bottles", "crates"]).faults == []


# --- released -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bottles")
def test_whoever_means_it_is_let_through_for_one_transaction_and_written_down() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        protection.release(cursor, "size is on the label")
        run("ALTER TABLE bottles DROP COLUMN size")
        run("TRUNCATE bottles, crates")
        run("ALTER TABLE bottles RENAME TO flasks")
    assert rows("SELECT by, reason, lost FROM protection_releases") == [
        (
            one("SELECT session_user::text"),
            "size is on the label",
            ["column bottles.size", "every row of bottles", "the name of table bottles"],
        )
    ]
    with pytest.raises(DatabaseError, match="refused, for it is protected: table flasks"):
        run("DROP TABLE flasks CASCADE")
    with transaction.atomic(), connection.cursor() as cursor:
        protection.release(cursor, "no flasks")
        run("DROP TABLE flasks CASCADE")
    assert protection.in_force(connection).guards == {}


@pytest.mark.usefixtures("bottles")
def test_a_release_that_is_rolled_back_or_another_sessions_lets_nobody_through() -> None:
    with pytest.raises(DatabaseError, match="a release needs a reason"):
        run("SELECT release_protection(' ')")
    with transaction.atomic(), connection.cursor() as cursor:
        protection.release(cursor, "in the end not")
        transaction.set_rollback(True)
    with another_session() as other:
        other.execute("SELECT release_protection('elsewhere')")
        with pytest.raises(DatabaseError, match="refused"):
            run("TRUNCATE bottles CASCADE")
    # As a restored database may have it: an older transaction of the same number.
    run(
        "INSERT INTO protection_releases (at, transaction, reason) SELECT now() - interval '1 day', n, 'restored'"
        " FROM (SELECT pg_current_xact_id()::text::bigint) AS here (x), generate_series(x, x + 1000) AS n"
    )
    with pytest.raises(DatabaseError, match="refused"):
        run("TRUNCATE bottles CASCADE")


@pytest.mark.usefixtures("bottles")
def test_it_goes_as_a_whole_and_leaves_nothing_behind() -> None:
    protection.install(connection, ["crates"])
    protection.remove(connection, ["crates"])
    assert list(protection.in_force(connection).guards) == ["bottles"]
    run("TRUNCATE crates")
    protection.remove(connection)
    protection.remove(connection)
    assert rows("SELECT evtname FROM pg_event_trigger") == []
    assert rows("SELECT nspname FROM pg_namespace WHERE nspname = 'protection'") == []
    assert rows("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == []
    assert rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []
    assert rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
    ) == [
        ("bottles",),
        ("crates",),
    ]
    run("DROP TABLE bottles CASCADE")


# --- by a role that may create no event trigger -----------------------------------------------------------------------


@pytest.fixture
def plain_role(empty_database: str) -> Iterator[None]:
    """Django's session goes on as a role that owns the tables and is no superuser."""
    run(MAKE)
    run("CREATE ROLE cellarer; GRANT CREATE ON SCHEMA public TO cellarer")
    run("ALTER TABLE bottles OWNER TO cellarer; ALTER TABLE crates OWNER TO cellarer; SET ROLE cellarer")
    protection.install(connection, ["bottles"])
    yield
    run("RESET ROLE; DROP OWNED BY cellarer CASCADE; DROP ROLE cellarer")


@pytest.mark.usefixtures("plain_role")
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE crates, bottles", "view protection_of_bottles depends on table bottles"),
        ("ALTER TABLE bottles DROP COLUMN label", "cannot drop column label of table bottles because other objects"),
        ("TRUNCATE crates, bottles", "refused, for it is protected: every row of bottles"),
    ],
)
def test_without_event_triggers_a_view_stands_in_the_way(statement: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message):
        run(statement)
    assert rows("SELECT * FROM bottles ORDER BY id") == BOTTLES


@pytest.mark.usefixtures("plain_role")
def test_without_event_triggers_it_says_what_is_not_refused() -> None:
    found = protection.in_force(connection, ["bottles"])
    assert (found.means, found.faults) == (Means.VIEWS, [])
    assert found.missing == [
        "DROP … CASCADE and a rename are not refused: that takes event triggers, which this role may not create"
    ]
    guard = found.guards["bottles"]
    assert (guard.truncate, guard.drop, guard.rename, guard.loose) == (True, True, False, ())
    run("ALTER TABLE bottles ADD COLUMN year integer")
    assert protection.in_force(connection).faults == ["view protection_of_bottles does not read year"]
    protection.renew(connection)
    assert protection.in_force(connection).faults == []


@pytest.mark.usefixtures("plain_role")
def test_without_event_triggers_a_release_guards_the_rest_again_at_its_end() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        protection.release(cursor, "size is on the label")
        run("ALTER TABLE bottles DROP COLUMN size; TRUNCATE crates, bottles")
    assert protection.in_force(connection).faults == []
    with pytest.raises(DatabaseError, match="because other objects depend on it"):
        run("ALTER TABLE bottles DROP COLUMN label")
    with transaction.atomic(), connection.cursor() as cursor:
        protection.release(cursor, "no bottles")
        run("DROP TABLE crates, bottles")
    found = protection.in_force(connection)
    assert (found.guards, found.faults) == ({}, [])


@pytest.mark.usefixtures("plain_role")
def test_event_triggers_take_over_from_the_views_once_the_role_may() -> None:
    run("RESET ROLE")
    protection.renew(connection)
    found = protection.in_force(connection)
    assert (found.means, found.faults, found.missing) == (Means.EVENT_TRIGGERS, [], [])
    assert one("SELECT to_regclass('protection_of_bottles') IS NULL")
    # The role that owns the list could not drop what a superuser made.
    protection.remove(connection)


@pytest.mark.usefixtures("plain_role")
def test_the_views_go_with_the_protection() -> None:
    protection.remove(connection)
    assert rows("SELECT viewname FROM pg_views WHERE viewname LIKE 'protection%%'") == []
    run("DROP TABLE crates, bottles")


# --- what is said -----------------------------------------------------------------------------------------------------

BREAK = {
    "ALTER EVENT TRIGGER protection_drop DISABLE": "event trigger protection_drop is disabled",
    "DROP EVENT TRIGGER protection_rename": "event trigger protection_rename is missing",
    "ALTER TABLE bottles DISABLE TRIGGER unified_no_truncate": (
        "trigger unified_no_truncate on bottles is missing or asleep"
    ),
}


@pytest.mark.usefixtures("bottles")
@pytest.mark.parametrize("statement", BREAK)
def test_what_is_not_in_force_is_named(statement: str) -> None:
    run(statement)
    assert protection.in_force(connection).faults == [BREAK[statement]]


@pytest.mark.usefixtures("bottles")
def test_a_wanted_table_that_nobody_protects_is_named() -> None:
    assert protection.in_force(connection, ["bottles", "crates", "no_such_table"]).faults == [
        "crates is not on the list of protected tables"
    ]
