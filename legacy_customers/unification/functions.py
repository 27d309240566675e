"""The helper functions of sql/functions.sql, installed before anything uses them."""

import re
from pathlib import Path

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config.collation import folding

SOURCE = Path(__file__).resolve().parent.parent / "sql" / "functions.sql"


# In a database of the locale C, lower() leaves all but ASCII as it is: addresses are then compared under another collation.
EMAIL = re.compile(r"CREATE OR REPLACE FUNCTION unification_email\(.*?\$\$;", re.DOTALL)


def install(connection: BaseDatabaseWrapper) -> None:
    """Create or replace the helper functions."""
    source = SOURCE.read_text(encoding="utf-8")
    collation = folding(connection).as_string()
    with connection.cursor() as cursor:
        cursor.execute(EMAIL.sub(lambda found: found[0].replace("'))\n", f"'){collation})\n"), source))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop every function that `install` made."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, pg_get_function_identity_arguments(oid) FROM pg_proc"
            " WHERE proname LIKE 'unification\\_%' AND pronamespace = current_schema()::regnamespace"
            " AND prorettype <> 'trigger'::regtype ORDER BY proname"
        )
        for name, arguments in cursor.fetchall():
            cursor.execute(sql.SQL("DROP FUNCTION {}({})").format(sql.Identifier(name), sql.SQL(arguments)))
