"""Two-way sync: as long as the old application lives, each write of either one is in the other's tables at once.

Statement triggers on the legacy tables and on profiles, all rendered from the field map. Their own writes carry the marker
`unification.sync`, which keeps the triggers from answering each other.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks

from .. import bulk_load, capture, catch_up, consolidate, live_indexes, old_trigger, orders, phases, view
from ..field_map import Table
from ..sources import BACKUP_KEYS, Sources
from . import absorb, arrivals, attachments, departures, from_legacy, guests, keys, order_rows, person_locks, to_legacy

PHASE = "sync"
NOT_OURS = sql.SQL("current_setting('unification.sync', true) IS DISTINCT FROM 'on'")
TABLES = {
    "inserted": "NEW TABLE AS after",
    "updated": "OLD TABLE AS before NEW TABLE AS after",
    "deleted": "OLD TABLE AS before",
}
EVENTS = {"inserted": "INSERT", "updated": "UPDATE", "deleted": "DELETE"}


@dataclass(frozen=True)
class Trigger:
    """A trigger of the sync: its name on its table, and how it is made."""

    table: str
    name: str
    definition: sql.Composable


def _statement_trigger(table: str, kind: str) -> Trigger:
    name = f"unification_sync_{kind}"
    return Trigger(
        table,
        name,
        sql.SQL(
            "CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {tables} FOR EACH STATEMENT WHEN ({not_ours})"
            " EXECUTE FUNCTION {function}()"
        ).format(
            name=sql.Identifier(name),
            event=sql.SQL(EVENTS[kind]),
            table=sql.Identifier(table),
            tables=sql.SQL(TABLES[kind]),
            not_ours=NOT_OURS,
            function=sql.Identifier(f"unification_sync_{table}_{kind}"),
        ),
    )


def _row_trigger(table: str, name: str, when: str, function: str, condition: sql.Composable = NOT_OURS) -> Trigger:
    kind = "CONSTRAINT TRIGGER" if "DEFERRED" in when else "TRIGGER"
    return Trigger(
        table,
        name,
        sql.SQL("CREATE {kind} {name} {when} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {function}()").format(
            kind=sql.SQL(kind),
            name=sql.Identifier(name),
            when=sql.SQL(when),
            condition=condition,
            function=sql.Identifier(function),
        ),
    )


def _key_trigger(table: Table) -> Trigger:
    key = BACKUP_KEYS[table]
    return _row_trigger(
        table,
        "unification_sync_key_changed",
        f"AFTER UPDATE OF {key} ON {table}",
        f"unification_sync_{table}_key_changed",
        sql.SQL("OLD.{key} <> NEW.{key} AND {not_ours}").format(key=sql.Identifier(key), not_ours=NOT_OURS),
    )


def _truncate_trigger(table: str) -> Trigger:
    name = "unification_sync_truncated"
    return Trigger(
        table,
        name,
        sql.SQL("CREATE TRIGGER {} BEFORE TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION {}()").format(
            sql.Identifier(name), sql.Identifier(table), sql.Identifier(name)
        ),
    )


TRIGGERS: tuple[Trigger, ...] = (
    *(_statement_trigger(str(table), kind) for table in Table for kind in EVENTS),
    _statement_trigger("profiles", "inserted"),
    _statement_trigger("profiles", "updated"),
    _statement_trigger("orders", "deleted"),
    _row_trigger("users", "unification_sync_user_deleted", "BEFORE DELETE ON users", "unification_sync_user_deleted"),
    _row_trigger(
        "users",
        "unification_sync_free_address",
        "BEFORE INSERT OR UPDATE OF email ON users",
        "unification_sync_free_address",
    ),
    _row_trigger(
        "orders",
        "unification_sync_order_written",
        "BEFORE INSERT OR UPDATE OF user_id, customer_id ON orders",
        "unification_sync_order_written",
    ),
    _row_trigger(
        "orders",
        "unification_sync_order_left_over",
        "AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED",
        "unification_sync_order_left_over",
        sql.SQL("NEW.user_id IS NULL AND NEW.customer_id IS NOT NULL"),
    ),
    _row_trigger(
        "orders",
        "unification_sync_updated",
        "AFTER UPDATE ON orders",
        "unification_sync_orders_updated",
        sql.SQL(
            "(OLD.user_id, OLD.customer_id, OLD.total_amount) IS DISTINCT FROM"
            " (NEW.user_id, NEW.customer_id, NEW.total_amount)"
        ),
    ),
    *(_key_trigger(table) for table in keys.FOLLOW),
    *(_truncate_trigger(table) for table in BACKUP_KEYS),
)


def functions(sources: Sources) -> list[sql.Composable]:
    """Every function, those that others name first."""
    return [
        sql.SQL(view.ACCOUNTS),
        *to_legacy.statements(sources),
        *person_locks.statements(),
        *departures.statements(),
        *from_legacy.statements(sources),
        *guests.statements(sources),
        *absorb.statements(sources),
        *arrivals.statements(sources),
        *attachments.statements(),
        *keys.statements(),
        *order_rows.statements(),
    ]


def install_functions(cursor: CursorWrapper, sources: Sources) -> None:
    """Create or replace every function of the sync; nothing calls them until the triggers are there."""
    for statement in functions(sources):
        cursor.execute(statement)


def install_triggers(cursor: CursorWrapper) -> None:
    """Turn the sync on. Locks: SHARE ROW EXCLUSIVE on each table, to the end of the transaction."""
    for trigger in TRIGGERS:
        cursor.execute(trigger.definition)


def install(cursor: CursorWrapper, sources: Sources) -> None:
    """Functions and triggers; the same transaction may drop the old trigger."""
    install_functions(cursor, sources)
    install_triggers(cursor)


IS_ON = """
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('customers') AND tgname = 'unification_sync_updated')
"""


def renew(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Replace the functions of a sync that is on, under its writers: each ends with those that it began with."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(IS_ON)
        if cursor.fetchone()[0]:
            install_functions(cursor, sources)


LAST_CHANGE = "SELECT coalesce(max(id), 0) FROM profile_history"
# What the new application changed while the log was carried over is left to ourselves, as another writer would leave it.
CHANGED_MEANWHILE = """
INSERT INTO legacy_handovers (person_id, source, before, after)
SELECT coalesce(p.merged_into_id, p.id), 'profiles', to_jsonb(p) || c.old, to_jsonb(p) || c.new
FROM profile_history AS h JOIN profiles AS p ON p.id = h.profile_id
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(key, value -> 'old') AS old, jsonb_object_agg(key, value -> 'new') AS new
    FROM jsonb_each(h.changes) WHERE key NOT LIKE 'users.%%'
) AS c
WHERE h.id > %s AND h.via <> 'sync' AND c.old IS NOT NULL
ORDER BY h.id
"""
SETTLE_ALL = (
    "SELECT unification_sync_settle(person_id) FROM (SELECT DISTINCT person_id FROM legacy_handovers) AS persons"
)


def turn_on(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Build the indexes, then install the sync in the transaction in which the old trigger goes."""
    with phases.phase(connection, PHASE) as detail:
        live_indexes.build_for_sync(connection)
        if capture.is_on(connection):
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                install_functions(cursor, sources)
                for statement in catch_up.statements(connection):
                    cursor.execute(statement)
                if "on_from" not in detail:
                    # What was changed before is on the profile's side alone.
                    cursor.execute(LAST_CHANGE)
                    detail["on_from"] = cursor.fetchone()[0]
                    phases.note(connection, PHASE, on_from=detail["on_from"])
            detail["rows"] = catch_up.catch_up(connection)
            # While it waited for its locks, more may have been written than writers can be kept waiting for.
            while (last := locks.patiently(connection, partial(_change_over, connection))) is None:
                detail["rows"] += catch_up.catch_up(connection)
            detail["rows"] += last
        bulk_load.validate(connection, consolidate.PHASE, "profiles")
        orders.validate(connection)


