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


# What statistics take for a large table is not counted at all; where they are behind, counting ends.
_OF_TABLE = sql.SQL(
    """
SELECT c.reltuples::bigint, CASE WHEN c.reltuples > {most} THEN {most} + 1
    ELSE (SELECT count(*) FROM (SELECT FROM {table} LIMIT {most} + 1) AS counted) END
FROM pg_class AS c WHERE c.oid = to_regclass({name})"""
)


def of_table(connection: BaseDatabaseWrapper, table: str) -> Count:
    """The rows of a whole table."""
    name = sql.Identifier(table)
    statement = _OF_TABLE.format(most=sql.Literal(COUNTED), table=name, name=sql.Literal(f'"{table}"'))
    with connection.cursor() as cursor:
        cursor.execute(statement)
        estimate, counted = cursor.fetchone()
    return Count(max(estimate, COUNTED), estimated=True) if counted > COUNTED else Count(counted)


def capped(
    connection: BaseDatabaseWrapper, query: sql.Composable, params: Mapping[str, Any] | None = None, *, most: int
) -> Count:
    """The rows of a query, as far as `most`."""
    statement = sql.SQL("SELECT count(*) FROM ({} LIMIT {}) AS counted").format(query, sql.Literal(most + 1))
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        (rows,) = cursor.fetchone()
    return Count(min(rows, most), more=rows > most)
