"""What the way back is judged by: every legacy row equals its backup or a later write, and the schema is as it was found.

A later write is what the books say: the row as the sync last saw it written (legacy_writes), a row that it saw deleted
(legacy_deletions), or a row in the log of what was written while there was no sync (unification_changes). Of an order they
keep its person and its amount: its other cells change with every step of a delivery, and nobody copies them. Of a login,
password, rights and address are in profile_history, from where `LOGIN_TRACES` has them; when it was last used is in
no book.
"""

from dataclasses import dataclass

from django.core.management.base import CommandError
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from . import fingerprint, phases, progress
from .backup import row_hash
from .field_map import Table
from .sources import BACKUP_KEYS, LEGACY_TABLES, columns_of, existing_tables
from .sync_to_legacy import LOGIN_COLUMNS

SAMPLES = 5
NO_BOOK = ("last_login", "updated_at")
# Cells of a login that no history has; that the row was written is noted.
WITHOUT_HISTORY = ("session_id", "profile_id")
ORDERS_KEEP = ("user_id", "customer_id", "total_amount")

LOGGED = sql.SQL("SELECT FROM {log} AS g WHERE g.source = {source} AND g.key = {key}::text")
LOGS = ("unification_changes", "unification_known", "legacy_deletions")

GONE = sql.SQL(
    "SELECT concat({label}, b.{key}) FROM {backup} AS b WHERE NOT EXISTS"
    " (SELECT FROM {table} AS l WHERE l.{key} = b.{key}){unseen} ORDER BY 1 LIMIT 5"
)
# One reading of both tables. `w` is the row as the sync last saw it.
COMPARE = sql.SQL(
    """
SELECT count(*) FILTER (WHERE outcome = 'equal'), count(*) FILTER (WHERE outcome = 'written'),
    count(*) FILTER (WHERE outcome = 'new'), count(*) FILTER (WHERE outcome = 'deleted'),
    (array_agg(key ORDER BY key) FILTER (WHERE outcome IN ('unexplained', 'gone')))[1:{samples}]
FROM (
    SELECT coalesce(b.{key}, src.{key})::text AS key, CASE
        WHEN b.{key} IS NULL THEN 'new'
        WHEN src.{key} IS NULL THEN CASE WHEN {seen_gone} THEN 'deleted' ELSE 'gone' END
        WHEN b.cells *= src.cells THEN 'equal'
        WHEN {explained} THEN 'written'
        ELSE 'unexplained' END AS outcome
    FROM (SELECT *, ROW({cells}) AS cells, ROW({kept}) AS kept FROM {backup}) AS b
    FULL JOIN (SELECT *, ROW({cells}) AS cells, ROW({kept}) AS kept FROM {table}) AS src ON src.{key} = b.{key}
) AS compared
"""
)


@dataclass(frozen=True)
class Rows:
    """How the rows of a legacy table compare with its backup; `unexplained` are keys, a few."""

    table: str
    equal: int
    written: int
    new: int
    deleted: int
    unexplained: list[str]

    def __str__(self) -> str:
        return (
            f"{self.table}: {self.equal:,} rows as they were, {self.written:,} written since, {self.new:,} new,"
            f" {self.deleted:,} deleted since"
        )


def _seen(tables: set[str], source: str, key: sql.Composable) -> sql.Composed:
    """Condition: one of the books has the row."""
    books: list[sql.Composable] = [
        sql.SQL("EXISTS ({})").format(
            LOGGED.format(log=sql.Identifier(log), source=sql.Literal(source), key=key),
        )
        for log in LOGS
        if log in tables
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(books or [sql.SQL("false")]))


def gone(connection: BaseDatabaseWrapper) -> list[str]:
    """Rows that were backed up and are gone, and of which no book says who deleted them; a few of each table.

    Reads the keys of both sides once.
    """
    found = []
    tables = existing_tables(connection)
    with connection.cursor() as cursor:
        for table in LEGACY_TABLES:
            if not {table, f"backup_{table}"} <= tables:
                continue
            key = sql.Identifier(BACKUP_KEYS[table])
            unseen = sql.SQL(" AND NOT {}").format(_seen(tables, table, sql.Identifier("b", BACKUP_KEYS[table])))
            cursor.execute(
                GONE.format(
                    label=sql.Literal(f"{table} "),
                    key=key,
                    backup=sql.Identifier(f"backup_{table}"),
                    table=sql.Identifier(table),
                    unseen=unseen,
                )
            )
            found += [name for (name,) in cursor.fetchall()]
    return found


