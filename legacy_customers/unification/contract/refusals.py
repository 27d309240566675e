"""Why a step must not be done yet: every reason at once, with names, numbers and the way out.

What may be overruled (`forceable`) is a matter of judgement and time; the rest would fail anyway, or could not be undone.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from .. import evidence
from ..checks import backups_in_their_time
from ..preflight.cautions import open_for_long
from ..verify import Report
from . import dependents, dump, email, fence, state, times
from .dependents import Dropped
from .tables import BACKUPS

OLD_TABLES = fence.TABLES
# The old shapes that nobody may have used for so long: those that the step takes away, and of the fence, writing to them. The
# superseded calls go with the application that the last of the drops makes ready to be removed.
SHAPES: dict[str, tuple[str, ...]] = {
    "fence": (*OLD_TABLES, *fence.LIVE),
    "users_columns": ("users",),
    "legacy_tables": OLD_TABLES,
    "customers_view": ("customers_view",),
    "backups": ("customers_view", "old API"),
}
DROPPED: dict[str, Dropped] = {
    "users_columns": Dropped(["users"], fence.DUPLICATES),
    "legacy_tables": Dropped(OLD_TABLES),
    "customers_view": Dropped(["customers_view"]),
    "backups": Dropped(BACKUPS),
}
DUMPED = ("users_columns", "legacy_tables", "backups")
SHOWN = 5


@dataclass(frozen=True)
class Refusal:
    """`reason` has the names, `way_out` what to do."""

    reason: str
    way_out: str
    forceable: bool = True

    def __str__(self) -> str:
        return f"{self.reason}\n    Way out: {self.way_out}"


def _some(names: list[str]) -> str:
    more = f"; and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return "; ".join(names[:SHOWN]) + more


def find(connection: BaseDatabaseWrapper, step: str, report: Report | None) -> list[Refusal]:
    """Everything that speaks against doing `step` now; `report` is what the judge has just said, None where it was not asked."""
    return [
        *(_verified(report, step) if report is not None else ()),
        *_old_enough(connection, step),
        *_silent(connection, step),
        *_used(connection, step),
        *_own(connection, step),
        *_long(connection),
        *_dumpable(connection, step),
    ]


def _verified(report: Report, step: str) -> Iterator[Refusal]:
    # Backups that are kept for too long are no reason to go on keeping them.
    allowed = backups_in_their_time.__name__ if step == "backups" else ""
    failed = [
        f"{name} ({outcome.differences:,} differences{': ' if outcome.samples else ''}{', '.join(outcome.samples)})"
        for name, outcome in report.failed.items()
        if name != allowed
    ]
    if failed:
        yield Refusal(
            f"The verification does not pass: {_some(failed)}.",
            "Run `manage.py verify_unification` and put right what it names.",
        )


BEGAN = "SELECT finished_at FROM unification_phases WHERE name = 'sync'"


def _old_enough(connection: BaseDatabaseWrapper, step: str) -> Iterator[Refusal]:
    position = state.ORDER.index(step)
    if position:
        before = state.ORDER[position - 1]
        since = state.done(connection)[before].done_at
    else:
        before = "the take-over"
        with connection.cursor() as cursor:
            cursor.execute(BEGAN)
            found = cursor.fetchone()
        since = found[0] if found else None
    wanted = datetime.timedelta(days=settings.UNIFICATION_CONTRACT_DAYS)
    if since is not None and timezone.now() - since < wanted:
        yield Refusal(
            f"The step before, {before}, was done on {since:%Y-%m-%d %H:%M %Z}; {step} comes"
            f" {settings.UNIFICATION_CONTRACT_DAYS} days later at the earliest (UNIFICATION_CONTRACT_DAYS).",
            f"Wait until {since + wanted:%Y-%m-%d %H:%M %Z}.",
        )


def _silent(connection: BaseDatabaseWrapper, step: str) -> Iterator[Refusal]:
    """Nobody may have been seen for longer than a month before something is dropped: some come once a month."""
    is_fence = step == fence.STEP
    days = settings.UNIFICATION_CONTRACT_DAYS if is_fence else settings.UNIFICATION_SILENT_DAYS
    since = timezone.now() - datetime.timedelta(days=days)
    found = [
        f"{one.who} {'wrote' if one.kind == 'write' else 'read'} {one.shape} ({one.count:,} times, last"
        f" {one.last_at:%Y-%m-%d %H:%M %Z}, seen by {one.source})"
        for one in evidence.used_since(connection, since, SHAPES.get(step, ()))
        if one.kind == "write" or not is_fence
    ]
    blind = [
        f"{one.kind}s of {one.shape} ({one.source}): {one.why or f'since {one.since:%Y-%m-%d %H:%M %Z} alone'}"
        for one in evidence.unwatched(connection, since, SHAPES.get(step, ()))
        if (one.kind == "write" or not is_fence) and one.why != evidence.NOBODY
    ]
    if found:
        yield Refusal(
            f"Somebody was still there within the last {days} days: {_some(found)}.",
            "Port each to profiles or the API (docs/porting.md), then wait until it has been silent for so long.",
        )
    if blind:
        yield Refusal(
            f"Nobody has watched for {days} days, so silence proves nothing yet: {_some(blind)}.",
            "Let `manage.py sample_usage` run, and wait; where nothing can watch, ask who might read it, and --force.",
        )


def _used(connection: BaseDatabaseWrapper, step: str) -> Iterator[Refusal]:
    dropped = DROPPED.get(step)
    if step == times.STEP:
        with connection.cursor() as cursor:
            found = [
                line
                for table, columns in times.COLUMNS.items()
                for line in dependents.bound(cursor, Dropped([table], columns))
                if " index " not in f" {line}"
            ]
        if found := [*found, *times.constrained(connection)]:
            yield Refusal(
                f"Others are made of the columns whose type changes: {_some(found)}.",
                "Drop them, do this step, and make them again.",
                forceable=False,
            )
        return
    if dropped is None:
        return
    with connection.cursor() as cursor:
        bound, named = dependents.bound(cursor, dropped), dependents.named(cursor, dropped)
    if bound:
        yield Refusal(
            f"Others still use what would be dropped: {_some(bound)}.",
            "Let each use profiles (old ids resolve through profile_aliases), or drop it.",
            forceable=False,
        )
    if named:
        yield Refusal(
            f"The text of these functions names what would be dropped: {_some(named)}.",
            "Change or drop each; where the name means something else, --force says so.",
        )


def _own(connection: BaseDatabaseWrapper, step: str) -> Iterator[Refusal]:
    if step != email.STEP:
        return
    if undecided := email.undecided(connection):
        yield Refusal(
            f"Nobody has decided yet whether these logins are one person's: {_some(undecided)}.",
            "Merge or dismiss each in the admin, under merge suggestions.",
            forceable=False,
        )
    if double := email.double(connection):
        yield Refusal(
            f"These active logins share an address: {_some(double)}.",
            "Merge them, deactivate one, or change its address.",
            forceable=False,
        )


def _long(connection: BaseDatabaseWrapper) -> Iterator[Refusal]:
    def rows(query: str, *params: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query, params or None)
            return list(cursor.fetchall())

    if told := open_for_long(rows):
        yield Refusal(
            f"Transactions are open for long: {_some(told)}.",
            "Wait for each to end, or end it (pg_terminate_backend; ROLLBACK PREPARED): this step would wait for their locks.",
        )


def _dumpable(connection: BaseDatabaseWrapper, step: str) -> Iterator[Refusal]:
    if step in DUMPED:
        try:
            dump.find_tools(connection)
        except CommandError as error:
            yield Refusal("What is dropped could not be dumped.", str(error), forceable=False)
