"""`manage.py verify_unification`: judge the unification in one snapshot.

Exit status: 0 all checks passed, 3 a difference was found, 1 it could not finish.
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from legacy_customers.models import VerificationRun
from legacy_customers.unification.verify import Report, UnificationUnfinished, lines, verify

DIFFERENCE = 3


class Command(BaseCommand):
    help = "Hold every profile, order and backup against the legacy rows that they came from. Exit 0 passed, 3 a difference."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", metavar="FILE", help="write the evidence there, '-' for standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = verify(connection)
        except UnificationUnfinished as error:
            raise CommandError(str(error)) from error
        VerificationRun.objects.create(passed=report.passed, report=report.as_json())
        if options["json"] == "-":
            self.stdout.write(json.dumps(report.as_json(), indent=2))
        else:
            if options["json"]:
                Path(options["json"]).write_text(json.dumps(report.as_json(), indent=2), encoding="utf-8")
            self._print(report)
        if not report.passed:
            sys.exit(DIFFERENCE)

    def _print(self, report: Report) -> None:
        if report.balance:
            self.stdout.write(
                f"{'table.column':42}{'cells':>11}{'carried':>11}{'conflict':>10}{'default':>9}"
                f"{'archived':>10}{'changed':>9}{'nowhere':>9}"
            )
            for line in report.balance:
                self.stdout.write(
                    f"{line.table + '.' + line.column:42}{line.cells:>11,}{line.carried:>11,}{line.superseded:>10,}"
                    f"{line.defaults:>9,}{line.archived:>10,}{line.traced:>9,}{line.unexplained:>9,}"
                )
            self.stdout.write("")
        self.stdout.write(f"{'check':30}{'result':8}{'rows':>11}{'explained':>11}{'different':>11}")
        for name, outcome, sentence in lines(report):
            if outcome.not_applicable:
                self.stdout.write(f"{name:30}n/a     {outcome.not_applicable}")
                continue
            result = "passed" if outcome.passed else "FAILED"
            style = self.style.SUCCESS if outcome.passed else self.style.ERROR
            self.stdout.write(
                f"{name:30}{style(f'{result:8}')}{outcome.rows:>11,}{outcome.explained:>11,}{outcome.differences:>11,}"
                + (f"  {outcome.note}" if outcome.note else "")
            )
            if not outcome.passed:
                self.stdout.write(f"    {sentence}")
                if outcome.rows < outcome.expected:
                    self.stdout.write(f"    saw {outcome.rows:,} rows of {outcome.expected:,}")
                for sample in outcome.samples:
                    self.stdout.write(f"    {sample}")
        verdict = "passed" if report.passed else "FAILED"
        self.stdout.write(f"\nVerification {verdict}, snapshot of {report.taken_at:%Y-%m-%d %H:%M:%S %Z}.")
