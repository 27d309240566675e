"""A log of who writes the old shape where the sync does not tell: through customers_view, and in users and orders.

A trigger appends a row for each statement, or for each row of a table that both applications write; nothing reads it but
`fold`, which adds it to legacy_usage.
"""

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from .field_map import Kind
from .sources import columns_of
from .sync import NOT_OURS
from .sync_to_legacy import USERS

SOURCE = "log"
# Its triggers come before those of the sync by their names, and see what the writer wrote.
TRIGGER = "unification_log"
OBJECTS = """
CREATE TABLE IF NOT EXISTS unification_uses (
    at timestamptz NOT NULL DEFAULT clock_timestamp(), shape text NOT NULL, who text NOT NULL
);
CREATE OR REPLACE FUNCTION unification_log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO unification_uses (shape, who) VALUES (TG_TABLE_NAME, session_user);
    RETURN NEW;
END
$$
"""
VIEW_TRIGGER = sql.SQL(
    "CREATE OR REPLACE TRIGGER unification_log AFTER INSERT OR UPDATE OR DELETE ON customers_view FOR EACH STATEMENT"
    " EXECUTE FUNCTION unification_log()"
)
ROW_TRIGGER = sql.SQL(
    "CREATE OR REPLACE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition} AND {not_ours})"
    " EXECUTE FUNCTION unification_log()"
)


def triggers(connection: BaseDatabaseWrapper) -> dict[str, list[sql.Composable]]:
    """Relation -> its triggers, of what is there. In users the copies of personal data, in orders the customer's id."""
    found: dict[str, list[sql.Composable]] = {}
    if columns_of(connection, "customers_view"):
        found["customers_view"] = [VIEW_TRIGGER]
    there = columns_of(connection, "users")
    copies = [field for field in USERS if field.column in there]
    if copies:
        names = sql.SQL(", ")
        said = sql.SQL(" OR ").join(
            sql.SQL("NEW.{} IS TRUE" if field.kind is Kind.BOOLEAN else "NEW.{} IS NOT NULL").format(
                sql.Identifier(field.column)
            )
            for field in copies
        )
        changed = sql.SQL("({}) IS DISTINCT FROM ({})").format(
            names.join(sql.Identifier("old", field.column) for field in copies),
            names.join(sql.Identifier("new", field.column) for field in copies),
        )
        found["users"] = [_row_trigger("users", "INSERT", said), _row_trigger("users", "UPDATE", changed)]
    if columns_of(connection, "customers"):
        named = sql.SQL("NEW.customer_id IS NOT NULL")
        renamed = sql.SQL("NEW.customer_id IS NOT NULL AND NEW.customer_id IS DISTINCT FROM OLD.customer_id")
        found["orders"] = [_row_trigger("orders", "INSERT", named), _row_trigger("orders", "UPDATE", renamed)]
    return found


def _row_trigger(table: str, event: str, condition: sql.Composable) -> sql.Composed:
    return ROW_TRIGGER.format(
        name=sql.Identifier(f"{TRIGGER}_{event.lower()}"),
        event=sql.SQL(event),
        table=sql.Identifier(table),
        condition=sql.SQL("({})").format(condition),
        not_ours=NOT_OURS,
    )


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
WITH moved AS (DELETE FROM unification_uses RETURNING at, shape, who)
INSERT INTO legacy_usage AS u (source, shape, kind, who, first_at, last_at, count)
SELECT 'log', shape, 'write', who, min(at), max(at), count(*) FROM moved GROUP BY shape, who
ON CONFLICT (source, shape, kind, who) DO UPDATE SET first_at = least(u.first_at, EXCLUDED.first_at),
    last_at = greatest(u.last_at, EXCLUDED.last_at), count = u.count + EXCLUDED.count
"""
UNFOLDED = "SELECT 'log', shape, 'write', who, min(at), max(at), count(*) FROM unification_uses GROUP BY shape, who"


def fold(cursor: CursorWrapper) -> None:
    """Move what was logged into legacy_usage; what others log meanwhile stays for the next time."""
    cursor.execute(FOLD)
