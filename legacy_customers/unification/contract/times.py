"""Naive times become timestamptz: no row is rewritten, no index is built while anybody waits, and undoing is the same way back.

Under TimeZone UTC PostgreSQL only changes the type in its catalogue. Indexes on the column it would build anew under a lock
that stops everybody; so they go first, CONCURRENTLY, and come back the same way. Meanwhile queries do without them.
"""

from functools import partial

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config import locks, protection

from ..sources import columns_of
from . import state

STEP = "timestamps"
NAIVE, AWARE = "timestamp without time zone", "timestamp with time zone"
# Those whose type the models do not mind (config/fields.py). Other naive columns are the shop's own.
COLUMNS: dict[str, tuple[str, ...]] = {
    "users": ("last_login", "created_at", "updated_at"),
    "orders": ("created_at", "updated_at"),
}
DEFAULTS = {AWARE: sql.SQL("now()"), NAIVE: sql.SQL("timezone('UTC', now())")}

INDEXES = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), k.conname FROM pg_index AS i
LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = to_regclass(%(table)s) AND i.indisvalid AND EXISTS (
    SELECT FROM pg_depend AS d JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid
        AND a.attname = ANY(%(columns)s))
ORDER BY 1
"""
CONSTRAINED = """
SELECT format('constraint %%s of %%s', k.conname, k.conrelid::regclass) FROM pg_constraint AS k
JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
WHERE k.conrelid = to_regclass(%(table)s) AND k.contype IN ('p', 'u', 'x', 'c') AND a.attname = ANY(%(columns)s)
UNION SELECT format('generated column %%s of %%s', g.attname, g.attrelid::regclass) FROM pg_depend AS d
JOIN pg_attrdef AS e ON d.classid = 'pg_attrdef'::regclass AND e.oid = d.objid
JOIN pg_attribute AS g ON g.attrelid = e.adrelid AND g.attnum = e.adnum AND g.attgenerated <> ''
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(%(table)s) AND a.attname = ANY(%(columns)s)
UNION SELECT format('index %%s, which computes with %%s', i.indexrelid::regclass, a.attname) FROM pg_index AS i
JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE i.indrelid = to_regclass(%(table)s) AND a.attname = ANY(%(columns)s) AND NOT a.attnum = ANY(i.indkey)
ORDER BY 1
"""


def constrained(connection: BaseDatabaseWrapper) -> list[str]:
    """What of the shop's own would be computed or checked anew, over the whole table, under the lock."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for table, columns in COLUMNS.items():
            cursor.execute(CONSTRAINED, {"table": table, "columns": list(columns)})
            found += [line for (line,) in cursor.fetchall()]
    return found


def to_aware(connection: BaseDatabaseWrapper) -> None:
    """Give the columns a time zone, table by table. Locks: ACCESS EXCLUSIVE on one table at a time, for an instant."""
    for table in COLUMNS:
        _convert(connection, table, AWARE)
    state.finish(connection, STEP)


def to_naive(connection: BaseDatabaseWrapper) -> None:
    """Undo `to_aware`."""
    for table in COLUMNS:
        _convert(connection, table, NAIVE)
    state.undo(connection, STEP)


def _convert(connection: BaseDatabaseWrapper, table: str, kind: str) -> None:
    """The columns of one table; a kill between two statements leaves work that the next call goes on with."""
    key = f"indexes_of_{table}"
    record = state.records(connection)[STEP]
    indexes: list[str] = record.detail.get(key, [])
    with connection.cursor() as cursor:
        cursor.execute(INDEXES, {"table": table, "columns": list(_pending(connection, table, kind))})
        found = [(name, definition) for name, definition, _ in cursor.fetchall()]
    # Noted before the first one goes: whoever comes after a kill builds them again.
    indexes = indexes + [definition for _, definition in found if definition not in indexes]
    state.note(connection, STEP, **{key: indexes})
    for name, _ in found:
        alone(connection, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.SQL(name)))
    if _pending(connection, table, kind):
        locks.patiently(connection, partial(_alter, connection, table, kind))
    for definition in indexes:
        _build(connection, definition)
    state.note(connection, STEP, **{key: []})


def _pending(connection: BaseDatabaseWrapper, table: str, kind: str) -> dict[str, str]:
    there = columns_of(connection, table)
    return {name: there[name] for name in COLUMNS[table] if name in there and there[name] != kind}


ZONE = "SELECT set_config('TimeZone', 'UTC', true)"
PLACE = "SELECT pg_relation_filenode(to_regclass(%s)), to_regclass(%s)::oid"
WITH_DEFAULT = """
SELECT a.attname FROM pg_attribute AS a JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass(%s) AND a.attname = ANY(%s) ORDER BY a.attnum
"""


def _alter(connection: BaseDatabaseWrapper, table: str, kind: str) -> None:
    """One ALTER TABLE. Errors: CommandError, and nothing is changed, where PostgreSQL rewrote the table after all."""
    pending = list(_pending(connection, table, kind))
    with connection.cursor() as cursor:
        protection.release(cursor, f"contract_unification: {table} gets times of another type")
        cursor.execute(ZONE)
        cursor.execute(PLACE, [table, table])
        before = cursor.fetchone()
        cursor.execute(WITH_DEFAULT, [table, pending])
        # A default that gives a naive time would be read in the writer's own zone from now on.
        defaulted = [name for (name,) in cursor.fetchall()]
        changes = [
            sql.SQL("ALTER COLUMN {} TYPE {}").format(sql.Identifier(name), sql.SQL(kind)) for name in pending
        ] + [
            sql.SQL("ALTER COLUMN {} SET DEFAULT {}").format(sql.Identifier(name), DEFAULTS[kind]) for name in defaulted
        ]
        cursor.execute(sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(table), sql.SQL(", ").join(changes)))
        cursor.execute(PLACE, [table, table])
        if cursor.fetchone() != before:
            raise CommandError(f"PostgreSQL would rewrite {table} for this, under a lock. Nothing was changed.")


STANDING = "SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = to_regclass(%s)"


def _build(connection: BaseDatabaseWrapper, definition: str) -> None:
    """An index as pg_get_indexdef wrote it; one that a kill left half-built goes first."""
    head, _, tail = definition.partition(" INDEX ")
    name = tail.split(" ON ")[0]
    with connection.cursor() as cursor:
        cursor.execute(STANDING, [name])
        found = cursor.fetchone()
    if found and found[0]:
        return
    if found:
        alone(connection, sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.SQL(name)))
    alone(connection, sql.SQL("{} INDEX CONCURRENTLY {}").format(sql.SQL(head), sql.SQL(tail)))


def alone(connection: BaseDatabaseWrapper, statement: sql.Composable) -> None:
    """A statement outside of a transaction, that waits in nobody's way."""

    def run() -> None:
        with (
            locks.limited(connection),
            connection.execute_wrapper(locks.concurrently),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    locks.patiently(connection, run, atomic=False)
