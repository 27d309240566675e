"""Who waits for whom: a thread on a connection of its own that samples the lock table while a migration runs.

A wait shorter than INTERVAL can go unseen, and one that was seen may have lasted up to INTERVAL longer; its beginning is
the server's own (pg_locks.waitstart). Waits for anything but locks (disk, memory, a full log) are not in that table.
"""

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper

INTERVAL = 0.02  # seconds

WAITS = """
SELECT pid, pg_blocking_pids(pid), waitstart::text, coalesce(extract(epoch FROM clock_timestamp() - waitstart) * 1000, 0)::float8,
    relation::bigint, relation::regclass::text, mode
FROM pg_locks WHERE NOT granted
"""
# A transaction is known by its virtual id, which everybody may see; 0 stands for prepared ones, which have no process.
TRANSACTIONS = """
SELECT DISTINCT coalesce(pid, 0), virtualtransaction FROM pg_locks WHERE granted AND coalesce(pid, 0) = ANY(%s)
"""


@dataclass(frozen=True)
class Wait:
    """A session waiting for a lock. `relation` (and its `name`) is None where it waits for a transaction or a row."""

    pid: int
    blockers: frozenset[int]
    began: str | None
    milliseconds: float
    relation: int | None
    name: str | None
    mode: str


@dataclass(frozen=True)
class Hindrance:
    """What one of our sessions last waited for, and the virtual ids of the transactions that were in the way."""

    wait: Wait
    transactions: frozenset[str]


@dataclass(frozen=True)
class Caused:
    """A wait of another session that one of ours caused, directly or through others, and what ours was doing."""

    wait: Wait
    statement: str


def caused(waits: Iterable[Wait], ours: Iterable[int]) -> list[Wait]:
    """The waits of other sessions that end only when one of ours goes on."""
    waits, ours = list(waits), set(ours)
    held_up = set(ours)
    while grown := {wait.pid for wait in waits if wait.blockers & held_up} - held_up:
        held_up |= grown
    return [wait for wait in waits if wait.pid in held_up - ours]


class LockWatch:
    """Samples from `start` to `stop`. Where it cannot connect, or loses its connection, `failure` says why, and no more.

    `longest` is the longest wait that our sessions caused another one; `hindrance` says whom one of ours waited for. `ours`
    begins with the connection's session; others that work for the same run are added to it.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        connection.ensure_connection()
        self.ours: set[int] = {connection.connection.info.backend_pid}
        self.longest: Caused | None = None
        self._recent: Wait | None = None
        self.failure: str | None = None
        self.samples = 0
        self._began = time.monotonic()
        self._hindrances: dict[int, Hindrance] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: psycopg.Connection[Any] | None = None
        parameters = connection.get_connection_params()
        self._parameters = {
            **{name: value for name, value in parameters.items() if name not in ("context", "cursor_factory")},
            **{"autocommit": True, "connect_timeout": 5, "application_name": "unified-profiles lock watch"},
        }

    def start(self) -> "LockWatch":
        try:
            self._session = psycopg.connect(**self._parameters)
            # What is kept at the end must not wait for a table that a failed migration still holds.
            self._session.execute("SET lock_timeout = '1s'")
        except psycopg.Error as error:
            self.failure = str(error).strip()
            return self
        self._thread = threading.Thread(target=self._run, name="lock watch", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> "psycopg.Connection[Any] | None":
        """End the sampling; gives its connection, to be closed by the caller, where it has one."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        return self._session

    @property
    def seconds(self) -> float:
        """How long ago it began."""
        return time.monotonic() - self._began

    def hindrance(self, pid: int) -> Hindrance | None:
        """What session `pid` of ours was last seen waiting for; None where it was not seen waiting."""
        return self._hindrances.get(pid)

    def longest_since_asked(self) -> Wait | None:
        """The longest wait of another session for ours since this was last asked."""
        found, self._recent = self._recent, None
        return found

    def forget(self, pid: int) -> None:
        """Session `pid` begins anew: an older hindrance of its is history."""
        self._hindrances.pop(pid, None)

    def _run(self) -> None:
        try:
            while not self._ended.wait(INTERVAL):
                self._sample()
        except psycopg.Error as error:
            self.failure = str(error).strip()

    def _sample(self) -> None:
        assert self._session is not None
        waits = [
            Wait(pid, frozenset(blockers), began, milliseconds, relation, name, mode)
            for pid, blockers, began, milliseconds, relation, name, mode in self._session.execute(WAITS)
        ]
        for wait in waits:
            if wait.pid in self.ours and wait.blockers:
                found = dict(self._session.execute(TRANSACTIONS, [list(wait.blockers)]).fetchall())
                self._hindrances[wait.pid] = Hindrance(wait, frozenset(found.values()))
        for wait in caused(waits, self.ours):
            if self._recent is None or wait.milliseconds > self._recent.milliseconds:
                self._recent = wait
            longest = self.longest
            if longest is not None and (wait.pid, wait.began) == (longest.wait.pid, longest.wait.began):
                self.longest = Caused(wait, longest.statement)  # what it began with
            elif longest is None or wait.milliseconds > longest.wait.milliseconds:
                self.longest = Caused(wait, self._statement(wait))
        self.samples += 1

    def _statement(self, wait: Wait) -> str:
        """The beginning of what our session in the way is doing, else of what any of ours is."""
        assert self._session is not None
        [(text,)] = self._session.execute(
            "SELECT (SELECT left(query, 200) FROM pg_stat_activity WHERE pid = ANY(%(ours)s)"
            " ORDER BY pid = ANY(%(blockers)s) DESC LIMIT 1)",
            {"ours": list(self.ours), "blockers": list(wait.blockers)},
        )
        return " ".join((text or "").split())


# The watch of each database that is being migrated, by the connection's alias.
_watches: dict[str, LockWatch] = {}


def begin(connection: BaseDatabaseWrapper) -> LockWatch:
    """Watch the locks of `connection` until `end`; one that was left over by a failure ends now."""
    end(connection.alias)
    watch = _watches[connection.alias] = LockWatch(connection).start()
    return watch


def end(alias: str) -> LockWatch | None:
    """Stop the watch; gives it, closed."""
    watch = _watches.pop(alias, None)
    if watch is not None and (session := watch.stop()) is not None:
        with suppress(psycopg.Error):
            session.close()
    return watch


def current(alias: str) -> LockWatch | None:
    return _watches.get(alias)
