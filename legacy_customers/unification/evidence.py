"""Who still reads or writes the old shapes: gathered from all that can know it, each with what it cannot see.

`Evidence` is one reader or writer of one shape, seen by one source. Counters of the server are sampled (`sample`), so that
what they say survives a reset: between two samples somebody was there, and the later one is taken for the time.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from .sources import existing_tables

# The old shapes, in the order in which they go: five tables or parts of them, the view, the superseded calls.
SHAPES = ("users", "customers", "customer_profiles", "user_profiles", "orders", "customers_view", "old API")
Kind = Literal["read", "write"]


@dataclass(frozen=True)
class Evidence:
    """`who` is a database role, or a client of the API.

    `last_at` is never earlier than the last use; `first_at` and `count` are what the source knows. Times are aware, in UTC.
    """

    shape: str
    kind: Kind
    who: str
    first_at: datetime.datetime | None
    last_at: datetime.datetime
    count: int
    source: str
    blind_to: str


@dataclass(frozen=True)
class Watch:
    """A source that looks at a shape, and since when; None: it cannot see it on this server."""

    shape: str
    kind: Kind
    source: str
    since: datetime.datetime | None
    blind_to: str


# --- writes that the sync caught, and calls: kept as they happen ----------------------------------------------------

SYNC = "sync"
SYNC_BLIND = "a role whose every row another one wrote after it; writes of a session whose triggers sleep (session_replication_role)"
WRITES = """
SELECT source, last_by, min(last_at), max(last_at), sum(writes)::bigint FROM legacy_writes
WHERE writes > 0 GROUP BY source, last_by
UNION ALL
SELECT source, deleted_by, min(deleted_at), max(deleted_at), count(*) FROM legacy_deletions GROUP BY source, deleted_by
"""
API = "calls"
API_BLIND = "calls that a process had counted and not written when it was killed (5 s at most)"
CALLS = """
SELECT client || CASE WHEN agent <> '' THEN ' (' || agent || ')' ELSE '' END, method, min(first_at), max(last_at), sum(calls)::bigint
FROM api_usage GROUP BY client, agent, method
"""


def gather(connection: BaseDatabaseWrapper) -> list[Evidence]:
    """All that is known now, by shape, then the latest first; reads alone."""
    tables = existing_tables(connection)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        found = [*_written(cursor, tables), *_called(cursor, tables)]
    return sorted(found, key=lambda one: (SHAPES.index(one.shape), -one.last_at.timestamp(), one.who, one.kind))


def used_since(
    connection: BaseDatabaseWrapper, since: datetime.datetime, shapes: tuple[str, ...] = SHAPES
) -> list[Evidence]:
    """Who used these shapes at or after `since` (aware)."""
    return [one for one in gather(connection) if one.shape in shapes and one.last_at >= since]


def _written(cursor: CursorWrapper, tables: set[str]) -> Iterator[Evidence]:
    if not {"legacy_writes", "legacy_deletions"} <= tables:
        return
    cursor.execute(WRITES)
    for shape, who, first_at, last_at, count in cursor.fetchall():
        yield Evidence(shape, "write", who, first_at, last_at, count, SYNC, SYNC_BLIND)


def _called(cursor: CursorWrapper, tables: set[str]) -> Iterator[Evidence]:
    if "api_usage" not in tables:
        return
    cursor.execute(CALLS)
    for who, method, first_at, last_at, count in cursor.fetchall():
        kind: Kind = "read" if method in ("GET", "HEAD", "OPTIONS") else "write"
        yield Evidence("old API", kind, who, first_at, last_at, count, API, API_BLIND)
