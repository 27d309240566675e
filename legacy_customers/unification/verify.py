"""The only judge: everything is read in one snapshot, and every difference is counted and named."""

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
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
from .contract import fence, state
from .contract.checks import BEGINS_WITH, ENDS_WITH
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
        return not self.failed and any(outcome.passed for outcome in self.checks.values())

    @property
    def failed(self) -> dict[str, Outcome]:
        """What found a difference, or did not see what it should have seen."""
        return {name: seen for name, seen in self.checks.items() if not seen.passed and not seen.not_applicable}

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
        contracted = state.done(connection)
        sources = find_sources(connection) or (find_sources(connection, prefix="backup_") if contracted else None)
        snapshot = Snapshot(connection, cursor, sources, backed_up)
        taken_at = snapshot.one("SELECT now()")[0]
        if legacy and (open_phases := unfinished(snapshot)):
            raise UnificationUnfinished(
                f"The unification has not finished: {', '.join(open_phases)}. Run `manage.py migrate`, then verify."
            )
        judge = partial(_judge, snapshot, contracted)
        checks = {check.__name__: judge(check) for check in ALWAYS}
        balance: list[Tally] = []
        if legacy and (absent := _absent(snapshot, contracted)):
            # What cannot be read cannot be judged, and a check that was not run is no pass.
            names = [check.__name__ for check in (*WITH_LEGACY, cells_conserved)]
            checks |= {name: Outcome(0, 1, 1, [f"not run, for there is no {absent}"]) for name in names}
            checks |= {check.__name__: judge(check) for check in (backups_untouched, old_trigger_gone)}
        elif legacy and (sources or contracted):
            checks |= {check.__name__: judge(check) for check in WITH_LEGACY}
            if sources:
                balance = list(tally(connection, cursor, sources))
            checks["cells_conserved"] = _ended("cells_conserved", contracted) or cells_conserved(snapshot, balance)
        checks |= {check.__name__: judge(check) for check, step in BEGINS_WITH.items() if step in contracted}
    return Report(taken_at, checks, balance)


def _judge(snapshot: Snapshot, contracted: Mapping[str, state.Record], check: Callable[[Snapshot], Outcome]) -> Outcome:
    return _ended(check.__name__, contracted) or check(snapshot)


def _ended(check: str, contracted: Mapping[str, state.Record]) -> Outcome | None:
    """The outcome of a check that does not apply after a step that was done; None where it does."""
    record = contracted.get(ENDS_WITH.get(check, ""))
    if record is None:
        return None
    return Outcome(not_applicable=f"since {record.done_at:%Y-%m-%d}, when the contract step {record.name} was done")


def _absent(snapshot: Snapshot, contracted: Mapping[str, state.Record]) -> str:
    """The legacy tables and backups that are gone, and that no step of the contract phase took, as text."""
    wanted = [
        *(table for table in LEGACY_TABLES if "legacy_tables" not in contracted or table in fence.LIVE),
        *(f"backup_{table}" for table in LEGACY_TABLES if "backups" not in contracted),
    ]
    there = existing_tables(snapshot.connection)
    return ", ".join(table for table in wanted if table not in there)


EVERY = (*ALWAYS, *WITH_LEGACY, cells_conserved, *BEGINS_WITH)
PHASES = ("backup", "old_trigger", "identity", "consolidate", "conflicts", "orders", "sync")


def unfinished(snapshot: Snapshot) -> list[str]:
    """The steps that have not come to their end."""
    done = {name for (name,) in snapshot.all("SELECT name FROM unification_phases WHERE finished_at IS NOT NULL")}
    return [name for name in PHASES if name not in done]


class UnificationUnfinished(Exception):
    """There is no result to judge yet; the message says what to run."""


def lines(report: Report) -> Iterator[tuple[str, Outcome, str]]:
    """Name, outcome and the check's own sentence, for printing."""
    sentences = {check.__name__: check.__doc__ or "" for check in EVERY}
    for name, outcome in report.checks.items():
        yield name, outcome, sentences[name].splitlines()[0]
