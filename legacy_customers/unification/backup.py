"""Backups of the five legacy tables: complete, with a primary key, counted and hashed, and never written again."""

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks

from . import fingerprint, phases, throttle, workers
from .sources import BACKUP_KEYS, LEGACY_TABLES, columns_of

PHASE = "backup"

# Nothing of it will ever be dead: autovacuum would read it in vain, while the next steps are at work.
CREATE_BACKUP = sql.SQL("CREATE TABLE {backup} WITH (autovacuum_enabled = false) AS SELECT {columns} FROM {table}")
ADD_KEY = sql.SQL("ALTER TABLE {backup} ADD CONSTRAINT {name} PRIMARY KEY ({key})")

# Who holds the snapshot waits in a transaction, however long the others work.
NEVER_ENDED = """
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""
HAS_KEY = "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass(%s) AND indisprimary)"
# The largest, which identity does not read.
KEYED_LATER = "orders"
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
    is kept. `complete` has what identity can do without.
    """
    with phases.phase(connection, PHASE) as detail:
        locks.execute(connection, CREATE_GUARD)
        copied: dict[str, dict[str, Any]] = {}
        if workers.count() == 1:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                cursor.execute(AS_IT_IS)
                for table in LEGACY_TABLES:
                    copied[table] = _copy(connection, cursor, table)
        else:
            with _snapshot(connection) as snapshot:
                tables = _largest_first(connection)
                workers.share_out(connection, [partial(_copy_as_of, snapshot, table, copied) for table in tables])
        detail["tables"] = {table: copied[table] for table in LEGACY_TABLES}
        detail["rows"] = sum(found["rows"] for found in copied.values())


def complete(connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    """The last key, and the hash of every copy, where they are missing; from the first instant on no copy was written to."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute(HAS_KEY, [f"backup_{KEYED_LATER}"])
        if not cursor.fetchone()[0]:
            _add_key(cursor, KEYED_LATER)
    for table in LEGACY_TABLES:
        tables = phases.detail_of(connection, PHASE)["tables"]
        if "hash" not in tables[table]:
            throttle.let_others_first(connection, stopped)
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                phases.tune(cursor)
                _, tables[table]["hash"] = count_and_hash(connection, cursor, f"backup_{table}")
                phases.note(connection, PHASE, tables=tables)


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


def _copy_as_of(
    snapshot: str,
    table: str,
    copied: dict[str, dict[str, Any]],
    connection: BaseDatabaseWrapper,
    stopped: threading.Event,
) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(AS_IT_IS)
        cursor.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        copied[table] = _copy(connection, cursor, table)


def _copy(connection: BaseDatabaseWrapper, cursor: CursorWrapper, table: str) -> dict[str, Any]:
    """Make the backup of `table`; gives its rows and columns."""
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
    made = {"rows": cursor.rowcount, "columns": columns}
    cursor.execute(ADD_GUARD.format(backup=backup))
    if table != KEYED_LATER:
        _add_key(cursor, table)
    return made


def _add_key(cursor: CursorWrapper, table: str) -> None:
    backup, key = sql.Identifier(f"backup_{table}"), sql.Identifier(BACKUP_KEYS[table])
    cursor.execute(ADD_KEY.format(backup=backup, name=sql.Identifier(f"backup_{table}_pkey"), key=key))
    cursor.execute(sql.SQL("ANALYZE {}").format(backup))


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
