"""`manage.py rollback_unification`: the way back, as `migrate legacy_customers zero` goes it, with a look before.

Exit status: 0 done, or nothing stands in its way (--plan), 3 something does (--plan), 1 refused, or it could not finish.
"""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from legacy_customers.unification.rollback import Forecast, forecast

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
            "--noinput", "--no-input", action="store_false", dest="interactive", help="do it without asking"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        expected = forecast(connection)
        if not expected.to_do:
            self.stdout.write("There is nothing to take back: this database has not been taken over.")
            return
        self._print(expected)
        if options["plan"]:
            if expected.reasons:
                self.stdout.write(self.style.ERROR("\nIt cannot be done yet:\n") + "\n".join(expected.reasons))
                sys.exit(BLOCKED)
            self.stdout.write("\nNothing stands in its way. Nothing was written.")
            return
        if expected.reasons:
            raise CommandError("\n".join(expected.reasons))
        if options["interactive"] and input("\nType 'yes' to do this, or 'no' to leave it: ") != "yes":
            raise CommandError("Nothing was done.")
        call_command("migrate", "legacy_customers", "zero", interactive=False, verbosity=options["verbosity"])
        self.stdout.write(
            self.style.SUCCESS(
                "\nThe way back is done and proved: every legacy row equals its backup or a later write, and the schema is"
                " as it was found."
            )
        )

    def _print(self, expected: Forecast) -> None:
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
