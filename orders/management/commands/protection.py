"""`manage.py protection`: what is protected and by which means; with `--release WHY`, one transaction that may lose it.

Exit status: 0 all of it is in force, or what was released is done; 3 something is not; 1 refused, or it could not be done.
"""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction

from config import protection, protection_plan
from orders.protection import TABLES

FAULT = 3


class Command(BaseCommand):
    help = "Show how tables are protected, or let one transaction lose what is. Exit 0 in force or done, 3 a fault."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--release", metavar="WHY", help="with --sql or --migrate: who, when and why is logged")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--sql", metavar="STATEMENTS", help="run these in one transaction; - reads them from stdin")
        what.add_argument("--migrate", nargs="+", metavar=("APP", "NAME"), help="run `migrate` with these")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["release"] is None:
            if options["sql"] or options["migrate"]:
                raise CommandError("Say why: --release 'why'.")
            self._show()
        elif options["sql"]:
            self._run(options["release"], sys.stdin.read() if options["sql"] == "-" else options["sql"])
        elif options["migrate"]:
            with protection_plan.released(options["release"]):
                call_command("migrate", *options["migrate"][:2], verbosity=options["verbosity"])
        else:
            raise CommandError("A release holds for one transaction: say what is done in it, with --sql or --migrate.")

    def _show(self) -> None:
        found = protection.in_force(connection, TABLES)
        self.stdout.write(f"{len(found.guards)} tables are protected by {found.means} and triggers against TRUNCATE:")
        for name in found.guards:
            self.stdout.write(f"  {name}")
        for line in found.missing:
            self.stdout.write(self.style.WARNING(line))
        for line in found.faults:
            self.stdout.write(self.style.ERROR(line))
        if found.faults:
            sys.exit(FAULT)

    def _run(self, reason: str, statements: str) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                protection.release(cursor, reason)
                cursor.execute(statements)
        except DatabaseError as error:
            raise CommandError(f"Nothing was done: {error}") from error
        self.stdout.write(self.style.SUCCESS("Done, and logged in protection_releases."))
