"""How much a take-over will make, how long it will take, and how much disk it needs meanwhile."""

import os
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql

from ..sources import LEGACY_TABLES
from ..verify import PHASES
from .addresses import spelling, usable
from .found import Found

# Tables of more rows than this are not counted but estimated from their statistics.
COUNTED_UP_TO = 10_000_000
# Rows of the five tables per second: 615,000 took 8.7 s on 2 idle cores with default settings, and a shop is not idle. A
# rehearsal on a copy tells more.
ROWS_PER_SECOND = 50_000
# Bytes per row of what is made, with its indexes, measured likewise.
BACKUP_KEY, PROFILE_OVERHEAD, PROFILE_INDEXES, BOOK_KEEPING, ORDER_INDEXES, ORDER_WORK = 45, 100, 260, 300, 40, 110


@dataclass(frozen=True)
class Forecast:
    """Rows, bytes and seconds; `exact` says whether the rows were counted."""

    rows: dict[str, int]
    exact: bool
    accounts_for_guests: int
    profiles: int
    orders_repointed: int
    bytes: dict[str, int]
    free_bytes: int | None
    free_bytes_unknown_because: str | None
    rows_per_second: int
    rate_from: str

    @property
    def seconds(self) -> int:
        return round(sum(self.rows.values()) / self.rows_per_second)

    @property
    def bytes_needed(self) -> int:
        return sum(self.bytes.values())

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "bytes_needed": self.bytes_needed, "seconds": self.seconds}


# Guests as identity will decide: who is a new person, who is an account's, who stays apart.
NEW_ACCOUNTS = sql.SQL(
    """
WITH guest AS (
    SELECT c.id, CASE WHEN {usable} THEN e.email END AS email, c.date_of_birth,
        coalesce(c.updated_at, c.created_at) AS newest
    FROM customers AS c CROSS JOIN LATERAL (SELECT {guest} AS email) AS e
    WHERE NOT EXISTS (SELECT FROM users AS u WHERE u.id = c.user_id)
), login AS (
    SELECT {login} AS email, count(*) AS accounts, bool_and(u.email_verified IS TRUE) AS verified,
        (array_agg(u.id))[1] AS user_id
    FROM users AS u GROUP BY 1
), meeting AS (
    SELECT g.*, CASE
        WHEN g.email IS NULL THEN 'separate'
        WHEN l.accounts IS NULL THEN 'new_user'
        WHEN l.accounts = 1 AND l.verified AND coalesce(g.date_of_birth = u.date_of_birth, true)
            AND NOT EXISTS (SELECT FROM customers AS b WHERE b.user_id = l.user_id AND b.date_of_birth <> g.date_of_birth)
        THEN 'matched' ELSE 'separate' END AS outcome
    FROM guest AS g LEFT JOIN login AS l ON l.email = g.email LEFT JOIN users AS u ON u.id = l.user_id
), decided AS (
    SELECT email, outcome, date_of_birth <> first_value(date_of_birth) OVER (
        PARTITION BY outcome, email ORDER BY date_of_birth IS NULL, newest DESC NULLS LAST, id) AS contradicts
    FROM meeting
)
SELECT count(DISTINCT email) FILTER (WHERE outcome = 'new_user')
    + count(*) FILTER (WHERE outcome = 'separate' OR contradicts)
FROM decided
"""
)
REPOINTED = """
SELECT count(*) FROM orders AS o
WHERE EXISTS (SELECT FROM customers AS c WHERE c.id = o.customer_id)
    AND (o.user_id IS NULL OR NOT EXISTS (SELECT FROM users AS u WHERE u.id = o.user_id))
"""
ESTIMATED_ROWS = """
SELECT CASE WHEN reltuples < 0 THEN 100 * relpages ELSE reltuples END::bigint FROM pg_class WHERE oid = %s::regclass
"""
SHARE_OF_NULLS = """
SELECT coalesce(max(null_frac), 0)::float8 FROM pg_stats
WHERE schemaname = current_schema() AND tablename = %s AND attname = %s
"""


