"""Until when the backups are kept: they hold personal data, so there is a date, set when they are made and moved with a reason.

After it the verification fails, and says so, until they are gone or the date is moved: nothing removes them by itself, for with
them go the way back and what the verification judges by.
"""

import datetime
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings
from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config import locks, protection

from . import backup, phases
from .sources import LEGACY_TABLES, existing_tables

MADE = "SELECT finished_at, (now() AT TIME ZONE 'UTC')::date FROM unification_phases WHERE name = %s AND finished_at IS NOT NULL"


@dataclass(frozen=True)
class Retention:
    """Dates are of UTC. `tables` are the backups that are there, `moved` the reasons for which the date is not the first one."""

    made_on: datetime.date
    keep_until: datetime.date
    days_left: int
    tables: tuple[str, ...]
    moved: list[str] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return bool(self.tables) and self.days_left < 0

    def __str__(self) -> str:
        if not self.tables:
            return "no backups are kept any more"
        if self.is_over:
            return f"backups were to be kept until {self.keep_until}, {-self.days_left:,} days ago"
        return f"backups are kept until {self.keep_until}, {self.days_left:,} days more"


def find(connection: BaseDatabaseWrapper) -> Retention | None:
    """Until when the backups are kept; None where none were made."""
    tables = existing_tables(connection)
    if "unification_phases" not in tables:
        return None
    with connection.cursor() as cursor:
        cursor.execute(MADE, [backup.PHASE])
        if (found := cursor.fetchone()) is None:
            return None
    made_on, today = found[0].astimezone(datetime.UTC).date(), found[1]
    noted = phases.detail_of(connection, backup.PHASE)
    if not noted.get("tables"):
        return None
    until = (
        datetime.date.fromisoformat(noted["keep_until"])
        if "keep_until" in noted
        else made_on + datetime.timedelta(days=settings.UNIFICATION_BACKUP_DAYS)
    )
    kept = tuple(f"backup_{table}" for table in LEGACY_TABLES if f"backup_{table}" in tables)
    return Retention(made_on, until, (until - today).days, kept, noted.get("moved", []))


def record(connection: BaseDatabaseWrapper) -> None:
    """Note the date, so that a later change of the setting does not move it; an earlier note stands."""
    if found := find(connection):
        phases.note(connection, backup.PHASE, keep_until=found.keep_until.isoformat())


def move(connection: BaseDatabaseWrapper, until: datetime.date, reason: str) -> None:
    """Keep them until another date. Errors: CommandError where there are none, or without a reason."""
    found = _there(connection, reason)
    words = f"from {found.keep_until} to {until}: {reason.strip()}"
    phases.note(connection, backup.PHASE, keep_until=until.isoformat(), moved=[*found.moved, words])


def remove(connection: BaseDatabaseWrapper, reason: str) -> None:
    """Drop the backups in one transaction, logged as a release. Errors: CommandError before their date.

    Locks: ACCESS EXCLUSIVE on the backups alone.
    """
    found = _there(connection, reason)
    if not found.is_over:
        raise CommandError(
            f"The {found}. Until then they are what the way back and the verification go by; nothing was removed. The contract"
            " phase drops them earlier (`manage.py contract_unification`), or move the date (--until)."
        )
    locks.patiently(connection, partial(_drop, connection, found, reason))


def _there(connection: BaseDatabaseWrapper, reason: str) -> Retention:
    if not reason.strip():
        raise CommandError("Say why: --reason.")
    found = find(connection)
    if found is None or not found.tables:
        raise CommandError("There are no backups in this database. Nothing was done.")
    return found


def _drop(connection: BaseDatabaseWrapper, found: Retention, reason: str) -> None:
    with connection.cursor() as cursor:
        protection.release(cursor, f"the {found}: {reason}")
        for table in found.tables:
            cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(table)))
        phases.note(connection, backup.PHASE, removed=f"{found.keep_until}: {reason}")
