"""Two profiles and their logins: read as one, locked as one, and the rows that go from one to the other."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import OperationalError, connection
from psycopg import sql

from config.api.problems import conflict, not_found
from profiles.merged_orders import KEEP_DATES

from .merge_rules import dumps, loads

JSON_NOT_NULL = frozenset(
    {
        "preferences",
        "needs",
        "medical_conditions",
        "preferred_categories",
        "preferred_effects",
        "purchase_history",
        "tags",
    }
)
PATIENCE = "5s"  # for whoever writes to one of the two at the moment


@dataclass(frozen=True)
class Side:
    """One of the two as PostgreSQL writes it: its columns, what of its login matters, and the text of both."""

    profile: dict[str, Any]
    login: dict[str, Any]
    text: str

    @property
    def id(self) -> str:
        return str(self.profile["id"])


ROWS = """
SELECT p.id, (to_jsonb(p) - 'search_text')::text, jsonb_build_object('id', u.id, 'email', u.email, 'role', u.role::text,
    'active', u.active, 'tenant_id', u.tenant_id, 'can_log_in', u.email IS NOT NULL AND u.password_hash NOT LIKE '!%%')::text
FROM profiles AS p JOIN users AS u ON u.id = p.user_id WHERE p.id = ANY(%s)
"""


def sides(survivor_id: uuid.UUID, other_id: uuid.UUID) -> tuple[Side, Side]:
    """Both as they are. Problem 404."""
    with connection.cursor() as cursor:
        cursor.execute(ROWS, [[survivor_id, other_id]])
        found = {row[0]: Side(loads(row[1]), loads(row[2]), row[1] + row[2]) for row in cursor.fetchall()}
    for wanted in (survivor_id, other_id):
        if wanted not in found:
            raise not_found("profile", wanted)
    return found[survivor_id], found[other_id]


@contextmanager
def one_at_a_time(*profile_ids: uuid.UUID) -> Iterator[None]:
    """Whoever meets a writer that waits for them gives way, and says so."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.DeadlockDetected | psycopg.errors.LockNotAvailable):
            raise conflict(
                "busy",
                f"Somebody is writing to profile {' or '.join(map(str, profile_ids))} at this moment. "
                "Nothing was written; try again.",
            ) from error
        raise


def lock(survivor_id: uuid.UUID, other_id: uuid.UUID, orders_of: uuid.UUID | None = None) -> None:
    """The orders that will move, then both profiles, so that no sale falls between, then both logins."""
    orders = sql.SQL(
        "SELECT o.id FROM orders AS o WHERE o.user_id = (SELECT user_id FROM profiles WHERE id = %s)"
        " ORDER BY o.id FOR NO KEY UPDATE"
    )
    moving = [orders_of or other_id]
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [PATIENCE])
        cursor.execute(orders, moving)
        cursor.execute(
            "SELECT id FROM profiles WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [sorted([survivor_id, other_id])]
        )
        # Orders that came meanwhile: their writer has them, and may want the profile next. Nobody waits for them here.
        cursor.execute(sql.SQL("{} NOWAIT").format(orders), moving)
        cursor.execute(
            "SELECT u.id FROM users AS u JOIN profiles AS p ON p.user_id = u.id WHERE p.id = ANY(%s)"
            " ORDER BY u.id FOR NO KEY UPDATE OF u",
            [[survivor_id, other_id]],
        )


def reason(cursor: Any, reason: str) -> None:
    """What the ledger's entries of the next statement say."""
    cursor.execute("SELECT set_config('unified.reason', %s, true), set_config('unified.order', '', true)", [reason])


def write(cursor: Any, profile_id: str, values: Mapping[str, Any], other_id: str | None = None) -> None:
    """Write columns of a profile from their JSON; it was updated now or, if that is later, when either was."""
    columns = [sql.Identifier(name) for name in values]
    given = [
        sql.SQL("coalesce({}, 'null')" if name in JSON_NOT_NULL else "{}").format(sql.Identifier("r", name))
        for name in values
    ]
    cursor.execute(
        sql.SQL(
            "UPDATE profiles AS p SET ({}, updated_at) = (SELECT {}, greatest(now(), p.updated_at, o.updated_at)"
            " FROM jsonb_populate_record(NULL::profiles, %s::jsonb) AS r LEFT JOIN profiles AS o ON o.id = %s::uuid) WHERE p.id = %s"
        ).format(sql.SQL(", ").join(columns), sql.SQL(", ").join(given))
        if values
        else "UPDATE profiles SET updated_at = greatest(now(), updated_at) WHERE id = %s",
        [dumps(values), other_id, profile_id] if values else [profile_id],
    )


def ids(cursor: Any, statement: str | sql.Composable, params: list[Any]) -> list[Any]:
    """What a statement returns, as JSON has it."""
    cursor.execute(statement, params)
    return [str(row[0]) if isinstance(row[0], uuid.UUID) else row[0] for row in cursor.fetchall()]


def move_orders(cursor: Any, condition: str, params: list[Any], user_id: str) -> list[str]:
    """Repoint orders without dating them as changed."""
    cursor.execute(KEEP_DATES, ["on"])
    statement = sql.SQL("UPDATE orders SET user_id = %s WHERE {} RETURNING id").format(sql.SQL(condition))
    found: list[str] = ids(cursor, statement, [user_id, *params])
    cursor.execute(KEEP_DATES, ["off"])
    return found


def counted(cursor: Any, orders: list[str]) -> dict[str, Any]:
    """What the orders add to their person's totals."""
    cursor.execute(
        "SELECT jsonb_build_object('total_spent', coalesce(sum(counted_amount), 0),"
        " 'loyalty_points', coalesce(sum(counted_points), 0), 'order_count', count(counted_amount))::text FROM orders WHERE id = ANY(%s::uuid[])",
        [orders],
    )
    found: dict[str, Any] = loads(cursor.fetchone()[0])
    return found


def set_sums(cursor: Any, profile_id: str, values: Mapping[str, Any]) -> None:
    """Sums alone: the profile's own dates stay as they were."""
    if values:
        columns = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)
        cursor.execute(sql.SQL("UPDATE profiles SET {} WHERE id = %s").format(columns), [*values.values(), profile_id])
