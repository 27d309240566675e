"""Who comes before the take-over: before each batch and step it looks whether it should let others go first, and waits.

Between two batches no lock is held, so a pause costs nobody anything but the run its time. It looks at most twice a second,
and as often again while it waits.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from config import lock_watch

from . import progress
from .sources import BACKUP_KEYS

LOOK_AGAIN = 0.5  # seconds
OPERATOR = "operator"

# The operator's pause stays until it is taken back, whoever runs; the others are of the run that makes them.
PAUSED = """
SELECT concat_ws(' ', 'paused by', by, 'since', date_trunc('second', began_at)::text) || coalesce(': ' || nullif(reason, ''), '')
FROM unification_pauses WHERE cause = 'operator' AND ended_at IS NULL ORDER BY id LIMIT 1
"""
# Who only receives the log replays nothing, and has no lag. Roles without pg_monitor see none.
LAG = """
SELECT format('replica %%s is %%s s behind', coalesce(nullif(application_name, ''), client_addr::text, 'without a name'),
    round(extract(epoch FROM replay_lag)::numeric, 1))
FROM pg_stat_replication
WHERE replay_lsn IS NOT NULL AND replay_lag > make_interval(secs => %s)
ORDER BY replay_lag DESC LIMIT 1
"""
VACUUM = """
SELECT format('pid %%s has been vacuuming %%s for %%s s', v.pid, v.relid::regclass,
    round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric))
FROM pg_stat_progress_vacuum AS v JOIN pg_stat_activity AS a ON a.pid = v.pid
WHERE v.datname = current_database() AND v.relid IN (SELECT to_regclass(t) FROM unnest(%s::text[]) AS t)
    AND a.xact_start < clock_timestamp() - make_interval(secs => %s)
ORDER BY a.xact_start LIMIT 1
"""
TABLES = [*BACKUP_KEYS, "profiles"]

BEGIN = "INSERT INTO unification_pauses (cause, reason, by) VALUES (%s, %s, current_user) RETURNING id"
END = "UPDATE unification_pauses SET ended_at = clock_timestamp() WHERE id = %s"
END_ALL = "UPDATE unification_pauses SET ended_at = clock_timestamp() WHERE ended_at IS NULL AND cause <> 'operator'"


class Stopped(Exception):
    """The run ends, so nothing more is begun."""


_looking = threading.Lock()
_looked_at = float("-inf")


def let_others_first(connection: BaseDatabaseWrapper, stopped: threading.Event | None = None) -> None:
    """Wait as long as there is a reason to; each is told once and kept. Errors: Stopped, when `stopped` is set meanwhile.

    Within a transaction it does not wait: that would keep the transaction's locks.
    """
    global _looked_at
    if connection.in_atomic_block:
        return
    stopped = stopped or threading.Event()
    with _looking:  # while one worker waits here, so do the others
        if stopped.is_set():
            raise Stopped
        if time.monotonic() - _looked_at < LOOK_AGAIN:
            return
        try:
            for cause, find in CAUSES.items():
                _wait(connection, cause, find, stopped)
        finally:
            _looked_at = time.monotonic()


def begin(connection: BaseDatabaseWrapper) -> None:
    """A run begins: the pauses of one that was killed have ended, the operator's has not, and is waited for."""
    global _looked_at
    _looked_at = float("-inf")
    if not _is_there(connection):
        return
    with connection.cursor() as cursor:
        cursor.execute(END_ALL)
    let_others_first(connection)


def _wait(
    connection: BaseDatabaseWrapper,
    cause: str,
    find: Callable[[BaseDatabaseWrapper], str | None],
    stopped: threading.Event,
) -> None:
    if (reason := find(connection)) is None:
        return
    began = time.monotonic()
    pause = None if cause == OPERATOR else _first(connection, BEGIN, cause, reason)
    progress.tell(reason if cause == OPERATOR else f"pausing: {reason}")
    try:
        while find(connection) is not None:
            if stopped.wait(LOOK_AGAIN):
                raise Stopped
    finally:
        if pause is not None:
            with connection.cursor() as cursor:
                cursor.execute(END, [pause])
    progress.tell(f"going on after {time.monotonic() - began:.1f} s")


def _first(connection: BaseDatabaseWrapper, query: str, *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, params or None)
        found = cursor.fetchone()
    return found[0] if found else None


def _is_there(connection: BaseDatabaseWrapper) -> bool:
    return bool(_first(connection, "SELECT to_regclass('unification_pauses')"))


def _operator(connection: BaseDatabaseWrapper) -> str | None:
    found = _first(connection, PAUSED)
    return found and f"{found}; `manage.py unification_status --resume` lets it go on"


def _replica(connection: BaseDatabaseWrapper) -> str | None:
    limit = settings.UNIFICATION_REPLICA_LAG_S
    return _first(connection, LAG, limit) if limit else None


def _waiter(connection: BaseDatabaseWrapper) -> str | None:
    """Somebody whom a lock of ours, perhaps of another worker, has kept for long since the last look."""
    watch, limit = lock_watch.current(connection.alias), settings.UNIFICATION_WAITER_MS
    if watch is None or not limit:
        return None
    longest = watch.longest_since_asked()
    if longest is None or longest.milliseconds < limit:
        return None
    return f"pid {longest.pid} waited {longest.milliseconds:,.0f} ms for {longest.name or 'a row'}"


def _vacuum(connection: BaseDatabaseWrapper) -> str | None:
    limit = settings.UNIFICATION_VACUUM_S
    return _first(connection, VACUUM, TABLES, limit) if limit else None


CAUSES: dict[str, Callable[[BaseDatabaseWrapper], str | None]] = {
    OPERATOR: _operator,
    "replica_lag": _replica,
    "lock_waiters": _waiter,
    "vacuum": _vacuum,
}
