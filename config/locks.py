"""The lock budget: a migration's statement waits for a lock for an instant, gives way, and its whole unit is tried again.

Whoever waits for a strong lock holds up all who come after, so no statement waits longer than UNIFICATION_LOCK_TIMEOUT_MS.
A unit that did not get its locks gives back those that it had. Before the next try it lets transactions pass that stand in
the way for more than a second, else it pauses, ever longer and by chance longer or shorter. There is no last try without
a limit: after UNIFICATION_LOCK_PATIENCE_S, or the last pause, it ends and says who was in the way.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from psycopg import errors, sql

from config import lock_watch
from config.deferred import run_deferred
from config.lock_watch import Hindrance, LockWatch

# Seconds between the tries where nobody is long in the way; a queue of waiting queries drains meanwhile.
PAUSES: tuple[float, ...] = (0.2, 0.5, 1, 2, 4, 8, 8)
# How often it looks whether those who are long in the way have gone.
LOOK_AGAIN = 0.25

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class StillInUse(CommandError):
    """A lock did not come; the message says which, who was in the way, and what to do. Its unit changed nothing."""


@dataclass(frozen=True)
class Blocker:
    """A transaction that stands in the way."""

    pid: int | None
    user: str | None
    application: str | None
    state: str | None
    since: str | None
    query_since: str | None
    query: str | None

    def __str__(self) -> str:
        if self.pid is None:
            return "a prepared transaction (pg_prepared_xacts)"
        who = ", ".join(part for part in (self.user, self.application, self.state) if part)
        words = [f"pid {self.pid}" + (f" ({who})" if who else "")]
        words.append(
            f"in a transaction since {self.since}" if self.since else "since a time that this role may not see"
        )
        if self.query:
            words.append(f"query since {self.query_since}: {' '.join(self.query.split())}")
        return ", ".join(words)


# --- who is in the way ----------------------------------------------------------------------------------------------

# Lock mode -> the modes that it does not get on with.
_WEAK = ("RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock")
_STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
CONFLICTING: dict[str, tuple[str, ...]] = {
    "AccessShareLock": _STRONG[3:],
    "RowShareLock": _STRONG[2:],
    "RowExclusiveLock": _STRONG,
    "ShareUpdateExclusiveLock": (*_WEAK[2:], *_STRONG),
    "ShareLock": (*_WEAK[1:], *_STRONG[1:]),
    "ShareRowExclusiveLock": (*_WEAK[1:], *_STRONG),
    "ExclusiveLock": (*_WEAK, *_STRONG),
    "AccessExclusiveLock": ("AccessShareLock", *_WEAK, *_STRONG),
}
# Those who held the lock, or a lock that conflicts on the same table, and still do after more than a second. When the
# transaction of another role began, only some roles may see: of those, whoever was in the way counts as long there.
STANDING = """
SELECT DISTINCT l.pid, a.usename, nullif(a.application_name, ''),
    CASE a.backend_type WHEN 'client backend' THEN a.state ELSE a.backend_type END,
    date_trunc('second', a.xact_start)::text, date_trunc('second', a.query_start)::text, left(a.query, 80)
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND NOT coalesce(l.pid, 0) = ANY(%(ours)s)
    AND (l.virtualtransaction = ANY(%(seen)s) OR (l.relation = %(relation)s AND l.mode = ANY(%(modes)s)))
    AND coalesce(a.xact_start < clock_timestamp() - interval '1 second', l.virtualtransaction = ANY(%(seen)s))
ORDER BY 5, 1
"""
# The same where nobody was seen: all who have been holding locks on tables for more than a second.
SUSPECTS = """
SELECT DISTINCT l.pid, a.usename, nullif(a.application_name, ''),
    CASE a.backend_type WHEN 'client backend' THEN a.state ELSE a.backend_type END,
    date_trunc('second', a.xact_start)::text, date_trunc('second', a.query_start)::text, left(a.query, 80)
FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
    AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted AND l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (a.xact_start < clock_timestamp() - interval '1 second') IS NOT FALSE