def _change_over(connection: BaseDatabaseWrapper) -> int | None:
    """The last of the log, and the sync in place of log and old trigger; gives the rows that were left. Writers wait.

    None: too many are left, and nothing was done.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOCK)
        if catch_up.is_long(cursor):
            return None
        rows = catch_up.carry_over(cursor)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no ALTER TABLE while a check is to come
        bulk_load.put_back_unchecked(connection, consolidate.PHASE, "profiles")
        capture.stop(cursor)
        old_trigger.drop(cursor, connection)
        install_triggers(cursor)
        # Nobody else writes to a profile from here on.
        cursor.execute(CHANGED_MEANWHILE, [phases.detail_of(connection, PHASE)["on_from"]])
        cursor.execute(SETTLE_ALL)
    return rows


def turn_off(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
    """The sync goes and the old trigger comes back, in the running transaction; what nobody calls any more stays."""
    drop_triggers(cursor)
    old_trigger.bring_back(cursor, connection)


def clear_away(connection: BaseDatabaseWrapper) -> None:
    """Drop what the sync has left: its functions and indexes."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        drop_functions(cursor)
    for name in live_indexes.OF_THE_SYNC:
        locks.execute(connection, sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(name)))


# Writers wait from here to the end of the transaction, readers do not.
LOCK = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(
    sql.SQL(", ").join(map(sql.Identifier, BACKUP_KEYS)),
)