def predict(found: Found) -> Forecast:
    """For a database whose five tables have the columns that the rules need."""
    rows = {table: _estimated_rows(found, table) for table in LEGACY_TABLES}
    exact = all(number <= COUNTED_UP_TO for number in rows.values())
    if exact:
        rows = {
            table: found.rows(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))[0][0]
            for table in LEGACY_TABLES
        }
        accounts, repointed = _counted(found)
    else:
        accounts = round(rows["customers"] * _share_of_nulls(found, "customers", "user_id"))
        repointed = round(rows["orders"] * _share_of_nulls(found, "orders", "user_id"))
    if _is_identified(found):
        accounts = 0  # they are among the users by now
    free, unknown = _free(found)
    rate, rate_from = _rate(found)
    return Forecast(
        rows=rows,
        exact=exact,
        accounts_for_guests=accounts,
        profiles=rows["users"] + accounts,
        orders_repointed=repointed,
        bytes=_bytes(found, rows, rows["users"] + accounts, repointed),
        free_bytes=free,
        free_bytes_unknown_because=unknown,
        rows_per_second=rate,
        rate_from=rate_from,
    )


def _counted(found: Found) -> tuple[int, int]:
    guest = spelling(found.connection, sql.SQL("c.email::text"))
    [(accounts,)] = found.rows(
        NEW_ACCOUNTS.format(
            guest=guest,
            usable=usable(sql.SQL("e.email")),
            login=spelling(found.connection, sql.SQL("u.email::text")),
        )
    )
    [(repointed,)] = found.rows(REPOINTED)
    return accounts, repointed


def _is_identified(found: Found) -> bool:
    """Whether guests have their accounts already."""
    return bool(found.before) and bool(
        found.rows("SELECT FROM unification_phases WHERE name = 'identity' AND finished_at IS NOT NULL")
    )


def _estimated_rows(found: Found, table: str) -> int:
    return int(found.rows(ESTIMATED_ROWS, f'"{table}"')[0][0])


def _share_of_nulls(found: Found, table: str, column: str) -> float:
    return float(found.rows(SHARE_OF_NULLS, table, column)[0][0])


def _bytes(found: Found, rows: dict[str, int], profiles: int, repointed: int) -> dict[str, int]:
    """What is made and stays, and the most that is needed beside it at a time. The log (pg_wal) comes on top."""
    heap = {table: found.rows("SELECT pg_table_size(%s::regclass)", f'"{table}"')[0][0] for table in LEGACY_TABLES}
    of_people = sum(heap[table] for table in ("users", "customers", "customer_profiles"))
    # Half of what those hold is keys, hashes and second copies; JSON and texts are carried once.
    profile_rows = profiles * PROFILE_OVERHEAD + of_people // 2
    return {
        "backups": sum(heap.values()) + sum(rows.values()) * BACKUP_KEY,
        "profiles": profile_rows,
        "indexes": profiles * PROFILE_INDEXES + rows["orders"] * ORDER_INDEXES,
        "book_keeping": (rows["customers"] + rows["customer_profiles"] + rows["user_profiles"]) * BOOK_KEEPING,
        # A quarter of the repointed orders of a page move to new pages, which are not filled to the last byte.
        "orders": heap["orders"] * repointed // max(rows["orders"], 1) // 3,
        "sorting_at_peak": max(2 * profile_rows, repointed * ORDER_WORK),
    }


def _rate(found: Found) -> tuple[int, str]:
    """Rows a second: of this database's own run where one is on record, else as measured elsewhere."""
    if found.before:
        [(seconds, rows)] = found.rows(
            "SELECT extract(epoch FROM sum(finished_at - started_at))::float8,"
            " max(rows) FILTER (WHERE name = 'backup') FROM unification_phases WHERE name = ANY(%s)"
            " HAVING count(finished_at) = %s",
            list(PHASES),
            len(PHASES),
        ) or [(None, None)]
        if seconds and rows:
            return max(round(rows / seconds), 1), "the run on record in unification_phases"
    return ROWS_PER_SECOND, "measured on 2 cores with default settings"


def _free(found: Found) -> tuple[int | None, str | None]:
    """Bytes free where the server keeps this database, where that is a directory of this machine that we may look at."""
    [(elsewhere,)] = found.rows("SELECT inet_server_addr() IS NOT NULL AND inet_server_addr() <> inet_client_addr()")
    if elsewhere:
        return None, "the server is on another machine"
    [(allowed, tablespace)] = found.rows(
        "SELECT pg_has_role('pg_read_all_settings', 'USAGE'), spcname FROM pg_database AS d"
        " JOIN pg_tablespace AS t ON t.oid = d.dattablespace WHERE datname = current_database()"
    )
    if not allowed:
        return None, "this role may not see data_directory (GRANT pg_read_all_settings)"
    if tablespace != "pg_default":
        return None, f"the database is in tablespace {tablespace}"
    [(directory,)] = found.rows("SELECT current_setting('data_directory')")
    try:
        disk = os.statvfs(directory)
    except OSError as error:
        return None, f"{directory}: {error.strerror}"
    return disk.f_bavail * disk.f_frsize, None
