"""`manage.py contract_unification`: the old shapes go, step by step; without an option, or with --plan, it only looks.

Exit status: 0 done, or nothing speaks against the next step (--plan), 3 something does (--plan), or the step is done and the
verification finds a difference, 1 refused, or it could not finish.
"""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from legacy_customers.models import VerificationRun
from legacy_customers.unification import contract, progress
from legacy_customers.unification.verify import UnificationUnfinished

REFUSED = 3


class Command(BaseCommand):
    help = "Fence and drop what the old application used, step by step, each when nobody is there any more."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--plan", action="store_true", help="show each step, and what speaks against the next; write nothing"
        )
        what.add_argument(
            "--step", choices=[*contract.STEPS], metavar="NAME", help="do the next step, which this names"
        )
        what.add_argument("--undo", action="store_true", help="take back the last step")
        parser.add_argument(
            "--force",
            metavar="REASON",
            default="",
            help="with --step: why, in spite of what a person may overrule; recorded",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["force"] and not options["step"]:
            raise CommandError("--force goes with --step NAME.")
        progress.listen(options["verbosity"] > 0)
        try:
            if options["undo"]:
                undone = contract.undo(connection)
                self.stdout.write(self.style.SUCCESS(f"{undone.name} is undone."))
            elif options["step"]:
                self._do(options["step"], options["force"].strip())
            else:
                self._show(contract.plan(connection))
        except UnificationUnfinished as error:
            raise CommandError(str(error)) from error
        finally:
            progress.listen(False)

    def _do(self, name: str, force: str) -> None:
        report = contract.do(connection, name, force=force)
        VerificationRun.objects.create(passed=report.passed, report=report.as_json())
        step = contract.STEPS[name]
        self.stdout.write(self.style.SUCCESS(f"{name} is done. Way back: {step.back}"))
        if not report.passed:
            self.stdout.write(self.style.ERROR(f"The verification fails since: {', '.join(report.failed)}."))
            sys.exit(REFUSED)
        self.stdout.write("The verification passes.")

    def _show(self, plan: contract.Plan) -> None:
        for step in contract.STEPS.values():
            record = plan.records.get(step.name)
            state = "next" if plan.next is step else "later"
            if record is not None:
                state = f"done {record.done_at:%Y-%m-%d %H:%M} by {record.by}" if record.done_at else "begun"
            self.stdout.write(self.style.MIGRATE_HEADING(f"{step.name}: {state}"))
            self.stdout.write(f"  {step.does}\n  Way back: {step.back}")
            if record is not None and record.forced:
                self.stdout.write(f"  Forced: {record.forced}")
            if record is not None and record.dump:
                self.stdout.write(f"  Dump: {record.dump} (SHA-256 {record.sha256})")
        for table, names in plan.extra_columns.items():
            self.stdout.write(
                f"\nNobody here knows {', '.join(f'{table}.{name}' for name in names)}: to profiles.legacy_extra"
            )
        if plan.next is None:
            self.stdout.write("\nAll steps are done. Set LEGACY=false, and restart the application.")
            return
        if not plan.refusals:
            self.stdout.write(f"\nNothing speaks against {plan.next.name}. Nothing was written.")
            return
        self.stdout.write(self.style.ERROR(f"\nThese speak against {plan.next.name}:"))
        for refusal in plan.refusals:
            mark = "" if refusal.forceable else " (cannot be forced)"
            self.stdout.write(f"  - {refusal}{mark}")
        sys.exit(REFUSED)