ORDER BY 5, 1 LIMIT 5
"""


def standing(connection: BaseDatabaseWrapper, hindrance: Hindrance, ours: set[int]) -> list[Blocker]:
    """The transactions, older than a second, that would be in the way of the same lock again."""
    return _blockers(
        connection,
        STANDING,
        {
            "ours": list(ours),
            "seen": list(hindrance.transactions),
            "relation": hindrance.wait.relation,
            "modes": list(CONFLICTING.get(hindrance.wait.mode, ())),
        },
    )


def _blockers(connection: BaseDatabaseWrapper, query: str, params: dict[str, Any] | None = None) -> list[Blocker]:
    with connection.cursor() as cursor:
        # Within a transaction, activity is shown as it was first seen.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(query, params)
        return [Blocker(*row) for row in cursor.fetchall()]


# --- trying ---------------------------------------------------------------------------------------------------------


def patiently(connection: BaseDatabaseWrapper, work: Callable[[], Result], *, atomic: bool = True) -> Result:
    """What `work` gives; it is run again, whole, where a lock did not come.

    Each try is a transaction, or a savepoint of the one that is open, so that a failed one keeps no lock. What cannot run
    in a transaction (`atomic=False`) must be able to go on from where it was. Errors: StillInUse.
    """
    began = time.monotonic()
    connection.ensure_connection()
    running = lock_watch.current(connection.alias)
    if running is not None:
        running.ours.add(connection.connection.info.backend_pid)  # a worker's, perhaps
    try:
        return _try(connection, work, atomic)
    except OperationalError as error:
        if not _is_refused_lock(error):
            raise
    watch = running or LockWatch(connection).start()
    try:
        return _Patience(connection, watch, began).run(work, atomic)
    finally:
        if running is None and (session := watch.stop()) is not None:
            session.close()


def execute(connection: BaseDatabaseWrapper, statement: str | sql.Composable) -> None:
    """One statement, or several in one text, patiently. Errors: StillInUse."""

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    patiently(connection, run)


def _try(connection: BaseDatabaseWrapper, work: Callable[[], Result], atomic: bool) -> Result:
    with transaction.atomic(using=connection.alias) if atomic else nullcontext():
        if atomic:
            set_lock_timeout(connection, local=True)
        return work()


def _is_refused_lock(error: OperationalError) -> bool:
    return isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected)


class _Patience:
    """The tries after the first one."""

    def __init__(self, connection: BaseDatabaseWrapper, watch: LockWatch, began: float) -> None:
        self.connection, self.watch, self.began = connection, watch, began
        self.pid: int = connection.connection.info.backend_pid
        self.tries = 1

    def run(self, work: Callable[[], Result], atomic: bool) -> Result:
        for pause in (*PAUSES, None):
            waited = self._let_pass()
            if pause is None or self._is_over():
                break
            if not waited:
                time.sleep(pause * random.uniform(0.5, 1.5))
            self.watch.forget(self.pid)
            self.tries += 1
            try:
                return _try(self.connection, work, atomic)
            except OperationalError as error:
                if not _is_refused_lock(error):
                    raise
        raise StillInUse(self._message())

    def _is_over(self) -> bool:
        return time.monotonic() - self.began > settings.UNIFICATION_LOCK_PATIENCE_S

    def _let_pass(self) -> bool:
        """Wait while somebody is long in the way, and patience lasts; gives whether there was anybody."""
        told = False
        while (hindrance := self.watch.hindrance(self.pid)) is not None and not self._is_over():
            if not (blockers := standing(self.connection, hindrance, self.watch.ours)):
                break
            if not told:
                logger.warning("%s: waiting for %s", _lock(hindrance), "; ".join(map(str, blockers)))
                told = True
            time.sleep(LOOK_AGAIN * random.uniform(0.5, 1.5))
        return told

    def _message(self) -> str:
        hindrance = self.watch.hindrance(self.pid)
        if hindrance is not None:
            blockers = standing(self.connection, hindrance, self.watch.ours)
            what, nobody = _lock(hindrance), "many short transactions, none of them longer than a second"
        else:
            blockers = _blockers(self.connection, SUSPECTS)
            what, nobody = "A table", "nobody who could be seen"
        ends = "; ".join(f"SELECT pg_terminate_backend({blocker.pid})" for blocker in blockers if blocker.pid)
        return (
            f"{what} stays in use: no lock in {self.tries} tries over {time.monotonic() - self.began:.0f} s."
            f" In the way: {'; '.join(map(str, blockers)) or nobody}."
            f" Nothing of this step was changed. Wait for that to end{f', or end it ({ends})' if ends else ''}, and run"
            " the command again; or raise UNIFICATION_LOCK_PATIENCE_S."
        )


def _lock(hindrance: Hindrance) -> str:
    if hindrance.wait.name is not None:
        return f"{hindrance.wait.name} ({hindrance.wait.mode})"
    return f"What a transaction holds ({hindrance.wait.mode})"


# --- limits ---------------------------------------------------------------------------------------------------------


def set_lock_timeout(connection: BaseDatabaseWrapper, seconds: float | None = None, *, local: bool) -> str:
    """Limit the waits of the transaction (`local`) or session, to the budget where nothing is given; gives the old limit.

    An autovacuum gives way to whoever waited for deadlock_timeout: where the role may, that comes before the limit.
    """
    milliseconds = settings.UNIFICATION_LOCK_TIMEOUT_MS if seconds is None else round(seconds * 1000)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %(limit)s, %(local)s),"
            " CASE WHEN current_setting('is_superuser') = 'on' AND %(local)s"
            " THEN set_config('deadlock_timeout', %(half)s, true) END",
            {"limit": f"{milliseconds}ms", "half": f"{max(milliseconds // 2, 1)}ms", "local": local},
        )
        return str(cursor.fetchone()[0])


@contextmanager
def limited(connection: BaseDatabaseWrapper, seconds: float | None = None) -> Iterator[None]:
    """The same for a while, outside of a transaction."""
    before = set_lock_timeout(connection, seconds, local=False)
    try:
        yield
    finally:
        # A session that was lost has no limits, and its loss is what is to be told.
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])


def concurrently(execute: Callable[..., Any], statement: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Wrapper of a connection's statements: what is done CONCURRENTLY may wait longer, for it waits in nobody's way.

    It waits for every older transaction, of which a busy server always has some.
    """
    connection = context["connection"]
    if connection.in_atomic_block:
        return execute(statement, params, many, context)
    text = statement if isinstance(statement, str) else statement.as_string(connection.connection)
    if " CONCURRENTLY " not in text:
        return execute(statement, params, many, context)
    with limited(connection, settings.UNIFICATION_LOCK_PATIENCE_S):
        return execute(statement, params, many, context)


