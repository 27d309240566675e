"""The contract phase: the old shapes go, one after the other, weeks apart, and not from under anybody.

The steps in their order; each is refused with every reason at once (refusals.py), notes its end in the transaction
that does it (state.py), and goes on after a kill when it is called again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper

from config import lock_watch

from .. import fingerprint, runs
from ..sources import existing_tables
from ..verify import Report, verify
from . import email, extra, fence, refusals, state, tables, times
from .refusals import Refusal
from .state import ORDER, Record

Work = Callable[[BaseDatabaseWrapper], None]


@dataclass(frozen=True)
class Step:
    """`does` and `back` are for the operator; without `undo` the step is for good, and `back` says what is left."""

    name: str
    does: str
    back: str
    do: Work
    undo: Work | None = None


_STEPS = (
    Step(
        "fence",
        "Writes of the old application to the old tables, to the copies in users and to orders.customer_id are refused."
        " Readers go on, and see what is current.",
        "--undo, at once: nothing was lost meanwhile.",
        fence.put_up,
        fence.take_away,
    ),
    Step(
        "users_columns",
        f"The sync goes off; {', '.join(fence.DUPLICATES)} are dropped from users. They are in profiles.",
        "for good: profiles have moved on without the sync. The dump has the last copies, in users as it was.",
        tables.drop_users_columns,
    ),
    Step(
        "legacy_tables",
        f"{', '.join(fence.TABLES)} are dropped; their columns that nobody here knows move to profiles.legacy_extra.",
        "--undo restores the tables from the dump as they were, to be read; fenced, and without foreign keys.",
        tables.drop_legacy_tables,
        tables.restore_legacy_tables,
    ),
    Step(
        "customers_view",
        "customers_view is dropped. Old ids go on leading to their profiles, through profile_aliases.",
        "--undo makes it again.",
        tables.drop_customers_view,
        tables.make_customers_view,
    ),
    Step(
        "backups",
        "The backups, the fence and the functions of the take-over are dropped, and what the old application deleted.",
        "for good: what has happened since is not in their books. To look into them, restore the dump into a database of"
        " its own.",
        tables.drop_backups,
    ),
    Step(
        "timestamps",
        "The times of users and orders become timestamptz. No row is rewritten; indexes on them are built anew,"
        " CONCURRENTLY, and are missing for so long.",
        "--undo, in the same way.",
        times.to_aware,
        times.to_naive,
    ),
    Step(
        "unique_email",
        "No two active logins share an address, in whatever case it is typed: a unique index, built CONCURRENTLY.",
        "--undo drops the index.",
        email.make,
        email.drop,
    ),
)
STEPS: dict[str, Step] = {step.name: step for step in _STEPS}
assert tuple(STEPS) == ORDER


class Refused(CommandError):
    """A step was not done; nothing was changed. `refusals` has each reason."""

    def __init__(self, step: str, refusals: list[Refusal]) -> None:
        self.refusals = refusals
        super().__init__(
            f"{step} is refused, and nothing was changed:\n" + "\n".join(f"  - {refusal}" for refusal in refusals)
        )


@dataclass(frozen=True)
class Plan:
    """Where the contract phase stands: the `next` step, what speaks against it, and columns that nobody here knows."""

    records: dict[str, Record]
    next: Step | None
    refusals: list[Refusal]
    extra_columns: dict[str, list[str]]


def plan(connection: BaseDatabaseWrapper) -> Plan:
    """Look, and write nothing. Errors: CommandError where there is nothing to contract."""
    _needs_take_over(connection)
    following = _next(connection)
    found = refusals.find(connection, following.name, verify(connection)) if following is not None else []
    return Plan(state.records(connection), following, found, extra.unknown(connection))


def do(connection: BaseDatabaseWrapper, name: str, *, force: str = "") -> Report:
    """Do the step `name`, then ask the judge again. `force` is why, in spite of reasons that a person may overrule.

    Errors: CommandError (another one comes first, or it is done), Refused, StillInUse.
    """
    _needs_take_over(connection)
    with _alone(connection):
        following = _next(connection)
        if following is None or following.name != name:
            raise CommandError(_out_of_turn(connection, name, following))
        begun = state.records(connection).get(name)
        force = force or (begun.forced if begun else "")
        found = refusals.find(connection, name, verify(connection))
        if standing := [refusal for refusal in found if not (force and refusal.forceable)]:
            raise Refused(name, standing)
        overruled = "\n".join(refusal.reason for refusal in found)
        state.begin(connection, name, force if found or begun else "")
        state.note(connection, name, overruled=overruled)
        with measured(connection):
            following.do(connection)
    return verify(connection)


def undo(connection: BaseDatabaseWrapper) -> Step:
    """Take back the last step that was done, or begun. Errors: CommandError where it cannot be, saying why."""
    _needs_take_over(connection)
    with _alone(connection):
        found = state.records(connection)
        last = next((STEPS[name] for name in reversed(ORDER) if name in found), None)
        if last is None:
            raise CommandError("Nothing was contracted: there is nothing to undo.")
        record = found[last.name]
        if record.done_at is None and last.name != times.STEP:
            raise CommandError(f"{last.name} was begun, and dropped nothing yet. Run --step {last.name} to go on.")
        if last.undo is None:
            dump = f" It is {record.dump}; pg_restore reads it." if record.dump else ""
            raise CommandError(f"{last.name} cannot be undone: it was {last.back}{dump}")
        with measured(connection):
            last.undo(connection)
        return last


def _needs_take_over(connection: BaseDatabaseWrapper) -> None:
    if "unification_phases" not in existing_tables(connection) or not fingerprint.recorded(connection):
        raise CommandError("This database was not taken over: there is nothing to contract.")


def _next(connection: BaseDatabaseWrapper) -> Step | None:
    done = state.done(connection)
    return next((step for step in STEPS.values() if step.name not in done), None)


def _out_of_turn(connection: BaseDatabaseWrapper, name: str, following: Step | None) -> str:
    done = state.done(connection)
    if name in done:
        return f"{name} was done on {done[name].done_at:%Y-%m-%d %H:%M %Z} by {done[name].by}."
    assert following is not None
    return f"{name} comes later: the next step is {following.name}. See --plan."


@contextmanager
def _alone(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """No `migrate` and no other step at the same time."""
    from legacy_customers.apps import ONE_AT_A_TIME

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ONE_AT_A_TIME])
        if not cursor.fetchone()[0]:
            raise CommandError("A `migrate` or another step is at work on this database. Wait for its end.")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ONE_AT_A_TIME])


@contextmanager
def measured(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Keep and tell the longest wait that the step caused others, as `migrate` does."""
    lock_watch.begin(connection)
    try:
        yield
    except BaseException:
        runs.end(connection, succeeded=False)
        raise
    runs.end(connection)