FUNCTIONS = """
SELECT proname, pg_get_function_identity_arguments(oid) FROM pg_proc
WHERE proname LIKE 'unification\\_sync%' AND pronamespace = current_schema()::regnamespace
"""


# How orders were left, and which are gone, is asked as long as there are backups to hold them against.
BOOKS = frozenset(
    {
        *(("orders", f"unification_sync_{kind}") for kind in ("updated", "deleted")),
        *((f"unification_sync_orders_{kind}", "") for kind in ("updated", "deleted")),
        ("unification_sync_left", "gone orders"),
        ("unification_sync_hash", "src orders"),
    }
)


def drop_triggers(cursor: CursorWrapper, keep: Collection[tuple[str, str]] = ()) -> None:
    """Turn the sync off, but for those triggers (table, name) of `keep`."""
    for trigger in TRIGGERS:
        if (trigger.table, trigger.name) not in keep:
            cursor.execute(
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
                    sql.Identifier(trigger.name), sql.Identifier(trigger.table)
                )
            )


def drop_functions(cursor: CursorWrapper, keep: Collection[tuple[str, str]] = ()) -> None:
    """Drop the functions, but for those (name, arguments) of `keep`."""
    cursor.execute(FUNCTIONS)
    for name, arguments in cursor.fetchall():
        if (name, arguments) not in keep:
            cursor.execute(sql.SQL("DROP FUNCTION {}({})").format(sql.Identifier(name), sql.SQL(arguments)))


STATES = """
SELECT t.tgrelid::regclass::text, t.tgname, t.tgenabled::text FROM pg_trigger AS t
WHERE t.tgname LIKE 'unification\\_sync%' AND NOT t.tgisinternal
"""
SLEEPING = {"D": "is disabled", "R": "fires for replicas alone"}


@dataclass(frozen=True)
class Health:
    """`faults` names each trigger that is missing or asleep; `handovers` are changes left for the next writer to carry over."""

    triggers: int
    faults: list[str]
    handovers: int


def health(connection: BaseDatabaseWrapper, only: Collection[tuple[str, str]] | None = None) -> Health:
    """Whether every trigger of the sync, or of `only`, is there and enabled."""
    with connection.cursor() as cursor:
        cursor.execute(STATES)
        found = {(relation.rpartition(".")[2].strip('"'), name): state for relation, name, state in cursor.fetchall()}
        cursor.execute("SELECT count(*) FROM legacy_handovers")
        handovers = cursor.fetchone()[0]
    faults = []
    wanted = [trigger for trigger in TRIGGERS if only is None or (trigger.table, trigger.name) in only]
    for trigger in wanted:
        state = found.get((trigger.table, trigger.name))
        if state is None:
            faults.append(f"trigger {trigger.name} on {trigger.table} is missing")
        elif state in SLEEPING:
            faults.append(f"trigger {trigger.name} on {trigger.table} {SLEEPING[state]}")
    return Health(len(wanted), faults, handovers)
