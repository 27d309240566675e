"""`manage.py backup_retention`: until when the backups of the old tables are kept, and what is to be done afterwards.

Exit status: 0 in time, or none are kept, or done; 3 their date is over; 1 refused, or it could not be done.
"""

import datetime
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from legacy_customers.unification import retention

OVER = 3


class Command(BaseCommand):
    help = (
        "Show until when the backups are kept, move that date, or remove them after it. Exit 0 in time or done, 3 over."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--until", type=datetime.date.fromisoformat, metavar="YYYY-MM-DD", help="keep them until then"
        )
        what.add_argument("--remove", action="store_true", help="drop them, once their date is over")
        parser.add_argument("--reason", default="", metavar="WHY", help="for either; it is kept")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["until"]:
            retention.move(connection, options["until"], options["reason"])
        elif options["remove"]:
            retention.remove(connection, options["reason"])
        found = retention.find(connection)
        if found is None:
            self.stdout.write("No backups were made in this database.")
            return
        style = self.style.ERROR if found.is_over else self.style.SUCCESS
        self.stdout.write(style(f"Made on {found.made_on}: {found}."))
        for line in found.moved:
            self.stdout.write(f"  moved {line}")
        if found.is_over:
            self.stdout.write("Let `contract_unification` drop them, or --remove, or --until, with a --reason.")
            sys.exit(OVER)