# --- migrate --------------------------------------------------------------------------------------------------------


def be_patient(plan: Sequence[tuple[Migration, bool]], failed: Callable[[], None]) -> None:
    """Let every migration of the plan, Django's own too, be tried again as one unit, its deferred statements with it.

    Django records one that it took back after that was committed. Killed in between it would try that again, in vain: so it
    is recorded with it. `failed` is called where one fails for good.
    """
    for migration, _ in plan:
        for method in ("apply", "unapply"):
            backwards = method == "unapply"
            setattr(migration, method, partial(_apply, migration, getattr(migration, method), failed, backwards))


def _apply(
    migration: Migration,
    original: Callable[..., ProjectState],
    failed: Callable[[], None],
    backwards: bool,
    state: ProjectState,
    editor: BaseDatabaseSchemaEditor,
    collect_sql: bool = False,
) -> ProjectState:
    connection = connections[editor.connection.alias]

    def once() -> ProjectState:
        editor.deferred_sql.clear()
        result = original(state.clone(), editor, collect_sql)
        run_deferred(editor)
        if backwards and migration.atomic and not migration.replaces and not collect_sql:
            MigrationRecorder(connection).record_unapplied(migration.app_label, migration.name)
        return result

    try:
        return patiently(connection, once, atomic=bool(migration.atomic))
    except BaseException:
        failed()
        raise
