"""How many rows there are, in a time that does not grow with the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

# Up to so many rows a table is counted; a larger one is estimated from PostgreSQL's statistics.
COUNTED = 100_000


@dataclass(frozen=True)
class Count:
    """`estimated`: about so many. `more`: at least so many, and nobody counted on."""

    rows: int
    estimated: bool = False
    more: bool = False

    def __str__(self) -> str:
        return f"{'about ' if self.estimated else ''}{self.rows:,}{'+' if self.more else ''}"


def of_table(connection: BaseDatabaseWrapper, table: str) -> Count:
    """The rows of a whole table."""
    found = capped(connection, sql.SQL("SELECT FROM {}").format(sql.Identifier(table)), most=COUNTED)
    if not found.more:
        return found
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)", [table])
        return Count(max(found.rows, *cursor.fetchone()), estimated=True)


def capped(
    connection: BaseDatabaseWrapper, query: sql.Composable, params: Mapping[str, Any] | None = None, *, most: int
) -> Count:
    """The rows of a query, as far as `most`."""
    statement = sql.SQL("SELECT count(*) FROM ({} LIMIT {}) AS counted").format(query, sql.Literal(most + 1))
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        (rows,) = cursor.fetchone()
    return Count(min(rows, most), more=rows > most)
