"""Orders point at users: where an order names only a customer, it gets that customer's user."""

import threading
import time
from functools import partial

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import indexes, locks

from . import fingerprint, live_indexes, phases, progress, ranges, throttle, workers
from .sources import Sources

PHASE = "orders"

# A repointing is no change of the order: whatever trigger dates updates, this one, last by its name, takes it back.
KEEP_DATE = """
CREATE OR REPLACE FUNCTION unification_keep_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := OLD.updated_at;
    RETURN NEW;
END
$$;
DROP TRIGGER IF EXISTS zz_unification_keep_updated_at ON orders;
CREATE TRIGGER zz_unification_keep_updated_at BEFORE UPDATE ON orders FOR EACH ROW
    WHEN (current_setting('unification.repointing', true) = 'on') EXECUTE FUNCTION unification_keep_updated_at();
"""
STOP_KEEPING = """
DROP TRIGGER IF EXISTS zz_unification_keep_updated_at ON orders;
DROP FUNCTION IF EXISTS unification_keep_updated_at();
"""
REPOINTING = "SELECT set_config('unification.repointing', 'on', true)"
# Where the role may, no trigger fires for a repointing at all: the foreign key's, which asks a user per row, costs a fifth.
WITHOUT_TRIGGERS = "SET LOCAL session_replication_role = replica"
MAY_GO_WITHOUT = "SELECT current_setting('is_superuser') = 'on'"

# An order without a user gets its customer's; a user_id that names nobody counts as none.
#
# The orders of a page take turns, a commit each. Those of the first turn move to new pages, which costs an entry in every
# index; what they leave free holds the new versions of the next turn, which stay on their page and touch no index.
TURNS = 4
# So many pages of orders, 16 MB, take their turns together: they stay in memory.
PAGES = 2048
# Those without a user may all be old ones, or new ones: so no worker is left with pages that need nothing.
SHARES = 4
TURNS_TAKEN = sql.SQL(
    """
SELECT *, ntile({turns}) OVER (PARTITION BY (place::text::point)[0] ORDER BY place) AS turn
FROM ({found}) AS found
"""
)
REPOINTING_TABLE = "unification_repointing"
FIND = """
    SELECT src.ctid AS place, src.customer_id, i.user_id
    FROM orders AS src JOIN legacy_identities AS i ON i.customer_id = src.customer_id
    WHERE src.user_id IS NULL
"""
# What stands at the place may have changed since: the same customer in want of a user is given the same user all the same.
REPOINT_TURN = sql.SQL(
    """
UPDATE orders AS src SET user_id = todo.user_id
FROM unification_repointing AS todo
WHERE src.ctid = todo.place AND src.customer_id = todo.customer_id AND src.user_id IS NULL
    AND todo.turn = {turn} AND {places} AND {pages}
"""
)
# Reading a page frees what the last turn left: now that costs little, after the next checkpoint a whole page of log each.
READ = sql.SQL("SELECT count(*) FROM orders AS src WHERE {pages}")
# Going through the pages of a stretch frees what their last turn left; fetching each order by its place does not.
THROUGH_THE_PAGES = "SET LOCAL enable_nestloop = off"
# What moved to another page meanwhile, and then whose user_id names nobody. What others ordered meanwhile is logged, and
# catch_up's: of a busy shop's new orders there is no end. Orders of a user who was deleted meanwhile stay as they are: they
# go along when catch_up gives that person another login.
LEFT_OVER = """
SELECT row_number() OVER () AS number, src.ctid AS place, src.user_id AS was, src.customer_id, i.user_id
FROM orders AS src JOIN legacy_identities AS i ON i.customer_id = src.customer_id JOIN users AS u ON u.id = i.user_id
WHERE src.user_id IS NULL
    AND NOT EXISTS (SELECT FROM unification_changes AS g WHERE g.source = 'orders' AND g.key = src.id::text)
"""
DANGLING = """
SELECT row_number() OVER () AS number, src.ctid AS place, src.user_id AS was, src.customer_id, i.user_id
FROM orders AS src LEFT JOIN legacy_identities AS i ON i.customer_id = src.customer_id
WHERE src.user_id IS NOT NULL AND src.user_id IS DISTINCT FROM i.user_id
    AND NOT EXISTS (SELECT FROM users AS u WHERE u.id = src.user_id)
    AND NOT EXISTS (SELECT FROM backup_users AS u WHERE u.id = src.user_id)
"""
# By their number, after the first and up to the second.
REPOINT_SOME = """
UPDATE orders AS src SET user_id = todo.user_id
FROM left_over AS todo
WHERE src.ctid = todo.place AND (src.user_id, src.customer_id) IS NOT DISTINCT FROM (todo.was, todo.customer_id)
    AND todo.number > %s AND todo.number <= %s
"""

