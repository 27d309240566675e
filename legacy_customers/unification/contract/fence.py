"""The fence: whoever still writes the old shape is refused, with the way out, and nothing else changes.

The sync stays until the tables go. Its one half has nothing to carry any more; the other keeps the old tables as the
profiles are, so that late readers see no stale row, and so that taking the fence away is all that it takes to undo it.
What the sync, an erasure and customers_view write bears the sync's marker and passes.
"""

from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config import locks

from .. import usage_log
from ..field_map import Table
from ..sources import existing_tables
from ..sync import NOT_OURS
from ..sync.to_legacy import USERS
from . import state

STEP = "fence"
TRIGGER = "unification_fence"
# Those that nobody but the old application writes, and the live ones, of which a part was its own.
TABLES = tuple(str(table) for table in Table if table is not Table.USERS)
LIVE = ("users", "orders")
# The copies of personal data that logins carried.
DUPLICATES = tuple(field.column for field in USERS)

# `TG_ARGV` says what of the table is meant, and the way out.
FUNCTION = """
CREATE OR REPLACE FUNCTION unification_fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: the old tables are fenced, and will be dropped', TG_OP, TG_ARGV[0] USING
        ERRCODE = 'feature_not_supported',
        HINT = TG_ARGV[1] || ' Or take the fence away: manage.py contract_unification --undo.';
END
$$
"""
DROP_FUNCTION = "DROP FUNCTION IF EXISTS unification_fence()"
WAYS_OUT = {
    "customers": "Write customers_view, or call the API (docs/porting.md).",
    "customer_profiles": "Write preferences, purchase_history and interaction_count of profiles, or call the API.",
    "user_profiles": "Write profiles, or call the API.",
    "users": "A person's name, phone, birth date and consent are columns of profiles.",
    "orders": "Name the user of the order in user_id; customers_view has the user_id of each old id.",
}


def statements(tables: set[str]) -> list[sql.Composable]:
    """The function, and its triggers on those of `tables` that are fenced."""
    names = sql.SQL(", ")
    changed = sql.SQL("({}) IS DISTINCT FROM ({})").format(
        names.join(sql.Identifier("old", name) for name in DUPLICATES),
        names.join(sql.Identifier("new", name) for name in DUPLICATES),
    )
    copies = "users with " + ", ".join(DUPLICATES)
    named = sql.SQL("NEW.customer_id IS NOT NULL")
    renamed = sql.SQL("{} AND NEW.customer_id IS DISTINCT FROM OLD.customer_id").format(named)
    return [
        sql.SQL(FUNCTION),
        *(_on_old_table(table) for table in TABLES if table in tables),
        _on_rows("users", "insert", usage_log.names_copies(DUPLICATES), copies),
        _on_rows("users", "update", changed, copies),
        _on_rows("orders", "insert", named, "orders with customer_id"),
        _on_rows("orders", "update", renamed, "orders with customer_id"),
    ]


def _on_old_table(table: str) -> sql.Composed:
    when = "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE"
    return _trigger(table, TRIGGER, f"{when} ON {{}} FOR EACH STATEMENT", NOT_OURS, table)


def _on_rows(table: str, event: str, condition: sql.Composable, what: str) -> sql.Composed:
    # Before the sync's own by its name, so that it sees what the writer wrote.
    return _trigger(
        table,
        f"{TRIGGER}_{event}",
        f"BEFORE {event.upper()} ON {{}} FOR EACH ROW",
        sql.SQL("({}) AND {}").format(condition, NOT_OURS),
        what,
    )


def _trigger(table: str, name: str, when: str, condition: sql.Composable, what: str) -> sql.Composed:
    return sql.SQL(
        "CREATE OR REPLACE TRIGGER {name} {when} WHEN ({condition}) EXECUTE FUNCTION unification_fence({what}, {way_out})"
    ).format(
        name=sql.Identifier(name),
        when=sql.SQL(when).format(sql.Identifier(table)),
        condition=condition,
        what=sql.Literal(what),
        way_out=sql.Literal(WAYS_OUT[table]),
    )


FENCES = {
    **dict.fromkeys(TABLES, (TRIGGER,)),
    **dict.fromkeys(LIVE, (f"{TRIGGER}_insert", f"{TRIGGER}_update")),
}


def put_up(connection: BaseDatabaseWrapper) -> None:
    """Refuse from here on. Locks: SHARE ROW EXCLUSIVE on the five tables, for an instant."""
    locks.patiently(connection, partial(_put_up, connection))


def _put_up(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        for statement in statements(existing_tables(connection)):
            cursor.execute(statement)
    state.finish(connection, STEP)


def take_away(connection: BaseDatabaseWrapper) -> None:
    """Let the old application write again. Locks: ACCESS EXCLUSIVE on the five tables, for an instant."""

    def work() -> None:
        remove(connection, *FENCES)
        with connection.cursor() as cursor:
            cursor.execute(DROP_FUNCTION)
        state.undo(connection, STEP)

    locks.patiently(connection, work)


def remove(connection: BaseDatabaseWrapper, *tables: str) -> None:
    """Take the triggers off some tables, in the running transaction."""
    there = existing_tables(connection)
    with connection.cursor() as cursor:
        for table in tables:
            for name in FENCES[table] if table in there else ():
                cursor.execute(
                    sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(name), sql.Identifier(table))
                )


STANDING = """
SELECT c.relname, t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE t.tgname LIKE 'unification\\_fence%' AND t.tgenabled IN ('O', 'A') AND pg_table_is_visible(c.oid)
"""


def gaps(connection: BaseDatabaseWrapper, tables: set[str]) -> list[str]:
    """The triggers of the fence on `tables` that are missing or asleep."""
    with connection.cursor() as cursor:
        cursor.execute(STANDING)
        found = set(cursor.fetchall())
    return [
        f"trigger {name} on {table} is missing or disabled"
        for table, names in FENCES.items()
        for name in names
        if table in tables and (table, name) not in found
    ]
