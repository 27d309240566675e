"""What the way back is judged by: every legacy row equals its backup or a later write, and the schema is as it was found.

A later write is what the books say: the row as the sync last saw it written (legacy_writes), a row that it saw deleted
(legacy_deletions), or a row in the log of what was written while there was no sync (unification_changes). Of an order they
keep its person and its amount: its other cells change with every step of a delivery, and nobody copies them. Of a login,
password, rights and address are in profile_history, from where `LOGIN_TRACES` has them; when it was last used is in
no book.

All rows are held against their backups before anything is changed, while both applications go on: that reads both tables
once. At the end come those that a book has, for nothing else can have been written since; `of_every_row` asks for all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.management.base import CommandError
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from .. import fingerprint, phases, progress
from ..backup import row_hash
from ..field_map import Table
from ..sources import BACKUP_KEYS, LEGACY_TABLES, columns_of, existing_tables
from ..sync.to_legacy import LOGIN_COLUMNS

SAMPLES = 5
NO_BOOK = ("last_login", "updated_at")
# Cells of a login that no history has; that the row was written is noted.
WITHOUT_HISTORY = ("session_id", "profile_id")
ORDERS_KEEP = ("user_id", "customer_id", "total_amount")

LOGGED = sql.SQL("SELECT FROM {log} AS g WHERE g.source = {source} AND g.key = {key}::text")
LOGS = ("unification_changes", "unification_known", "legacy_deletions")
BOOKS = (*LOGS, "legacy_writes")

# The books are asked about what differs alone, each row once (OFFSET keeps the query from being taken apart); the rest is
# left to PostgreSQL's parallel workers.
COMPARE = sql.SQL(
    """
SELECT count(*) FILTER (WHERE outcome = 'written'), count(*) FILTER (WHERE outcome = 'deleted'),
    (array_agg(key ORDER BY key) FILTER (WHERE outcome = 'gone'))[1:{samples}],
    (array_agg(key ORDER BY key) FILTER (WHERE outcome = 'unexplained'))[1:{samples}]
