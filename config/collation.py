"""Which collation folds the case of letters beyond ASCII, in databases whose own does not."""

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

# As servers of several versions and systems name them.
CANDIDATES = ("pg_c_utf8", "C.utf8", "C.UTF-8", "und-x-icu", "en_US.utf8", "en_US.UTF-8")


def folding(connection: BaseDatabaseWrapper) -> sql.Composable:
    """` COLLATE "…"` for a text that lower() is to fold; empty where the database's own locale does it, or nothing can."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT lower('\u00c4') = '\u00e4'")
        if cursor.fetchone()[0]:
            return sql.SQL("")
        cursor.execute(
            "SELECT collname FROM pg_collation WHERE collname = ANY(%(names)s) AND collencoding IN (-1, 6)"  # UTF8 is 6
            " AND pg_collation_is_visible(oid) ORDER BY array_position(%(names)s, collname::text) LIMIT 1",
            {"names": list(CANDIDATES)},
        )
        found = cursor.fetchone()
    return sql.SQL(" COLLATE {}").format(sql.Identifier(found[0])) if found else sql.SQL("")
