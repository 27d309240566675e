"""Backups of the five legacy tables: complete, with a primary key, counted and hashed, and never written again."""

import re

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from . import fingerprint, phases
from .sources import BACKUP_KEYS, LEGACY_TABLES, columns_of

PHASE = "backup"

CREATE_BACKUP = sql.SQL("CREATE TABLE {backup} AS SELECT {columns} FROM {table}")
ADD_KEY = sql.SQL("ALTER TABLE {backup} ADD CONSTRAINT {name} PRIMARY KEY ({key})")

# A backup is evidence: whoever tries to change it is told why not.
CREATE_GUARD = """
CREATE OR REPLACE FUNCTION unification_refuse_backup_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: backups are never written again', TG_OP, TG_TABLE_NAME
        USING HINT = 'Drop trigger unification_never_written first if you mean it; verification will report it.';
END
$$
"""
ADD_GUARD = sql.SQL(
    "CREATE TRIGGER unification_never_written BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {backup}"
    " FOR EACH STATEMENT EXECUTE FUNCTION unification_refuse_backup_write()"
)


def back_up(connection: BaseDatabaseWrapper) -> None:
    """Copy every legacy table as it is now, all in one snapshot, without the columns that we added."""
    with phases.phase(connection, PHASE) as detail, transaction.atomic(using=connection.alias):
        detail["tables"], detail["rows"] = {}, 0
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            phases.tune(cursor)
            cursor.execute(CREATE_GUARD)
            for table in LEGACY_TABLES:
                columns = fingerprint.legacy_columns(connection, table)
                backup = sql.Identifier(f"backup_{table}")
                # Of a run that was killed before Django recorded it.
                cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(backup))
                cursor.execute(
                    CREATE_BACKUP.format(
                        backup=backup,
                        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                        table=sql.Identifier(table),
                    )
                )
                cursor.execute(
                    ADD_KEY.format(
                        backup=backup,
                        name=sql.Identifier(f"backup_{table}_pkey"),
                        key=sql.Identifier(BACKUP_KEYS[table]),
                    )
                )
                cursor.execute(sql.SQL("ANALYZE {}").format(backup))
                rows, digest = count_and_hash(connection, cursor, f"backup_{table}")
                detail["tables"][table] = {"rows": rows, "hash": digest, "columns": columns}
                detail["rows"] += rows
                cursor.execute(ADD_GUARD.format(backup=backup))


def drop_backups(connection: BaseDatabaseWrapper) -> None:
    """Drop the backups and what guards them."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for table in LEGACY_TABLES:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(f"backup_{table}")))
        cursor.execute("DROP FUNCTION IF EXISTS unification_refuse_backup_write()")
        phases.forget(connection, PHASE)


def count_and_hash(connection: BaseDatabaseWrapper, cursor: CursorWrapper, table: str) -> tuple[int, str]:
    """Number of rows and a hash over all cells that does not depend on their order."""
    cursor.execute(
        sql.SQL("SELECT count(*), coalesce(sum({}), 0)::text FROM {} AS src").format(
            row_hash(columns_of(connection, table)), sql.Identifier(table)
        )
    )
    rows, digest = cursor.fetchone()
    return rows, digest


# Types whose hash function tells every two values apart, and NULL from both. It is not so with others: numeric ignores
# the sign, an empty jsonb and 0 hash as NULL does, citext ignores case, json and point have none. Their text is hashed.
HASHED_AS_THEY_ARE = {
    *("boolean", "smallint", "integer", "bigint", "uuid", "text", "character varying"),
    *("date", "timestamp without time zone", "timestamp with time zone"),
}
MODIFIER = re.compile(r"\([\d,]+\)")  # as in character varying(255)


def row_hash(columns: dict[str, str], alias: str = "src") -> sql.Composable:
    """A 64-bit hash of a row, aware of NULL and of the column: NULL is not '', a value moved to the next column shows."""
    cells = (
        sql.SQL("{}" if MODIFIER.sub("", kind) in HASHED_AS_THEY_ARE else "{}::text").format(
            sql.Identifier(alias, name)
        )
        for name, kind in columns.items()
    )
    return sql.SQL("hash_record_extended(ROW({}), 0)").format(sql.SQL(", ").join(cells))
