"""How the unification stands, for whoever asks from another terminal: read in one READ ONLY transaction."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations.recorder import MigrationRecorder

from . import evidence, retention, sync
from .contract import refusals, state
from .evidence import Evidence, Watch
from .retention import Retention
from .sources import existing_tables, find_sources


class State(StrEnum):
    NOTHING = "nothing to take over"
    NOT_BEGUN = "not begun"
    AT_WORK = "at work"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"


@dataclass(frozen=True)
class Step:
    """A step; `done` of `ranges` counts parts of a range. `seconds_left` and `rate`, rows a second, are the current run's."""

    name: str
    finished: bool
    rows: int
    ranges: int
    done: float
    rate: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Holder:
    """The session of `migrate`."""

    pid: int
    user: str | None
    application: str | None
    since: str | None


@dataclass(frozen=True)
class Paused:
    """What stands still now (`since` is set), or did: how often, and for how long."""

    cause: str
    times: int
    seconds: float
    since: str | None
    reason: str | None
    by: str | None


@dataclass(frozen=True)
class ContractStep:
    """A step of the contract phase: done, begun, next or later. `against` says why the next one would be refused now."""

    name: str
    state: str
    done_at: str | None
    by: str
    forced: str
    dump: str
    against: list[str]


@dataclass(frozen=True)
class Status:
    state: State
    taken_at: str
    database: str
    holder: Holder | None
    steps: list[Step]
    pauses: list[Paused]
    logged: int | None
    conflicts: int | None
    suggestions: int | None
    sync: sync.Health | None
    usage: list[Evidence]
    watches: list[Watch]
    retention: Retention | None
    contract: list[ContractStep]
    longest_wait_ms: float | None

    @property
    def is_faulty(self) -> bool:
        return bool(self.sync and self.sync.faults)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


HOLDER = """
SELECT l.pid, a.usename, nullif(a.application_name, ''), date_trunc('second', a.backend_start)::text
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32) | l.objid::bigint = %s
"""
# A range without an end ends with its table, whose name its phase does not tell: what is begun of it counts as half.
STEPS = """
SELECT p.name, p.finished_at IS NOT NULL, CASE WHEN p.finished_at IS NULL THEN coalesce(r.rows, 0) ELSE p.rows END,
    coalesce(r.ranges, 0), coalesce(r.done, 0)::float8,
    (r.rows_now / nullif(r.seconds, 0))::float8, (r.seconds / nullif(r.done_now, 0) * (r.ranges - r.done))::float8
FROM unification_phases AS p
LEFT JOIN LATERAL (
    SELECT count(*) AS ranges, sum(rows)::bigint AS rows, sum(part) AS done,
        sum(rows) FILTER (WHERE moved_at >= p.resumed_at) AS rows_now,
        sum(part) FILTER (WHERE moved_at >= p.resumed_at) AS done_now,
        extract(epoch FROM max(moved_at) - p.resumed_at) AS seconds
    FROM (
        SELECT rows, moved_at, CASE
            WHEN finished_at IS NOT NULL THEN 1
            WHEN next_page IS NULL THEN 0
            WHEN last_page IS NULL THEN 0.5
            ELSE (next_page - first_page)::float8 / (last_page - first_page)
        END AS part
        FROM unification_ranges WHERE split_part(phase, ':', 1) = p.name
    ) AS parts
) AS r ON r.ranges > 0
WHERE p.name <> 'fingerprint' AND p.started_at IS NOT NULL
ORDER BY p.started_at, p.name
"""
PAUSES = """
SELECT cause, count(*), sum(extract(epoch FROM coalesce(ended_at, clock_timestamp()) - began_at))::float8,
    max(began_at) FILTER (WHERE ended_at IS NULL)::text,
    max(reason) FILTER (WHERE ended_at IS NULL), max(by) FILTER (WHERE ended_at IS NULL)
FROM unification_pauses GROUP BY cause ORDER BY cause
"""
# The way back needs the log's tables, so one that is not there is asked nothing.
COUNTS = {
    "unification_changes": "SELECT count(*) FROM unification_changes",
    "field_conflicts": "SELECT count(*) FROM field_conflicts",
    "merge_suggestions": "SELECT count(*) FROM merge_suggestions",
    "unification_runs": "SELECT max(longest_wait_ms) FROM unification_runs",
}
LIMITS = "SET TRANSACTION READ ONLY; SET LOCAL lock_timeout = '5s'"


