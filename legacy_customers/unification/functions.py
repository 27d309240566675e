"""The helper functions of sql/functions.sql, installed before anything uses them."""

from pathlib import Path

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

SOURCE = Path(__file__).resolve().parent.parent / "sql" / "functions.sql"


def install(connection: BaseDatabaseWrapper) -> None:
    """Create or replace the helper functions."""
    with connection.cursor() as cursor:
        cursor.execute(SOURCE.read_text(encoding="utf-8"))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop every function that `install` made."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, pg_get_function_identity_arguments(oid) FROM pg_proc"
            " WHERE proname LIKE 'unification\\_%' AND pronamespace = current_schema()::regnamespace"
            " AND prorettype <> 'trigger'::regtype"
        )
        for name, arguments in cursor.fetchall():
            cursor.execute(sql.SQL("DROP FUNCTION {}({})").format(sql.Identifier(name), sql.SQL(arguments)))
