"""Who still reads or writes the old shapes: gathered from all that can know it, each with what it cannot see.

`Evidence` is one reader or writer of one shape, seen by one source. What the sync and the API count is kept as it happens. The
log of writers is moved into legacy_usage, and so is what the server's counters have grown by, each time a `sample` is taken:
between two samples somebody was there, and the later one is taken for the time.
"""

import datetime
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from config import locks

from . import usage_counters, usage_log
from .contract import dump
from .rollback import is_synced
from .sources import existing_tables
from .usage_counters import SCANS, STATEMENTS, TABLES, VIEW, Counter

# The old shapes, in the order in which they go. Of users the copies of personal data are meant, of orders the customer's id.
SHAPES = ("users", "customers", "customer_profiles", "user_profiles", "orders", "customers_view", "old API")
Kind = Literal["read", "write"]
SYNC, LOG, API = "sync", usage_log.SOURCE, "API"
# Source -> what it cannot see.
BLIND_TO = {
    SYNC: "a role whose every row another one wrote after it; sessions whose triggers sleep (session_replication_role)",
    LOG: "sessions whose triggers sleep (session_replication_role)",
    API: "calls that a process had counted and not written when it was killed (5 s at most)",
    VIEW: "when and how often between two samples; whom a session becomes (SET SESSION AUTHORIZATION) after its first read;"
    " reads between the last sample and a reset or crash of the server; replicas. Writes of the view, EXPLAIN and our admin's"
    " page of it count as reads",
    SCANS: "who, and when between two samples; reads while the sync is on, and during our own verification or dump, or after a kill"
    " of those until the next sample; replicas. A scan of one table alone by a backup or an erasure counts as a read",
    STATEMENTS: "when between two samples; statements within functions, and those that it has forgotten for want of room",
}


@dataclass(frozen=True)
class Evidence:
    """`who` is a database role, or a client of the API. `last_at` is never earlier than the last use. Times are aware, in UTC."""

    shape: str
    kind: Kind
    who: str
    first_at: datetime.datetime
    last_at: datetime.datetime
    count: int
    source: str

    @property
    def blind_to(self) -> str:
        return BLIND_TO[self.source]


@dataclass(frozen=True)
class Watch:
    """A source that looks at the readers or writers of a shape, and since when; None: here it does not, `why` not."""

    shape: str
    kind: Kind
    source: str
    since: datetime.datetime | None
    why: str = ""

    @property
    def blind_to(self) -> str:
        return BLIND_TO[self.source]


# --- what is known --------------------------------------------------------------------------------------------------

# Of users and orders both applications write: the log tells.
WRITES = """
SELECT 'sync', source, 'write', last_by, min(last_at), max(last_at), sum(writes)::bigint FROM legacy_writes
WHERE writes > 0 AND source = ANY(%(tables)s) GROUP BY source, last_by
UNION ALL
SELECT 'sync', source, 'write', deleted_by, min(deleted_at), max(deleted_at), count(*) FROM legacy_deletions
WHERE source = ANY(%(tables)s) GROUP BY source, deleted_by
"""
CALLS = """
SELECT 'API', 'old API', CASE WHEN method IN ('GET', 'HEAD', 'OPTIONS') THEN 'read' ELSE 'write' END,
    client || CASE WHEN agent <> '' THEN ' (' || agent || ')' ELSE '' END, min(first_at), max(last_at), sum(calls)::bigint
FROM api_usage GROUP BY 3, 4
"""
KEPT = "SELECT source, shape, kind, who, first_at, last_at, count FROM legacy_usage"
# Needed tables -> what is asked of them.
QUERIES: dict[tuple[str, ...], str] = {
    ("legacy_writes", "legacy_deletions"): WRITES,
    ("api_usage",): CALLS,
    ("legacy_usage",): KEPT,
    ("unification_uses",): usage_log.UNFOLDED,
}


