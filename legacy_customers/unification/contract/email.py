"""One active login per address, in whatever case it is typed: a unique index, once nobody has to decide about any pair."""

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from . import state
from .times import STANDING, alone

STEP = "unique_email"
INDEX = "users_one_per_address"
# search_fold is what a login is looked up by (accounts/models.py). Logins that a merge left behind are not active.
DEFINITION = sql.SQL("CREATE UNIQUE INDEX CONCURRENTLY {} ON users (search_fold(email)) WHERE active")

OPEN = """
SELECT format('suggestion %%s: profiles %%s and %%s', id, profile_id, other_profile_id) FROM merge_suggestions
WHERE reason = 'same_login' AND status = 'open' ORDER BY id
"""
DOUBLE = """
SELECT concat('users ', string_agg(id::text, ' and ' ORDER BY id)) FROM users
WHERE active AND email IS NOT NULL GROUP BY search_fold(email) HAVING count(*) > 1 ORDER BY 1
"""


def undecided(connection: BaseDatabaseWrapper) -> list[str]:
    """Suggestions that two logins, which differ in case or white space alone, are one person's."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN, [])
        return [line for (line,) in cursor.fetchall()]


def double(connection: BaseDatabaseWrapper) -> list[str]:
    """Active logins that share an address, whatever was decided."""
    with connection.cursor() as cursor:
        cursor.execute(DOUBLE)
        return [line for (line,) in cursor.fetchall()]


def make(connection: BaseDatabaseWrapper) -> None:
    """Build the index. Locks: SHARE UPDATE EXCLUSIVE on users, which stops no reader or writer."""
    with connection.cursor() as cursor:
        cursor.execute(STANDING, [INDEX])
        found = cursor.fetchone()
    if found and not found[0]:
        alone(connection, sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(INDEX)))
    if not (found and found[0]):
        alone(connection, DEFINITION.format(sql.Identifier(INDEX)))
    state.finish(connection, STEP)


def drop(connection: BaseDatabaseWrapper) -> None:
    """Undo `make`."""
    alone(connection, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(INDEX)))
    state.undo(connection, STEP)
