"""`migrate` and `flush` before they run: what a plan would lose of the protected tables, and how it is released."""

from collections.abc import Sequence
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, migrations, models
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from accounts.models import User
from config import protection
from config.postgresql.base import DatabaseOperations
from config.protection_plan import Release, judge, losses
from tests.databases import one, rows, run

PLANS: dict[str, tuple[str, Sequence[Operation], list[str]]] = {
    "a_model_deleted": ("profiles", [migrations.DeleteModel("ProfileAlias")], ["table profile_aliases"]),
    "a_field_removed": ("profiles", [migrations.RemoveField("Profile", "notes")], ["column profiles.notes"]),
    "a_key_removed": ("profiles", [migrations.RemoveField("Profile", "user")], ["column profiles.user_id"]),
    "a_field_renamed": ("orders", [migrations.RenameField("Order", "items", "lines")], ["column orders.items"]),
    "a_model_renamed": ("profiles", [migrations.AlterModelTable("Profile", "people")], ["table profiles"]),
    "a_column_of_another_name": (
        "profiles",
        [migrations.AlterField("Profile", "notes", models.TextField(db_column="remarks"))],
        ["column profiles.notes"],
    ),
    "behind_the_state": (
        "profiles",
        [migrations.SeparateDatabaseAndState(database_operations=[migrations.RemoveField("Profile", "notes")])],
        ["column profiles.notes"],
    ),
    "in_the_state_alone": (
        "profiles",
        [migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("Profile", "notes")])],
        [],
    ),
    "renamed_but_not_in_the_database": (
        "profiles",
        [migrations.RenameModel("Profile", "Person")],
        [],
    ),
    "something_added": ("profiles", [migrations.AddField("Profile", "shoe", models.IntegerField(null=True))], []),
    "another_table": ("orders", [migrations.DeleteModel("IdempotencyKey")], []),
    "released": ("profiles", [Release("nobody notes"), migrations.RemoveField("Profile", "notes")], []),
    "released_too_late": (
        "profiles",
        [migrations.RemoveField("Profile", "notes"), Release("nobody notes")],
        ["column profiles.notes"],
    ),
}


def last(app: str) -> str:
    return str(one("SELECT max(name) FROM django_migrations WHERE app = %s", app))


def planned(app: str, operations: Sequence[Operation]) -> list[tuple[Migration, bool]]:
    """As `migrate` would have it: in the place of the app's last migration, so that the state before it is known."""
    migration = Migration(last(app), app)
    migration.operations = list(operations)
    return [(migration, False)]


@pytest.mark.django_db
@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_loses_something_is_known_before_it_runs(name: str) -> None:
    app, operations, lost = PLANS[name]
    plan = planned(app, operations)
    assert losses(connection, plan) == [f"{app}.{last(app)}: {line}" for line in lost]
    if lost:
        with pytest.raises(CommandError, match="Refused, and nothing was run"):
            judge(connection, plan)
    else:
        judge(connection, plan)


@pytest.mark.django_db
def test_the_database_refuses_what_a_plan_hides() -> None:
    hidden = migrations.RunSQL("ALTER TABLE profiles DROP COLUMN notes CASCADE")
    judge(connection, planned("profiles", [hidden]))
    with pytest.raises(DatabaseError, match=r"refused, for it is protected: column profiles\.notes"):
        run(str(hidden.sql))


@pytest.mark.django_db
def test_a_migration_that_releases_loses_its_column_and_is_written_down() -> None:
    [(migration, _)] = planned("profiles", PLANS["released"][1])
    state = MigrationLoader(connection).project_state()
    with connection.schema_editor(atomic=False) as editor:
        migration.apply(state, editor)
    assert "notes" not in {
        name for (name,) in rows("SELECT attname FROM pg_attribute WHERE attrelid = 'profiles'::regclass")
    }
    assert rows("SELECT reason, lost FROM protection_releases") == [("nobody notes", ["column profiles.notes"])]


# --- the commands -----------------------------------------------------------------------------------------------------


def protect(*arguments: str) -> str:
    out = StringIO()
    call_command("protection", *arguments, stdout=out, no_color=True)
    return out.getvalue()


@pytest.fixture
def shop_of_one(empty_database: str) -> None:
    call_command("migrate", verbosity=0)
    User.objects.create_user("only@example.com", "a-password-1")


@pytest.mark.usefixtures("shop_of_one")
def test_flush_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabaseOperations, "execute_sql_flush", BaseDatabaseOperations.execute_sql_flush)
    with pytest.raises(CommandError, match="Nothing was emptied: refused, for it is protected: every row of"):
        call_command("flush", interactive=False, verbosity=0)
    assert User.objects.count() == 1


@pytest.mark.usefixtures("shop_of_one")
def test_going_back_is_refused_while_rows_would_go() -> None:
    with pytest.raises(CommandError, match="table profiles") as refused:
        call_command("migrate", "profiles", "zero", verbosity=0)
    assert "\n  profiles.0001_initial backwards: table profiles\n" in str(refused.value)
    assert User.objects.count() == 1
    assert protection.in_force(connection).faults == []
    out = protect()
    assert " tables are protected by event triggers and triggers against TRUNCATE:\n  api_keys\n" in out


@pytest.mark.usefixtures("shop_of_one")
def test_the_command_runs_one_released_transaction() -> None:
    with pytest.raises(CommandError, match="Say why"):
        protect("--sql", "DROP TABLE refunds")
    with pytest.raises(CommandError, match="say what is done in it"):
        protect("--release", "for nothing")
    with pytest.raises(CommandError, match='Nothing was done: table "no_such_table" does not exist'):
        protect("--release", "no refunds", "--sql", "DROP TABLE refunds; DROP TABLE no_such_table")
    assert one("SELECT count(*) FROM refunds") == 0
    assert (
        protect("--release", "no refunds", "--sql", "DROP TABLE refunds")
        == "Done, and logged in protection_releases.\n"
    )
    assert rows("SELECT reason, lost FROM protection_releases") == [("no refunds", ["table refunds"])]


@pytest.mark.usefixtures("shop_of_one")
def test_the_command_goes_back_when_it_is_told_why() -> None:
    protect("--release", "a new beginning", "--migrate", "profiles", "zero")
    assert one("SELECT to_regclass('profiles') IS NULL")
    call_command("migrate", verbosity=0)
    assert protection.in_force(connection).faults == []


@pytest.mark.usefixtures("shop_of_one")
def test_the_command_ends_with_3_where_something_is_not_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    run("ALTER TABLE users DISABLE TRIGGER unified_no_truncate")
    with pytest.raises(SystemExit) as ended:
        call_command("protection", no_color=True)
    assert ended.value.code == 3
    assert capsys.readouterr().out.endswith("trigger unified_no_truncate on users is missing or asleep\n")
