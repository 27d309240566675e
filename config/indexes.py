"""Indexes that are built while writers go on: what a broken build has left behind is no index, and goes first."""

from typing import Any

from django.db import migrations
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config.run_step import RunStep

VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


def build_concurrently(
    connection: BaseDatabaseWrapper, name: str, definition: sql.Composable, *, unique: bool = False
) -> None:
    """An index of this name, where there is none; `definition` is its table and what follows.

    Locks: SHARE UPDATE EXCLUSIVE on the table, which stops no reader or writer. Outside of a transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(VALID, [name])
        if (found := cursor.fetchone()) and not found[0]:
            drop_concurrently(connection, name)
        cursor.execute(
            sql.SQL("CREATE {} INDEX CONCURRENTLY IF NOT EXISTS {} ON {}").format(
                sql.SQL("UNIQUE" if unique else ""), sql.Identifier(name), definition
            )
        )


def drop_concurrently(connection: BaseDatabaseWrapper, name: str) -> None:
    """No index of this name any more. Locks: as above. Outside of a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))


def built_as(
    definition: str, state: migrations.AddIndex | migrations.AddConstraint
) -> migrations.SeparateDatabaseAndState:
    """Operation that adds the index, or the unique constraint, of `state` to a live table; `definition` as above.

    What was built ahead of its migration is left as it is.
    """
    unique = isinstance(state, migrations.AddConstraint)
    name = state.constraint.name if isinstance(state, migrations.AddConstraint) else state.index.name

    def build(apps: Any, schema_editor: Any) -> None:
        build_concurrently(schema_editor.connection, name, sql.SQL(definition), unique=unique)

    def drop(apps: Any, schema_editor: Any) -> None:
        drop_concurrently(schema_editor.connection, name)

    return migrations.SeparateDatabaseAndState([RunStep(build, drop)], [state])
