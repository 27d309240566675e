"""A table without its indexes and keys while it is filled: they are built once at the end, not row by row.

What was set aside is noted, in the transaction that drops it, so that any later run can put it back.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config import locks

from . import phases, workers

# Foreign keys from and to the table, then its other keys, then its indexes: the order of dropping. A key is noted twice, as
# its index, which others may build beside it, and as the constraint that takes this index over.
FIND = """
SELECT 'constraint', conrelid::regclass::text, conname,
    CASE contype WHEN 'f' THEN pg_get_constraintdef(oid)
        ELSE format('%%s USING INDEX %%I%%s', CASE contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, conname,
            substring(pg_get_constraintdef(oid) FROM ' DEFERRABLE.*')) END,
    contype = 'f'
FROM pg_constraint
WHERE (conrelid = %(table)s::regclass AND contype IN ('p', 'u', 'f'))
   OR (confrelid = %(table)s::regclass AND contype = 'f')
UNION ALL
SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid), false
FROM pg_index
WHERE indrelid = %(table)s::regclass
ORDER BY 5 DESC, 1, 3
"""


def set_aside(connection: BaseDatabaseWrapper, phase: str, table: str) -> None:
    """Drop and note the indexes and keys of `table`; what an earlier, broken run noted stays noted."""
    locks.patiently(connection, partial(_set_aside, connection, phase, table))


def _set_aside(connection: BaseDatabaseWrapper, phase: str, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FIND, {"table": table})
        found = [list(row) for row in cursor.fetchall()]
        noted = phases.detail_of(connection, phase).get("set_aside", {})
        names = {tuple(row[:3]) for row in found}
        noted[table] = [row for row in noted.get(table, []) if tuple(row[:3]) not in names] + found
        phases.note(connection, phase, set_aside=noted)
        for kind, owner, name, _, _ in found:
            if kind == "constraint":
                cursor.execute(
                    sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(_relation(owner), sql.Identifier(name))
                )
            else:
                cursor.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(_relation(name)))


def put_back(
    connection: BaseDatabaseWrapper,
    phase: str,
    table: str,
    *,
    own_foreign_keys: bool = True,
    ahead: Mapping[str, str] | None = None,
    meanwhile: Sequence[workers.Task] = (),
) -> None:
    """Build what was noted and is not there: indexes, as many at once as there are workers, keys, foreign keys, then checked.

    Without the table's own foreign keys where others may still delete what they point at: `put_back_unchecked`, `validate`.
    `ahead`: indexes that later migrations want, as name and table with what follows. `meanwhile` is done by the worker who has no index left to build.
    """
    wanted = [row for row in _noted(connection, phase, table) if own_foreign_keys or not _is_own(row, table)]
    indexes = [row for row in wanted if row[0] == "index"]
    # A run that was broken off after it had built one has noted it.
    noted = {row[2] for row in indexes}
    indexes += [
        ("index", table, name, f"CREATE INDEX {name} ON {definition}", False)
        for name, definition in (ahead or {}).items()
        if name not in noted
    ]
    # The longest first: those of many keys a row.
    indexes.sort(key=lambda row: " USING gin " not in row[3])
    workers.share_out(connection, [*(partial(_build_index, row) for row in indexes), *meanwhile])
    for row in sorted(wanted, key=lambda row: row[4]):
        if row[0] == "constraint":
            locks.patiently(connection, partial(_build, connection, table, row))
    for row in wanted:
        if row[4]:
            locks.patiently(connection, partial(_validate, connection, row))


def put_back_unchecked(connection: BaseDatabaseWrapper, phase: str, table: str) -> None:
    """The table's own foreign keys, from now on, in the running transaction. Locks: SHARE ROW EXCLUSIVE on both tables."""
    for row in _noted(connection, phase, table):
        if _is_own(row, table):
            _build(connection, table, row)


def validate(connection: BaseDatabaseWrapper, phase: str, table: str) -> None:
    """Check all rows against the table's own foreign keys. Locks: ROW SHARE on what they point at."""
    for row in _noted(connection, phase, table):
        if _is_own(row, table):
            locks.patiently(connection, partial(_validate, connection, row))


# Kind, table, name, definition, whether it is a foreign key.
Row = tuple[str, str, str, str, bool]


def _noted(connection: BaseDatabaseWrapper, phase: str, table: str) -> list[Row]:
    return [tuple(row) for row in phases.detail_of(connection, phase).get("set_aside", {}).get(table, [])]


def _is_own(row: Row, table: str) -> bool:
    return row[4] and row[1] == table


def _build_index(row: Row, connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    def build() -> None:
        with connection.cursor() as cursor:
            phases.tune(cursor)
            cursor.execute("SELECT to_regclass(%s) IS NULL", [row[2]])
            if cursor.fetchone()[0]:
                cursor.execute(sql.SQL(row[3]))  # as PostgreSQL wrote it

    locks.patiently(connection, build)


def _build(connection: BaseDatabaseWrapper, table: str, row: Row) -> None:
    """Add the constraint, unless it is there."""
    _, owner, name, definition, is_foreign = row
    with connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute(FIND, {"table": table})
        if ("constraint", owner, name) not in {found[:3] for found in cursor.fetchall()}:
            cursor.execute(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                    _relation(owner),
                    sql.Identifier(name),
                    sql.SQL(definition + (" NOT VALID" if is_foreign else "")),  # as PostgreSQL wrote it
                )
            )


def _validate(connection: BaseDatabaseWrapper, row: Row) -> None:
    with connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute(
            sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(_relation(row[1]), sql.Identifier(row[2]))
        )


def _relation(name: str) -> sql.Composable:
    """A relation's name as regclass writes it: quoted and qualified where it must be."""
    return sql.SQL(name)  # PostgreSQL quoted it