def gather(connection: BaseDatabaseWrapper) -> list[Evidence]:
    """All that is known now, one line per source, shape, kind and who; by shape, then the latest first. Writes nothing."""
    tables = existing_tables(connection)
    found: dict[tuple[str, str, str, str], Evidence] = {}
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for needed, query in QUERIES.items():
            if set(needed) <= tables:
                cursor.execute(query, {"tables": list(TABLES)})
                for row in cursor.fetchall():
                    _add(found, _evidence(*row))
        if "legacy_usage_counters" in tables:
            for grown in _growth(cursor, usage_counters.read(connection)):
                if grown.count:
                    _add(found, grown)
    return sorted(
        found.values(), key=lambda one: (SHAPES.index(one.shape), -one.last_at.timestamp(), one.who, one.kind)
    )


def used_since(
    connection: BaseDatabaseWrapper, since: datetime.datetime, shapes: Iterable[str] = SHAPES
) -> list[Evidence]:
    """Who used these shapes at or after `since` (aware)."""
    wanted = set(shapes)
    return [one for one in gather(connection) if one.shape in wanted and one.last_at >= since]


def _evidence(
    source: str, shape: str, kind: Kind, who: str, first_at: datetime.datetime, last_at: datetime.datetime, count: int
) -> Evidence:
    return Evidence(shape, kind, who, first_at, last_at, count, source)


def _add(found: dict[tuple[str, str, str, str], Evidence], one: Evidence) -> None:
    key = (one.source, one.shape, one.kind, one.who)
    if before := found.get(key):
        one = Evidence(
            one.shape,
            one.kind,
            one.who,
            min(before.first_at, one.first_at),
            max(before.last_at, one.last_at),
            before.count + one.count,
            one.source,
        )
    found[key] = one


# --- who looks ------------------------------------------------------------------------------------------------------

SYNC_SINCE = "SELECT finished_at FROM unification_phases WHERE name = 'sync'"
API_SINCE = "SELECT min(applied) FROM django_migrations WHERE app = 'legacy_customers' AND name = '0010_api_usage'"
COUNTERS_SINCE = "SELECT source, shape, min(since) FROM legacy_usage_counters GROUP BY source, shape"
NO_SAMPLE = "no sample has been taken yet: `manage.py sample_usage`"
NO_VIEW = (
    "this role may not make functions that count (track_functions is a superuser's to set), and the server counts no calls:"
    " ALTER DATABASE … SET track_functions = 'pl', and a new session"
)
HIDDEN = "as long as the sync is on, its own reads hide others'"
NOBODY = "no source tells who reads columns of a table that stays"


def watches(connection: BaseDatabaseWrapper) -> list[Watch]:
    """For each shape and kind the sources that look at it here, and since when."""
    tables = existing_tables(connection)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:

        def since(query: str, *needed: str) -> datetime.datetime | None:
            if not set(needed) <= tables:
                return None
            cursor.execute(query)
            row = cursor.fetchone()
            return row[0] if row else None

        sampled: dict[tuple[str, str], datetime.datetime] = {}
        if "legacy_usage_counters" in tables:
            cursor.execute(COUNTERS_SINCE)
            sampled = {(source, shape): at for source, shape, at in cursor.fetchall()}
        logged = usage_log.logged(cursor)
        synced = since(SYNC_SINCE, "unification_phases")
        found = []
        for table in TABLES:
            if table in tables:
                found.append(Watch(table, "write", SYNC, synced))
                found.append(_sampled(table, SCANS, sampled, HIDDEN if is_synced(connection) else NO_SAMPLE))
        for shape in ("users", "orders", "customers_view"):
            if shape in logged:
                found.append(_sampled(shape, LOG, sampled, NO_SAMPLE, "write"))
        if "users" in logged:
            found.append(Watch("users", "read", STATEMENTS, None, NOBODY))
        if "customers_view" in logged:
            counted = any(True for one in usage_counters.read(connection) if one.source == VIEW)
            found.append(
                _sampled("customers_view", VIEW, sampled if counted else {}, NO_SAMPLE if counted else NO_VIEW)
            )
        if "api_usage" in tables:
            at = since(API_SINCE, "django_migrations")
            found += [Watch("old API", "read", API, at), Watch("old API", "write", API, at)]
    return sorted(found, key=lambda one: SHAPES.index(one.shape))


