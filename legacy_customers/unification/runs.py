"""What each `migrate` cost the others: the longest wait for a lock that it caused, measured while it ran, and kept."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration

from config import lock_watch, locks
from config.lock_watch import LockWatch

from . import progress

RECORD = """
INSERT INTO unification_runs (started_at, finished_at, succeeded, longest_wait_ms, detail)
VALUES (clock_timestamp() - make_interval(secs => %s), clock_timestamp(), %s, %s, %s)
"""


def begin(connection: BaseDatabaseWrapper, plan: list[tuple[Migration, bool]]) -> None:
    """Measure from here to `end`, which comes by itself where a migration of the plan fails."""
    lock_watch.begin(connection)
    locks.be_patient(plan, failed=partial(end, connection, succeeded=False))


def end(connection: BaseDatabaseWrapper, *, succeeded: bool = True) -> None:
    """Tell what was measured and keep it, where the table is there: not before it is made, nor after the way back."""
    watch = lock_watch.current(connection.alias)
    if watch is None:
        return
    # By the watch's session: that of a failed migration takes no more statements.
    if (session := watch.stop()) is not None:
        with suppress(psycopg.Error):
            session.execute(
                RECORD, [watch.seconds, succeeded, watch.longest and watch.longest.wait.milliseconds, _detail(watch)]
            )
    lock_watch.end(connection.alias)
    progress.tell(sentence(watch))


def _detail(watch: LockWatch) -> str:
    detail: dict[str, Any] = {"resolution_ms": lock_watch.INTERVAL * 1000, "samples": watch.samples}
    if watch.failure:
        detail["failure"] = watch.failure
    if watch.longest:
        wait = watch.longest.wait
        detail |= {"pid": wait.pid, "relation": wait.name, "mode": wait.mode, "statement": watch.longest.statement}
    return json.dumps(detail)


def sentence(watch: LockWatch) -> str:
    """For the operator."""
    resolution = f"sampled every {lock_watch.INTERVAL * 1000:.0f} ms"
    if watch.longest is None:
        found = "no other session was seen waiting for this run"
    else:
        wait = watch.longest.wait
        found = (
            f"the longest wait that this run caused another session was {wait.milliseconds:,.0f} ms"
            f" (pid {wait.pid}, {wait.mode} on {wait.name or 'a row'}, during: {watch.longest.statement})"
        )
    failure = f"; measuring ended early: {watch.failure}" if watch.failure else ""
    return f"locks: {found}, {resolution}{failure}"
