"""Build a legacy database to try the unification on: a story, or any number of generated people."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from legacy_customers.sample.people import generate
from legacy_customers.sample.report import SampleReport, relations, report
from legacy_customers.sample.stories import load_story


class Command(BaseCommand):
    help = (
        "Build the legacy schema in an empty database and fill it with sample data. "
        "Exit codes: 0 loaded, 1 refused or failed (nothing is written then)."
    )
    # The checks look at models whose tables are only made by migrate, after this.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--story",
            choices=["seed", "shop"],
            default="shop",
            help="seed: the seed document's numbers; shop: a few hundred people, every odd case (default)",
        )
        what.add_argument("--people", type=int, metavar="N", help="generate N users with guests, profiles and orders")
        parser.add_argument(
            "--older",
            action="store_true",
            help="an older installation's schema: role as text, address as jsonb",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["people"] is not None and options["people"] < 1:
            raise CommandError(f"--people {options['people']}: give the number of users to make, 1 or more.")
        if found := relations(connection):
            raise CommandError(
                f"The database {connection.settings_dict['NAME']!r} is not empty: the schema public holds "
                f"{', '.join(found[:5])}{f' and {len(found) - 5} more' if len(found) > 5 else ''}. "
                f"Sample data goes "
                "into an empty database only. Create one (createdb NAME), point DATABASE_URL at it, "
                "run this again; "
                "without DATABASE_URL, delete the embedded server's data directory (EMBEDDED_POSTGRES_DIR)."
            )
        if options["people"] is not None:
            generate(connection, options["people"], older=options["older"])
        else:
            load_story(connection, options["story"], older=options["older"])
        self._print(report(connection))

    def _print(self, loaded: SampleReport) -> None:
        for table, count in loaded.counts.items():
            self.stdout.write(f"{table:<18} {count:>10,}")
        self.stdout.write("\nSample logins:")
        for login in loaded.logins:
            self.stdout.write(f"  {login.email:<22} {login.password}  {login.role}")
        self.stdout.write("The others have the same password, except where the hash itself is the odd value.")
