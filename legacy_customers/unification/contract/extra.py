"""Columns of the old tables that nobody here knows: named before their table goes, and moved to profiles.legacy_extra.

There they are as {table: {row's key: {column: value}}}. Rows that were attached to nobody have nobody to move to: theirs stay
in the dump, and are counted.
"""

from functools import partial

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config import locks

from ..field_map import Table
from ..preflight.found import COLUMNS
from ..sources import BACKUP_KEYS, columns_of

# Short enough for who waits for one of the profiles.
BATCH = 500

OWNERS: dict[str, sql.SQL] = {
    "customers": sql.SQL("legacy_identities AS i ON i.customer_id = r.id"),
    "customer_profiles": sql.SQL(
        "legacy_attachments AS i ON i.source = 'customer_profiles' AND i.key = r.customer_id::text"
    ),
    "user_profiles": sql.SQL("legacy_attachments AS i ON i.source = 'user_profiles' AND i.key = r.id::text"),
}
# What the row says in those columns; NULL where it says nothing.
SAID = sql.SQL(
    "(SELECT jsonb_object_agg(c.key, c.value) FROM jsonb_each(to_jsonb(r)) AS c"
    " WHERE c.key = ANY({names}) AND c.value <> 'null')"
)
MOVE = sql.SQL(
    """
WITH page AS MATERIALIZED (
    SELECT r.{key}::text AS key, {said} AS said, r.{key} AS place, i.user_id FROM (
        SELECT * FROM {table} WHERE {after} ORDER BY {key} LIMIT {batch}
    ) AS r LEFT JOIN {owner}
), moved AS (
    UPDATE profiles AS p SET legacy_extra = coalesce(p.legacy_extra, '{{}}') || jsonb_build_object({name},
        coalesce(p.legacy_extra -> {name}, '{{}}') || s.rows)
    FROM (SELECT user_id, jsonb_object_agg(key, said) AS rows FROM page WHERE said IS NOT NULL GROUP BY user_id) AS s
    WHERE p.user_id = s.user_id AND (p.legacy_extra -> {name} @> s.rows) IS NOT TRUE
)
SELECT (SELECT p.key FROM page AS p ORDER BY p.place DESC LIMIT 1)"""
)
LEFT = sql.SQL(
    """
SELECT count(*) FILTER (WHERE p.id IS NOT NULL
        AND (p.legacy_extra #> ARRAY[{name}, r.{key}::text] @> {said}) IS NOT TRUE),
    count(*) FILTER (WHERE p.id IS NULL), count(*) FILTER (WHERE p.id IS NOT NULL)
FROM {table} AS r LEFT JOIN {owner} LEFT JOIN profiles AS p ON p.user_id = i.user_id
WHERE {said} IS NOT NULL"""
)


def unknown(connection: BaseDatabaseWrapper) -> dict[str, list[str]]:
    """Table → its columns that no rule reads; tables without any are left out."""
    found = {
        table: [name for name in columns_of(connection, table) if name not in COLUMNS[table]]
        for table in (Table.CUSTOMERS, Table.CUSTOMER_PROFILES, Table.USER_PROFILES)
    }
    return {str(table): names for table, names in found.items() if names}


def move(connection: BaseDatabaseWrapper) -> dict[str, dict[str, int]]:
    """Fill profiles.legacy_extra, batch by batch; gives per table how many rows were moved and how many have nobody.

    It can be run again: what is there already is not written.
    """
    moved = {}
    for table, names in unknown(connection).items():
        last: str | None = None
        while True:
            last = locks.patiently(connection, partial(_batch, connection, table, names, last))
            if last is None:
                break
        left, nobodys, somebodys = _count(connection, table, names)
        if left:
            raise CommandError(
                f"{left:,} rows of {table} say something that is not in profiles.legacy_extra. Run this again."
            )
        moved[table] = {"moved": somebodys, "of_nobody": nobodys}
    return moved


def _batch(connection: BaseDatabaseWrapper, table: str, names: list[str], last: str | None) -> str | None:
    key = sql.Identifier(BACKUP_KEYS[table])
    kind = sql.SQL(columns_of(connection, table)[BACKUP_KEYS[table]])  # as PostgreSQL writes it
    after = sql.SQL("true") if last is None else sql.SQL("{} > {}::{}").format(key, sql.Literal(last), kind)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('unified.via', 'contract', true)")
        cursor.execute(
            MOVE.format(
                key=key,
                said=SAID.format(names=sql.Literal(names)),
                table=sql.Identifier(table),
                after=after,
                batch=sql.Literal(BATCH),
                owner=OWNERS[table],
                name=sql.Literal(table),
            )
        )
        found: str | None = cursor.fetchone()[0]
        return found


def _count(connection: BaseDatabaseWrapper, table: str, names: list[str]) -> tuple[int, int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            LEFT.format(
                name=sql.Literal(table),
                key=sql.Identifier(BACKUP_KEYS[table]),
                said=SAID.format(names=sql.Literal(names)),
                table=sql.Identifier(table),
                owner=OWNERS[table],
            )
        )
        found: tuple[int, int, int] = cursor.fetchone()
        return found
