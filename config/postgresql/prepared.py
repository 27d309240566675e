"""Statements that a busy server runs thousands of times a second: planned once per connection, when it has run them a few times."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

Values = Sequence[Any] | Mapping[str, Any]

# After so many runs on one connection. One that is closed after each request never gets there.
THRESHOLD = 5


def fetch_one(statement: str, params: Values, using: str = DEFAULT_DB_ALIAS) -> tuple[Any, ...] | None:
    """The first row that `statement` gives, in the running transaction if there is one.

    Where queries are logged or wrapped, as tests do to count them, the statement goes the ordinary way.
    Needs a connection that keeps its session: not PgBouncer in transaction mode.
    """
    with _executed(statement, params, using) as cursor:
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def fetch_all(statement: str, params: Values, using: str = DEFAULT_DB_ALIAS) -> list[tuple[Any, ...]]:
    """The same for all its rows. Not for a statement whose best plan depends on its values."""
    with _executed(statement, params, using) as cursor:
        return list(cursor.fetchall())


def _executed(statement: str, params: Values, using: str) -> Any:
    connection = connections[using]
    if connection.queries_logged or connection.execute_wrappers:
        cursor = connection.cursor()
        cursor.execute(statement, params)
        return cursor
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return psycopg.Cursor(connection.connection).execute(statement, params)
