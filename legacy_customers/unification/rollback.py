"""The way back: the legacy tables as they were, plus every write made since through either shape, proved.

The take-over wrote nothing to the legacy tables, and the sync has carried over every write since, so they are as they should
be already. What is left is to take away what is new. The steps are the backward halves of the migrations, each of which
commits for itself and can be run again; the first, `begin`, turns the sync off.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor
from psycopg import sql

from config import locks, protection_plan

from . import (
    capture,
    consolidate,
    contract_state,
    orders,
    phases,
    progress,
    rollback_accounts,
    rollback_proof,
    rollback_write_back,
    sync,
)
from .sources import LEGACY_TABLES, Sources, existing_tables, find_sources

PHASE = "way_back"
Plan = list[tuple[Any, bool]]

# Who would write to profiles now would lose it.
FENCE = """
CREATE OR REPLACE FUNCTION unification_refuse_profile_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of profiles refused: the way back has begun, the legacy tables stand alone again', TG_OP
        USING HINT = 'Stop this application until the way back is done.';
END
$$;
DROP TRIGGER IF EXISTS unification_way_back ON profiles;
CREATE TRIGGER unification_way_back BEFORE INSERT OR UPDATE OR DELETE ON profiles FOR EACH STATEMENT
    EXECUTE FUNCTION unification_refuse_profile_write();
"""
DROP_FENCE = "DROP FUNCTION IF EXISTS unification_refuse_profile_write() CASCADE"

# The tables of the profiles themselves, and those whose foreign keys keep profiles from being truncated alone.
OF_PROFILES = ("profiles", "profile_aliases", "profile_history", "merge_suggestions", "field_conflicts")

# Changes that one writer left to the next: there is none to come.
SETTLE = """
SELECT unification_sync_settle(person_id) FROM (SELECT DISTINCT person_id FROM legacy_handovers ORDER BY 1) AS left_over
"""
LEFT_OVER = "SELECT count(*) FROM legacy_handovers"


# --- the steps ------------------------------------------------------------------------------------------------------


BOOKS = {name for table, name in sync.BOOKS if table == "orders"}


def is_synced(connection: BaseDatabaseWrapper) -> bool:
    """Whether the sync is on."""
    with connection.cursor() as cursor:
        cursor.execute(sync.FUNCTIONS)
        found = cursor.fetchone() is not None
        cursor.execute(sync.STATES)
        # The contract phase leaves a few of its triggers, which only keep books.
        return found and any(name not in BOOKS for _, name, _ in cursor.fetchall())


def begin(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """The sync goes, and in the same transaction the old trigger comes back, a log of what is written, and a fence before
    profiles. From here on the old application writes to legacy tables that nobody else writes to.

    Locks: as when the sync came. Errors: StillInUse.
    """
    if not is_synced(connection):
        return
    found = rollback_write_back.find(connection)
    locks.patiently(connection, partial(_turn_off, connection, sources))
    progress.tell(f"way back: the sync is off; {found:,} profiles were written back that it had not carried over")


def _turn_off(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sync.LOCK)
        cursor.execute("LOCK TABLE profiles IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute("SELECT set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true)")
        cursor.execute(SETTLE)
        cursor.execute(LEFT_OVER)
        if left := cursor.fetchone()[0]:
            raise CommandError(f"{left} changes in legacy_handovers could not be carried over. Nothing was done.")
        capture.start(connection)
        rollback_write_back.write(cursor, sources)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no trigger is dropped while a check is to come
        sync.turn_off(connection)
        cursor.execute(FENCE)
        phases.note(connection, PHASE, begun=True)


def has_begun(connection: BaseDatabaseWrapper) -> bool:
    """Whether the sync was turned off for good."""
    return "unification_phases" in existing_tables(connection) and bool(phases.detail_of(connection, PHASE))


def empty_profiles(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Empty profiles and what hangs on them. Where the sync never came, everything is written back first."""
    found = None if has_begun(connection) else rollback_write_back.find(connection)
    locks.patiently(connection, partial(_empty, connection, sources, write=found is not None))
    if found is not None:
        progress.tell(f"way back: {found:,} changed profiles were written back")


def _empty(connection: BaseDatabaseWrapper, sources: Sources, *, write: bool) -> None:
    with connection.cursor() as cursor:
        phases.tune(cursor)
        if write:
            rollback_write_back.write(cursor, sources)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(rollback_proof.LOGIN_TRACES)
        cursor.execute(sql.SQL("TRUNCATE {}").format(_names(OF_PROFILES)))
        phases.forget(connection, consolidate.PHASE, sync.PHASE)


