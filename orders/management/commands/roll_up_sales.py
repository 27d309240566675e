"""`manage.py roll_up_sales`: keep what the orders of each day come to, so that analytics need not read them all.

Safe to run at any time, as often as wanted, and to interrupt: each month is a transaction of its own. Run it once after
`migrate`, then daily (analytics are right without it, and slower). Exit status: 0 done, 3 `--verify` found a difference.
"""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from orders.analytics import rollup

DIFFERENCE = 3


class Command(BaseCommand):
    help = "Roll up the orders of the days that are over, for analytics. Exit 0 done, 3 --verify found a difference."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rebuild", action="store_true", help="roll up every day again")
        parser.add_argument(
            "--verify", action="store_true", help="roll up nothing; compute the rolled-up days again and compare"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rebuild"]:
            rollup.forget()
        if not options["verify"] or options["rebuild"]:
            days = rollup.roll_up(progress=self.stdout.write)
            self.stdout.write(f"{days:,} days rolled up.")
        if options["verify"]:
            found = rollup.differences()
            for difference in found:
                self.stdout.write(f"{difference.table} {difference.day} {difference.side}: {difference.row}")
            if found:
                self.stdout.write(
                    self.style.ERROR("The roll-up is not what orders say. Way out: roll_up_sales --rebuild")
                )
                sys.exit(DIFFERENCE)
            self.stdout.write(self.style.SUCCESS("The roll-up is what orders say."))