# Both named, and they disagree: the order's own user stands.
DISAGREEING = sql.SQL(
    """
SELECT o.id, o.user_id, i.user_id AS customers_user_id
FROM {orders} AS o
JOIN legacy_identities AS i ON i.customer_id = o.customer_id
WHERE o.user_id <> i.user_id
"""
)
RECORD_DISAGREEING = """
INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row,
    other_value, other_table, other_row)
SELECT p.id, 'orders.user_id', 'order', to_jsonb(o.user_id), 'orders', o.id::text,
    to_jsonb(o.customers_user_id), 'customers', o.id::text
FROM disagreeing AS o JOIN profiles AS p ON p.user_id = o.user_id
ON CONFLICT (profile_id, field, path, other_table, other_row) DO NOTHING
"""

COUNT_DISAGREEING = "SELECT count(*) FROM field_conflicts WHERE rule = 'order'"

A_USER_IS_GONE = """
SELECT EXISTS (SELECT FROM legacy_identities AS i WHERE NOT EXISTS (SELECT FROM users AS u WHERE u.id = i.user_id))
"""
HAS_FOREIGN_KEY = """
SELECT EXISTS (
    SELECT FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    WHERE c.conrelid = 'orders'::regclass AND c.confrelid = 'users'::regclass AND c.contype = 'f' AND c.convalidated
        AND cardinality(c.conkey) = 1 AND a.attname = 'user_id')
"""
ADD_FOREIGN_KEY = """
ALTER TABLE orders DROP CONSTRAINT IF EXISTS unification_orders_user_id_fkey,
ADD CONSTRAINT unification_orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id)
DEFERRABLE INITIALLY DEFERRED NOT VALID
"""
IS_UNCHECKED = """
SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'orders'::regclass
    AND conname = 'unification_orders_user_id_fkey' AND NOT convalidated)
"""
VALIDATE = "ALTER TABLE orders VALIDATE CONSTRAINT unification_orders_user_id_fkey"

# The indexes that the new application asks by, where the legacy table has none that begins so.
INDEXES = {"orders_user": "user_id", "orders_created_at": "created_at"}
HAS_INDEX = """
SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = 'orders'::regclass AND i.indisvalid AND i.indpred IS NULL AND a.attname = %s)
"""


def repoint(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Give every order its user, in batches; finished when no order with a customer is left without one, but for logged ones."""
    with phases.phase(connection, PHASE) as detail:
        locks.execute(connection, KEEP_DATE)
        ranges.plan(connection, PHASE, "orders", most=PAGES)
        if ranges.are_open(connection, PHASE) and not _are_found(connection):
            locks.patiently(connection, partial(find_turns, connection, REPOINTING_TABLE, FIND))
        step = ranges.Step(PHASE, "orders", _turn, turns=TURNS + 1, in_batches=True, shares=SHARES)
        ranges.run(connection, step, before=[live_indexes.build_for_tills])
        detail["rows"] = ranges.rows_of(connection, PHASE)
        with workers.beside(connection, _build_indexes):
            detail["disagreeing"] = locks.patiently(
                connection, partial(_record_disagreeing, connection, sources.backups())
            )
            detail["rows"] += _repoint_left_over(connection, LEFT_OVER)
            with connection.cursor() as cursor:
                cursor.execute(HAS_FOREIGN_KEY)
                guarded = cursor.fetchone()[0]
                cursor.execute(A_USER_IS_GONE)
                if not guarded or cursor.fetchone()[0]:
                    detail["dangling"] = _repoint_left_over(connection, DANGLING)
        locks.execute(connection, f"DROP TABLE IF EXISTS pg_temp.left_over, {REPOINTING_TABLE}")
        if not guarded:
            locks.execute(connection, ADD_FOREIGN_KEY)
        locks.execute(connection, STOP_KEEPING)


def find_ahead(connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    """Find the orders in want of a user before `repoint` does; what moves meanwhile it finds in the end."""
    locks.patiently(connection, partial(find_turns, connection, REPOINTING_TABLE, FIND))


def forget_ahead(connection: BaseDatabaseWrapper) -> None:
    """Take away what `find_ahead` found."""
    locks.execute(connection, f"DROP TABLE IF EXISTS {REPOINTING_TABLE}")


def _are_found(connection: BaseDatabaseWrapper) -> bool:
    """Whether `find_ahead` has been here, and no crash of the server has emptied what it found."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [REPOINTING_TABLE])
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(REPOINTING_TABLE)))
        return bool(cursor.fetchone()[0])


