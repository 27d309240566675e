"""Steps that work through the pages of a table: in ranges that are planned and kept, each done by whoever takes it.

What writers of a live table may wait for is done in batches, whose size follows from how long the last one took. The last
turn of a batch moves its range's place in the transaction that does it, so that a kill costs a range's batches at most.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks

from . import phases, throttle, workers
from .progress import Meter

PLACE = sql.SQL("src.ctid")


@dataclass(frozen=True)
class Stretch:
    """Pages of a table from `first` up to, not including, `last`; None is the table's end."""

    first: int
    last: int | None

    def holds(self, place: sql.Composable = PLACE) -> sql.Composable:
        """Condition: `place`, a row's ctid, lies in the stretch."""
        if self == WHOLE:
            return sql.SQL("true")  # a scan by ctid is done by one process alone
        start = sql.SQL("{} >= {}::tid").format(place, sql.Literal(f"({self.first},0)"))
        if self.last is None:
            return start
        return sql.SQL("{} AND {} < {}::tid").format(start, place, sql.Literal(f"({self.last},0)"))


WHOLE = Stretch(0, None)


class Pace:
    """How much a batch takes on, so that it keeps its row locks for about UNIFICATION_BATCH_MS."""

    def __init__(self, first: int, most: int) -> None:
        self.size, self._most = first, most

    def took(self, seconds: float) -> None:
        """The last batch took so long: the next one is as much larger, at most twice, or smaller."""
        fitting = settings.UNIFICATION_BATCH_MS / 1000 / max(seconds, 0.0001)
        self.size = min(max(int(self.size * min(fitting, 2)), 1), self._most)


@dataclass(frozen=True)
class Step:
    """Work on the pages of `table`.

    `prepare` makes the work tables of a session for a stretch, where the step has such. `work` does a stretch, once a turn, counted from 1, each turn a
    commit of its own; it gives its rows. A stretch that was broken off is done from its first turn, so that a turn must find
    by itself what is left to do. `in_batches`: the stretch is as long as the pace allows, else the whole range. `shares`: in how
    many parts the ranges are cut for each worker, where there are several; a `whole` step is one worker's.
    """

    name: str
    table: str
    work: Callable[[CursorWrapper, Stretch, int], int]
    prepare: Callable[[CursorWrapper, Stretch], None] | None = None
    turns: int = 1
    in_batches: bool = False
    shares: int = 1
    whole: bool = False


def plan(connection: BaseDatabaseWrapper, name: str, table: str, *, most: int | None = None) -> None:
    """Cut `table` into stretches of about UNIFICATION_RANGE_ROWS rows, one per worker at least; a re-run keeps the first plan.

    With `most`, of so many pages at most.
    The last stretch has no end, so that rows added meanwhile belong to it.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM unification_ranges WHERE phase = %s)", [name])
        if cursor.fetchone()[0]:
            return
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
        rows, pages = cursor.fetchone()[0], pages_of(cursor, table)
        number = max(-(-rows // settings.UNIFICATION_RANGE_ROWS), workers.count(), -(-pages // (most or pages or 1)))
        cursor.executemany(
            "INSERT INTO unification_ranges (phase, first_page, last_page) VALUES (%s, %s, %s)",
            [(name, stretch.first, stretch.last) for stretch in cut(pages, number)],
        )


def cut(pages: int, number: int) -> list[Stretch]:
    """The pages of a table in `number` stretches that are as long as each other, fewer where it has fewer pages."""
    starts = list(range(0, max(pages, 1), max(-(-pages // number), 1)))
    return [Stretch(first, last) for first, last in zip(starts, [*starts[1:], None], strict=True)]


def pages_of(cursor: CursorWrapper, table: str) -> int:
    """The pages of `table` now."""
    cursor.execute("SELECT pg_relation_size(to_regclass(%s)) / current_setting('block_size')::int", [f'"{table}"'])
    return int(cursor.fetchone()[0])


@dataclass(frozen=True)
class Share:
    """Neighbouring open ranges of a step, for one worker: their ids, and the stretch from the first to the last."""

    step: Step
    ids: tuple[int, ...]
    stretch: Stretch
    meter: Meter


def run(
    connection: BaseDatabaseWrapper,
    *steps: Step,
    before: Sequence[workers.Task] = (),
    after: Sequence[workers.Task] = (),
) -> None:
    """Do every open range of the steps; it ends when a query finds none.

    Several connections may do this at once: each takes ranges that no other holds, and waits for those at the end.
    What else there is to do is begun `before` the first range, or `after` the last one, while others may still be at theirs.
    """
    for attempt in itertools.count():
        shares = [share for step in steps for share in _shares(connection, step)]
        todo: list[workers.Task] = [partial(_do_share, share, attempt > 0) for share in shares]
        if attempt == 0:
            todo = [*before, *todo, *after]
        if not todo:
            return
        workers.share_out(connection, todo)


def are_open(connection: BaseDatabaseWrapper, name: str) -> bool:
    """Whether a step has ranges that are not done."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM unification_ranges WHERE phase = %s AND finished_at IS NULL)", [name]
        )
        return bool(cursor.fetchone()[0])


