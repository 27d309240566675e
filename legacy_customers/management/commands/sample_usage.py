"""`manage.py sample_usage`: keep what the server's counters tell of the old shapes' users, before they are reset; show all.

To be run by cron, every quarter of an hour or so: a use is dated to the next sample. Exit status: 0 sampled, 1 it failed.
"""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from legacy_customers.unification import evidence


class Command(BaseCommand):
    help = "Keep what tells of readers and writers of the old shapes, and show it. For cron, every quarter of an hour or so."

    def handle(self, *args: Any, **options: Any) -> None:
        evidence.sample(connection)
        if options["verbosity"] == 0:
            return
        used = evidence.gather(connection)
        line = "{:18}{:7}{:32}{:>12}  {:18}{:18}{}"
        self.stdout.write(line.format("shape", "kind", "who", "count", "first (UTC)", "last (UTC)", "seen by"))
        for one in used:
            first, last = f"{one.first_at:%Y-%m-%d %H:%M}", f"{one.last_at:%Y-%m-%d %H:%M}"
            self.stdout.write(line.format(one.shape, one.kind, one.who, f"{one.count:,}", first, last, one.source))
        self.stdout.write("")
        for watch in evidence.watches(connection):
            since = f"since {watch.since:%Y-%m-%d %H:%M}" if watch.since else f"not: {watch.why}"
            self.stdout.write(f"{watch.kind}s of {watch.shape}, {watch.source}: watched {since}")
            self.stdout.write(f"    cannot see: {watch.blind_to}")
