"""Several connections that work on one step at once, each in a thread of its own."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import psycopg
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from config import lock_watch, locks

from . import progress
from .throttle import Stopped

Task = Callable[[BaseDatabaseWrapper, threading.Event], None]

_chosen: int | None = None

# PostgreSQL's own parallel workers, never more than the server was told to start.
PARALLEL = ("max_parallel_workers_per_gather", "max_parallel_maintenance_workers")
LIMIT = "SELECT set_config(name, least(setting::int, %s)::text, false) FROM pg_settings WHERE name = ANY(%s)"


@contextmanager
def chosen(number: int | None) -> Iterator[None]:
    """Let so many work instead of UNIFICATION_WORKERS, where a number is given."""
    global _chosen
    before, _chosen = _chosen, number
    try:
        yield
    finally:
        _chosen = before


def count() -> int:
    return _chosen or settings.UNIFICATION_WORKERS


@contextmanager
def bounded(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """While `connection` works alone, PostgreSQL may compute for it with as many processes as there are workers, and no more."""
    _bound(connection, count())
    try:
        yield
    finally:
        with suppress(DatabaseError), connection.cursor() as cursor:
            for name in PARALLEL:
                cursor.execute(f"RESET {name}")


def _bound(connection: BaseDatabaseWrapper, processes: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(LIMIT, [processes - 1, list(PARALLEL)])


def share_out(connection: BaseDatabaseWrapper, tasks: Sequence[Task]) -> None:
    """Do all tasks. One worker is the connection itself; several have one each, and take what is next.

    Where one fails, the others end after their batch, and its error is raised; what it had committed stays.
    """
    if (number := min(count(), len(tasks))) <= 1:
        for task in tasks:
            task(connection, threading.Event())
        return
    crew = _Crew(connection, tasks, number)
    try:
        crew.wait()
    finally:  # interrupted: no worker is left behind
        crew.stop()
    crew.raise_error()


@contextmanager
def beside(connection: BaseDatabaseWrapper, *tasks: Task) -> Iterator[None]:
    """Have the tasks done by the end of the block, in their order: where there are several workers, by one more meanwhile.

    Where the block fails, what that worker is at is broken off; where the worker does, its error is raised after the block.
    """
    if count() == 1:
        yield
        for task in tasks:
            task(connection, threading.Event())
        return
    crew = _Crew(connection, tasks, 1)
    try:
        yield
    except BaseException:
        crew.stop(at_once=True)
        raise
    try:
        crew.wait()
    finally:
        crew.stop(at_once=True)
    crew.raise_error()


class _Crew:
    """Workers who do the tasks, each what is next, until none is left or one has failed."""

    def __init__(self, connection: BaseDatabaseWrapper, tasks: Sequence[Task], number: int) -> None:
        self._alias = connection.alias
        self._todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in tasks:
            self._todo.put(task)
        self._stopped = threading.Event()
        self._errors: list[BaseException] = []
        self._sessions: set[psycopg.Connection] = set()
        self._threads = [threading.Thread(target=self._run, name=f"worker {n + 1}") for n in range(number)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()

    def stop(self, *, at_once: bool = False) -> None:
        """No further task, and no further batch; `at_once`: what they are at ends too."""
        self._stopped.set()
        while at_once and any(thread.is_alive() for thread in self._threads):
            for session in list(self._sessions):
                with suppress(psycopg.Error):
                    session.cancel_safe(timeout=5)
            for thread in self._threads:
                thread.join(timeout=0.2)
        self.wait()

    def raise_error(self) -> None:
        if self._errors:
            progress.tell(f"a worker failed, the others have stopped: {str(self._errors[0]).strip()}")
            raise self._errors[0]

    def _run(self) -> None:
        try:
            with self._session() as connection:
                while not self._stopped.is_set():
                    self._todo.get_nowait()(connection, self._stopped)
        except queue.Empty:
            pass
        except Stopped:
            pass
        except BaseException as error:
            self._errors.append(error)
            self._stopped.set()

    @contextmanager
    def _session(self) -> Iterator[BaseDatabaseWrapper]:
        """A connection of this thread, one process; what it locks is ours, and what it waits for is limited as in `migrate`."""
        connection = connections[self._alias]
        try:
            connection.ensure_connection()
            session = connection.connection
            with ExitStack() as stack:
                self._sessions.add(session)
                stack.callback(self._sessions.discard, session)
                if (watch := lock_watch.current(self._alias)) is not None:
                    watch.ours.add(session.info.backend_pid)
                    stack.callback(watch.ours.discard, session.info.backend_pid)
                stack.enter_context(locks.limited(connection))
                stack.enter_context(connection.execute_wrapper(locks.concurrently))
                _bound(connection, 1)
                yield connection
        finally:
            connection.close()