def rows_of(connection: BaseDatabaseWrapper, name: str) -> int:
    """The rows of all ranges of a step."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(rows), 0)::bigint FROM unification_ranges WHERE phase = %s", [name])
        return int(cursor.fetchone()[0])


def _shares(connection: BaseDatabaseWrapper, step: Step) -> Iterator[Share]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, first_page, coalesce(next_page, first_page), last_page, finished_at IS NULL FROM unification_ranges"
            " WHERE phase = %s ORDER BY first_page",
            [step.name],
        )
        found = cursor.fetchall()
        pages = pages_of(cursor, step.table)
    todo = [row[:4] for row in found if row[4]]
    done = len(found) - len(todo) + sum(_part(start, place, last, pages) for _, start, place, last in todo)
    meter = Meter(step.name, len(found), done)
    parts = 1 if step.whole or workers.count() == 1 else workers.count() * step.shares
    each = max(-(-len(todo) // parts), 1)
    for start in range(0, len(todo), each):
        part = todo[start : start + each]
        yield Share(step, tuple(row[0] for row in part), Stretch(part[0][2], part[-1][3]), meter)


TAKE = """
SELECT id, first_page, coalesce(next_page, first_page), last_page FROM unification_ranges
WHERE id = ANY(%s) AND finished_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE
"""
COMMITTED = """
UPDATE unification_ranges SET rows = coalesce(rows, 0) + %s, next_page = coalesce(%s, next_page),
    moved_at = clock_timestamp(), finished_at = CASE WHEN %s THEN clock_timestamp() END
WHERE id = %s
"""


def _do_share(share: Share, waiting: bool, connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    """The ranges of a share, one after the other; `waiting` for those that somebody else holds, else without them."""
    doing = _Doing(connection, share, waiting)
    if share.step.prepare is not None:
        locks.patiently(connection, partial(doing.prepare, share.step.prepare))
    while True:
        throttle.let_others_first(connection, stopped)
        if not locks.patiently(connection, doing.turn):
            return
        doing.committed()


class _Doing:
    """What one worker is at in a share: a batch of a turn of a range, each a transaction; the next turn after the last batch."""

    def __init__(self, connection: BaseDatabaseWrapper, share: Share, waiting: bool) -> None:
        self.connection, self.share, self.step = connection, share, share.step
        self.take = TAKE if waiting else f"{TAKE} SKIP LOCKED"
        self.pace = Pace(first=16, most=1_000_000)
        self.range, self.number, self.first, self.place = -1, 1, -1, -1
        self.batch, self.last = Stretch(-1, None), 0
        self.began, self.rows, self.moved = 0.0, 0, 0.0
        share.meter.begin()
        with connection.cursor() as cursor:
            self.pages = pages_of(cursor, self.step.table)

    def prepare(self, work_tables: Callable[[CursorWrapper, Stretch], None]) -> None:
        with self.connection.cursor() as cursor:
            phases.tune(cursor)
            work_tables(cursor, self.share.stretch)

    def turn(self) -> bool:
        """Do the next batch; gives whether there was one to do."""
        self.began = time.monotonic()
        with self.connection.cursor() as cursor:
            cursor.execute(self.take, [list(self.share.ids)])
            if (found := cursor.fetchone()) is None:
                return False
            range_id, start, first, self.last = found
            # At the beginning of a range, and where another connection had it meanwhile.
            if (range_id, first) != (self.range, self.first):
                self.range, self.number, self.first, self.place = range_id, 1, first, first
            self.batch = self._batch(start)
            phases.tune(cursor)
            self.rows = self.step.work(cursor, self.batch, self.number)
            is_last = self.number == self.step.turns
            finished = is_last and self.batch.last == self.last
            cursor.execute(COMMITTED, [self.rows, self.batch.last if is_last else None, finished, range_id])
        self.moved = 0.0
        if is_last:
            after = 1.0 if finished else _part(start, self.batch.last or first, self.last, self.pages)
            self.moved = after - _part(start, first, self.last, self.pages)
        return True

    def committed(self) -> None:
        seconds = time.monotonic() - self.began
        self.share.meter.move(self.moved, self.rows)
        # The first turn takes longest: later ones do not make the next range's batches longer.
        if self.number == 1 or seconds * 1000 > settings.UNIFICATION_BATCH_MS:
            self.pace.took(seconds)
        self.place = self.batch.last or 0
        if self.number == self.step.turns:
            self.first = self.place
        elif self.batch.last == self.last:
            self.number, self.place = self.number + 1, self.first

    def _batch(self, start: int) -> Stretch:
        """The next pages of what is left of a range; a table's end comes with its last page.

        Each of several turns is at least four batches: when a page's next turn comes, whoever works beside has begun anew, and
        what its last turn left is free.
        """
        if not self.step.in_batches:
            return Stretch(self.place, self.last)
        size = self.pace.size
        if self.step.turns > 1:
            size = min(size, max(((self.last or self.pages) - start) // 4, 1))
        end = self.place + size
        if self.last is None:
            return Stretch(self.place, end if end < self.pages else None)
        return Stretch(self.place, min(end, self.last))


def _part(start: int, place: int, last: int | None, pages: int) -> float:
    """How much of a range is done, at most all of it."""
    return min((place - start) / max((pages if last is None else last) - start, 1), 1.0)
