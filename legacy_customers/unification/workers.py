"""Several connections that work on the parts of one step, each in a thread of its own."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from config import lock_watch

from . import progress
from .throttle import Stopped

Part = TypeVar("Part")
Work = Callable[[BaseDatabaseWrapper, Part, threading.Event], None]

_chosen: int | None = None


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


def share_out(connection: BaseDatabaseWrapper, parts: Sequence[Part], work: Work[Part]) -> None:
    """Do `work` for each of the parts. One worker is the connection itself; several have one each, and take what is next.

    Where one fails, the others end after their batch, and its error is raised; what it had committed stays.
    """
    stopped = threading.Event()
    if (number := min(count(), len(parts))) <= 1:
        for part in parts:
            work(connection, part, stopped)
        return
    todo: queue.SimpleQueue[Part] = queue.SimpleQueue()
    for part in parts:
        todo.put(part)
    errors: list[BaseException] = []

    def run() -> None:
        own = connections[connection.alias]
        try:
            own.ensure_connection()
            pid = own.connection.info.backend_pid
            with _counted_as_ours(connection.alias, pid):
                while not stopped.is_set():
                    work(own, todo.get_nowait(), stopped)
        except queue.Empty:
            pass
        except Stopped:
            pass
        except BaseException as error:
            errors.append(error)
            stopped.set()
        finally:
            own.close()

    threads = [threading.Thread(target=run, name=f"worker {n + 1}") for n in range(number)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:  # interrupted: no worker is left behind
        stopped.set()
        for thread in threads:
            thread.join()
    if errors:
        progress.tell(f"a worker failed, the others have stopped: {str(errors[0]).strip()}")
        raise errors[0]


@contextmanager
def _counted_as_ours(alias: str, pid: int) -> Iterator[None]:
    watch = lock_watch.current(alias)
    if watch is not None:
        watch.ours.add(pid)
    try:
        yield
    finally:
        if watch is not None:
            watch.ours.discard(pid)
