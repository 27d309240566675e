"""Does this database fit, what should the operator know, and what will it cost? Reads, and writes nothing.

PostgreSQL itself sees to that: everything is read in one READ ONLY transaction. All that is found is told in one run, each
finding with a code, what was found and the way out. `migrate` runs this before its first statement that writes.
"""

import datetime
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .. import phases, progress
from . import blockers, cautions, rows
from .forecast import Forecast, predict
from .found import Blocker, Caution, Found, look

# Free space below this many times the forecast is told.
COMFORT = 2


@dataclass(frozen=True)
class Assessment:
    """What one run found. The forecast is None where there is nothing legacy, or its tables lack what the rules need."""

    taken_at: datetime.datetime
    database: str
    server_version: str
    blockers: list[Blocker]
    cautions: list[Caution]
    forecast: Forecast | None

    @property
    def fits(self) -> bool:
        return not self.blockers

    def as_json(self) -> dict[str, Any]:
        """For programs: counts, names and ids, no personal values but those that B014 names."""
        return {
            "taken_at": self.taken_at.isoformat(),
            "database": self.database,
            "server_version": self.server_version,
            "fits": self.fits,
            "blockers": [asdict(finding) for finding in self.blockers],
            "warnings": [asdict(finding) for finding in self.cautions],
            "forecast": self.forecast and self.forecast.as_json(),
        }


def preflight(connection: BaseDatabaseWrapper) -> list[Blocker]:
    """Every reason why this database cannot be taken over; none where it fits, or where there is nothing legacy."""
    with transaction.atomic(using=connection.alias):
        found = _read_only(connection)
        return blockers.blockers(found)


def assess(connection: BaseDatabaseWrapper) -> Assessment:
    """The whole of it: blockers, warnings, forecast."""
    with transaction.atomic(using=connection.alias):
        found = _read_only(connection)
        [(taken_at, database, version)] = found.rows(
            "SELECT now(), current_database()::text, current_setting('server_version')"
        )
        in_the_way = blockers.blockers(found)
        told: list[Caution] = []
        expected = None
        if found.tables:
            told += [caution for check in cautions.CHECKS for caution in check(found)]
        if found.tables and not blockers.ABOUT_THE_SHAPE & {blocker.code for blocker in in_the_way}:
            told += [*rows.cases(found), *rows.odd_shapes(found)]
            expected = predict(found)
            for finding in _disk(expected):
                if isinstance(finding, Blocker):
                    in_the_way.append(finding)
                else:
                    told.append(finding)
        return Assessment(
            taken_at, database, version, in_the_way, sorted(told, key=lambda caution: caution.code), expected
        )


def _read_only(connection: BaseDatabaseWrapper) -> Found:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        phases.tune(cursor)
    return look(connection)


def _disk(expected: Forecast) -> Iterator[Blocker | Caution]:
    """A full disk stops the shop."""
    free, needed = expected.free_bytes, expected.bytes_needed
    if free is None or free >= COMFORT * needed:
        return
    problem = f"{size(free)} of disk are free; the forecast is {size(needed)}, and the log comes on top."
    way_out = "Make room, or move the database to a larger disk."
    yield Blocker("B017", problem, way_out) if free < needed else Caution("W017", problem, way_out)


def size(number: int) -> str:
    """Bytes as people read them."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


class DoesNotFit(CommandError):
    """The database cannot be taken over as it is; nothing was written."""

    def __init__(self, blockers: list[Blocker]) -> None:
        self.blockers = blockers
        reasons = "\n".join(f"  {blocker}" for blocker in blockers)
        super().__init__(
            f"This database does not fit yet; nothing was written. {len(blockers)} reason(s):\n{reasons}\n"
            "Put these right, then run `manage.py migrate` again."
        )


def refuse_what_does_not_fit(connection: BaseDatabaseWrapper, *, tell: bool) -> None:
    """Before `migrate` writes; with `tell`, warnings and forecast go to the operator. Errors: DoesNotFit with all reasons."""
    if not tell:
        if found := preflight(connection):
            raise DoesNotFit(found)
        return
    assessment = assess(connection)
    for caution in assessment.cautions:
        progress.tell(str(caution))
    if not assessment.fits:
        raise DoesNotFit(assessment.blockers)
    if assessment.forecast is not None:
        progress.tell(summary(assessment.forecast))


def summary(expected: Forecast) -> str:
    """The forecast in a line."""
    how = "" if expected.exact else "about "
    return (
        f"forecast: {how}{sum(expected.rows.values()):,} rows, {expected.profiles:,} profiles,"
        f" {duration(expected.seconds)}, {size(expected.bytes_needed)} of disk"
        f" ({size(expected.free_bytes) + ' free' if expected.free_bytes is not None else 'free space unknown'})"
    )


def duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds / 60:.0f} min"
