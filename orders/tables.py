"""Every table of the database: how large, whose, who depends on it, and how it is protected."""

from dataclasses import dataclass, replace

from django.db.backends.base.base import BaseDatabaseWrapper

from config import protection
from config.protection import Means, Protection


@dataclass(frozen=True)
class Table:
    """`rows` is the server's estimate, None where it has none yet; `size` in bytes, indexes and all."""

    name: str
    rows: int | None
    size: int
    owner: str
    views: list[str]
    keys: list[str]
    functions: list[str]
    protected: str


@dataclass(frozen=True)
class Release:
    """A transaction that was let through: when (as text, UTC), by whom, why, and what it lost."""

    at: str
    by: str
    reason: str
    lost: list[str]


# Those who depend on a table: views that read it, tables with foreign keys to it, functions that are bound to it, run by its
# triggers, or have its name in their text. The views that protect are named as protection.
TABLES = """
SELECT c.oid::regclass::text, CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END, pg_total_relation_size(c.oid),
    pg_get_userbyid(c.relowner),
    ARRAY(SELECT DISTINCT r.ev_class::regclass::text FROM pg_depend AS d
        JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid JOIN pg_class AS v ON v.oid = r.ev_class
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND r.ev_class <> c.oid
            AND v.relname NOT LIKE 'protection\\_of\\_%' ORDER BY 1),
    ARRAY(SELECT DISTINCT k.conrelid::regclass::text FROM pg_constraint AS k
        WHERE k.contype = 'f' AND k.confrelid = c.oid AND k.conrelid <> c.oid ORDER BY 1),
    ARRAY(SELECT DISTINCT p.proname::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.proname NOT LIKE 'protection%' AND (
            strpos(p.prosrc, c.relname) > 0 AND p.prosrc ~ ('\\m' || c.relname || '\\M')
            OR EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgfoid = p.oid)
            OR EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid)) ORDER BY 1),
    CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE '' END
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1
"""
RELEASES = """
SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), by, reason, lost FROM protection_releases ORDER BY id DESC LIMIT 20
"""


def tables(connection: BaseDatabaseWrapper, found: Protection) -> list[Table]:
    """All tables, those that are protected first, in every schema that is not the server's own."""
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        rows = [Table(*row) for row in cursor.fetchall()]
    rows = [replace(table, protected=_means(found, table.protected)) for table in rows]
    return sorted(rows, key=lambda table: (not table.protected, table.name))


def _means(found: Protection, name: str) -> str:
    guard = found.guards.get(name)
    if guard is None:
        return ""
    refused = [
        words
        for words, is_refused in (
            ("DROP" if found.means is Means.EVENT_TRIGGERS else "DROP without CASCADE", guard.drop),
            ("DROP COLUMN", guard.drop and not guard.loose),
            ("RENAME", guard.rename),
            ("TRUNCATE", guard.truncate),
        )
        if is_refused
    ]
    return f"refused: {', '.join(refused)}" if refused else "on the list, and nothing is refused"


def releases(connection: BaseDatabaseWrapper) -> list[Release]:
    """The latest releases of the protection, 20 at most."""
    if not protection.is_installed(connection):
        return []
    with connection.cursor() as cursor:
        cursor.execute(RELEASES)
        return [Release(*row) for row in cursor.fetchall()]
