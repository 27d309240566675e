"""Backups of the five legacy tables: complete, with a primary key, counted and hashed, and never written again."""

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks

from . import fingerprint, phases, ranges, workers
from .ranges import WHOLE, Stretch
from .sources import BACKUP_KEYS, LEGACY_TABLES, columns_of

PHASE = "backup"

CREATE_BACKUP = sql.SQL("CREATE TABLE {backup} AS SELECT {columns} FROM {table}")
ADD_KEY = sql.SQL("ALTER TABLE {backup} ADD CONSTRAINT {name} PRIMARY KEY ({key})")

# Who holds the snapshot waits in a transaction, however long the others work.
NEVER_ENDED = """
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""
AS_IT_IS = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"

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
    """Copy every legacy table as it is now, all in one snapshot, without the columns that we added.

    Where there are several workers, they share the tables, each a transaction of its own. Of a run that was broken off nothing
    is kept.
    """
    with phases.phase(connection, PHASE) as detail:
        locks.execute(connection, CREATE_GUARD)
        if workers.count() == 1:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                cursor.execute(AS_IT_IS)
                for table in LEGACY_TABLES:
                    _copy(connection, cursor, table)
        else:
            with _snapshot(connection) as snapshot:
                workers.share_out(connection, _largest_first(connection), partial(_copy_as_of, snapshot=snapshot))
        hashed: dict[str, list[tuple[int, str]]] = {table: [] for table in LEGACY_TABLES}
        workers.share_out(connection, list(_parts(connection)), partial(_hash, hashed=hashed))
        detail["tables"] = {
            table: {
                "rows": sum(rows for rows, _ in parts),
                "hash": str(sum(int(digest) for _, digest in parts)),
                "columns": fingerprint.legacy_columns(connection, table),
            }
            for table, parts in hashed.items()
        }
        detail["rows"] = sum(found["rows"] for found in detail["tables"].values())


@contextmanager
def _snapshot(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """A snapshot that other transactions may take for theirs, as long as it lasts."""
    with closing(connection.copy()) as holder, holder.cursor() as cursor:
        cursor.execute(NEVER_ENDED)
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        yield cursor.fetchone()[0]


def _largest_first(connection: BaseDatabaseWrapper) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t FROM unnest(%s::text[]) AS t ORDER BY pg_table_size(t::regclass) DESC", [list(LEGACY_TABLES)]
        )
        return [table for (table,) in cursor.fetchall()]


def _copy_as_of(connection: BaseDatabaseWrapper, table: str, stopped: threading.Event, *, snapshot: str) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(AS_IT_IS)
        cursor.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        _copy(connection, cursor, table)


def _copy(connection: BaseDatabaseWrapper, cursor: CursorWrapper, table: str) -> None:
    columns = fingerprint.legacy_columns(connection, table)
    backup = sql.Identifier(f"backup_{table}")
    phases.tune(cursor)
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
            backup=backup, name=sql.Identifier(f"backup_{table}_pkey"), key=sql.Identifier(BACKUP_KEYS[table])
        )
    )
    cursor.execute(sql.SQL("ANALYZE {}").format(backup))
    cursor.execute(ADD_GUARD.format(backup=backup))


def drop_backups(connection: BaseDatabaseWrapper) -> None:
    """Drop the backups and what guards them."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for table in LEGACY_TABLES:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(f"backup_{table}")))
        cursor.execute("DROP FUNCTION IF EXISTS unification_refuse_backup_write()")
        phases.forget(connection, PHASE)


def _parts(connection: BaseDatabaseWrapper) -> Iterator[tuple[str, Stretch]]:
    """Table and stretch of its backup, one for each worker."""
    for table in _largest_first(connection):
        with connection.cursor() as cursor:
            for stretch in ranges.cut(ranges.pages_of(cursor, f"backup_{table}"), workers.count()):
                yield table, stretch


def _hash(
    connection: BaseDatabaseWrapper,
    part: tuple[str, Stretch],
    stopped: threading.Event,
    *,
    hashed: dict[str, list[tuple[int, str]]],
) -> None:
    table, stretch = part
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        hashed[table].append(count_and_hash(connection, cursor, f"backup_{table}", stretch))


def count_and_hash(
    connection: BaseDatabaseWrapper, cursor: CursorWrapper, table: str, stretch: Stretch = WHOLE
) -> tuple[int, str]:
    """Number of rows and a hash over all cells that does not depend on their order: that of a table is the sum of its stretches'."""
    cursor.execute(
        sql.SQL("SELECT count(*), coalesce(sum({}), 0)::text FROM {} AS src WHERE {}").format(
            row_hash(columns_of(connection, table)), sql.Identifier(table), stretch.holds()
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