def unwatched(connection: BaseDatabaseWrapper, since: datetime.datetime, shapes: Iterable[str] = SHAPES) -> list[Watch]:
    """Those who do not look, or have not looked all the time since `since`: their silence proves nothing yet."""
    wanted = set(shapes)
    return [one for one in watches(connection) if one.shape in wanted and (one.since is None or one.since > since)]


def _sampled(
    shape: str, source: str, sampled: dict[tuple[str, str], datetime.datetime], why: str, kind: Kind = "read"
) -> Watch:
    at = sampled.get((source, shape))
    return Watch(shape, kind, source, at, "" if at else why)


# --- samples --------------------------------------------------------------------------------------------------------

BASE = "SELECT source, shape, who, taken_at, value FROM legacy_usage_counters"
KEEP = """
INSERT INTO legacy_usage AS u (source, shape, kind, who, first_at, last_at, count) VALUES (%s, %s, 'read', %s, %s, %s, %s)
ON CONFLICT (source, shape, kind, who) DO UPDATE SET last_at = EXCLUDED.last_at, count = u.count + EXCLUDED.count
"""
MOVE = """
INSERT INTO legacy_usage_counters AS c (source, shape, who, since, taken_at, value)
VALUES (%(source)s, %(shape)s, %(who)s, clock_timestamp(), clock_timestamp(), %(value)s)
ON CONFLICT (source, shape, who) DO UPDATE SET taken_at = EXCLUDED.taken_at, value = EXCLUDED.value
"""
# While the sync is on nobody watches the old tables.
UNWATCH = "DELETE FROM legacy_usage_counters WHERE source = %s"
# One sample at a time; a second one waits, and finds nothing new.
LOCK = "LOCK TABLE legacy_usage_counters IN EXCLUSIVE MODE"


