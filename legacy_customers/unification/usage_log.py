"""A log of who writes the old shape where the sync does not tell: through customers_view, and in users and orders.

Triggers append to it, for each session and shape once a second at most: what came between is counted with the next row, so that
of a session's last second the count, never the use, can be lost. New orders, of which a till writes many, are told once a minute. Nothing reads it but `fold`, which adds it to legacy_usage.
"""

from collections.abc import Collection

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from .field_map import Kind
from .sources import columns_of
from .sync.to_legacy import USERS

SOURCE = "log"
# Its triggers come before those of the sync by their names, and see what the writer wrote.
TRIGGER = "unification_log"
OBJECTS = """
CREATE TABLE IF NOT EXISTS unification_uses (
    at timestamptz NOT NULL DEFAULT clock_timestamp(), shape text NOT NULL, who text NOT NULL, count bigint NOT NULL
);
CREATE OR REPLACE FUNCTION unification_log_use(shape text, count bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO unification_uses (shape, who, count) VALUES (shape, session_user, count)
$$
"""
# They run with the writer's own rights, and remember in the session who it was, when it was logged the last time, and how many
# uses came since. What is done with every use is little.
FUNCTION = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_log() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    setting text := 'unification.log_' || TG_TABLE_NAME;
    waiting text := current_setting(setting, true);
    now_by text := session_user || ' ' || date_part('epoch', clock_timestamp())::bigint || ' ';
BEGIN
    IF current_setting('unification.sync', true) = 'on' THEN
        RETURN NEW;
    ELSIF starts_with(waiting, now_by) THEN
        waiting := set_config(setting, now_by || substr(waiting, length(now_by) + 1)::bigint + 1, false);
        RETURN NEW;
    END IF;
    PERFORM {schema}.unification_log_use(TG_TABLE_NAME, 1 + CASE
        WHEN starts_with(waiting, session_user || ' ') THEN substring(waiting FROM '[0-9]+$')::bigint ELSE 0 END);
    waiting := set_config(setting, now_by || '0', false);
    RETURN NEW;
END
$$
"""
)
ORDER_FUNCTION = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_log_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('unification.log_order', true)
        IS DISTINCT FROM session_user || ' ' || date_part('epoch', now())::bigint / 60
    THEN
        -- By itself: an expression is made ready anew in every transaction.
        IF current_setting('unification.sync', true) IS DISTINCT FROM 'on' THEN
            PERFORM {schema}.unification_log_use('orders', 1);
            PERFORM set_config('unification.log_order', session_user || ' ' || date_part('epoch', now())::bigint / 60, false);
        END IF;
    END IF;
    RETURN NEW;
END
$$
"""
)
DROP_OBJECTS = """
DROP TABLE IF EXISTS unification_uses;
DROP FUNCTION IF EXISTS unification_log();
DROP FUNCTION IF EXISTS unification_log_order();
DROP FUNCTION IF EXISTS unification_log_use(text, bigint)
"""
VIEW_TRIGGER = sql.SQL(
    "CREATE OR REPLACE TRIGGER unification_log AFTER INSERT OR UPDATE OR DELETE ON customers_view FOR EACH STATEMENT"
    " EXECUTE FUNCTION unification_log()"
)
# Both applications insert; what a row says tells them apart. A condition of this size costs less than a call.
INSERT_TRIGGER = sql.SQL(
    "CREATE OR REPLACE TRIGGER unification_log_insert BEFORE INSERT ON {table} FOR EACH ROW WHEN ({condition})"
    " EXECUTE FUNCTION {function}()"
)
# Which columns a statement names costs nothing to know, and that it is the sync's less than a call.
UPDATE_TRIGGER = sql.SQL(
    "CREATE OR REPLACE TRIGGER unification_log_update BEFORE UPDATE OF {columns} ON {table} FOR EACH STATEMENT"
    " WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION unification_log()"
)


def statements(connection: BaseDatabaseWrapper) -> list[sql.Composable]:
    """The log and what writes to it, without the triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = sql.Identifier(cursor.fetchone()[0])
    return [sql.SQL(OBJECTS), FUNCTION.format(schema=schema), ORDER_FUNCTION.format(schema=schema)]


def triggers(connection: BaseDatabaseWrapper) -> dict[str, list[sql.Composable]]:
    """Relation -> its triggers, of what is there. In users the copies of personal data, in orders the customer's id."""
    found: dict[str, list[sql.Composable]] = {}
    if columns_of(connection, "customers_view"):
        found["customers_view"] = [VIEW_TRIGGER]
    there = columns_of(connection, "users")
    if copies := [field.column for field in USERS if field.column in there]:
        found["users"] = _table_triggers("users", copies, names_copies(copies))
    if columns_of(connection, "customers"):
        found["orders"] = _table_triggers(
            "orders", ["customer_id"], sql.SQL("NEW.customer_id IS NOT NULL"), "unification_log_order"
        )
    return found


def names_copies(columns: Collection[str]) -> sql.Composed:
    """Whether a new row of users says something of a person, in these columns."""
    return sql.SQL(" OR ").join(
        sql.SQL("NEW.{} IS TRUE" if field.kind is Kind.BOOLEAN else "NEW.{} IS NOT NULL").format(
            sql.Identifier(field.column)
        )
        for field in USERS
        if field.column in columns
    )


def _table_triggers(
    table: str, columns: list[str], said: sql.Composable, function: str = TRIGGER
) -> list[sql.Composable]:
    name = sql.Identifier(table)
    return [
        INSERT_TRIGGER.format(table=name, condition=said, function=sql.Identifier(function)),
        UPDATE_TRIGGER.format(table=name, columns=sql.SQL(", ").join(map(sql.Identifier, columns))),
    ]


STANDING = """
SELECT c.relname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE t.tgname LIKE 'unification\\_log%' AND t.tgenabled IN ('O', 'A') AND pg_table_is_visible(c.oid)
"""


def logged(cursor: CursorWrapper) -> set[str]:
    """The relations whose writers are logged now."""
    cursor.execute(STANDING)
    return {name for (name,) in cursor.fetchall()}


def stop(cursor: CursorWrapper, *relations: str) -> None:
    """Log these no more. Locks: ACCESS EXCLUSIVE on each."""
    for relation in relations:
        for name in (TRIGGER, f"{TRIGGER}_insert", f"{TRIGGER}_update"):
            cursor.execute(
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(name), sql.Identifier(relation))
            )


FOLD = """
WITH moved AS (DELETE FROM unification_uses RETURNING at, shape, who, count)
INSERT INTO legacy_usage AS u (source, shape, kind, who, first_at, last_at, count)
SELECT 'log', shape, 'write', who, min(at), max(at), sum(count) FROM moved GROUP BY shape, who
ON CONFLICT (source, shape, kind, who) DO UPDATE SET first_at = least(u.first_at, EXCLUDED.first_at),
    last_at = greatest(u.last_at, EXCLUDED.last_at), count = u.count + EXCLUDED.count
"""
UNFOLDED = (
    "SELECT 'log', shape, 'write', who, min(at), max(at), sum(count)::bigint FROM unification_uses GROUP BY shape, who"
)


def fold(cursor: CursorWrapper) -> None:
    """Move what was logged into legacy_usage; what others log meanwhile stays for the next time."""
    cursor.execute(FOLD)
