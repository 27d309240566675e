"""Book-keeping of the steps: what has run, and what it noted."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from . import throttle
from .progress import tell


def tune(cursor: CursorWrapper) -> None:
    """Give this transaction the memory that its sorts and hash joins want; compiling its plans does not pay.

    What it writes goes to the disk as it comes: left to the next checkpoint's sync, it holds up everybody's commits.
    """
    cursor.execute(
        "SELECT set_config('work_mem', %s, true), set_config('maintenance_work_mem', %s, true),"
        " set_config('jit', 'off', true), set_config('synchronous_commit', 'off', true),"
        " set_config('backend_flush_after', '256kB', true)",
        [settings.UNIFICATION_WORK_MEM, settings.UNIFICATION_WORK_MEM],
    )


def create_work_table(
    cursor: CursorWrapper, name: sql.Identifier, query: sql.Composable, *, shared: bool = False
) -> int:
    """Fill a work table anew; gives its rows. It is this session's, so that a crash cannot leave half of it.

    A shared one is everybody's. A crash of the server empties it: whoever begins a step, or goes on with it, fills it anew.

    PostgreSQL's parallel workers may compute it, as they may not an INSERT or UPDATE; that they have to hand their rows over
    is no reason to do without them.
    """
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name if shared else sql.SQL("pg_temp.{}").format(name)))
    cursor.execute("SET LOCAL parallel_tuple_cost = 0")
    kind = sql.SQL("UNLOGGED" if shared else "TEMP")
    cursor.execute(sql.SQL("CREATE {} TABLE {} AS {}").format(kind, name, query))
    rows = cursor.rowcount
    cursor.execute("SET LOCAL parallel_tuple_cost TO DEFAULT")
    return int(rows)


@contextmanager
def phase(connection: BaseDatabaseWrapper, name: str) -> Iterator[dict[str, Any]]:
    """Record a step; gives its detail, which is saved with the end. A step that failed has no end and runs again."""
    throttle.let_others_first(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO unification_phases (name, started_at, resumed_at) VALUES (%s, clock_timestamp(), clock_timestamp())"
            " ON CONFLICT (name) DO UPDATE SET finished_at = NULL, resumed_at = clock_timestamp()",
            [name],
        )
    detail = detail_of(connection, name)
    started = time.monotonic()
    yield detail
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE unification_phases SET finished_at = clock_timestamp(), rows = %s, detail = detail || %s WHERE name = %s",
            [detail.get("rows", 0), json.dumps(detail), name],
        )
    tell(f"{name}: {detail.get('rows', 0):,} rows in {time.monotonic() - started:.1f} s")


def detail_of(connection: BaseDatabaseWrapper, name: str) -> dict[str, Any]:
    """What the step `name` noted; empty where it has not run."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT detail::text FROM unification_phases WHERE name = %s", [name])
        found = cursor.fetchone()
    return json.loads(found[0]) if found else {}


def note(connection: BaseDatabaseWrapper, name: str, **detail: Any) -> None:
    """Add to the detail of step `name` at once, within the running transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO unification_phases (name, detail) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET detail = unification_phases.detail || EXCLUDED.detail",
            [name, json.dumps(detail)],
        )


def forget(connection: BaseDatabaseWrapper, *names: str) -> None:
    """Undo the book-keeping of steps that have been taken back."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM unification_ranges WHERE phase = ANY(%s)", [list(names)])
        cursor.execute("DELETE FROM unification_phases WHERE name = ANY(%s)", [list(names)])