FROM (
    SELECT b.{key}::text AS key, CASE
        WHEN src.{key} IS NULL THEN CASE WHEN {seen_gone} THEN 'deleted' ELSE 'gone' END
        WHEN {explained} THEN 'written'
        ELSE 'unexplained' END AS outcome
    FROM {backup} AS b LEFT JOIN {table} AS src ON src.{key} = b.{key} {identities}
    WHERE {rows} AND (src.{key} IS NULL OR NOT ({unchanged}))
    OFFSET 0
) AS differing
"""
)
IN_A_BOOK = sql.SQL("b.{key} IN (SELECT {cast}(g.key) FROM ({books}) AS g)")
BOOKED = sql.SQL("SELECT key FROM {book} WHERE source = {source} OR source LIKE {parts}")

# An order that the repointing gave its customer's user, where its own named nobody, will have its own again.
IDENTITIES = sql.SQL("LEFT JOIN legacy_identities AS i ON i.customer_id = b.customer_id")
REPOINTED = sql.SQL(
    "(src.user_id IS NOT DISTINCT FROM i.user_id"
    " AND (b.user_id IS NULL OR NOT EXISTS (SELECT FROM users AS u WHERE u.id = b.user_id)))"
)


@dataclass(frozen=True)
class Rows:
    """How the rows of a legacy table that differ from its backup came to do so; those that nobody saw, by a few keys."""

    table: str
    written: int
    deleted: int
    gone: list[str]
    unexplained: list[str]

    def __str__(self) -> str:
        return f"{self.table}: {self.written:,} rows written since, {self.deleted:,} deleted since, by the books"


_every_row = False


@contextmanager
def of_every_row(wanted: bool) -> Iterator[None]:
    """Whether the proof at the end reads every row again, not those alone that a book has."""
    global _every_row
    before, _every_row = _every_row, wanted
    try:
        yield
    finally:
        _every_row = before


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


def _cells(alias: str, names: list[str]) -> sql.Composed:
    return sql.SQL("ROW({})::record").format(sql.SQL(", ").join(sql.Identifier(alias, name) for name in names))


def _same(names: list[str]) -> sql.Composed:
    """Condition: these cells are what the backup has, to the bit."""
    return sql.SQL("{} *= {}").format(_cells("b", names), _cells("src", names))


def _unchanged(table: str, cells: list[str], *, at_end: bool) -> sql.Composed:
    """Condition: a row is as it was backed up, in all that is judged."""
    if table != "orders":
        return _same(cells)
    if at_end:
        return _same(list(ORDERS_KEEP))
    return sql.SQL("{} AND (src.user_id IS NOT DISTINCT FROM b.user_id OR {})").format(
        _same([name for name in ORDERS_KEEP if name != "user_id"]), REPOINTED
    )


# Which cells of which login have changed: before the profiles go that the history names, they go into the log.
LOGIN_TRACES = """
INSERT INTO unification_changes (source, key)
SELECT DISTINCT k.key, p.user_id::text FROM profile_history AS h JOIN profiles AS p ON p.id = h.profile_id
CROSS JOIN LATERAL jsonb_object_keys(h.changes) AS k (key) WHERE k.key LIKE 'users.%'
"""
LOGIN_TRACE = {
    "unification_changes": sql.SQL("SELECT FROM unification_changes AS g WHERE g.source = {} AND g.key = src.id::text"),
    "profile_history": sql.SQL(
        "SELECT FROM profiles AS p JOIN profile_history AS h ON h.profile_id = p.id WHERE p.user_id = src.id"
        " AND jsonb_exists(h.changes, {})"
    ),
}
IS_WRITTEN = sql.SQL("SELECT FROM legacy_writes AS g WHERE g.source = 'users' AND g.key = src.id::text")


def _login_explained(tables: set[str], cells: list[str]) -> sql.Composed:
    """Condition: each cell of a login that differs from its backup was seen to change."""
    conditions: list[sql.Composable] = []
    for name in LOGIN_COLUMNS:
        if name not in cells or name in NO_BOOK:
            continue
        traces: list[sql.Composable] = [sql.SQL("b.{0} IS NOT DISTINCT FROM src.{0}").format(sql.Identifier(name))]
        if name in WITHOUT_HISTORY:
            traces.append(sql.SQL("EXISTS ({})").format(IS_WRITTEN))
        else:
            traces += [
                sql.SQL("EXISTS ({})").format(trace.format(sql.Literal(f"users.{name}")))
                for log, trace in LOGIN_TRACE.items()
                if log in tables
            ]
        conditions.append(sql.SQL("({})").format(sql.SQL(" OR ").join(traces)))
    return sql.SQL(" AND ").join(conditions or [sql.SQL("true")])


def _explained(connection: BaseDatabaseWrapper, tables: set[str], table: str, cells: list[str]) -> sql.Composed:
    """Condition: a row that differs from its backup is as it was last written."""
    key = sql.Identifier("src", BACKUP_KEYS[table])
    columns = columns_of(connection, table)
    kept, more = sql.SQL("false").format(), sql.SQL("true").format()
    if table == "orders":
        hashed = sql.SQL("hash_record_extended(ROW(src.user_id, src.customer_id, src.total_amount::text), 0)").format()
    elif table == Table.USERS:
        kept = _same([name for name in cells if name not in LOGIN_COLUMNS])
        columns = {name: kind for name, kind in columns.items() if name not in LOGIN_COLUMNS}
        hashed = sql.SQL("{}").format(row_hash(columns))
        more = _login_explained(tables, cells)
    else:
        hashed = sql.SQL("{}").format(row_hash(columns))
    return sql.SQL(
        "{seen} OR (({kept} OR EXISTS (SELECT FROM legacy_writes AS w WHERE w.source = {source} AND w.key = {key}::text"
        " AND w.hash = {hashed})) AND {more})"
    ).format(seen=_seen(tables, table, key), kept=kept, source=sql.Literal(table), key=key, hashed=hashed, more=more)


def _in_a_book(tables: set[str], table: str) -> sql.Composed:
    """Condition: one of the books has the row, or a cell of it."""
    return IN_A_BOOK.format(
        key=sql.Identifier(BACKUP_KEYS[table]),
        cast=sql.SQL("" if table == Table.CUSTOMER_PROFILES else "unification_uuid"),
        books=sql.SQL(" UNION ").join(
            BOOKED.format(book=sql.Identifier(book), source=sql.Literal(table), parts=sql.Literal(f"{table}.%"))
            for book in BOOKS
            if book in tables
        ),
    )


def compare(connection: BaseDatabaseWrapper, *, at_end: bool, every_row: bool = True) -> list[Rows]:
    """The rows of each legacy table held against its backup: all of them, one reading of both, or those in a book.

    Until its end, orders that the take-over repointed are as they should be.
    """
    found = []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute("SET LOCAL parallel_tuple_cost = 0")  # few rows differ, of which the planner does not know
        tables = existing_tables(connection)
        for table in LEGACY_TABLES:
            if not {table, f"backup_{table}"} <= tables:
                continue
            cells = list(columns_of(connection, f"backup_{table}"))
            cursor.execute(
                COMPARE.format(
                    samples=sql.Literal(SAMPLES),
                    key=sql.Identifier(BACKUP_KEYS[table]),
                    backup=sql.Identifier(f"backup_{table}"),
                    table=sql.Identifier(table),
                    rows=sql.SQL("true") if every_row else _in_a_book(tables, table),
                    identities=sql.SQL("") if at_end or table != "orders" else IDENTITIES,
                    unchanged=_unchanged(table, cells, at_end=at_end),
                    seen_gone=_seen(tables, table, sql.Identifier("b", BACKUP_KEYS[table])),
                    explained=_explained(connection, tables, table, cells),
                )
            )
            written, deleted, gone, unexplained = cursor.fetchone()
            found.append(Rows(table, written, deleted, gone or [], unexplained or []))
    return found


ADD_TO_LOG = (
    "CREATE TABLE IF NOT EXISTS unification_changes (source text NOT NULL, key text NOT NULL);"
    " INSERT INTO unification_changes VALUES ('{}', '{}')"
)


def faults(found: list[Rows]) -> list[str]:
    """What no book explains, with the way out."""
    lines = []
    if gone := [(rows.table, key) for rows in found for key in rows.gone]:
        lines.append(
            f"Rows that were backed up are gone: {_named(gone)}. Put them back from the backup of their table or, "
            "where they were deleted on purpose, delete them there too (drop its trigger unification_never_written "
            "first). Then run this again."
        )
    if unexplained := [(rows.table, key) for rows in found for key in rows.unexplained]:
        lines.append(
            f"Of these rows no book says who wrote them: {_named(unexplained)}. Hold each against its backup. Put it"
            f" right or, where it is meant to be so, add it to the log: {ADD_TO_LOG.format(*unexplained[0])}. Then run this"
            " again."
        )
    return lines


def _named(rows: list[tuple[str, str]]) -> str:
    return ", ".join(f"{table} {key}" for table, key in rows)


def prove_rows(connection: BaseDatabaseWrapper, *, every_row: bool) -> None:
    """Every legacy row equals its backup or a later write; tells how many were written.

    Errors: CommandError naming rows of which no book says how they came to be as they are; the backups stay.
    """
    every_row = every_row or _every_row
    found = compare(connection, at_end=True, every_row=every_row)
    for rows in found:
        progress.tell(str(rows))
    if lines := faults(found):
        raise CommandError("\n".join(lines))
    progress.tell(
        "way back: every legacy row equals its backup or a later write"
        if every_row
        else "way back: every legacy row that was written is as it was last written; the others were looked at before"
    )


def prove_fingerprint(connection: BaseDatabaseWrapper) -> None:
    """The legacy schema is as it was found. Errors: CommandError naming each difference."""
    if found := fingerprint.differences(fingerprint.recorded(connection), fingerprint.take(connection)):
        raise CommandError(
            "The legacy schema is not as it was found:\n  "
            + "\n  ".join(found)
            + "\nPut it right, then run this again."
        )
    progress.tell("way back: columns, constraints, indexes and triggers are as they were found")