def install(connection: BaseDatabaseWrapper) -> None:
    """Watch from here on: the log, the counters in the view, and a first sample.

    Locks: SHARE ROW EXCLUSIVE on users and orders, ACCESS EXCLUSIVE on the view, each for an instant.
    """
    for statement in usage_log.statements(connection):
        locks.execute(connection, statement)
    for statements in usage_log.triggers(connection).values():
        for statement in statements:
            locks.execute(connection, statement)
    sample(connection)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Undo `install`. Locks: ACCESS EXCLUSIVE on users, orders and the view in their turn, each for an instant."""
    for relation in usage_log.triggers(connection):
        locks.patiently(connection, partial(_stop, connection, relation))
    locks.execute(connection, usage_log.DROP_OBJECTS)
    locks.patiently(connection, partial(usage_counters.stop_counting, connection))


def _stop(connection: BaseDatabaseWrapper, relation: str) -> None:
    with connection.cursor() as cursor:
        usage_log.stop(cursor, relation)


def sample(connection: BaseDatabaseWrapper) -> None:
    """Keep what was logged, and what each counter has grown by since the sample before."""
    if not {"legacy_usage", "legacy_usage_counters", "unification_uses"} <= existing_tables(connection):
        return
    locks.patiently(connection, partial(usage_counters.count_view, connection))
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(LOCK)
        usage_log.fold(cursor)
        for shape in usage_log.logged(cursor):
            cursor.execute(MOVE, {"source": LOG, "shape": shape, "who": "", "value": 0})
        counts_again = usage_counters.count_again(cursor)
        # Who may not let prepared statements count once more leaves the view's readers to whoever may.
        counters = [counter for counter in usage_counters.read(connection) if counts_again or counter.source != VIEW]
        for grown in _growth(cursor, counters):
            if grown.count:
                cursor.execute(KEEP, [grown.source, grown.shape, grown.who, grown.first_at, grown.last_at, grown.count])
        for counter in counters:
            cursor.execute(
                MOVE,
                {"source": counter.source, "shape": counter.shape, "who": counter.who, "value": counter.value},
            )
        cursor.execute(BURY, [OWN, dump.APPLICATION])
        if is_synced(connection):
            cursor.execute(UNWATCH, [SCANS])


def _growth(cursor: CursorWrapper, counters: Iterable[Counter]) -> Iterator[Evidence]:
    """What each counter has grown by since the last sample; of a new one nothing is known."""
    cursor.execute(BASE)
    base = {(source, shape, who): (at, value) for source, shape, who, at, value in cursor.fetchall()}
    cursor.execute("SELECT clock_timestamp()")
    now = cursor.fetchone()[0]
    are_ours = _are_ours(cursor)
    for counter in counters:
        if counter.source == SCANS and are_ours:
            continue
        if (counter.source, counter.shape, counter.who) not in base:
            # A role or a statement that was not there when a sample of the others was taken.
            known = [
                at for (source, shape, _), (at, _) in base.items() if (source, shape) == (counter.source, counter.shape)
            ]
            if not known or counter.source == SCANS:
                continue
            at, value = max(known), 0
        else:
            at, value = base[counter.source, counter.shape, counter.who]
        was_reset = counter.value < value and counter.source != SCANS
        count = counter.value if was_reset else max(counter.value - value, 0)
        yield Evidence(counter.shape, "read", counter.who, at, now, count, counter.source)


# Whoever reads for us is on record before it begins: after a kill nothing else would tell whose reads those were.
OWN = "own reads"
ANNOUNCE = """
INSERT INTO legacy_usage_counters (source, shape, who, since, taken_at, value)
SELECT %s, '', concat_ws(' ', pid, extract(epoch FROM backend_start)), clock_timestamp(), clock_timestamp(), 0
FROM pg_stat_activity WHERE pid = pg_backend_pid()
ON CONFLICT DO NOTHING
"""
WITHDRAW = "DELETE FROM legacy_usage_counters WHERE source = %s AND split_part(who, ' ', 1) = pg_backend_pid()::text"
ANNOUNCED = "SELECT EXISTS (SELECT FROM legacy_usage_counters WHERE source = %s)"
# Who was killed; a dump that it had begun may go on without it.
BURY = """
DELETE FROM legacy_usage_counters AS c WHERE source = %s AND NOT EXISTS (
    SELECT FROM pg_stat_activity AS a WHERE a.datname = current_database() AND (a.application_name = %s
        OR a.pid::text = split_part(c.who, ' ', 1)
            AND coalesce(extract(epoch FROM a.backend_start)::text = split_part(c.who, ' ', 2), true)))
"""


@contextmanager
def own_reads(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """What is scanned meanwhile is ours: a sample before, and those counters taken as they are after, also after a kill."""
    sample(connection)
    _execute(connection, ANNOUNCE)
    try:
        yield
    finally:
        _settle(connection)
        sample(connection)
        _execute(connection, WITHDRAW)


def _execute(connection: BaseDatabaseWrapper, statement: str) -> None:
    if "legacy_usage_counters" in existing_tables(connection):
        with connection.cursor() as cursor:
            cursor.execute(statement, [OWN])


def _settle(connection: BaseDatabaseWrapper) -> None:
    """Let the server tell what this session has read: from 15 on it does so within a second otherwise."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_proc WHERE proname = 'pg_stat_force_next_flush'")
        if cursor.rowcount:
            cursor.execute("SELECT pg_stat_force_next_flush()")


def _are_ours(cursor: CursorWrapper) -> bool:
    """Whether reads of ours are among what the scans have grown by."""
    cursor.execute(ANNOUNCED, [OWN])
    return bool(cursor.fetchone()[0])
