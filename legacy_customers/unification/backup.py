"""Backups of the five legacy tables: complete, with a primary key, counted and hashed, and never written again."""

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
            row_hash(connection, columns_of(connection, table)), sql.Identifier(table)
        )
    )
    rows, digest = cursor.fetchone()
    return rows, digest


def row_hash(connection: BaseDatabaseWrapper, columns: dict[str, str], alias: str = "src") -> sql.Composable:
    """A 64-bit hash of a row, aware of types: NULL is not '', 1 is not '1'.

    A column whose type has no hash function (json, xml, a geometric type) is hashed as its text.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.name FROM unnest(%s::text[]) AS t (name) WHERE EXISTS ("
            " SELECT FROM pg_opclass o JOIN pg_am a ON a.oid = o.opcmethod AND a.amname = 'hash'"
            " WHERE o.opcintype = t.name::regtype OR (o.opcintype = 'text'::regtype AND t.name LIKE 'character varying%%')"
            " OR (o.opcintype = 'anyenum'::regtype AND (SELECT typtype FROM pg_type WHERE oid = t.name::regtype) = 'e'))",
            [list(set(columns.values()))],
        )
        hashable = {name for (name,) in cursor.fetchall()}
    cells = (
        sql.SQL("{}").format(sql.Identifier(alias, name))
        if kind in hashable
        else sql.SQL("{}::text").format(sql.Identifier(alias, name))
        for name, kind in columns.items()
    )
    return sql.SQL("hash_record_extended(ROW({}), 0)").format(sql.SQL(", ").join(cells))
