"""Indexes that are built while writers go on: what a broken build has left behind is no index, and goes first."""

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


def build_concurrently(connection: BaseDatabaseWrapper, name: str, definition: sql.Composable) -> None:
    """An index of this name, where there is none; `definition` is its table and what follows.

    Locks: SHARE UPDATE EXCLUSIVE on the table, which stops no reader or writer. Outside of a transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(VALID, [name])
        if (found := cursor.fetchone()) and not found[0]:
            cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(name)))
        cursor.execute(
            sql.SQL("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {}").format(sql.Identifier(name), definition)
        )
