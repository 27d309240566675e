"""What the contract phase has done, as `unification_contract` has it: the one thing that its steps and the judge ask."""

import datetime
import json
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "unification_contract"

ORDER = ("fence", "users_columns", "legacy_tables", "customers_view", "backups", "timestamps", "unique_email")

READ = """
SELECT name, done_at, by, forced, dump, sha256, detail::text FROM unification_contract
WHERE undone_at IS NULL ORDER BY id
"""


@dataclass(frozen=True)
class Record:
    """A step that was begun and not undone; done where `done_at` is set."""

    name: str
    done_at: datetime.datetime | None
    by: str
    forced: str
    dump: str
    sha256: str
    detail: dict[str, Any]


def records(connection: BaseDatabaseWrapper) -> dict[str, Record]:
    """Every step that was begun, by its name; none where nothing was contracted yet."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [TABLE])
        if not cursor.fetchone()[0]:
            return {}
        cursor.execute(READ)
        return {
            name: Record(name, done_at, by, forced, dump, sha256, json.loads(detail))
            for name, done_at, by, forced, dump, sha256, detail in cursor.fetchall()
        }


def done(connection: BaseDatabaseWrapper) -> dict[str, Record]:
    """The steps that are done, by name."""
    return {name: record for name, record in records(connection).items() if record.done_at is not None}


def begin(connection: BaseDatabaseWrapper, name: str, forced: str) -> None:
    """Note that a step is at work; one that was killed goes on under its first record."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO unification_contract AS c (name, by, forced) VALUES (%s, session_user, %s)"
            " ON CONFLICT (name) WHERE undone_at IS NULL DO UPDATE SET by = EXCLUDED.by,"
            " forced = coalesce(nullif(EXCLUDED.forced, ''), c.forced)",
            [name, forced],
        )


def note(connection: BaseDatabaseWrapper, name: str, **detail: Any) -> None:
    """Add to the step's detail, within the running transaction if there is one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE unification_contract SET detail = detail || %s::jsonb WHERE name = %s AND undone_at IS NULL",
            [json.dumps(detail), name],
        )


def dumped(connection: BaseDatabaseWrapper, name: str, path: str, sha256: str) -> None:
    """Where the step's dump is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE unification_contract SET dump = %s, sha256 = %s WHERE name = %s AND undone_at IS NULL",
            [path, sha256, name],
        )


def finish(connection: BaseDatabaseWrapper, name: str) -> None:
    """The step is done, in the transaction that does the last of it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE unification_contract SET done_at = clock_timestamp() WHERE name = %s AND undone_at IS NULL", [name]
        )


def undo(connection: BaseDatabaseWrapper, name: str) -> None:
    """The step is undone, in the transaction that undoes the last of it; its record stays."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE unification_contract SET undone_at = clock_timestamp() WHERE name = %s AND undone_at IS NULL",
            [name],
        )


def refuse_way_back(connection: BaseDatabaseWrapper) -> str:
    """Why there is no way back from where the contract phase stands; empty where there is one."""
    begun = [name for name in ORDER if name in records(connection)]
    if not begun:
        return ""
    if begun == ["fence"]:
        return (
            "The old tables are fenced: the old application could not write to them afterwards. Take the fence away first"
            " (`manage.py contract_unification --undo`)."
        )
    return (
        f"The contract phase has dropped what the way back would need ({', '.join(begun)}). There is no way back any more;"
        " the dumps of its steps are named by `manage.py contract_unification --plan`."
    )
