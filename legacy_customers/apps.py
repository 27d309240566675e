import time
from typing import Any

from django.apps import AppConfig
from django.core.management.base import CommandError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_migrate, pre_migrate

from config import protection, protection_plan


class LegacyCustomersConfig(AppConfig):
    name = "legacy_customers"
    verbose_name = "The old world"

    def ready(self) -> None:
        from . import erasure, source_rows  # noqa: F401  (each adds what it knows)
        from .unification import rollback

        protection_plan.ways_back.append(rollback.is_way_back)
        pre_migrate.connect(before_migrate, sender=self)
        post_migrate.connect(after_migrate, sender=self)


# Held by the session in which `migrate` runs; the number only has to be the same everywhere.
ONE_AT_A_TIME = 7_213_640_119_004_266
SECONDS_BETWEEN_TRIES = 1.0
# Functions that run with our rights keep the search_path of the session that made them. Unless it says otherwise, a writer's
# temporary tables come first in it.
TEMPORARY_LAST = """
SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), 'pg_temp'), false)
WHERE current_setting('search_path') !~ '\\mpg_temp\\M'
"""

Plan = list[tuple[Any, bool]]


def before_migrate(plan: Plan, using: str, verbosity: int, **kwargs: Any) -> None:
    """Before `migrate` writes anything: no other one runs, a take-over fits, and a way back finds every row and room."""
    from .unification import preflight, progress, rollback, runs, throttle
    from .unification.sources import find_sources

    progress.listen(verbosity > 0)
    with connections[using].cursor() as cursor:
        cursor.execute(TEMPORARY_LAST)
    wait_for_other_migrate(connections[using], plan)
    throttle.begin(connections[using])
    if _holds(plan, "0001_initial", backwards=False):
        preflight.refuse_what_does_not_fit(connections[using], tell=verbosity > 0)
    if any(not backwards for _, backwards in plan):
        rollback.refuse_to_turn_round(connections[using])
    if any(_holds(plan, name, backwards=True) for name in ("0003_backup", "0009_customers_view", "0011_sync")):
        rollback.refuse(connections[using], plan)
    if rollback.is_way_back(connections[using], plan):
        protection.remove(connections[using])
    if plan:
        runs.begin(connections[using], plan)
    # Killed after the sync came on, and before Django recorded that it did.
    unrecorded = _holds(plan, "0009_customers_view", backwards=True) and not _holds(plan, "0011_sync", backwards=True)
    if unrecorded and (sources := find_sources(connections[using])):
        rollback.begin(connections[using], sources)


def _holds(plan: Plan, name: str, *, backwards: bool) -> bool:
    return any(
        (migration.app_label, migration.name, back) == ("legacy_customers", name, backwards) for migration, back in plan
    )


def wait_for_other_migrate(connection: BaseDatabaseWrapper, plan: Plan) -> None:
    """Take the lock that lets one `migrate` at a time work on a database; it ends with `migrate` or with the session.

    Asked for again and again, not waited for: a waiting query would hold up CREATE INDEX CONCURRENTLY.

    Errors: CommandError where the plan was made before another `migrate` carried it out.
    """
    from .unification import progress

    told = False
    with connection.cursor() as cursor:
        while not _held(connection):
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [ONE_AT_A_TIME])
            if cursor.fetchone()[0]:
                break
            if not told:
                progress.tell("another `migrate` is at work on this database, waiting for its end")
                told = True
            time.sleep(SECONDS_BETWEEN_TRIES)
    applied = MigrationRecorder(connection).applied_migrations()
    if any(((migration.app_label, migration.name) in applied) is not back for migration, back in plan):
        raise CommandError(
            "Another `migrate` changed this database meanwhile. Nothing was done; run this again to go on from there."
        )


def _held(connection: BaseDatabaseWrapper) -> bool:
    """Whether this session has the lock already, from a `migrate` that failed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND (classid::bigint << 32) | objid::bigint = %s AND objsubid = 1)",
            [ONE_AT_A_TIME],
        )
        return bool(cursor.fetchone()[0])


def after_migrate(using: str, **kwargs: Any) -> None:
    """Tell what it cost the others, and let the next `migrate` go on. Progress is for the operator of `migrate` alone."""
    from .unification import progress, runs

    runs.end(connections[using])
    progress.listen(False)
    if _held(connections[using]):
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ONE_AT_A_TIME])
