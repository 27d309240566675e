"""The way back: the legacy tables as they were, plus every write made since through either shape, proved.

The sync has carried over every write, so the legacy tables are as they should be already. What is left is to take away what
is new. The steps are the backward halves of the migrations, each of which commits for itself and can be run again:

- Before anything is changed, and while both applications go on, every row is held against its backup (`refuse`).
- `begin` turns the sync off in one short transaction, whose work is what was left to be carried over. From its end the old
  application stands alone, as it did before the take-over.
- What the take-over itself had written, the orders that it repointed and the accounts that it made for guests, is taken back
  in ranges behind the old application's writers.
- The new tables go whole.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor
from psycopg import sql

from config import locks, protection_plan

from .. import capture, consolidate, orders, phases, progress, sync
from ..contract import state
from ..sources import LEGACY_TABLES, Sources, existing_tables, find_sources
from . import accounts, proof, write_back

PHASE = "way_back"
Plan = list[tuple[Any, bool]]

# Who would write to profiles now would lose it; what the old application writes still comes there through the sync.
FENCE = """
CREATE OR REPLACE FUNCTION unification_refuse_profile_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of profiles refused: the way back has begun, the legacy tables stand alone again', TG_OP
        USING HINT = 'Stop this application until the way back is done.';
END
$$;
DROP TRIGGER IF EXISTS unification_way_back ON profiles;
CREATE TRIGGER unification_way_back BEFORE INSERT OR UPDATE OR DELETE ON profiles FOR EACH STATEMENT
    WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on')
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
    """A fence comes before profiles; then the sync goes, and in the same transaction the old trigger comes back, and a log of
    what is written. From here on the old application writes to legacy tables that nobody else writes to.

    Locks: as when the sync came. Errors: StillInUse; then there is no fence either.
    """
    if is_synced(connection):
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            capture.prepare(cursor)
        found = write_back.find(connection)
        # Fenced off first, whoever holds profiles and wants a legacy table is not there to be met by the lock of all of them.
        locks.patiently(connection, partial(_fence, connection))
        try:
            seconds = locks.patiently(connection, partial(_turn_off, connection, sources))
        except CommandError:
            locks.patiently(connection, partial(_take_fence_away, connection))
            raise
        progress.tell(
            f"way back: the sync is off; {found:,} profiles were written back that it had not carried over; writers waited"
            f" {seconds * 1000:,.0f} ms at most"
        )
    if has_begun(connection):
        sync.clear_away(connection)


def _fence(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FENCE)
    phases.note(connection, PHASE, begun=True)


