"""The trigger that copied users into customers: guarded, dropped when the sync comes, and made again as it was."""

import re

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
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


# While accounts are made for guests, who have their customers rows already, it makes none.
MAKING_GUESTS = "SELECT set_config('unification.making_guests', 'on', true)"
GUARD = "current_setting('unification.making_guests', true) IS DISTINCT FROM 'on'"
# As PostgreSQL writes a trigger: what comes before its condition, the condition, and what comes after it.
DEFINITION = re.compile(r"(.* FOR EACH (?:ROW|STATEMENT))(?: WHEN \((.*)\))?( EXECUTE FUNCTION .*)", re.DOTALL)
STATES = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def guard(connection: BaseDatabaseWrapper) -> None:
    """Let it pass over the accounts that are made for guests, and note how it was: all else goes on as before."""
    with phases.phase(connection, PHASE) as detail, transaction.atomic(using=connection.alias):
        found = find(connection)
        if "triggers" not in detail:
            detail["triggers"] = [list(row) for row in found]
        detail["rows"] = 0
        phases.note(connection, PHASE, triggers=detail["triggers"])
        with connection.cursor() as cursor:
            drop(cursor, connection)
            _make_guarded(cursor, detail["triggers"])


def drop(cursor: CursorWrapper, connection: BaseDatabaseWrapper) -> None:
    """Drop it, in the transaction in which the sync comes. Its function stays: other code may call it."""
    for name, _, _ in find(connection):
        cursor.execute(sql.SQL("DROP TRIGGER {} ON users").format(sql.Identifier(name)))


def bring_back(cursor: CursorWrapper, connection: BaseDatabaseWrapper) -> None:
    """Make it again, guarded, in the transaction in which the sync goes."""
    drop(cursor, connection)
    _make_guarded(cursor, phases.detail_of(connection, PHASE).get("triggers", []))


def restore(connection: BaseDatabaseWrapper) -> None:
    """Make it again as it was found, unless that was done: the note of how it was goes with it."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if (triggers := phases.detail_of(connection, PHASE).get("triggers")) is None:
            return
        drop(cursor, connection)
        _make(cursor, triggers)
        phases.forget(connection, PHASE)


def _make_guarded(cursor: CursorWrapper, triggers: list[list[str]]) -> None:
    _make(cursor, [[name, guarded(definition), enabled] for name, definition, enabled in triggers])


def guarded(definition: str) -> str:
    """The definition with one more condition."""
    found = DEFINITION.fullmatch(definition)
    if found is None:
        raise ValueError(f"This is no trigger as PostgreSQL writes one: {definition}")
    head, condition, tail = found.groups()
    return f"{head} WHEN ({GUARD}{f' AND ({condition})' if condition else ''}){tail}"


def _make(cursor: CursorWrapper, triggers: list[list[str]]) -> None:
    """In the state in which each was."""
    for name, definition, enabled in triggers:
        cursor.execute(definition)
        if enabled in STATES:
            cursor.execute(
                sql.SQL("ALTER TABLE users {} TRIGGER {}").format(sql.SQL(STATES[enabled]), sql.Identifier(name))
            )
