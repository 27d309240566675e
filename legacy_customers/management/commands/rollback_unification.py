"""`manage.py rollback_unification`: the way back, as `migrate legacy_customers zero` goes it, with a look before.

Exit status: 0 done, or nothing stands in its way (--plan), 3 something does (--plan), 1 refused, or it could not finish.
"""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from legacy_customers.unification import rollback
from legacy_customers.unification.rollback import proof

BLOCKED = 3


class Command(BaseCommand):
    help = "Give the legacy tables back as they were, with every write made since, and drop what the take-over made."
    # The checks look at models whose tables may be gone already.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--plan", action="store_true", help="show what it will do, in counts per table; write nothing"
        )
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="do it without asking, or counting",
        )
        parser.add_argument(
            "--proof",
            choices=("written", "full"),
            default="written",
            help="what the proof at the end reads: the rows that were written since, as all were held against their backups"
            " at the start, or all of them again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not rollback.is_to_do(connection):
            self.stdout.write("There is nothing to take back: this database has not been taken over.")
            return
        if (options["plan"] or options["interactive"]) and not self._agreed(options["plan"]):
            return
        with proof.of_every_row(options["proof"] == "full"):
            call_command("migrate", "legacy_customers", "zero", interactive=False, verbosity=options["verbosity"])
        self.stdout.write(
            self.style.SUCCESS(
                "\nThe way back is done and proved: every legacy row equals its backup or a later write, and the schema is"
                " as it was found."
            )
        )

    def _agreed(self, plan_only: bool) -> bool:
        """Show what it will do; gives whether to do it. Errors: CommandError where it cannot be done, or is not wanted."""
        expected = rollback.forecast(connection)
        self._print(expected)
        if plan_only:
            if expected.reasons:
                self.stdout.write(self.style.ERROR("\nIt cannot be done yet:\n") + "\n".join(expected.reasons))
                sys.exit(BLOCKED)
            self.stdout.write("\nNothing stands in its way. Nothing was written.")
            return False
        if expected.reasons:
            raise CommandError("\n".join(expected.reasons))
        if input("\nType 'yes' to do this, or 'no' to leave it: ") != "yes":
            raise CommandError("Nothing was done.")
        return True

    def _print(self, expected: rollback.Forecast) -> None:
        if expected.legacy:
            self.stdout.write(self.style.MIGRATE_HEADING("Legacy tables stay, with every write"))
            self.stdout.write(f"  {'table':34}{'rows':>12}{'written':>12}{'deleted':>12}")
            for table, (rows, written, deleted) in expected.legacy.items():
                self.stdout.write(f"  {table:34}{rows:>12,}{written:>12,}{deleted:>12,}")
            self.stdout.write(self.style.MIGRATE_HEADING("Of those"))
            for what, number in (
                ("profiles to be written back", expected.profiles_to_write_back),
                ("orders that get back their user_id", expected.orders_back),
                ("guests' accounts that go", expected.accounts_removed),
                ("guests' accounts in use that stay", expected.accounts_kept),
            ):
                self.stdout.write(f"  {what:34}{number:>12,}")
        self.stdout.write(self.style.MIGRATE_HEADING("Tables that go"))
        for table, rows in expected.dropped.items():
            self.stdout.write(f"  {table:34}{rows:>12,}")
