"""Statements that a busy server runs thousands of times a second: parsed and planned once per connection."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections


def fetch_one(
    statement: str, params: Sequence[Any] | Mapping[str, Any], using: str = DEFAULT_DB_ALIAS
) -> tuple[Any, ...] | None:
    """The first row that `statement` gives, in the running transaction if there is one.

    Where queries are logged or wrapped, as tests do to count them, the statement goes the ordinary way.
    Needs a connection that keeps its session: not PgBouncer in transaction mode.
    """
    connection = connections[using]
    if connection.queries_logged or connection.execute_wrappers:
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchone()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return psycopg.Cursor(connection.connection).execute(statement, params, prepare=True).fetchone()
