"""Tables that cannot be lost by accident: not dropped, truncated, renamed, nor robbed of a column, until somebody says so.

Where the role may create event triggers, those refuse every such statement, whoever sends it. Elsewhere a view that reads
every column of a table stands in the way of a DROP without CASCADE, and nothing in that of a rename. TRUNCATE is refused by
a trigger of the table on any server. `release_protection('why')` lets the rest of its own transaction do all that, and writes
down who, when, why, and what was lost. The SQL is in config/sql/.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from django.db import ProgrammingError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import errors, sql

from config import locks

SOURCE = Path(__file__).resolve().parent / "sql"
# Of two triggers the first by its name speaks: one that says what to do instead comes before this one.
TRIGGER = "unified_no_truncate"
# Event trigger -> its event, its function, and the statements that it looks at. A table can be moved with its schema.
EVENT_TRIGGERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "protection_drop": ("sql_drop", "refuse_drop", ()),
    "protection_rename": (
        "ddl_command_end",
        "refuse_rename",
        ("ALTER TABLE", "ALTER INDEX", "ALTER SCHEMA"),
    ),
}


class Means(StrEnum):
    EVENT_TRIGGERS = "event triggers"
    VIEWS = "views that depend on every column"


@dataclass(frozen=True)
class Guard:
    """How one table is protected. `loose` are columns that can be dropped by a plain DROP COLUMN."""

    table: str
    truncate: bool
    drop: bool
    rename: bool
    loose: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protection:
    """What is in force. `faults` are what should be and is not; `missing` what these means cannot do."""

    means: Means
    guards: dict[str, Guard]
    faults: list[str]
    missing: list[str]


# --- what is in force -----------------------------------------------------------------------------------------------

GUARDS = """
SELECT p.name, coalesce(t.tgenabled IN ('O', 'A'), false),
    v.oid IS NOT NULL, ARRAY(
        SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND NOT EXISTS (
            SELECT FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
            WHERE r.ev_class = v.oid AND d.refobjid = c.oid AND d.refobjsubid = a.attnum)
        ORDER BY a.attnum),
    c.oid IS NOT NULL, (n.nspname, c.relname) = (p.schema, p.name)
FROM protected_tables AS p
LEFT JOIN pg_class AS c ON c.oid = p.relation LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = %s
LEFT JOIN pg_class AS v ON v.oid = to_regclass(quote_ident('protection_of_' || p.name))
ORDER BY p.name
"""
EVENTS_AWAKE = "SELECT evtname, evtenabled IN ('O', 'A') FROM pg_event_trigger WHERE evtname = ANY(%s)"


def is_installed(connection: BaseDatabaseWrapper) -> bool:
    """Whether there is a list of protected tables."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('protected_tables') IS NOT NULL")
        return bool(cursor.fetchone()[0])


def in_force(connection: BaseDatabaseWrapper, wanted: Iterable[str] = ()) -> Protection:
    """How every table on the list is protected; a `wanted` one that exists and is not on it is a fault."""
    if not is_installed(connection):
        return Protection(Means.VIEWS, {}, ["no protection is installed: `manage.py migrate` brings it"], [])
    with connection.cursor() as cursor:
        cursor.execute(EVENTS_AWAKE, [list(EVENT_TRIGGERS)])
        events: dict[str, bool] = dict(cursor.fetchall())
        cursor.execute(GUARDS, [TRIGGER])
        rows = cursor.fetchall()
        cursor.execute(
            "SELECT name FROM unnest(%s::text[]) AS w (name) WHERE to_regclass(quote_ident(name)) IS NOT NULL"
            " AND name NOT IN (SELECT p.name FROM protected_tables AS p)",
            [list(wanted)],
        )
        faults = [f"{name} is not on the list of protected tables" for (name,) in cursor.fetchall()]
    faults += [f"event trigger {name} is disabled" for name, awake in events.items() if not awake]
    if events:
        faults += [f"event trigger {name} is missing" for name in EVENT_TRIGGERS if name not in events]
    guards = {}
    for name, truncate, view, loose, exists, named in rows:
        by_event = "protection_drop" in events
        guards[name] = Guard(
            name, truncate, by_event or view, "protection_rename" in events, () if by_event else tuple(loose)
        )
        if not exists or not named:
            faults.append(f"table {name} is {'gone' if not exists else 'not under its name'}")
            continue
        if not truncate:
            faults.append(f"trigger {TRIGGER} on {name} is missing or asleep")
        if not guards[name].drop:
            faults.append(f"view protection_of_{name} is missing, and there is no event trigger")
        elif guards[name].loose:
            faults.append(f"view protection_of_{name} does not read {', '.join(loose)}")
    if events:
        return Protection(Means.EVENT_TRIGGERS, guards, faults, [])
    return Protection(
        Means.VIEWS,
        guards,
        faults,
        ["DROP … CASCADE and a rename are not refused: that takes event triggers, which this role may not create"],
    )


# --- put in force ---------------------------------------------------------------------------------------------------

