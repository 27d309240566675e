"""The steps that drop: the copies in users, the old tables, the view, the backups.

Each dumps first what it drops, has its locks for an instant or gives them back and tries again, and drops and notes its end in
one transaction. A kill before that leaves at most a dump too many.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks, protection

from .. import evidence, functions, live_indexes, old_trigger, progress, rollback, sync, usage_counters, usage_log, view
from ..sources import CURRENT, LEGACY_TABLES, Sources, columns_of, existing_tables, find_sources
from . import dump, extra, fence, state
from .times import alone

BACKUPS = tuple(f"backup_{table}" for table in LEGACY_TABLES)
# What the application writes all the time. Whoever needs them all waits for each an even part of the budget.
LIVE = ("orders", "profiles", "users")


def sources_of(connection: BaseDatabaseWrapper) -> Sources | None:
    """What the old tables look like, or did, as their backups show."""
    return find_sources(connection) or find_sources(connection, prefix="backup_")


def _lock(connection: BaseDatabaseWrapper, cursor: CursorWrapper, tables: Iterable[str]) -> None:
    """Take the strongest lock on all of `tables`; while it waits for the last one, writers wait for the first."""
    wanted = sorted(set(tables) & existing_tables(connection), key=lambda name: (name in LIVE, name))
    if wanted:
        locks.set_lock_timeout(connection, settings.UNIFICATION_LOCK_TIMEOUT_MS / 1000 / len(wanted), local=True)
    for name in wanted:
        cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(name)))


def _at_once(
    connection: BaseDatabaseWrapper,
    step: str,
    tables: Iterable[str],
    work: Callable[[CursorWrapper], None],
    *,
    last: bool = True,
) -> None:
    """`work`, and with the `last` of it the step's end, in one transaction that has its locks at once, or is tried again.

    What drops a table waits for the disk: it does not hold live tables as well.
    """

    def attempt() -> None:
        with connection.cursor() as cursor:
            # Its end and its record are one: neither waits for the disk while others wait for the tables.
            cursor.execute("SET LOCAL synchronous_commit = off")
            _lock(connection, cursor, tables)
            protection.release(cursor, f"contract_unification --step {step}")
            work(cursor)
        if last:
            state.finish(connection, step)

    locks.patiently(connection, attempt)


def _dump(connection: BaseDatabaseWrapper, step: str, relations: Iterable[str]) -> None:
    with evidence.own_reads(connection):
        path, digest = dump.write(connection, step, relations)
    state.dumped(connection, step, str(path), digest)
    progress.tell(f"{step}: dumped to {path} (SHA-256 {digest})")


# --- users_columns --------------------------------------------------------------------------------------------------


def drop_users_columns(connection: BaseDatabaseWrapper) -> None:
    """The sync goes, and with it the copies of personal data that logins carried.

    Locks: ACCESS EXCLUSIVE on the five tables and profiles, for an instant.
    """
    columns = [name for name in fence.DUPLICATES if name in columns_of(connection, "users")]
    # The whole table: one with the copies alone would stand, out of an erasure's reach, where the step is killed.
    _dump(connection, "users_columns", ["users"])
    locks.patiently(connection, partial(_settle, connection))
    _at_once(connection, "users_columns", [*LEGACY_TABLES, "profiles"], partial(_drop_columns, connection, columns))
    # Nothing calls them any more; who waited for the tables is not to wait for this too.
    locks.patiently(connection, partial(_drop_functions, connection))
    evidence.sample(connection)  # without the sync, whoever reads the old tables shows: from here on


def _drop_functions(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        sync.drop_functions(cursor, keep=sync.BOOKS)


def _settle(connection: BaseDatabaseWrapper) -> None:
    """Carry over what one writer left to the next: with the sync goes whoever would."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true)")
        cursor.execute(rollback.SETTLE)


def _drop_columns(connection: BaseDatabaseWrapper, columns: list[str], cursor: CursorWrapper) -> None:
    cursor.execute(rollback.LEFT_OVER)
    if left := cursor.fetchone()[0]:
        raise CommandError(
            f"{left} changes in legacy_handovers are not carried over. Nothing was dropped; run this again."
        )
    sync.drop_triggers(cursor, keep=sync.BOOKS)
    fence.remove(connection, "users")
    usage_log.stop(cursor, "users")
    cursor.execute(
        sql.SQL("ALTER TABLE users {}").format(
            sql.SQL(", ").join(sql.SQL("DROP COLUMN {}").format(sql.Identifier(name)) for name in columns)
        )
    )


# --- legacy_tables --------------------------------------------------------------------------------------------------

