"""Real databases for tests: made on the configured server, used through Django's default connection, dropped."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql


def maintenance() -> "psycopg.Connection[tuple[object, ...]]":
    """An autocommit connection to the server's `postgres` database."""
    params = connection.get_connection_params()
    keep = {key: params[key] for key in ("host", "port", "user", "password") if params.get(key)}
    return psycopg.connect(dbname="postgres", autocommit=True, **keep)


@contextmanager
def temporary_database(template: str | None = None) -> Iterator[str]:
    """Create a database (a copy of `template`, else empty), point Django's connection at it, drop it at the end."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    source = sql.Identifier(template) if template else sql.Identifier("template0")
    with maintenance() as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), source))
    connection.close()
    before, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], name
    try:
        yield name
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
        with maintenance() as server:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


DEADLINE = 60.0


def another_session(**options: Any) -> "psycopg.Connection[Any]":
    """A connection of its own to the database under Django's; to be closed by the caller."""
    params = connection.get_connection_params()
    keep = {key: params[key] for key in ("host", "port", "user", "password", "dbname") if params.get(key)}
    return psycopg.connect(**keep, **options)


def eventually(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Ask again and again until the answer is a true value."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:.0f} s: {what}"
        time.sleep(0.02)


def until(statement: str, *params: Any) -> None:
    """Ask on Django's connection until the statement gives a true value."""
    eventually(lambda: rows(statement, *params)[0][0], statement)


def rows(statement: str | sql.Composable, *params: Any) -> list[tuple[Any, ...]]:
    """What a statement gives on Django's connection; nothing where it gives no rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        return list(cursor.fetchall()) if cursor.description else []


def run(statement: str | sql.Composable, *params: Any) -> None:
    """The same for a statement that is asked nothing."""
    rows(statement, *params)


def one(statement: str | sql.Composable, *params: Any) -> Any:
    """The first cell of the first row; None where there is no row."""
    found = rows(statement, *params)
    return found[0][0] if found else None
