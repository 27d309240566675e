"""The only judge: everything is read in one snapshot, and every difference is counted and named."""

import datetime
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from . import backup, evidence, fingerprint, phases, usage_counters
from .checks import (
    ALWAYS,
    WITH_LEGACY,
    backups_untouched,
    cells_conserved,
    old_trigger_gone,
)
from .conservation import Tally, tally
from .snapshot import Outcome, Snapshot
from .sources import LEGACY_TABLES, existing_tables, find_sources


@dataclass(frozen=True)
class Report:
    """All checks of one run, in order, and the balance of cells per table and column."""

    taken_at: datetime.datetime
    checks: dict[str, Outcome]
    balance: list[Tally]

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(outcome.passed for outcome in self.checks.values())

    def as_json(self) -> dict[str, Any]:
        """The evidence: counts and sample ids, no personal values."""
        return {
            "taken_at": self.taken_at.isoformat(),
            "passed": self.passed,
            "checks": {name: {**asdict(outcome), "passed": outcome.passed} for name, outcome in self.checks.items()},
            "balance": [asdict(line) for line in self.balance],
        }


def verify(connection: BaseDatabaseWrapper) -> Report:
    """Run every check in one snapshot. Errors: UnificationUnfinished where there is nothing to verify yet."""
    with evidence.own_reads(connection), transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(usage_counters.OURS)
        phases.tune(cursor)
        missing = {"users", "profiles", "orders", "unification_phases"} - existing_tables(connection)
        if missing:
            raise UnificationUnfinished(
                f"There is nothing to verify: no table {', '.join(sorted(missing))}. Run `manage.py migrate` first."
            )
        legacy = bool(fingerprint.recorded(connection))
        backed_up = phases.detail_of(connection, backup.PHASE).get("tables", {})
        snapshot = Snapshot(connection, cursor, find_sources(connection), backed_up)
        taken_at = snapshot.one("SELECT now()")[0]
        if legacy and (open_phases := unfinished(snapshot)):
            raise UnificationUnfinished(
                f"The unification has not finished: {', '.join(open_phases)}. Run `manage.py migrate`, then verify."
            )
        checks = {check.__name__: check(snapshot) for check in ALWAYS}
        balance: list[Tally] = []
        if legacy and (absent := _absent(snapshot)):
            # What cannot be read cannot be judged, and a check that was not run is no pass.
            names = [check.__name__ for check in (*WITH_LEGACY, cells_conserved)]
            checks |= {name: Outcome(0, 1, 1, [f"not run, for there is no {absent}"]) for name in names}
            checks |= {check.__name__: check(snapshot) for check in (backups_untouched, old_trigger_gone)}
        elif legacy and snapshot.sources:
            checks |= {check.__name__: check(snapshot) for check in WITH_LEGACY}
            balance = list(tally(connection, cursor, snapshot.sources))
            checks["cells_conserved"] = cells_conserved(snapshot, balance)
    return Report(taken_at, checks, balance)


def _absent(snapshot: Snapshot) -> str:
    """The legacy tables and backups that are gone, as text; empty where all are there."""
    wanted = [*LEGACY_TABLES, *(f"backup_{table}" for table in LEGACY_TABLES)]
    there = existing_tables(snapshot.connection)
    return ", ".join(table for table in wanted if table not in there)


PHASES = ("backup", "old_trigger", "identity", "consolidate", "conflicts", "orders", "sync")


def unfinished(snapshot: Snapshot) -> list[str]:
    """The steps that have not come to their end."""
    done = {name for (name,) in snapshot.all("SELECT name FROM unification_phases WHERE finished_at IS NOT NULL")}
    return [name for name in PHASES if name not in done]


class UnificationUnfinished(Exception):
    """There is no result to judge yet; the message says what to run."""


def lines(report: Report) -> Iterator[tuple[str, Outcome, str]]:
    """Name, outcome and the check's own sentence, for printing."""
    sentences = {check.__name__: check.__doc__ or "" for check in (*ALWAYS, *WITH_LEGACY, cells_conserved)}
    for name, outcome in report.checks.items():
        yield name, outcome, sentences[name].splitlines()[0]
