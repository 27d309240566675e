"""A log of what others write while a database is taken over: from before the backups until the sync comes on.

The take-over computes everything from the backups. Whoever writes meanwhile appends the row's key to an unindexed table, which
costs next to nothing and locks nobody out; catch_up carries those rows over afterwards.
"""

from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks

from . import phases
from .sources import BACKUP_KEYS

PHASE = "capture"

# What was written, and each row as catch_up last saw it; where it has not yet, the backup has the row as it was.
TABLES = """
CREATE TABLE IF NOT EXISTS unification_changes (source text NOT NULL, key text NOT NULL);
CREATE TABLE IF NOT EXISTS unification_known (source text, key text, row jsonb, PRIMARY KEY (source, key));
"""
DROP_TABLES = "DROP TABLE IF EXISTS unification_changes, unification_known"

# Accounts that are made for guests meanwhile are no news.
NOT_OURS = sql.SQL("current_setting('unification.making_guests', true) IS DISTINCT FROM 'on'")
SEEN = {
    "inserted": ("INSERT", "NEW TABLE AS after", "SELECT {key}::text FROM after AS r"),
    "updated": (
        "UPDATE",
        "OLD TABLE AS before NEW TABLE AS after",
        "SELECT {key}::text FROM before AS r UNION SELECT {key}::text FROM after AS r",
    ),
    "deleted": ("DELETE", "OLD TABLE AS before", "SELECT {key}::text FROM before AS r"),
}
FUNCTION = sql.SQL(
    """
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO unification_changes (source, key) SELECT {table}, changed.key FROM ({changed}) AS changed (key);
    RETURN NULL;
END
$$
"""
)
TRIGGER = sql.SQL(
    "CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {tables} FOR EACH STATEMENT WHEN ({not_ours})"
    " EXECUTE FUNCTION {function}()"
)
# Of orders only what says whose one is, and what it came to.
ORDER_MATTERS = """SELECT b.id::text FROM before AS b JOIN after AS a ON a.id = b.id
        WHERE (b.user_id, b.customer_id, b.total_amount) IS DISTINCT FROM (a.user_id, a.customer_id, a.total_amount)"""
# A repointing of ours is no news either.
NOT_REPOINTING = sql.SQL("{} AND current_setting('unification.repointing', true) IS DISTINCT FROM 'on'").format(
    NOT_OURS
)


LOCK = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(
    sql.SQL(", ").join(map(sql.Identifier, BACKUP_KEYS)),
)


def _name(table: str, kind: str) -> str:
    return f"unification_capture_{table}_{kind}"


def start(connection: BaseDatabaseWrapper) -> None:
    """Log every write from here on. Locks: SHARE ROW EXCLUSIVE on each legacy table, which waits for writers at work."""
    with phases.phase(connection, PHASE):
        locks.patiently(connection, partial(_start, connection))


def _start(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        install(cursor)


def install(cursor: CursorWrapper) -> None:
    """The log and its triggers, in the running transaction."""
    prepare(cursor)
    add_triggers(cursor)


def prepare(cursor: CursorWrapper) -> None:
    """All that writers do not wait for: the log's tables, and the functions that its triggers call."""
    cursor.execute(TABLES)
    for table, key in BACKUP_KEYS.items():
        for kind, (_, _, changed) in SEEN.items():
            if table == "orders" and kind == "updated":
                changed = ORDER_MATTERS
            cursor.execute(
                FUNCTION.format(
                    name=sql.Identifier(_name(table, kind)),
                    table=sql.Literal(table),
                    changed=sql.SQL(changed).format(key=sql.Identifier("r", key)),
                )
            )


def add_triggers(cursor: CursorWrapper) -> None:
    """Begin to log, in the running transaction, once `prepare` was done."""
    _drop_triggers(cursor)
    for table in BACKUP_KEYS:
        for kind, (event, tables, _) in SEEN.items():
            name = sql.Identifier(_name(table, kind))
            cursor.execute(
                TRIGGER.format(
                    name=name,
                    event=sql.SQL(event),
                    table=sql.Identifier(table),
                    tables=sql.SQL(tables),
                    not_ours=NOT_REPOINTING if table == "orders" else NOT_OURS,
                    function=name,
                )
            )


def is_on(connection: BaseDatabaseWrapper) -> bool:
    """Whether there is a log to be carried over."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('unification_changes') IS NOT NULL")
        return bool(cursor.fetchone()[0])


def stop(cursor: CursorWrapper) -> None:
    """Take the log away, in the transaction in which all of it has been carried over."""
    _drop_triggers(cursor)
    for table in BACKUP_KEYS:
        for kind in SEEN:
            cursor.execute(sql.SQL("DROP FUNCTION IF EXISTS {}()").format(sql.Identifier(_name(table, kind))))
    cursor.execute(DROP_TABLES)


def forget(connection: BaseDatabaseWrapper) -> None:
    """Undo `start`: what was written since stays where it was written."""
    locks.patiently(connection, partial(_forget, connection))


def _forget(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        # All of them first, against writers alone: whoever writes to one table may be about to read another's keys.
        cursor.execute(LOCK)
        stop(cursor)
        phases.forget(connection, PHASE)


def _drop_triggers(cursor: CursorWrapper) -> None:
    for table in BACKUP_KEYS:
        for kind in SEEN:
            cursor.execute(
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
                    sql.Identifier(_name(table, kind)), sql.Identifier(table)
                )
            )
