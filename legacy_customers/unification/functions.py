"""The helper functions of sql/functions.sql, installed before anything uses them."""

from pathlib import Path

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

SOURCE = Path(__file__).resolve().parent.parent / "sql" / "functions.sql"


# Collations that know the case of letters beyond ASCII, as servers of several versions and systems name them.
COLLATIONS = ("pg_c_utf8", "C.utf8", "C.UTF-8", "und-x-icu", "en_US.utf8", "en_US.UTF-8")

# In a database of the locale C, lower() leaves all but ASCII as it is: addresses are then compared under another collation.
EMAIL_COLLATED = """
CREATE OR REPLACE FUNCTION unification_email(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(btrim(value, unification_white_space()) COLLATE {})
$$
"""


def install(connection: BaseDatabaseWrapper) -> None:
    """Create or replace the helper functions."""
    with connection.cursor() as cursor:
        cursor.execute(SOURCE.read_text(encoding="utf-8"))
        cursor.execute("SELECT lower('\u00c4') = '\u00e4'")
        if cursor.fetchone()[0]:
            return
        cursor.execute(
            "SELECT collname FROM pg_collation WHERE collname = ANY(%(names)s) AND collencoding IN (-1, 6)"  # UTF8 is 6
            " AND pg_collation_is_visible(oid) ORDER BY array_position(%(names)s, collname::text) LIMIT 1",
            {"names": list(COLLATIONS)},
        )
        if found := cursor.fetchone():
            cursor.execute(sql.SQL(EMAIL_COLLATED).format(sql.Identifier(found[0])))


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