# Keys between the old tables and those that stay.
KEYS = """
SELECT conrelid::regclass::text, quote_ident(conname) FROM pg_constraint WHERE contype = 'f'
    AND (conrelid = to_regclass('orders') AND confrelid = ANY(%(old)s::regclass[])
        OR conrelid = ANY(%(old)s::regclass[]) AND confrelid = ANY(ARRAY['users', 'orders']::regclass[]))
"""
# Others may call it by now, for whatever reason: then it stays.
OLD_FUNCTION = """
SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.proname = %s AND pg_function_is_visible(p.oid)
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid)
"""


def drop_legacy_tables(connection: BaseDatabaseWrapper) -> None:
    """Columns that we do not know move to profiles.legacy_extra, then the three tables go.

    Locks: ACCESS EXCLUSIVE on them, users and orders, for an instant; rows of profiles, 500 at a time.
    """
    with evidence.own_reads(connection):
        moved = extra.move(connection)
    state.note(connection, "legacy_tables", extra=moved, extra_columns=extra.unknown(connection))
    _dump(connection, "legacy_tables", fence.TABLES)
    tables = fence.TABLES
    _at_once(connection, "legacy_tables", [*tables, "users", "orders"], partial(_untie, connection), last=False)
    _at_once(connection, "legacy_tables", tables, _drop_tables)


def _untie(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
    usage_log.stop(cursor, "orders")
    there = existing_tables(connection)
    cursor.execute(KEYS, {"old": [table for table in fence.TABLES if table in there]})
    for table, name in cursor.fetchall():
        cursor.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.SQL(table), sql.SQL(name)))


def _drop_tables(cursor: CursorWrapper) -> None:
    cursor.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(map(sql.Identifier, fence.TABLES))))
    cursor.execute(OLD_FUNCTION, [old_trigger.FUNCTION])
    for (signature,) in cursor.fetchall():
        cursor.execute(sql.SQL("DROP FUNCTION {}").format(sql.SQL(signature)))


def restore_legacy_tables(connection: BaseDatabaseWrapper) -> None:
    """Bring the three tables back as they were, fenced, to be read."""
    _restore(connection, "legacy_tables", fence.TABLES)


# --- customers_view -------------------------------------------------------------------------------------------------


def drop_customers_view(connection: BaseDatabaseWrapper) -> None:
    """The view goes; it has no rows of its own, and this tree makes it again. Locks: ACCESS EXCLUSIVE on it."""
    _at_once(connection, "customers_view", [], partial(_drop_view, connection))


def _drop_view(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
    view.drop(connection)
    usage_counters.stop_counting(connection)


def make_customers_view(connection: BaseDatabaseWrapper) -> None:
    """Undo `drop_customers_view`."""

    def work() -> None:
        view.create(connection, sources_of(connection) or CURRENT)
        state.undo(connection, "customers_view")

    locks.patiently(connection, work)
    evidence.install(connection)


# --- backups --------------------------------------------------------------------------------------------------------


def drop_backups(connection: BaseDatabaseWrapper) -> None:
    """The backups go, the fence with them, and the functions of the take-over; the ids of the old world stay.

    Locks: ACCESS EXCLUSIVE on orders and the backups, for an instant.
    """
    _dump(connection, "backups", [*BACKUPS, "legacy_deletions"])
    for index in live_indexes.OF_THE_SYNC:
        alone(connection, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(index)))
    _at_once(connection, "backups", ["orders"], partial(_close_books, connection), last=False)
    _at_once(connection, "backups", [*BACKUPS, "legacy_deletions"], partial(_drop_backups, connection))


def _close_books(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
    others = {(trigger.table, trigger.name) for trigger in sync.TRIGGERS} - sync.BOOKS
    sync.drop_triggers(cursor, keep=others)
    fence.remove(connection, "orders")
    state.note(connection, "backups", closed=True)


def _drop_backups(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
    sync.drop_functions(cursor)
    cursor.execute(fence.DROP_FUNCTION)
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.SQL(", ").join(map(sql.Identifier, BACKUPS))))
    cursor.execute("TRUNCATE legacy_deletions")
    cursor.execute(usage_log.DROP_OBJECTS)
    cursor.execute("DROP FUNCTION IF EXISTS unification_refuse_backup_write()")
    functions.remove(connection)


def _restore(connection: BaseDatabaseWrapper, step: str, tables: Iterable[str]) -> None:
    record = state.done(connection)[step]
    if not record.dump:
        raise CommandError(f"The step {step} has no dump on record, so it cannot be undone.")
    dump.restore(connection, Path(record.dump), record.sha256)
    state.undo(connection, step)
    protection.install(connection, tables)
