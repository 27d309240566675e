"""The rows that values came from: when each was written, and the address that it had. Apps that know more tables add them."""

import datetime
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from django.db import connection
from psycopg import sql

Key = tuple[str, str]  # a table, or what stands for one, and the row's key


@dataclass(frozen=True)
class Written:
    """A source row. `at` is None where nobody knows, `address` the JSON of an address's columns where the row has them."""

    at: datetime.datetime | None
    address: str | None


# Each gives SELECTs of (source, row, at, address) over `wanted` (source, row), as far as its tables are there.
Lookup = Callable[[], list[sql.Composable]]
_lookups: list[Lookup] = []


def add_lookup(lookup: Lookup) -> None:
    _lookups.append(lookup)


# A profile as it was when it was merged: the last merge that has it.
_MERGED = sql.SQL(
    """
SELECT w.source, w.row, (side ->> 'updated_at')::timestamptz, jsonb_build_object('address', side -> 'address',
    'city', side -> 'city', 'state', side -> 'state', 'postal_code', side -> 'postal_code', 'country', side -> 'country')
FROM wanted AS w CROSS JOIN LATERAL (
    SELECT CASE WHEN m.other_id::text = w.row THEN m.before -> 'other' ELSE m.before -> 'survivor' END AS side
    FROM profile_merges AS m
    WHERE CASE w.source
        WHEN 'profile_merges' THEN m.id::text = w.row
        WHEN 'profiles' THEN loyalty_entries_uuid(w.row) IN (m.survivor_id, m.other_id)
    END AND m.before <> '{}'
    ORDER BY m.id DESC LIMIT 1
) AS found
WHERE w.source IN ('profiles', 'profile_merges')"""
)


def written(keys: Collection[Key]) -> dict[Key, Written]:
    """What is known of each row; one query."""
    if not keys:
        return {}
    wanted = sorted(set(keys))
    parts = [_MERGED, *(part for lookup in _lookups for part in lookup())]
    statement = sql.SQL(
        "WITH wanted AS MATERIALIZED (SELECT * FROM unnest(%s::text[], %s::text[]) AS w (source, row))\n{}"
    ).format(sql.SQL("\nUNION ALL ").join(sql.SQL("({})").format(part) for part in parts))
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT source, row, at, address::text FROM ({}) AS found (source, row, at, address)").format(
                statement
            ),
            [[source for source, _ in wanted], [row for _, row in wanted]],
        )
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return {(source, row): Written(at, address) for source, row, at, address in found}