# Those that exist and are not on the list, or whose trigger is not there.
OPEN = """
SELECT n.nspname, c.relname FROM unnest(%s::text[]) AS w (name) JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(w.name))
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT EXISTS (
    SELECT FROM protected_tables AS p JOIN pg_trigger AS t ON t.tgrelid = p.relation AND t.tgname = %s
    WHERE p.relation = c.oid)
ORDER BY 2
"""
ADD_TRIGGER = sql.SQL(
    "CREATE OR REPLACE TRIGGER {trigger} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT"
    " EXECUTE FUNCTION protection_refuse_truncate()"
)
# Also where triggers sleep, as in a session that replays another server's changes.
ALWAYS = sql.SQL("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
ENTER = (
    "INSERT INTO protected_tables (name, schema, relation) VALUES (%(name)s, %(schema)s,"
    " format('%%I.%%I', %(schema)s::text, %(name)s::text)::regclass)"
    " ON CONFLICT (name) DO UPDATE SET schema = EXCLUDED.schema, relation = EXCLUDED.relation"
)


def install(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> None:
    """Protect those of the tables that exist; can be run again.

    Locks: SHARE ROW EXCLUSIVE on each table in its turn, for an instant. Errors: StillInUse.
    """
    locks.execute(connection, _source("protection.sql"))
    with connection.cursor() as cursor:
        cursor.execute(OPEN, [list(tables), TRIGGER])
        found = cursor.fetchall()
    for schema, name in found:
        locks.patiently(connection, partial(_enter, connection, schema, name))
    renew(connection)


def renew(connection: BaseDatabaseWrapper) -> None:
    """Take the best means that this role has, and guard columns that have come since."""
    if not is_installed(connection):
        return
    if locks.patiently(connection, partial(_watch_events, connection)):
        with connection.cursor() as cursor:
            cursor.execute("SELECT protection_unguard()")
    else:
        for name, guard in in_force(connection).guards.items():
            if guard.loose or not guard.drop:
                locks.patiently(connection, partial(_guard, connection, name))


def _source(name: str) -> sql.SQL:
    return sql.SQL((SOURCE / name).read_text(encoding="utf-8"))


def _enter(connection: BaseDatabaseWrapper, schema: str, name: str) -> None:
    table, trigger = sql.Identifier(schema, name), sql.Identifier(TRIGGER)
    with connection.cursor() as cursor:
        for statement in (ADD_TRIGGER, ALWAYS):
            cursor.execute(statement.format(table=table, trigger=trigger))
        cursor.execute(ENTER, {"schema": schema, "name": name})


def _guard(connection: BaseDatabaseWrapper, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT protection_guard(relation) FROM protected_tables WHERE name = %s", [name])


def _watch_events(connection: BaseDatabaseWrapper) -> bool:
    """Create the event triggers where they are missing; gives whether they are there."""
    with connection.cursor() as cursor:
        cursor.execute(EVENTS_AWAKE, [list(EVENT_TRIGGERS)])
        if len(cursor.fetchall()) == len(EVENT_TRIGGERS):
            return True
        try:
            with transaction.atomic(using=connection.alias):
                cursor.execute(_source("protection_events.sql"))
                for name, (event, function, tags) in EVENT_TRIGGERS.items():
                    cursor.execute(_event_trigger(name, event, function, tags))
        except ProgrammingError as error:
            if not isinstance(error.__cause__, errors.InsufficientPrivilege):
                raise
            return False
    return True


def _event_trigger(name: str, event: str, function: str, tags: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(
        "DROP EVENT TRIGGER IF EXISTS {name}; CREATE EVENT TRIGGER {name} ON {event}{tags}"
        " EXECUTE FUNCTION protection.{function}(); ALTER EVENT TRIGGER {name} ENABLE ALWAYS"
    ).format(
        name=sql.Identifier(name),
        event=sql.SQL(event),
        tags=sql.SQL(" WHEN TAG IN ({})").format(sql.SQL(", ").join(map(sql.Literal, tags))) if tags else sql.SQL(""),
        function=sql.Identifier(function),
    )


# --- take it away ---------------------------------------------------------------------------------------------------

FUNCTIONS = """
SELECT proname, pg_get_function_identity_arguments(oid) FROM pg_proc
WHERE (proname LIKE 'protection\\_%' OR proname = 'release_protection') AND pronamespace = current_schema()::regnamespace
"""


def release(cursor: CursorWrapper, reason: str) -> None:
    """Let the rest of this transaction lose what is protected; nothing happens where nothing is.

    Errors: whatever PostgreSQL says to a role that may not.
    """
    cursor.execute("SELECT to_regproc('release_protection') IS NOT NULL")
    if cursor.fetchone()[0]:
        cursor.execute("SELECT release_protection(%s)", [reason])


def remove(connection: BaseDatabaseWrapper, tables: Iterable[str] | None = None) -> None:
    """Protect these tables no more; with none named, nothing at all, and the log of releases goes too.

    Locks: ACCESS EXCLUSIVE on each table in its turn, for an instant. Errors: StillInUse.
    """
    if not is_installed(connection):
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM protected_tables WHERE %s OR name = ANY(%s)", [tables is None, list(tables or ())]
        )
        found = [name for (name,) in cursor.fetchall()]
    if tables is None:
        locks.execute(connection, FORGET_EVENTS)
    for name in found:
        locks.patiently(connection, partial(_leave, connection, name))
    if tables is None:
        locks.patiently(connection, partial(_forget, connection))


FORGET_EVENTS = (
    "DROP EVENT TRIGGER IF EXISTS protection_drop; DROP EVENT TRIGGER IF EXISTS protection_rename;"
    " DROP SCHEMA IF EXISTS protection CASCADE"
)
LEAVE = "DELETE FROM protected_tables WHERE name = %s RETURNING to_regclass(format('%%I.%%I', schema, name))::text"


def _leave(connection: BaseDatabaseWrapper, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(f"protection_of_{name}")))
        cursor.execute(LEAVE, [name])
        if (found := cursor.fetchone()) and found[0]:
            cursor.execute(
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(TRIGGER), sql.SQL(found[0]))
            )


def _forget(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS protected_tables, protection_releases")
        cursor.execute(FUNCTIONS)
        for name, arguments in cursor.fetchall():
            cursor.execute(sql.SQL("DROP FUNCTION {}({})").format(sql.Identifier(name), sql.SQL(arguments)))
