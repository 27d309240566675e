"""`manage.py demo`: a sample shop, unified, verified and served, in one go. A second run changes nothing."""

import signal
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from legacy_customers.sample.logins import LOGINS
from legacy_customers.sample.report import relations
from legacy_customers.sample.stories import people_of


class Command(BaseCommand):
    help = (
        "Load the sample shop into an empty database, migrate, verify, and serve the result. Exit codes: "
        "0 verified and, without --no-server, served until stopped; 3 verification found a difference; 1 refused."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-server", action="store_true", help="stop after the verification")
        parser.add_argument("--port", type=int, default=8000, help="the server's port (default: 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        self._load()
        self._title("Migrating")
        call_command("migrate")
        self._title("Verifying")
        passed = self._verify()
        self._title("Logins")
        for login in LOGINS:
            self.stdout.write(f"  {login.email:<22} {login.password}  {login.role}")
        if options["no_server"]:
            if not passed:
                sys.exit(3)
            return
        self._title(f"Open http://127.0.0.1:{options['port']}/ (Ctrl+C ends it)")
        # Ended by a signal too, the embedded server stops with its last user.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        call_command("runserver", f"127.0.0.1:{options['port']}", use_reloader=False, skip_checks=True)

    def _load(self) -> None:
        """Load the shop where there is nothing yet. Refused: a database that is somebody's."""
        name = connection.settings_dict["NAME"]
        if not relations(connection):
            self._title("Loading the sample shop")
            call_command("load_legacy_sample", story="shop")
        elif _is_sample():
            self.stdout.write(f"The database {name!r} is not empty: no sample data is loaded again.")
        else:
            raise CommandError(
                f"The database {name!r} holds tables that are not the sample's. The demo migrates only an empty "
                "database or its own. Point DATABASE_URL at an empty one, or unset it; to take over a real "
                "database follow docs/runbook.md."
            )

    def _verify(self) -> bool:
        try:
            call_command("verify_unification")
        except SystemExit:  # a difference; the table has said which
            return False
        return True

    def _title(self, text: str) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(f"\n{text}"))
        self.stdout.flush()


def _is_sample() -> bool:
    """Whether the sample's people are in this database; their keys are always the same."""
    ids = [row["id"] for story in ("seed", "shop") for person in people_of(story) for row in person.users]
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('users') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return False
        cursor.execute("SELECT EXISTS (SELECT FROM users WHERE id = ANY(%s))", [ids])
        return bool(cursor.fetchone()[0])