def _kept(table: str, cells: list[str]) -> list[str]:
    """The columns of which the books keep how they were last written."""
    if table == "orders":
        return list(ORDERS_KEEP)
    return [name for name in cells if table != Table.USERS or name not in LOGIN_COLUMNS]


def _explained(connection: BaseDatabaseWrapper, tables: set[str], table: str, cells: list[str]) -> sql.Composed:
    """Condition: a row that differs from its backup is as it was last written."""
    key = sql.Identifier("src", BACKUP_KEYS[table])
    columns = columns_of(connection, table)
    more = sql.SQL("true").format()
    if table == "orders":
        hashed = sql.SQL("hash_record_extended(ROW(src.user_id, src.customer_id, src.total_amount::text), 0)").format()
    elif table == Table.USERS:
        hashed = sql.SQL("{}").format(
            row_hash({name: kind for name, kind in columns.items() if name not in LOGIN_COLUMNS})
        )
        login = [name for name in LOGIN_COLUMNS if name in cells and name not in NO_BOOK]
        more = sql.SQL(" AND ").join(
            sql.SQL(
                "(b.{0} IS NOT DISTINCT FROM src.{0} OR EXISTS (SELECT FROM {1} AS g"
                " WHERE g.source = {2} AND g.key = src.id::text))"
            ).format(
                sql.Identifier(name),
                sql.Identifier("legacy_writes" if name in WITHOUT_HISTORY else "unification_changes"),
                sql.Literal("users" if name in WITHOUT_HISTORY else f"users.{name}"),
            )
            for name in login
        )
    else:
        hashed = sql.SQL("{}").format(row_hash(columns))
    return sql.SQL(
        "{seen} OR ((b.kept *= src.kept OR EXISTS (SELECT FROM legacy_writes AS w WHERE w.source = {source} AND w.key = {key}::text"
        " AND w.hash = {hashed})) AND {more})"
    ).format(seen=_seen(tables, table, key), source=sql.Literal(table), key=key, hashed=hashed, more=more)


# Which cells of which login have changed, before the profiles go that the history names.
LOGIN_TRACES = """
INSERT INTO unification_changes (source, key)
SELECT DISTINCT k.key, p.user_id::text FROM profile_history AS h JOIN profiles AS p ON p.id = h.profile_id
CROSS JOIN LATERAL jsonb_object_keys(h.changes) AS k (key) WHERE k.key LIKE 'users.%'
"""


def compare(connection: BaseDatabaseWrapper) -> list[Rows]:
    """Each legacy table held against its backup, one reading of both."""
    found = []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        tables = existing_tables(connection)
        for table in LEGACY_TABLES:
            if f"backup_{table}" not in tables:
                continue
            cells = list(columns_of(connection, f"backup_{table}"))
            cursor.execute(
                COMPARE.format(
                    samples=sql.Literal(SAMPLES),
                    key=sql.Identifier(BACKUP_KEYS[table]),
                    cells=sql.SQL(", ").join(map(sql.Identifier, cells)),
                    kept=sql.SQL(", ").join(map(sql.Identifier, _kept(table, cells))),
                    backup=sql.Identifier(f"backup_{table}"),
                    table=sql.Identifier(table),
                    seen_gone=_seen(tables, table, sql.Identifier("b", BACKUP_KEYS[table])),
                    explained=_explained(connection, tables, table, cells),
                )
            )
            equal, written, new, deleted, unexplained = cursor.fetchone()
            found.append(Rows(table, equal, written, new, deleted, unexplained or []))
    return found


def prove_rows(connection: BaseDatabaseWrapper) -> None:
    """Every legacy row equals its backup or a later write; tells how many are which.

    Errors: CommandError naming rows of which no book says how they came to be as they are; the backups stay.
    """
    found = compare(connection)
    for rows in found:
        progress.tell(str(rows))
    unexplained = [f"{rows.table} {key}" for rows in found for key in rows.unexplained]
    if unexplained:
        raise CommandError(
            f"Of these rows no book says who wrote them or deleted them: {', '.join(unexplained)}. Hold each against its"
            " backup. Put it right or, where it is meant to be so, add its table and key to unification_changes (source,"
            " key). Then run this again."
        )
    progress.tell("way back: every legacy row equals its backup or a later write")


def prove_fingerprint(connection: BaseDatabaseWrapper) -> None:
    """The legacy schema is as it was found. Errors: CommandError naming each difference."""
    if found := fingerprint.differences(fingerprint.recorded(connection), fingerprint.take(connection)):
        raise CommandError(
            "The legacy schema is not as it was found:\n  "
            + "\n  ".join(found)
            + "\nPut it right, then run this again."
        )
    progress.tell("way back: columns, constraints, indexes and triggers are as they were found")
