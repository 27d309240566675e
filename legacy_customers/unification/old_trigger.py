"""The trigger that copied users into customers goes, and can come back as it was."""

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from . import phases

PHASE = "old_trigger"
NAME, FUNCTION = "create_customer_on_user_insert", "create_customer_for_user"

FIND = """
SELECT t.tgname, pg_get_triggerdef(t.oid), t.tgenabled
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = to_regclass('users') AND NOT t.tgisinternal AND (t.tgname = %s OR p.proname = %s)
ORDER BY t.tgname
"""


def find(connection: BaseDatabaseWrapper) -> list[tuple[str, str, str]]:
    """Name, definition and state of the old trigger, under whatever name it runs the old function."""
    with connection.cursor() as cursor:
        cursor.execute(FIND, [NAME, FUNCTION])
        return list(cursor.fetchall())


def drop(connection: BaseDatabaseWrapper) -> None:
    """Drop it, noting how to make it again. Its function stays: other code may call it."""
    with phases.phase(connection, PHASE) as detail, transaction.atomic(using=connection.alias):
        found = find(connection)
        detail["triggers"] = detail.get("triggers", []) + [list(row) for row in found]
        detail["rows"] = 0
        phases.note(connection, PHASE, triggers=detail["triggers"])
        with connection.cursor() as cursor:
            for name, _, _ in found:
                cursor.execute(sql.SQL("DROP TRIGGER {} ON users").format(sql.Identifier(name)))


def restore(connection: BaseDatabaseWrapper) -> None:
    """Make it again, in the state in which it was."""
    states = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for name, definition, enabled in phases.detail_of(connection, PHASE).get("triggers", []):
            cursor.execute(definition)
            if enabled in states:
                cursor.execute(
                    sql.SQL("ALTER TABLE users {} TRIGGER {}").format(sql.SQL(states[enabled]), sql.Identifier(name))
                )
        phases.forget(connection, PHASE)
