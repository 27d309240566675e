"""What the judge asks in the contract phase: that each step's work stands, and what can still be proved after it.

A check that a step leaves nothing to hold against is not passed and not failed, but does not apply; only a step on record
makes it so.
"""

from collections.abc import Callable

from psycopg import sql

from .. import sync
from ..agreement import both_sides_agree
from ..checks import (
    backups_in_their_time,
    backups_untouched,
    cells_conserved,
    consents_not_widened,
    customers_view_answers,
    disagreeing_orders_recorded,
    legacy_rows_in_step,
    logins_unchanged,
    new_rows_resolve,
    old_ids_resolve,
    orders_keep_their_person,
    sums_conserved,
    sync_in_force,
    values_as_ruled,
)
from ..snapshot import Outcome, Snapshot
from ..sources import LEGACY_TABLES, columns_of
from . import email, fence, state
from .times import AWARE, COLUMNS

# Check -> the step with which it ends.
ENDS_WITH: dict[str, str] = {
    **dict.fromkeys(
        (check.__name__ for check in (legacy_rows_in_step, both_sides_agree, sync_in_force)), "users_columns"
    ),
    new_rows_resolve.__name__: "legacy_tables",
    customers_view_answers.__name__: "customers_view",
    **dict.fromkeys(
        (
            check.__name__
            for check in (
                *(
                    backups_untouched,
                    backups_in_their_time,
                    old_ids_resolve,
                    values_as_ruled,
                    sums_conserved,
                    cells_conserved,
                ),
                *(orders_keep_their_person, disagreeing_orders_recorded, consents_not_widened, logins_unchanged),
            )
        ),
        "backups",
    ),
    "fence_in_force": "backups",
}


def fence_in_force(snapshot: Snapshot) -> Outcome:
    """Every trigger of the fence is there and awake."""
    done = state.done(snapshot.connection)
    fenced = set(fence.FENCES)
    fenced -= {"users"} if "users_columns" in done else set()
    fenced -= set(fence.TABLES) if "legacy_tables" in done else set()
    fenced -= {"orders"} if _closed(snapshot) else set()
    gaps = fence.gaps(snapshot.connection, fenced)
    triggers = sum(len(fence.FENCES[table]) for table in fenced)
    return Outcome(triggers, triggers, len(gaps), gaps)


def _closed(snapshot: Snapshot) -> bool:
    """Whether the last drop has closed the books of orders, also where it was killed after that."""
    record = state.records(snapshot.connection).get("backups")
    return record is not None and record.detail.get("closed", False)


def sync_gone(snapshot: Snapshot) -> Outcome:
    """No trigger of the sync writes any more, and how orders are left is booked as long as there are backups."""
    kept = set() if _closed(snapshot) else {*sync.BOOKS}
    left = {(trigger.table, trigger.name) for trigger in sync.TRIGGERS} - kept
    found = [
        f"trigger {name} on {table}"
        for table, name, _ in snapshot.all(sync.STATES)
        if (table.rpartition(".")[2].strip('"'), name) in left
    ]
    faults = sync.health(snapshot.connection, only=kept).faults
    return Outcome(differences=len(found) + len(faults), samples=[*found, *faults])


def users_have_no_copies(snapshot: Snapshot) -> Outcome:
    """Logins carry no copy of personal data."""
    there = columns_of(snapshot.connection, "users")
    left = [f"users.{name}" for name in fence.DUPLICATES if name in there]
    return Outcome(len(there), 1, len(left), left)


def known_ids_resolve(snapshot: Snapshot) -> Outcome:
    """Every customers id that ever was leads to exactly one profile, its person's, by id or alias."""
    return snapshot.named(
        """
        SELECT concat('customers ', i.customer_id) FROM legacy_identities AS i
        LEFT JOIN profiles AS p ON p.user_id = i.user_id
        LEFT JOIN profile_aliases AS a ON a.id = i.customer_id
        WHERE CASE WHEN p.id = i.customer_id THEN a.id IS NULL
            ELSE a.profile_id = coalesce(p.merged_into_id, p.id)
                AND NOT EXISTS (SELECT FROM profiles AS other WHERE other.id = i.customer_id)
        END IS NOT TRUE""",
        snapshot.count("legacy_identities"),
        sum(snapshot.backed_up.get(table, {}).get("rows", 0) for table in ("customers",)),
    )


def old_tables_gone(snapshot: Snapshot) -> Outcome:
    """None of what was dropped is back."""
    done = state.done(snapshot.connection)
    dropped = {
        "legacy_tables": fence.TABLES,
        "customers_view": ("customers_view",),
        "backups": tuple(f"backup_{table}" for table in LEGACY_TABLES),
    }
    back = [
        name
        for step, names in dropped.items()
        if step in done
        for name in names
        if columns_of(snapshot.connection, name)
    ]
    return Outcome(differences=len(back), samples=back)


def orders_have_their_person(snapshot: Snapshot) -> Outcome:
    """Every order that names an old customer has a user, and every user of an order has a profile."""
    return snapshot.named(
        """
        SELECT concat('orders ', o.id) FROM orders AS o LEFT JOIN profiles AS p ON p.user_id = o.user_id
        WHERE p.id IS NULL AND (o.user_id IS NOT NULL
            OR EXISTS (SELECT FROM legacy_identities AS i WHERE i.customer_id = o.customer_id))""",
        snapshot.count("orders"),
    )


def times_have_a_zone(snapshot: Snapshot) -> Outcome:
    """The times of users and orders are timestamptz."""
    wrong = [
        f"{table}.{name}"
        for table, names in COLUMNS.items()
        for name, kind in columns_of(snapshot.connection, table).items()
        if name in names and kind != AWARE
    ]
    columns = sum(map(len, COLUMNS.values()))
    return Outcome(columns, columns, len(wrong), wrong)


def one_login_per_address(snapshot: Snapshot) -> Outcome:
    """A unique index sees to it that no two active logins share an address."""
    [(valid,)] = snapshot.all(
        sql.SQL(
            "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass({}) AND indisunique AND indisvalid"
        ).format(sql.Literal(email.INDEX))
    )
    return Outcome(valid, 1, 1 - valid, [] if valid else [f"index {email.INDEX} is missing or not valid"])


# Check -> the step with which it begins.
BEGINS_WITH: dict[Callable[[Snapshot], Outcome], str] = {
    fence_in_force: "fence",
    sync_gone: "users_columns",
    users_have_no_copies: "users_columns",
    known_ids_resolve: "legacy_tables",
    old_tables_gone: "legacy_tables",
    orders_have_their_person: "backups",
    times_have_a_zone: "timestamps",
    one_login_per_address: "unique_email",
}
