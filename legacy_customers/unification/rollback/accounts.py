"""The way back of the accounts that were made for guests: those that nobody used go, a used one stays, linked to its row.

They go in ranges of legacy_identities, as the orders go back: a batch of accounts is locked, looked at and removed in one
transaction, so that whoever is about to use one of them waits for an instant, or is seen.
"""

from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks

from .. import identity, old_trigger, phases, progress, ranges

PHASE = "accounts_back"

# The first rows of persons whose account was made here.
MADE = sql.SQL(
    """
SELECT src.user_id, src.customer_id, src.ctid AS place
FROM legacy_identities AS src
WHERE src.position = 1 AND {pages} AND (
    src."case" IN ('new_user', 'separate')
    OR EXISTS (SELECT FROM legacy_moved_logins AS m WHERE m.moved_to = src.user_id))
"""
)
# Whether somebody uses it: has a password, or has logged in.
IS_USED = sql.SQL("(u.password_hash NOT LIKE '!%' OR u.last_login IS NOT NULL)")
COUNT = sql.SQL("SELECT count(*) FROM ({made}) AS made JOIN users AS u ON u.id = made.user_id WHERE {used} = {wanted}")

# Who is about to point at one of them waits, or is seen; what they are is asked when nobody can change it any more.
LOCK_BATCH = sql.SQL("SELECT FROM users AS u JOIN candidate AS c ON c.user_id = u.id WHERE {places} FOR UPDATE OF u")
BATCH = sql.SQL(
    "SELECT c.user_id, c.customer_id, {used} AS used FROM candidate AS c JOIN users AS u ON u.id = c.user_id WHERE {places}"
)

# Tables of anybody's that point at users: an account that one of them names is in use.
REFERENCES = """
SELECT c.conrelid::regclass::text, a.attname, k.attname
FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_attribute AS k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
WHERE c.confrelid = 'users'::regclass AND c.contype = 'f' AND cardinality(c.conkey) = 1
    AND NOT c.conrelid IN ('users'::regclass, 'orders'::regclass)
"""
KEEP_REFERENCED = sql.SQL(
    "UPDATE made SET used = true FROM users AS u"
    " WHERE u.id = made.user_id AND NOT made.used AND EXISTS (SELECT FROM {} AS other WHERE other.{} = u.{})"
)
# An order made since for a guest names the guest's customers row, as the old application would have.
ORDERS = """
WITH written AS (
    UPDATE orders AS o SET customer_id = coalesce(o.customer_id, made.customer_id), user_id = NULL
    FROM made WHERE o.user_id = made.user_id AND NOT made.used RETURNING o.id
)
INSERT INTO unification_changes SELECT 'orders', id::text FROM written
"""
REMOVE = "DELETE FROM users USING made WHERE made.user_id = users.id AND NOT made.used"
KEPT_LOGINS = """
WITH written AS (
    UPDATE users SET email = concat('guest-', id, '@invalid')
    FROM made WHERE made.user_id = users.id AND users.email IS NULL RETURNING users.id
)
INSERT INTO unification_changes SELECT 'users', id::text FROM written
"""
# Where the old trigger, which is back, has made a row of its own for an account that was written to, that one is linked.
KEPT_LINKS = """
WITH written AS (
    UPDATE customers AS c SET user_id = made.user_id FROM made WHERE c.id = made.customer_id AND made.used
        AND NOT EXISTS (SELECT FROM users AS u WHERE u.id = c.user_id)
        AND NOT EXISTS (SELECT FROM customers AS other WHERE other.user_id = made.user_id) RETURNING c.id
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
CREATE_INDEX = sql.SQL("CREATE INDEX CONCURRENTLY {} ON orders (user_id) WHERE user_id IS NOT NULL")


def count(*, used: bool) -> sql.Composed:
    """The query for how many of the accounts are in use, or are not."""
    return COUNT.format(made=MADE.format(pages=sql.SQL("true")), used=IS_USED, wanted=sql.Literal(used))


def forget_identity(connection: BaseDatabaseWrapper) -> None:
    """Remove the accounts made for guests that nobody has used; a used one stays, linked to its customers row."""
    with connection.cursor() as cursor:
        cursor.execute(HAS_INDEX)
        if not cursor.fetchone()[0]:
            cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(INDEX)))
            cursor.execute(CREATE_INDEX.format(sql.Identifier(INDEX)))
    ranges.plan(connection, PHASE, "legacy_identities")
    ranges.run(connection, ranges.Step(PHASE, "legacy_identities", _forget_some, _find, in_batches=True))
    removed = ranges.rows_of(connection, PHASE)
    locks.execute(connection, sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(INDEX)))
    locks.patiently(connection, partial(_end, connection))
    progress.tell(f"way back: {removed:,} guests' accounts removed; those in use stay")


def _find(cursor: CursorWrapper, stretch: ranges.Stretch) -> None:
    phases.create_work_table(cursor, sql.Identifier("candidate"), MADE.format(pages=stretch.holds()))
    cursor.execute("CREATE INDEX ON candidate (place)")
    cursor.execute("ANALYZE candidate")


def _forget_some(cursor: CursorWrapper, stretch: ranges.Stretch, turn: int) -> int:
    """Of a batch; gives how many went."""
    cursor.execute(old_trigger.MAKING_GUESTS)
    places = stretch.holds(sql.SQL("c.place"))
    cursor.execute(LOCK_BATCH.format(places=places))
    phases.create_work_table(cursor, sql.Identifier("made"), BATCH.format(used=IS_USED, places=places))
    cursor.execute("ANALYZE made")
    cursor.execute(REFERENCES)
    for table, column, key in cursor.fetchall():
        # regclass quoted the table's name.
        cursor.execute(KEEP_REFERENCED.format(sql.SQL(table), sql.Identifier(column), sql.Identifier(key)))
    cursor.execute(ORDERS)
    cursor.execute(REMOVE)
    removed = cursor.rowcount
    cursor.execute(KEPT_LOGINS)
    cursor.execute(KEPT_LINKS)
    return int(removed)


def _end(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.candidate, pg_temp.made")
        cursor.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(sql.Identifier, identity.TABLES))))
        phases.forget(connection, identity.PHASE, PHASE)
