"""Book-keeping of the steps: what has run, which ranges are committed, and how progress is told."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks


def tell(line: str) -> None:
    """One line of progress for the operator. Silent where nobody asked for any (see `listen`)."""
    if _listening:
        sys.stdout.write(f"    {line}\n")
        sys.stdout.flush()


_listening = False


def listen(listening: bool) -> None:
    """Let the steps tell their progress on the terminal, or stop them."""
    global _listening
    _listening = listening


def tune(cursor: CursorWrapper) -> None:
    """Give this transaction the memory that its sorts and hash joins want; compiling its plans does not pay."""
    cursor.execute(
        "SELECT set_config('work_mem', %s, true), set_config('maintenance_work_mem', %s, true),"
        " set_config('jit', 'off', true), set_config('synchronous_commit', 'off', true)",
        [settings.UNIFICATION_WORK_MEM, settings.UNIFICATION_WORK_MEM],
    )


def create_work_table(cursor: CursorWrapper, name: sql.Identifier, query: sql.Composable) -> int:
    """Fill a work table of this session anew; gives its rows. It lives in this connection, so a crash cannot leave half of it.

    PostgreSQL's parallel workers may compute it, as they may not an INSERT or UPDATE; that they have to hand their rows over
    is no reason to do without them.
    """
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(name))
    cursor.execute("SET LOCAL parallel_tuple_cost = 0")
    cursor.execute(sql.SQL("CREATE TEMP TABLE {} AS {}").format(name, query))
    rows = cursor.rowcount
    cursor.execute("SET LOCAL parallel_tuple_cost TO DEFAULT")
    return int(rows)


@contextmanager
def phase(connection: BaseDatabaseWrapper, name: str) -> Iterator[dict[str, Any]]:
    """Record a step; gives its detail, which is saved with the end. A step that failed has no end and runs again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO unification_phases (name, started_at) VALUES (%s, clock_timestamp())"
            " ON CONFLICT (name) DO UPDATE SET finished_at = NULL",
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


def plan_ranges(connection: BaseDatabaseWrapper, name: str, table: str, turns: int = 1) -> None:
    """Cut `table` into stretches of pages holding about UNIFICATION_RANGE_ROWS rows each; a re-run keeps the first plan.

    A stretch that is worked on in several turns is as many times smaller, so that its pages are still in memory at the next.
    The last stretch has no end, so that rows added meanwhile belong to it.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM unification_ranges WHERE phase = %s)", [name])
        if cursor.fetchone()[0]:
            return
        cursor.execute(
            sql.SQL(
                "SELECT pg_relation_size({0}) / current_setting('block_size')::int, (SELECT count(*) FROM {1})"
            ).format(sql.Literal(f'"{table}"'), sql.Identifier(table))
        )
        pages, rows = cursor.fetchone()
        step = max(1, pages * settings.UNIFICATION_RANGE_ROWS // (max(rows, 1) * turns))
        starts = list(range(0, max(pages, 1), step))
        cursor.executemany(
            "INSERT INTO unification_ranges (phase, first_page, last_page) VALUES (%s, %s, %s)",
            [(name, first, last) for first, last in zip(starts, [*starts[1:], None], strict=True)],
        )


def has_open_ranges(connection: BaseDatabaseWrapper, name: str) -> bool:
    """Whether step `name` has a range to do."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM unification_ranges WHERE phase = %s AND finished_at IS NULL)", [name]
        )
        return bool(cursor.fetchone()[0])


PLACE = sql.SQL("src.ctid")


@dataclass(frozen=True)
class Stretch:
    """Pages of a table from `first` up to, not including, `last`; None is the table's end."""

    first: int
    last: int | None

    def holds(self, place: sql.Composable = PLACE) -> sql.Composable:
        """Condition: `place`, a row's ctid, lies in the stretch."""
        start = sql.SQL("{} >= {}::tid").format(place, sql.Literal(f"({self.first},0)"))
        if self.last is None:
            return start
        return sql.SQL("{} AND {} < {}::tid").format(start, place, sql.Literal(f"({self.last},0)"))


def run_ranges(
    connection: BaseDatabaseWrapper,
    name: str,
    work: Callable[[CursorWrapper, Stretch, int], int],
    turns: int = 1,
) -> int:
    """Do every open range of step `name`: `work` is called once a turn, counted from 1, each turn a commit of its own.

    The last turn's commit closes the range; one that was broken off before is done from its first turn, so that a turn
    must find by itself what is left to do. Several connections may run this at once: each takes a range that no other
    holds. Gives the rows of all ranges.
    """
    started, done = time.monotonic(), 0
    range_id, turn = None, 1
    while True:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, first_page, last_page FROM unification_ranges"
                " WHERE phase = %s AND finished_at IS NULL AND id = coalesce(%s, id)"
                " ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",
                [name, range_id],
            )
            if (found := cursor.fetchone()) is None:
                if range_id is None:
                    break
                range_id, turn = None, 1  # another connection took it over between two turns
                continue
            range_id, first, last = found
            tune(cursor)
            rows = locks.patiently(connection, partial(work, cursor, Stretch(first, last), turn))
            cursor.execute(
                "UPDATE unification_ranges SET rows = coalesce(rows, 0) + %s,"
                " finished_at = CASE WHEN %s THEN clock_timestamp() END WHERE id = %s",
                [rows, turn == turns, range_id],
            )
            cursor.execute("SELECT count(*), count(finished_at) FROM unification_ranges WHERE phase = %s", [name])
            total, finished = cursor.fetchone()
        done += rows
        if turn < turns:
            turn += 1
            continue
        range_id, turn = None, 1
        elapsed = max(time.monotonic() - started, 0.001)
        left = elapsed / finished * (total - finished)
        tell(f"{name}: range {finished} of {total}, {done / elapsed:,.0f} rows/s, {left:.0f} s left")
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(rows), 0)::bigint FROM unification_ranges WHERE phase = %s", [name])
        return int(cursor.fetchone()[0])
