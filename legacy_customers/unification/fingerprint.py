"""The legacy schema as it was found: what is taken over is given back exactly so."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from . import phases
from .sources import LEGACY_TABLES, columns_of, existing_tables

PHASE = "fingerprint"

Fingerprint = dict[str, dict[str, dict[str, str]]]

# One query per kind of thing: its table, its name, and everything that tells it from another of that name.
QUERIES = {
    "columns": """
        SELECT c.relname, a.attname, concat_ws(' ',
            '#' || row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attnotnull THEN 'NOT NULL' END, 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = ANY(%s::regclass[]) AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY c.relname, a.attnum""",
    "constraints": """
        SELECT c.relname, k.conname, pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.conrelid = ANY(%s::regclass[]) AND k.contype IN ('p', 'u', 'f', 'c', 'x') ORDER BY 1, 2""",
    "indexes": """
        SELECT c.relname, x.relname, pg_get_indexdef(i.indexrelid)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = ANY(%s::regclass[]) ORDER BY 1, 2""",
    "triggers": """
        SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE t.tgrelid = ANY(%s::regclass[]) AND NOT t.tgisinternal ORDER BY 1, 2""",
}

SINGULAR = {"columns": "column", "constraints": "constraint", "indexes": "index", "triggers": "trigger"}


def take(connection: BaseDatabaseWrapper) -> Fingerprint:
    """Table → kind → name → definition, of the legacy tables that exist."""
    tables = [name for name in LEGACY_TABLES if name in existing_tables(connection)]
    found: Fingerprint = {table: {kind: {} for kind in QUERIES} for table in tables}
    with connection.cursor() as cursor:
        for kind, query in QUERIES.items():
            cursor.execute(query, [[f'"{table}"' for table in tables]])
            for table, name, definition in cursor.fetchall():
                found[table][kind][name] = definition
    return found


def record(connection: BaseDatabaseWrapper) -> None:
    """Note the schema before the first change; an earlier note stands."""
    if not phases.detail_of(connection, PHASE):
        phases.note(connection, PHASE, **take(connection))


def recorded(connection: BaseDatabaseWrapper) -> Fingerprint:
    """The schema as it was before the first change; empty on a database that had no legacy tables."""
    found: dict[str, Any] = phases.detail_of(connection, PHASE)
    return found


def legacy_columns(connection: BaseDatabaseWrapper, table: str) -> list[str]:
    """The columns that `table` had before the first change, in its order."""
    legacy = recorded(connection)[table]["columns"]
    return [name for name in columns_of(connection, table) if name in legacy]


def differences(before: Fingerprint, after: Fingerprint) -> list[str]:
    """What is not as it was, a line each."""
    lines = []
    for table, kinds in before.items():
        for kind, things in kinds.items():
            now = after.get(table, {}).get(kind, {})
            lines += [
                f"{table}: {SINGULAR[kind]} {name} was {things.get(name, 'absent')}, is {now.get(name, 'absent')}"
                for name in sorted(things.keys() | now.keys())
                if things.get(name) != now.get(name)
            ]
    return lines