def read(connection: BaseDatabaseWrapper) -> Status:
    """How it stands now. It waits for no lock longer than five seconds."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(LIMITS)
        return _read(connection, cursor)


def _read(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> Status:
    from legacy_customers.apps import ONE_AT_A_TIME

    def all_of(query: str, *params: Any) -> list[tuple[Any, ...]]:
        cursor.execute(query, params or None)
        return list(cursor.fetchall())

    tables = existing_tables(connection)
    holder = next((Holder(*row) for row in all_of(HOLDER, ONE_AT_A_TIME)), None)
    steps = [Step(*row) for row in all_of(STEPS)] if {"unification_phases", "unification_ranges"} <= tables else []
    pauses = [Paused(*row) for row in all_of(PAUSES)] if "unification_pauses" in tables else []
    counts = {table: all_of(query)[0][0] for table, query in COUNTS.items() if table in tables}
    applied = {name for app, name in _applied(connection) if app == "legacy_customers"}
    contracted = state.done(connection)
    has_legacy = bool(contracted) or find_sources(connection) is not None
    is_on = has_legacy and "0011_sync" in applied
    return Status(
        state=_state(has_legacy, is_on, holder, steps, pauses, applied),
        taken_at=all_of("SELECT date_trunc('second', clock_timestamp())::text")[0][0],
        database=connection.settings_dict["NAME"],
        holder=holder,
        steps=steps,
        pauses=pauses,
        logged=counts.get("unification_changes"),
        conflicts=counts.get("field_conflicts"),
        suggestions=counts.get("merge_suggestions"),
        sync=sync.health(connection) if is_on and "users_columns" not in contracted else None,
        usage=evidence.gather(connection),
        watches=evidence.watches(connection),
        retention=retention.find(connection),
        contract=_contract(connection, cursor) if is_on and state.TABLE in tables else [],
        longest_wait_ms=counts.get("unification_runs"),
    )


# The judge reads everything: here its last word counts.
JUDGED = "SELECT passed, taken_at FROM unification_verifications ORDER BY id DESC LIMIT 1"


def _contract(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> list[ContractStep]:
    records = state.records(connection)
    following = next((name for name in state.ORDER if name not in state.done(connection)), None)
    steps = []
    for name in state.ORDER:
        record = records.get(name)
        against = []
        if name == following:
            cursor.execute(JUDGED)
            passed, at = cursor.fetchone() or (False, None)
            if not passed:
                against.append(
                    f"The last verification failed ({at:%Y-%m-%d %H:%M %Z})." if at else "Nothing was verified yet."
                )
            against += [refusal.reason for refusal in refusals.find(connection, name, None)]
        steps.append(
            ContractStep(
                name,
                "done"
                if record and record.done_at
                else "begun"
                if record
                else "next"
                if name == following
                else "later",
                f"{record.done_at:%Y-%m-%d %H:%M %Z}" if record and record.done_at else None,
                record.by if record else "",
                record.forced if record else "",
                record.dump if record else "",
                against,
            )
        )
    return steps


def _applied(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    return set(MigrationRecorder(connection).applied_migrations())


def _state(
    has_legacy: bool, is_on: bool, holder: Holder | None, steps: list[Step], pauses: list[Paused], applied: set[str]
) -> State:
    by_operator = any(pause.cause == "operator" and pause.since for pause in pauses)
    if holder is not None:
        return State.PAUSED if any(pause.since for pause in pauses) else State.AT_WORK
    if by_operator:
        return State.PAUSED
    if is_on and all(step.finished for step in steps):
        return State.DONE
    if not has_legacy:
        return State.NOTHING
    return State.STOPPED if applied else State.NOT_BEGUN


# --- by the operator's word -----------------------------------------------------------------------------------------

PAUSE = """
INSERT INTO unification_pauses (cause, reason, by) VALUES ('operator', %s, session_user)
ON CONFLICT (cause) WHERE cause = 'operator' AND ended_at IS NULL DO NOTHING
"""
RESUME = "UPDATE unification_pauses SET ended_at = clock_timestamp() WHERE cause = 'operator' AND ended_at IS NULL"


def pause(connection: BaseDatabaseWrapper, reason: str) -> bool:
    """Let no batch and no step begin until `resume`; gives whether it was not paused yet. Errors: CommandError."""
    return _changed(connection, PAUSE, [reason])


def resume(connection: BaseDatabaseWrapper) -> bool:
    """Take the pause back; gives whether there was one. Errors: CommandError."""
    return _changed(connection, RESUME, None)


def _changed(connection: BaseDatabaseWrapper, statement: str, params: list[str] | None) -> bool:
    if "unification_pauses" not in existing_tables(connection):
        raise CommandError(
            "No take-over has begun in this database, so there is nothing to pause. `manage.py migrate` begins."
        )
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return bool(cursor.rowcount)
