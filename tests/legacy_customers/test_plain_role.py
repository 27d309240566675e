"""The whole way there and back by a role that owns the legacy tables and is no superuser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from pytest_django.plugin import DjangoDbBlocker

from legacy_customers.sample.stories import load_story
from legacy_customers.unification import evidence
from legacy_customers.unification.evidence import VIEW
from legacy_customers.unification.verify import verify
from tests.databases import maintenance, one, rows, run, temporary_database
from tests.legacy_customers.contract import STEPS, contract, failures, step, wait


@pytest.fixture
def as_plain_role(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Django's sessions are those of a role that owns the database, and nothing else."""
    with django_db_blocker.unblock(), temporary_database() as name, maintenance() as server:
        server.execute("CREATE ROLE unifier LOGIN")
        server.execute(f"ALTER DATABASE {name} OWNER TO unifier")
        connection.close()
        before, connection.settings_dict["USER"] = connection.settings_dict["USER"], "unifier"
        try:
            load_story(connection, "seed")
            yield
        finally:
            connection.close()
            connection.settings_dict["USER"] = before
            run("DROP OWNED BY unifier CASCADE")
            connection.close()
            server.execute(f"ALTER DATABASE {name} OWNER TO CURRENT_USER")
            server.execute("DROP ROLE unifier")


@pytest.mark.usefixtures("as_plain_role")
def test_a_role_without_event_triggers_has_what_else_there_is_and_leaves_nothing() -> None:
    before = rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
    call_command("migrate", verbosity=0)
    assert one("SELECT NOT rolsuper FROM pg_roles WHERE rolname = session_user")
    report = verify(connection)
    assert report.passed
    assert report.checks["protection_in_force"].note == (
        "by views that depend on every column. DROP … CASCADE and a rename are not refused: that takes event triggers,"
        " which this role may not create"
    )
    for statement in (
        "DROP TABLE customer_profiles",
        "ALTER TABLE users DROP COLUMN phone",
        "DROP TABLE backup_orders",
    ):
        with pytest.raises(DatabaseError, match="other objects depend on"):
            run(statement)
    with pytest.raises(DatabaseError, match="refused, for it is protected: every row of profiles"):
        run("TRUNCATE profiles CASCADE")
    [blind] = [watch for watch in evidence.watches(connection) if watch.source == VIEW]
    assert (blind.since, blind.why) == (None, evidence.NO_VIEW)
    call_command("migrate", "legacy_customers", "zero", verbosity=0)
    after = rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
    assert [name for name in after if name in before] == before
    assert rows("SELECT viewname FROM pg_views WHERE viewname LIKE 'protection%%'") == []


@pytest.mark.usefixtures("as_plain_role")
def test_such_a_role_goes_through_the_contract_phase_too(settings: Any, tmp_path: Path) -> None:
    settings.UNIFICATION_DUMP_DIR = str(tmp_path)
    call_command("migrate", verbosity=0)
    for name in STEPS:
        wait()
        # Nobody can watch the view's readers here.
        step(name, force="asked everybody" if name in ("customers_view", "backups") else "")
        assert failures() == {}
        if name in ("fence", "legacy_tables", "customers_view", "timestamps"):
            assert contract("--undo") == f"{name} is undone.\n"
            assert failures() == {}
            wait()
            step(name, force="asked everybody" if name == "customers_view" else "")
    with pytest.raises(DatabaseError, match="other objects depend on"):
        run("DROP TABLE unification_contract")
