"""What was written while the database was taken over, carried over by the sync's own functions, until nothing is left.

Each logged row is held against what is known of it, the backup at first: a new row arrives, a changed one carries its
difference, a deleted one leaves. It is what the sync's triggers do, later; the last of it is done in the transaction in which
they come, with the writers waiting for an instant.
"""

import time
from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks

from . import progress, throttle
from .ranges import Pace
from .sources import BACKUP_KEYS, columns_of

# The writes of catch_up are no news, the old trigger keeps out of them, and no order is dated by them.
OURS = """
SELECT set_config('unification.making_guests', 'on', true), set_config('unification.sync', 'on', true),
    set_config('unified.via', 'sync', true), set_config('unified.keep_dates', 'on', true)
"""
# Rows of the first batch, and of any: whoever writes to one of their persons may wait for the rest of it. And how many may be
# left for the transaction that changes over.
FIRST, MOST, FEW = 50, 1000, 25

# In the order in which they were written.
TAKE = """
WITH taken AS (
    DELETE FROM unification_changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM unification_changes LIMIT %s))
    RETURNING source, key, ctid AS place
)
SELECT source, array_agg(key ORDER BY place) FROM (
    SELECT source, key, min(place) AS place FROM taken GROUP BY source, key
) AS each_once
GROUP BY source
"""

# One row of a legacy table. What is known of it: the row as it was last carried over, NULL where it was gone by then.
ONE = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_catch_up_{name}(wanted text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    known unification_known;
    o {relation};
    n {relation};
BEGIN
    SELECT * INTO n FROM {relation} AS r WHERE r.{key} = wanted::{key_type};
    SELECT * INTO known FROM unification_known AS k WHERE k.source = {table} AND k.key = wanted;
    IF NOT FOUND THEN
        SELECT to_jsonb(b) INTO known.row FROM {backup} AS b WHERE b.{key} = wanted::{key_type};
    END IF;
    -- Columns that the backup does not have are as they are.
    IF known.row IS NOT NULL THEN
        o := jsonb_populate_record(n, known.row);
    END IF;
    IF n.{key} IS NULL AND o.{key} IS NOT NULL THEN
        PERFORM unification_sync_left(o);
        {gone}
    ELSIF o.{key} IS NULL AND n.{key} IS NOT NULL THEN
        {new}
    ELSIF o *<> n THEN
        {changed}
    END IF;
    IF n.{key} IS NOT NULL THEN
        {wrote}
    END IF;
    INSERT INTO unification_known AS k (source, key, row)
    VALUES ({table}, wanted, CASE WHEN n.{key} IS NOT NULL THEN to_jsonb(n) END)
    ON CONFLICT (source, key) DO UPDATE SET row = EXCLUDED.row;
END
$$
"""
)
# How the last writer left it, ourselves included.
WROTE = sql.SQL("PERFORM unification_sync_wrote(r, true) FROM {relation} AS r WHERE r.{key} = n.{key};")
STEPS: dict[str, dict[str, str]] = {
    "users": {
        "gone": "PERFORM unification_sync_move_login(o);",
        "new": "PERFORM unification_sync_users_arrived(n);",
    },
    "customers": {
        # Its user may have come after it, or not have been seen yet.
        "new": """PERFORM unification_sync_users_arrived(u) FROM users AS u
        WHERE u.id = n.user_id AND NOT EXISTS (SELECT FROM profiles AS p WHERE p.user_id = u.id);
        PERFORM unification_sync_customers_arrived(n);""",
    },
    "customer_profiles": {"new": "PERFORM unification_sync_customer_profiles_arrived(n);"},
    "user_profiles": {"new": "PERFORM unification_sync_user_profiles_arrived(n);"},
}
# An order gets its person, as in the step before; where it names another user, that one stands.
ORDER = """
        UPDATE orders SET user_id = unification_sync_order_owner(n.customer_id)
        WHERE id = n.id AND user_id IS NULL AND unification_sync_order_owner(n.customer_id) IS NOT NULL;
        INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row,
            other_value, other_table, other_row)
        SELECT p.id, 'orders.user_id', 'order', to_jsonb(n.user_id), 'orders', n.id::text,
            to_jsonb(unification_sync_order_owner(n.customer_id)), 'customers', n.id::text
        FROM profiles AS p WHERE p.user_id = n.user_id AND unification_sync_order_owner(n.customer_id) <> n.user_id
        ON CONFLICT (profile_id, field, path, other_table, other_row) DO NOTHING;"""
ORDER_WROTE = """INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        SELECT 'orders', wanted, unification_sync_hash(r), 0, clock_timestamp(), '' FROM orders AS r WHERE r.id = n.id
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;"""


def statements(connection: BaseDatabaseWrapper) -> list[sql.Composable]:
    """One function per legacy table, which carries over the row with a key."""
    made: list[sql.Composable] = []
    for table, key in BACKUP_KEYS.items():
        steps = {"gone": "", "new": ORDER, "changed": ORDER} if table == "orders" else STEPS[table]
        parts = {"relation": sql.Identifier(table), "key": sql.Identifier(key)}
        made.append(
            ONE.format(
                name=sql.SQL(table),
                table=sql.Literal(table),
                backup=sql.Identifier(f"backup_{table}"),
                key_type=sql.SQL(columns_of(connection, table)[key]),  # as PostgreSQL writes it
                gone=sql.SQL(steps.get("gone", "")),
                new=sql.SQL(steps["new"]),
                changed=sql.SQL(steps.get("changed", f"PERFORM unification_sync_{table}_changed(o, n);")),
                wrote=sql.SQL(ORDER_WROTE) if table == "orders" else WROTE.format(**parts),
                **parts,
            )
        )
    return made


def carry_over(cursor: CursorWrapper, most: int | None = None) -> int:
    """Carry over up to `most` logged rows, in the running transaction; gives their number."""
    cursor.execute(OURS)
    cursor.execute(TAKE, [most])
    taken = dict(cursor.fetchall())
    for table in BACKUP_KEYS:
        cursor.execute(
            sql.SQL("SELECT {}(key) FROM unnest(%s::text[]) AS wanted (key)").format(
                sql.Identifier(f"unification_sync_catch_up_{table}")
            ),
            [taken.get(table, [])],
        )
    return sum(map(len, taken.values()))


def is_long(cursor: CursorWrapper) -> bool:
    """Whether more is logged than the transaction that changes over should carry."""
    cursor.execute("SELECT count(*) FROM (SELECT FROM unification_changes LIMIT %s) AS logged", [2 * FEW + 1])
    return bool(cursor.fetchone()[0] > 2 * FEW)


def catch_up(connection: BaseDatabaseWrapper) -> int:
    """Carry the log over in short transactions, until it is about as long as what comes in meanwhile; gives the rows."""
    started, done = time.monotonic(), 0
    pace = Pace(FIRST, MOST)
    while True:
        throttle.let_others_first(connection)
        began = time.monotonic()
        rows = locks.patiently(connection, partial(_batch, connection, pace.size))
        pace.took(time.monotonic() - began)
        done += rows
        if rows < FEW:
            break
    if done:
        progress.tell(f"catch_up: {done:,} rows that were written meanwhile in {time.monotonic() - started:.1f} s")
    return done


def _batch(connection: BaseDatabaseWrapper, most: int) -> int:
    with connection.cursor() as cursor:
        return carry_over(cursor, most)