def _take_fence_away(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute(DROP_FENCE)
    phases.forget(connection, PHASE)


def _turn_off(connection: BaseDatabaseWrapper, sources: Sources) -> float:
    """Gives for how many seconds writers were locked out, but for the commit."""
    with connection.cursor() as cursor:
        cursor.execute(sync.LOCK)
        began = time.monotonic()
        cursor.execute("LOCK TABLE profiles IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute("SELECT set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true)")
        cursor.execute(SETTLE)
        cursor.execute(LEFT_OVER)
        if left := cursor.fetchone()[0]:
            raise CommandError(f"{left} changes in legacy_handovers could not be carried over. Nothing was done.")
        capture.add_triggers(cursor)
        write_back.write(cursor, sources)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no trigger is dropped while a check is to come
        sync.turn_off(connection, cursor)
    return time.monotonic() - began


def has_begun(connection: BaseDatabaseWrapper) -> bool:
    """Whether profiles are fenced off: what is left to be done is done to the end."""
    return "unification_phases" in existing_tables(connection) and bool(phases.detail_of(connection, PHASE))


def empty_profiles(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Empty profiles and what hangs on them. Where the sync never came, everything is written back first."""
    found = None if has_begun(connection) else write_back.find(connection)
    locks.patiently(connection, partial(_empty, connection, sources, write=found is not None))
    if found is not None:
        progress.tell(f"way back: {found:,} changed profiles were written back")


def _empty(connection: BaseDatabaseWrapper, sources: Sources, *, write: bool) -> None:
    with connection.cursor() as cursor:
        phases.tune(cursor)
        if write:
            write_back.write(cursor, sources)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(proof.LOGIN_TRACES)
        cursor.execute(sql.SQL("TRUNCATE {}").format(_names(OF_PROFILES)))
        phases.forget(connection, consolidate.PHASE, sync.PHASE)


def prove_rows(connection: BaseDatabaseWrapper) -> None:
    """Before the backups go: every legacy row equals its backup or a later write. Errors: CommandError naming each other one.

    Where the way back began with the sync, all of them were looked at just before.
    """
    proof.prove_rows(connection, every_row=not has_begun(connection))


# What was NOT NULL is proved to be so while writers go on: to be strict again, the table is then not read under lock.
RELAXED = """
SELECT a.table_name, r.name FROM adopted_tables AS a CROSS JOIN LATERAL unnest(a.relaxed_columns) AS r (name)
"""
ADD_CHECK = sql.SQL(
    "ALTER TABLE {0} DROP CONSTRAINT IF EXISTS {1}, ADD CONSTRAINT {1} CHECK ({2} IS NOT NULL) NOT VALID"
)
VALIDATE = sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}")
DROP_CHECK = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
CHECK = "unification_has_{}"
CHECKS = """
SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'unification\\_has\\_%'
"""


def be_strict(connection: BaseDatabaseWrapper) -> None:
    """Let no column be NULL any more that could not be before the take-over. Locks: ACCESS EXCLUSIVE for an instant."""
    with connection.cursor() as cursor:
        cursor.execute(RELAXED)
        relaxed = cursor.fetchall()
    for table, column in relaxed:
        names = sql.Identifier(table), sql.Identifier(CHECK.format(column))
        locks.execute(connection, ADD_CHECK.format(*names, sql.Identifier(column)))
        try:
            locks.execute(connection, VALIDATE.format(*names))
        except IntegrityError:
            locks.execute(
                connection, DROP_CHECK.format(*names)
            )  # giving the table back tells how many rows are in the way


def finish(connection: BaseDatabaseWrapper) -> None:
    """Last of all: the schema is as it was found. Errors: CommandError naming each difference."""
    with connection.cursor() as cursor:
        cursor.execute(DROP_FENCE)
        cursor.execute(CHECKS)
        for table, name in cursor.fetchall():
            # regclass quoted the table's name.
            cursor.execute(DROP_CHECK.format(sql.SQL(table), sql.Identifier(name)))
    proof.prove_fingerprint(connection)


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
    """Everything that keeps the way back from being done, found before anything is changed; reads every legacy row once."""
    if contracted := state.refuse_way_back(connection):
        return [contracted]
    found = []
    if not is_way_back(connection, plan) and (lost := protection_plan.losses(connection, plan)):
        found.append(
            "Nothing was taken over here, so nothing gives back what this would drop:\n  "
            + "\n  ".join(lost)
            + "\nIf you mean it: `manage.py protection --release 'why' --migrate legacy_customers zero`."
        )
    if not has_begun(connection):
        found += proof.faults(proof.compare(connection, at_end=False))
    tables, sources = existing_tables(connection), find_sources(connection)
    with connection.cursor() as cursor:
        if {"field_conflicts", "profile_history", "backup_users"} <= tables and sources and not has_begun(connection):
            cursor.execute(
                sql.SQL("SELECT * FROM ({} UNION ({})) AS found ORDER BY 1 LIMIT 5").format(
                    WIDTHS, write_back.outgrown(connection, sources)
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


def is_to_do(connection: BaseDatabaseWrapper) -> bool:
    """Whether anything of ours is in this database."""
    return bool(MigrationExecutor(connection).migration_plan([("legacy_customers", None)]))


@dataclass(frozen=True)
class Forecast:
    """What the way back will do: counts per table, and why it cannot be done, if it cannot.

    `legacy` has, per legacy table, its rows, those written and those deleted since; `dropped` the rows of each table that goes.
    """

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

        needed = ("legacy_identities", "legacy_moved_logins", "users")
        return Forecast(
            reasons=reasons(connection, plan),
            legacy={
                table: (rows(table), booked("legacy_writes", table), booked("legacy_deletions", table))
                for table in LEGACY_TABLES
                if table in tables and f"backup_{table}" in tables
            },
            profiles_to_write_back=count(
                sql.SQL("SELECT count(DISTINCT profile_id) FROM ({}) AS changed").format(
                    write_back.changes(connection)
                ),
                "profile_history",
                "customers",
            ),
            accounts_removed=count(accounts.count(used=False), *needed),
            accounts_kept=count(accounts.count(used=True), *needed),
            orders_back=count(orders.COUNT_BACK, "orders", "backup_orders", "legacy_identities"),
            dropped={table: rows(table) for table in sorted(dropped_tables(plan) & tables)},
        )