def _build_indexes(connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    for name, column in INDEXES.items():
        index_concurrently(connection, name, column)


def _record_disagreeing(connection: BaseDatabaseWrapper, backups: Sources) -> int:
    """Record every order that names two persons; gives their number."""
    with connection.cursor() as cursor:
        phases.tune(cursor)
        found = DISAGREEING.format(orders=backups.table("orders"))
        phases.create_work_table(cursor, sql.Identifier("disagreeing"), found)
        cursor.execute("ANALYZE disagreeing")
        cursor.execute(RECORD_DISAGREEING)
        cursor.execute("DROP TABLE disagreeing")
        cursor.execute(COUNT_DISAGREEING)
        return int(cursor.fetchone()[0])


def validate(connection: BaseDatabaseWrapper) -> None:
    """Check all orders against a foreign key of ours, once everybody whose user was deleted meanwhile has another login."""
    with connection.cursor() as cursor:
        cursor.execute(IS_UNCHECKED)
        unchecked = cursor.fetchone()[0]
    if unchecked:
        locks.execute(connection, VALIDATE)


def with_turns(query: str) -> sql.Composed:
    """The orders that `query` finds, each with its turn among those of its page."""
    return TURNS_TAKEN.format(turns=sql.Literal(TURNS), found=sql.SQL(query))


def find_turns(connection: BaseDatabaseWrapper, table: str, query: str) -> None:
    """Put what `with_turns` gives into a work table that all workers share."""
    with connection.cursor() as cursor:
        phases.tune(cursor)
        name = sql.Identifier(table)
        phases.create_work_table(cursor, name, with_turns(query), shared=True)
        cursor.execute(sql.SQL("CREATE INDEX ON {} (turn, place)").format(name))
        cursor.execute(sql.SQL("ANALYZE {}").format(name))


def _turn(cursor: CursorWrapper, stretch: ranges.Stretch, turn: int) -> int:
    if turn > TURNS:
        cursor.execute(READ.format(pages=_pages(stretch, 1)))
        return 0
    _repointing(cursor)
    cursor.execute(THROUGH_THE_PAGES)
    cursor.execute(repoint_turn(stretch, turn))
    return cursor.rowcount


def _repointing(cursor: CursorWrapper) -> None:
    """This transaction gives orders their user: no trigger of the old application is to answer."""
    cursor.execute(MAY_GO_WITHOUT)
    cursor.execute(WITHOUT_TRIGGERS if cursor.fetchone()[0] else REPOINTING)


def repoint_turn(stretch: ranges.Stretch, turn: int) -> sql.Composed:
    """Give the orders of `stretch` whose turn it is their user."""
    return REPOINT_TURN.format(
        turn=sql.Literal(turn), places=stretch.holds(sql.SQL("todo.place")), pages=_pages(stretch, turn)
    )


def _pages(stretch: ranges.Stretch, turn: int) -> sql.Composable:
    """Condition: an order stands in the stretch; of the table's end, where others write, only as far as any has this turn."""
    if stretch.last is not None:
        return stretch.holds()
    return sql.SQL(
        "src.ctid >= {}::tid AND src.ctid <= (SELECT max(place) FROM unification_repointing WHERE turn = {})"
    ).format(sql.Literal(f"({stretch.first},0)"), sql.Literal(turn))


def _repoint_left_over(connection: BaseDatabaseWrapper, query: str) -> int:
    """Give the orders that `query` finds their user, in batches, until it finds none; gives their number."""
    done = 0
    while True:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            phases.tune(cursor)
            found = phases.create_work_table(cursor, sql.Identifier("left_over"), sql.SQL(query))
            cursor.execute("CREATE UNIQUE INDEX ON left_over (number)")
            cursor.execute("ANALYZE left_over")
        if not found:
            return done
        place, pace = 0, ranges.Pace(first=500, most=found)
        while place < found:
            throttle.let_others_first(connection)
            began = time.monotonic()
            done += locks.patiently(connection, partial(_repoint_some, connection, place, place + pace.size))
            place += pace.size
            pace.took(time.monotonic() - began)


def _repoint_some(connection: BaseDatabaseWrapper, after: int, last: int) -> int:
    with connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute(REPOINTING)
        cursor.execute(REPOINT_SOME, [after, last])
        return cursor.rowcount


def index_concurrently(connection: BaseDatabaseWrapper, name: str, column: str) -> None:
    """Index orders by `column` without holding up a writer, unless the table has such an index."""
    with connection.cursor() as cursor:
        cursor.execute(HAS_INDEX, [column])
        if cursor.fetchone()[0]:
            return
    indexes.build_concurrently(connection, name, sql.SQL("orders ({})").format(sql.Identifier(column)))


# The user_id that an order had comes back where it is still the one that the repointing gave it.
POINTED = """
    FROM orders AS src JOIN backup_orders AS b ON b.id = src.id
    LEFT JOIN legacy_identities AS i ON i.customer_id = b.customer_id
    WHERE src.user_id IS DISTINCT FROM b.user_id AND src.user_id IS NOT DISTINCT FROM i.user_id
        AND NOT EXISTS (SELECT FROM users AS u WHERE u.id = b.user_id)
"""
COUNT_BACK = f"SELECT count(*) {POINTED}"
POINTING_BACK_TABLE = "unification_pointing_back"
FIND_BACK = f"SELECT src.ctid AS place, src.id, src.user_id AS was, b.user_id {POINTED}"
# How the order's last writer left it is noted with the user whom it had then (sync/order_rows.py, WROTE).
POINT_BACK = sql.SQL(
    """
WITH back AS (
    UPDATE orders AS src SET user_id = todo.user_id FROM unification_pointing_back AS todo
    WHERE {found} AND src.user_id IS NOT DISTINCT FROM todo.was
    RETURNING src.id, src.user_id, src.customer_id, src.total_amount, todo.was
), noted AS (
    UPDATE legacy_writes AS w
    SET hash = hash_record_extended(ROW(back.user_id, back.customer_id, back.total_amount::text), 0)
    FROM back WHERE w.source = 'orders' AND w.key = back.id::text
        AND w.hash = hash_record_extended(ROW(back.was, back.customer_id, back.total_amount::text), 0)
)
SELECT count(*) FROM back
"""
)
PHASE_BACK = "orders_back"


def point_back(connection: BaseDatabaseWrapper) -> None:
    """Take the repointing back in ranges, keeping every order made or moved since; as `repoint`, and as resumable.

    Reads orders and their backup once, to find them.
    """
    locks.execute(connection, "ALTER TABLE orders DROP CONSTRAINT IF EXISTS unification_orders_user_id_fkey")
    # Without the index on user_id a new version that finds room on its page touches no index.
    legacy = fingerprint.recorded(connection)["orders"]["indexes"]
    for name in INDEXES:
        if name not in legacy:
            locks.execute(connection, sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(name)))
    locks.execute(connection, KEEP_DATE)
    ranges.plan(connection, PHASE_BACK, "orders", most=PAGES)
    if ranges.are_open(connection, PHASE_BACK):
        locks.patiently(connection, partial(find_turns, connection, POINTING_BACK_TABLE, FIND_BACK))
    ranges.run(connection, ranges.Step(PHASE_BACK, "orders", _turn_back, turns=TURNS, in_batches=True, shares=SHARES))
    # Those that somebody's write moved to another place meanwhile.
    rows = ranges.rows_of(connection, PHASE_BACK) + locks.patiently(connection, partial(_rest, connection))
    locks.execute(connection, STOP_KEEPING)
    phases.forget(connection, PHASE, PHASE_BACK)
    progress.tell(f"way back: {rows:,} orders point where they did")


def _turn_back(cursor: CursorWrapper, stretch: ranges.Stretch, turn: int) -> int:
    _repointing(cursor)
    places = sql.SQL("src.ctid = todo.place AND src.id = todo.id AND todo.turn = {} AND {} AND {}").format(
        sql.Literal(turn), stretch.holds(sql.SQL("todo.place")), stretch.holds()
    )
    cursor.execute(POINT_BACK.format(found=places))
    return int(cursor.fetchone()[0])


def _rest(connection: BaseDatabaseWrapper) -> int:
    with connection.cursor() as cursor:
        find_turns(connection, POINTING_BACK_TABLE, FIND_BACK)
        _repointing(cursor)
        cursor.execute(POINT_BACK.format(found=sql.SQL("src.id = todo.id")))
        rows = int(cursor.fetchone()[0])
        cursor.execute("DROP TABLE unification_pointing_back")
    return rows
