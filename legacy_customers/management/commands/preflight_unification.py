"""`manage.py preflight_unification`: what stands in the way of a take-over, what to know before it, and what it will cost.

Writes nothing. Exit status: 0 the database fits, 3 something stops the take-over, 1 it could not finish.
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from legacy_customers.unification.preflight import Assessment, assess, duration, size
from legacy_customers.unification.preflight.forecast import Forecast

BLOCKED = 3


class Command(BaseCommand):
    help = (
        "Say whether a legacy database can be taken over, and what that will cost. Exit 0 it fits, 3 it does not yet."
    )
    # The checks look at models whose tables are only made by migrate, after this.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", metavar="FILE", help="write all of it there, '-' for standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            assessment = assess(connection)
        except DatabaseError as error:
            raise CommandError(f"It could not finish: {error}") from error
        if options["json"] == "-":
            self.stdout.write(json.dumps(assessment.as_json(), indent=2))
        else:
            if options["json"]:
                Path(options["json"]).write_text(json.dumps(assessment.as_json(), indent=2), encoding="utf-8")
            self._print(assessment)
        if not assessment.fits:
            sys.exit(BLOCKED)

    def _print(self, assessment: Assessment) -> None:
        for title, findings, style in (
            ("In the way", assessment.blockers, self.style.ERROR),
            ("To know", assessment.cautions, self.style.WARNING),
        ):
            if findings:
                self.stdout.write(self.style.MIGRATE_HEADING(title))
            for finding in findings:
                self.stdout.write(f"  {style(finding.code)}{str(finding).removeprefix(finding.code)}")
        if assessment.forecast is not None:
            self.stdout.write(self.style.MIGRATE_HEADING("Forecast"))
            self._print_forecast(assessment.forecast)
        verdict = "It does not fit yet" if assessment.blockers else "It fits"
        self.stdout.write(
            f"\n{verdict}: {len(assessment.blockers)} in the way, {len(assessment.cautions)} to know. Database"
            f" {assessment.database}, PostgreSQL {assessment.server_version}, {assessment.taken_at:%Y-%m-%d %H:%M:%S %Z}."
        )

    def _print_forecast(self, expected: Forecast) -> None:
        about = "" if expected.exact else "  (estimated from statistics)"
        lines = [
            *((f"rows of {table}", f"{number:,}{about}") for table, number in expected.rows.items()),
            ("accounts for guests", f"{expected.accounts_for_guests:,}{about}"),
            ("profiles", f"{expected.profiles:,}{about}"),
            ("orders that get a user", f"{expected.orders_repointed:,}{about}"),
            *((f"disk: {what.replace('_', ' ')}", size(number)) for what, number in expected.bytes.items()),
            ("disk in all, without the log", size(expected.bytes_needed)),
            (
                "disk free",
                size(expected.free_bytes)
                if expected.free_bytes is not None
                else f"unknown: {expected.free_bytes_unknown_because}",
            ),
            ("time", f"{duration(expected.seconds)}, at {expected.rows_per_second:,} rows/s ({expected.rate_from})"),
        ]
        for name, value in lines:
            self.stdout.write(f"  {name:30}{value}")
