"""A table without its indexes and keys while it is filled: they are built once at the end, not row by row.

What was set aside is noted, in the transaction that drops it, so that any later run can put it back.
"""

from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config import locks

from . import phases

# Foreign keys from and to the table, then its other keys, then its plain indexes: the order of dropping.
FIND = """
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype = 'f'
FROM pg_constraint
WHERE (conrelid = %(table)s::regclass AND contype IN ('p', 'u', 'f'))
   OR (confrelid = %(table)s::regclass AND contype = 'f')
UNION ALL
SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid), false
FROM pg_index
WHERE indrelid = %(table)s::regclass
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
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
        names = {(owner, name) for _, owner, name, _, _ in noted.get(table, [])}
        noted[table] = noted.get(table, []) + [row for row in found if (row[1], row[2]) not in names]
        phases.note(connection, phase, set_aside=noted)
        for kind, owner, name, _, _ in found:
            if kind == "constraint":
                cursor.execute(
                    sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(_relation(owner), sql.Identifier(name))
                )
            else:
                cursor.execute(sql.SQL("DROP INDEX {}").format(_relation(name)))


def put_back(connection: BaseDatabaseWrapper, phase: str, table: str) -> None:
    """Build what was noted and is not there: keys and indexes first, foreign keys unchecked, then checked."""
    noted = phases.detail_of(connection, phase).get("set_aside", {}).get(table, [])
    for kind, owner, name, definition, is_foreign in sorted(noted, key=lambda row: row[4]):
        if kind == "index":
            statement: sql.Composable = sql.SQL(definition)
        else:
            statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                _relation(owner),
                sql.Identifier(name),
                sql.SQL(definition + (" NOT VALID" if is_foreign else "")),  # as PostgreSQL wrote it
            )
        locks.patiently(connection, partial(_build, connection, table, (owner, name), statement))
    for _, owner, name, _, _ in (row for row in noted if row[4]):
        validate = sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(_relation(owner), sql.Identifier(name))
        locks.patiently(connection, partial(_build, connection, table, None, validate))


def _build(
    connection: BaseDatabaseWrapper, table: str, thing: tuple[str, str] | None, statement: sql.Composable
) -> None:
    """Run `statement`, unless the `thing` (its owner and name) that it makes is there."""
    with connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute(FIND, {"table": table})
        if thing not in {(row[1], row[2]) for row in cursor.fetchall()}:
            cursor.execute(statement)


def _relation(name: str) -> sql.Composable:
    """A relation's name as regclass writes it: quoted and qualified where it must be."""
    return sql.SQL(name)  # PostgreSQL quoted it