def finish(connection: BaseDatabaseWrapper) -> None:
    """Last of all: the schema is as it was found. Errors: CommandError naming each difference."""
    with connection.cursor() as cursor:
        cursor.execute(DROP_FENCE)
    rollback_proof.prove_fingerprint(connection)


def _names(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


# --- what stands in the way -----------------------------------------------------------------------------------------

WIDTHS = sql.SQL(
    "SELECT concat('profiles ', profile_id, ': ', field, ' cannot hold ', chosen_value) FROM field_conflicts"
    " WHERE rule = 'width' AND chosen_table = 'profiles'"
)
# Views and keys of others on tables that go, and views on columns that go.
FOREIGN_VIEWS = """
SELECT DISTINCT format('view %%s on %%s', r.ev_class::regclass, d.refobjid::regclass)
FROM pg_depend AS d JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class AS v ON v.oid = r.ev_class
WHERE d.refclassid = 'pg_class'::regclass AND r.ev_class <> d.refobjid
    AND r.ev_class IS DISTINCT FROM to_regclass('customers_view') AND v.relname NOT LIKE 'protection\\_of\\_%%'
    AND (d.refobjid = ANY(%(dropped)s::regclass[]) OR EXISTS (
        SELECT FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS added (name, col)
        JOIN pg_attribute AS a ON a.attrelid = to_regclass(quote_ident(added.name)) AND a.attname = added.col
        WHERE a.attrelid = d.refobjid AND a.attnum = d.refobjsubid))
ORDER BY 1
"""
FOREIGN_KEYS = """
SELECT format('foreign key %%s of %%s on %%s', conname, conrelid::regclass, confrelid::regclass) FROM pg_constraint
WHERE contype = 'f' AND confrelid = ANY(%(dropped)s::regclass[]) AND NOT conrelid = ANY(%(dropped)s::regclass[])
    AND NOT conrelid = ANY(%(legacy)s::regclass[])
ORDER BY 1
"""


def reasons(connection: BaseDatabaseWrapper, plan: Plan) -> list[str]:
    """Everything that keeps the way back from being done, found before anything is changed."""
    if contracted := contract_state.refuse_way_back(connection):
        return [contracted]
    found = []
    if not is_way_back(connection, plan) and (lost := protection_plan.losses(connection, plan)):
        found.append(
            "Nothing was taken over here, so nothing gives back what this would drop:\n  "
            + "\n  ".join(lost)
            + "\nIf you mean it: `manage.py protection --release 'why' --migrate legacy_customers zero`."
        )
    if gone := rollback_proof.gone(connection):
        found.append(
            f"Rows that were backed up are gone: {', '.join(gone)}. Put them back from the backup of their table or, "
            "where they were deleted on purpose, delete them there too (drop its trigger unification_never_written "
            "first). Then run this again."
        )
    tables, sources = existing_tables(connection), find_sources(connection)
    with connection.cursor() as cursor:
        if {"field_conflicts", "profile_history", "backup_users"} <= tables and sources and not has_begun(connection):
            cursor.execute(
                sql.SQL("SELECT * FROM ({} UNION ({})) AS found ORDER BY 1 LIMIT 5").format(
                    WIDTHS, rollback_write_back.outgrown(connection, sources)
                )
            )
            if lines := [line for (line,) in cursor.fetchall()]:
                found.append(
                    "The old tables cannot take these values back. Nothing was done.\n  "
                    + "\n  ".join(lines)
                    + "\nMake each fit, or widen the old column, then run this again."
                )
        if others := _foreign(cursor, tables, plan):
            found.append(
                "Of others, these hang on what is to be dropped: "
                + "; ".join(others)
                + ". Drop them, then run this again."
            )
    return found


def is_way_back(connection: BaseDatabaseWrapper, plan: protection_plan.Plan) -> bool:
    """Whether the plan takes the sync away, or goes on from there: what it drops then has been given back, or will be."""
    begins = any(back and (one.app_label, one.name) == ("legacy_customers", "0011_sync") for one, back in plan)
    return "backup_users" in existing_tables(connection) and (begins or has_begun(connection))


def refuse(connection: BaseDatabaseWrapper, plan: Plan) -> None:
    """Errors: CommandError with all reasons at once."""
    if found := reasons(connection, plan):
        raise CommandError("\n".join(found))


def refuse_to_turn_round(connection: BaseDatabaseWrapper) -> None:
    """Once begun, the way back is gone to its end. Errors: CommandError."""
    if has_begun(connection):
        raise CommandError(
            "The way back has begun. Run `manage.py rollback_unification` to its end; then `migrate` takes over anew."
        )


def _foreign(cursor: CursorWrapper, tables: set[str], plan: Plan) -> list[str]:
    dropped = dropped_tables(plan) & tables
    names, columns = [], []
    if "adopted_tables" in tables:
        cursor.execute("SELECT table_name, unnest(added_columns) FROM adopted_tables")
        for name, column in cursor.fetchall():
            names.append(name)
            columns.append(column)
    params = {
        "dropped": [f'"{name}"' for name in dropped | ({"customers_view"} if _has_view(cursor) else set())],
        "legacy": [f'"{name}"' for name in LEGACY_TABLES if name in tables],
        "tables": names,
        "columns": columns,
    }
    found: list[str] = []
    for query in (FOREIGN_VIEWS, FOREIGN_KEYS):
        cursor.execute(query, params)
        found += [line for (line,) in cursor.fetchall()]
    return found


def _has_view(cursor: CursorWrapper) -> bool:
    cursor.execute("SELECT to_regclass('customers_view') IS NOT NULL")
    return bool(cursor.fetchone()[0])


def dropped_tables(plan: Plan) -> set[str]:
    """The tables of the apps that the plan takes back, and the backups; not the legacy tables, which are given back."""
    labels = {migration.app_label for migration, backwards in plan if backwards}
    models = [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in labels and model._meta.managed
    ]
    ours = {model._meta.db_table for model in models} | {f"backup_{table}" for table in LEGACY_TABLES}
    return (ours | {"unification_changes", "unification_known", "unification_uses", "adopted_tables"}) - set(
        LEGACY_TABLES
    )


# --- what it will do ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forecast:
    """What the way back will do: counts per table, and why it cannot be done, if it cannot.

    `legacy` has, per legacy table, its rows, those written and those deleted since; `dropped` the rows of each table that goes.
    """

    to_do: bool
    reasons: list[str] = field(default_factory=list)
    legacy: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    profiles_to_write_back: int = 0
    accounts_removed: int = 0
    accounts_kept: int = 0
    orders_back: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


def forecast(connection: BaseDatabaseWrapper) -> Forecast:
    """Look at everything in one READ ONLY transaction."""
    plan = MigrationExecutor(connection).migration_plan([("legacy_customers", None)])
    if not plan:
        return Forecast(to_do=False)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        phases.tune(cursor)
        tables = existing_tables(connection)

        def count(query: str | sql.Composable, *needed: str) -> int:
            if not set(needed) <= tables:
                return 0
            cursor.execute(query)
            return int(cursor.fetchone()[0])

        def rows(table: str) -> int:
            return count(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)), table)

        def booked(log: str, table: str) -> int:
            query = sql.SQL("SELECT count(DISTINCT key) FROM {} WHERE source = {}")
            return count(query.format(sql.Identifier(log), sql.Literal(table)), log)

        accounts = sql.SQL("SELECT count(*) FROM ({}) AS made WHERE {{}}").format(
            sql.SQL(rollback_accounts.MADE),
        )
        needed = ("legacy_identities", "legacy_moved_logins", "users")
        return Forecast(
            to_do=True,
            reasons=reasons(connection, plan),
            legacy={
                table: (rows(table), booked("legacy_writes", table), booked("legacy_deletions", table))
                for table in LEGACY_TABLES
                if table in tables and f"backup_{table}" in tables
            },
            profiles_to_write_back=count(
                sql.SQL("SELECT count(DISTINCT profile_id) FROM ({}) AS changed").format(
                    rollback_write_back.changes(connection)
                ),
                "profile_history",
                "customers",
            ),
            accounts_removed=count(sql.SQL(accounts.as_string()).format(sql.SQL("NOT used")), *needed),
            accounts_kept=count(sql.SQL(accounts.as_string()).format(sql.SQL("used")), *needed),
            orders_back=count(orders.COUNT_BACK, "orders", "backup_orders", "legacy_identities"),
            dropped={table: rows(table) for table in sorted(dropped_tables(plan) & tables)},
        )
