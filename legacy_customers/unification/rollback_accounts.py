"""The way back of the accounts that were made for guests: those that nobody used go, a used one stays, linked to its row."""

from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks

from . import identity, old_trigger, phases, progress

# The first rows of persons whose account was made here, and whether somebody uses it: has a password, has logged in.
MADE = """
SELECT i.user_id, i.customer_id, u.password_hash NOT LIKE '!%' OR u.last_login IS NOT NULL AS used
FROM legacy_identities AS i JOIN users AS u ON u.id = i.user_id
WHERE i.position = 1 AND (
    i."case" IN ('new_user', 'separate') OR EXISTS (SELECT FROM legacy_moved_logins AS m WHERE m.moved_to = u.id))
"""
# Tables of anybody's that point at users: an account that one of them names is in use.
REFERENCES = """
SELECT c.conrelid::regclass::text, a.attname, k.attname
FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_attribute AS k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
WHERE c.confrelid = 'users'::regclass AND c.contype = 'f' AND cardinality(c.conkey) = 1
    AND c.conrelid <> 'users'::regclass
"""
# An order made since for a guest names the guest's customers row, as the old application would have.
ORDERS = """
WITH written AS (
    UPDATE orders AS o SET customer_id = coalesce(o.customer_id, made.customer_id), user_id = NULL
    FROM made WHERE o.user_id = made.user_id AND NOT made.used RETURNING o.id
)
INSERT INTO unification_changes SELECT 'orders', id::text FROM written
"""
KEPT_LOGINS = """
WITH written AS (
    UPDATE users SET email = concat('guest-', id, '@invalid')
    FROM made WHERE made.user_id = users.id AND users.email IS NULL RETURNING users.id
)
INSERT INTO unification_changes SELECT 'users', id::text FROM written
"""
KEPT_LINKS = """
WITH written AS (
    UPDATE customers AS c SET user_id = made.user_id FROM made WHERE c.id = made.customer_id AND made.used
        AND NOT EXISTS (SELECT FROM users AS u WHERE u.id = c.user_id) RETURNING c.id
)
INSERT INTO unification_changes SELECT 'customers', id::text FROM written
"""

# Each account that goes is asked for among the orders: without an index that would read all of them each time.
INDEX = "unification_orders_user_id"
HAS_INDEX = """
SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = 'orders'::regclass AND i.indisvalid AND i.indpred IS NULL AND a.attname = 'user_id')
"""


def forget_identity(connection: BaseDatabaseWrapper) -> None:
    """Remove the accounts made for guests that nobody has used; a used one stays, linked to its customers row."""
    with connection.cursor() as cursor:
        cursor.execute(HAS_INDEX)
        if not cursor.fetchone()[0]:
            cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(INDEX)))
            cursor.execute(
                sql.SQL("CREATE INDEX CONCURRENTLY {} ON orders (user_id)").format(sql.Identifier(INDEX)),
            )
    removed, kept = locks.patiently(connection, partial(_forget, connection))
    locks.execute(connection, sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(INDEX)))
    progress.tell(f"way back: {removed:,} guests' accounts removed, {kept:,} in use stay")


def _forget(connection: BaseDatabaseWrapper) -> tuple[int, int]:
    with connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute(old_trigger.MAKING_GUESTS)
        cursor.execute(f"CREATE TEMP TABLE made ON COMMIT DROP AS {MADE}")
        cursor.execute("ANALYZE made")
        cursor.execute(ORDERS)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        # Whoever is about to point at one of them waits, or is seen.
        cursor.execute("SELECT FROM users JOIN made ON made.user_id = users.id WHERE NOT made.used FOR UPDATE OF users")
        _keep_referenced(cursor)
        cursor.execute("DELETE FROM users USING made WHERE made.user_id = users.id AND NOT made.used")
        removed = cursor.rowcount
        cursor.execute(KEPT_LOGINS)
        cursor.execute(KEPT_LINKS)
        kept = cursor.rowcount
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(sql.Identifier, identity.TABLES))),
        )
        phases.forget(connection, identity.PHASE)
    return removed, kept


def _keep_referenced(cursor: CursorWrapper) -> None:
    cursor.execute(REFERENCES)
    for table, column, key in cursor.fetchall():
        cursor.execute(
            sql.SQL(
                "UPDATE made SET used = true FROM users AS u"
                " WHERE u.id = made.user_id AND NOT made.used AND EXISTS (SELECT FROM {} AS other WHERE other.{} = u.{})"
            ).format(
                sql.SQL(table),  # regclass quoted it
                sql.Identifier(column),
                sql.Identifier(key),
            )
        )
