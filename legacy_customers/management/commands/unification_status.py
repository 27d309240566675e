"""`manage.py unification_status`: how the unification stands, at any time, from another terminal.

Exit status: 0 done, 3 the sync has a fault, 4 at work or paused, 5 not begun or stopped (`migrate` goes on with it), 1 it
could not be read. `--pause` and `--resume` write one row, everything else nothing; they end with 0.
"""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from legacy_customers.unification import status
from legacy_customers.unification.preflight import duration
from legacy_customers.unification.status import State, Status, Step

FAULT = 3
CODES = {
    State.NOTHING: 0,
    State.DONE: 0,
    State.AT_WORK: 4,
    State.PAUSED: 4,
    State.NOT_BEGUN: 5,
    State.STOPPED: 5,
}


class Command(BaseCommand):
    help = "Show how the unification stands, or pause and resume it. Exit 0 done, 3 a fault, 4 at work or paused, 5 stopped."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--json", action="store_true", help="all of it, for programs")
        what.add_argument(
            "--pause",
            nargs="?",
            const="",
            metavar="REASON",
            help="stop the run before its next batch; a later run waits, too",
        )
        what.add_argument("--resume", action="store_true", help="let it go on")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["pause"] is not None:
            new = status.pause(connection, options["pause"])
            self.stdout.write(
                "Paused: it stops before its next batch or step."
                if new
                else "It was paused already; nothing was changed."
            )
            return
        if options["resume"]:
            was = status.resume(connection)
            self.stdout.write("Resumed: it goes on." if was else "It was not paused; nothing was changed.")
            return
        try:
            found = status.read(connection)
        except DatabaseError as error:
            raise CommandError(f"It could not be read: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps(found.as_json(), indent=2, default=str))
        else:
            self._print(found)
        if code := FAULT if found.is_faulty else CODES[found.state]:
            sys.exit(code)

    def _print(self, found: Status) -> None:
        line = self.stdout.write
        line(f"{found.database}: {found.state}, {found.taken_at}")
        if found.holder:
            who = ", ".join(part for part in (found.holder.user, found.holder.application) if part)
            line(f"  migrate runs as pid {found.holder.pid} ({who}) since {found.holder.since}")
        for pause in found.pauses:
            if pause.since:
                why = f": {pause.reason}" if pause.reason else ""
                line(self.style.WARNING(f"  paused ({pause.cause}) by {pause.by} since {pause.since}{why}"))
            line(f"  pauses, {pause.cause}: {pause.times}, {pause.seconds:,.1f} s in all")
        for step in found.steps:
            line(f"  {step.name:14}{_progress(step)}")
        if found.logged is not None:
            line(f"  written meanwhile and not carried over yet: {found.logged:,} rows")
        if found.conflicts is not None:
            line(f"  conflicts {found.conflicts:,}, suggestions {found.suggestions or 0:,}")
        if found.sync:
            health = f"{found.sync.triggers} triggers, {found.sync.handovers} changes handed over"
            line(f"  sync: {health}, {'healthy' if not found.sync.faults else 'FAULTY'}")
            for fault in found.sync.faults:
                line(self.style.ERROR(f"    {fault}"))
        self._print_usage(found)
        if found.retention:
            style = self.style.ERROR if found.retention.is_over else str
            line(style(f"  {found.retention}"))
        self._print_contract(found)
        if found.longest_wait_ms is not None:
            line(f"  the longest wait that a run caused: {found.longest_wait_ms:,.0f} ms")

    def _print_contract(self, found: Status) -> None:
        for step in found.contract:
            told = [step.state, step.done_at or "", f"by {step.by}" if step.by else ""]
            told += [f"forced: {step.forced}" if step.forced else "", f"dump {step.dump}" if step.dump else ""]
            self.stdout.write(f"  contract, {step.name:15}{', '.join(filter(None, told))}")
            for reason in step.against:
                self.stdout.write(f"    refused: {reason}")

    def _print_usage(self, found: Status) -> None:
        for used in found.usage:
            times = f"{used.count:,} times, first {used.first_at:%Y-%m-%d %H:%M}, last {used.last_at:%Y-%m-%d %H:%M}"
            self.stdout.write(f"  used: {used.shape} {used.kind} by {used.who}, {times} UTC, seen by {used.source}")
        for watch in found.watches:
            if watch.since is None:
                self.stdout.write(f"  not seen: {watch.kind}s of {watch.shape} ({watch.source}): {watch.why}")


def _progress(step: Step) -> str:
    if step.finished:
        return f"done, {step.rows:,} rows"
    parts = [f"{step.done:.4g} of {step.ranges} ranges"] if step.ranges else []
    parts.append(f"{step.rows:,} rows")
    if step.rate is not None:
        parts.append(f"{step.rate:,.0f} rows/s")
    if step.seconds_left is not None:
        parts.append(f"{duration(round(step.seconds_left))} left")
    return f"open, {', '.join(parts)}"
