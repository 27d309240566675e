"""`manage.py find_duplicates`: suggest the pairs of profiles that may be one person.

Looks at the profiles that were written since the last time, in batches that commit, so that it may be interrupted and run as
often as wanted. What was dismissed stays so. Exit status: 0 done, 4 the time was over before everybody was looked at.
"""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.api.problems import Problem
from profiles.services import duplicates

MORE = 4


class Command(BaseCommand):
    help = "Suggest pairs of profiles that may be one person. Exit 0 done, 4 there are more profiles to look at."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seconds", type=float, help="begin no other batch after so many; without it: all")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = duplicates.find(seconds=options["seconds"], tell=self._tell)
        except Problem as refusal:
            raise CommandError(refusal.text) from refusal
        self.stdout.write(
            f"{found.looked_at:,} profiles looked at, {found.compared:,} pairs compared, {found.suggested:,} suggested, "
            f"{found.scored:,} open ones scored."
        )
        if found.left:
            self.stdout.write("There are more: run it again.")
            sys.exit(MORE)

    def _tell(self, found: duplicates.Found) -> None:
        if found.looked_at % 50_000 == 0:
            self.stdout.write(f"{found.looked_at:,} profiles, {found.suggested:,} pairs so far")
