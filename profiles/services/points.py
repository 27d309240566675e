"""Points and purchase totals: one UPDATE each; the ledger's entry is the trigger's work (profiles/loyalty.py)."""

import datetime
import uuid
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from accounts.models import User
from config.api.problems import Problem, conflict, not_found
from profiles.models import LoyaltyEntry, Profile
from profiles.selectors import BOUGHT

MOST_POINTS = 10**12  # in one adjustment by hand: no balance leaves its column by that

# A signature and its cause, set within the statement that writes, so that a sale asks the database once.
SIGNED = sql.SQL(
    """(SELECT set_config('unified.actor', %(actor)s, true) || set_config('unified.via', %(via)s, true)
        || set_config('unified.reason', %(reason)s, true) || set_config('unified.order', %(order)s, true) AS text
        ) AS signature"""
)

_CHANGE = """
UPDATE profiles AS p SET
    loyalty_points = loyalty_points + %(points)s,
    total_spent = total_spent + %(amount)s,
    order_count = order_count + %(orders)s,
    last_order_date = greatest(last_order_date, %(at)s),
    updated_at = clock_timestamp()
FROM {signed}
WHERE p.id = (SELECT coalesce(merged_into_id, id) FROM profiles WHERE user_id = {user}) AND signature.text IS NOT NULL
    AND p.merged_into_id IS NULL
    AND (NOT %(floor)s OR %(points)s >= 0 OR loyalty_points + %(points)s >= 0)
RETURNING p.id
"""


def change_of(user: sql.Composable) -> sql.Composed:
    """The statement that adds to the sums of the person of `user`, an expression that gives a user's id."""
    return sql.SQL(_CHANGE).format(signed=SIGNED, user=user)


CHANGE = change_of(sql.SQL("%(user)s"))

# When the order that is taken back was the last one: the date of the newest that still counts, or a later one that the
# person had and that was no order's which was taken back. A statement of its own after CHANGE, whose lock lets it see what
# others have taken back before.
LAST_ORDER = sql.SQL(
    """
UPDATE profiles AS p SET last_order_date = greatest(
    (
        SELECT max(o.created_at::timestamptz) FROM orders AS o
        WHERE o.user_id = p.user_id AND o.id <> %(order)s AND o.counted_amount IS NOT NULL
    ),
    (
        SELECT max(told.value::timestamptz)
        FROM profile_history AS h CROSS JOIN LATERAL jsonb_each_text(h.changes -> 'last_order_date') AS told
        WHERE h.profile_id = p.id AND h.changes ? 'last_order_date' AND NOT EXISTS (
            SELECT FROM orders AS o
            WHERE o.user_id = p.user_id AND o.created_at::timestamptz = told.value::timestamptz
                AND (o.id = %(order)s OR NOT ({bought}))
        )
    )
)
WHERE p.id = %(profile)s AND p.last_order_date = %(at)s
"""
).format(bought=BOUGHT)


def change(
    user_id: uuid.UUID | str,
    *,
    points: int = 0,
    amount: Decimal = Decimal(0),
    orders: int = 0,
    at: datetime.datetime | None = None,
    floor: bool = False,
    reason: str = "",
    order_id: uuid.UUID | None = None,
    by: User | None,
    via: str,
) -> uuid.UUID | None:
    """Add to a person's sums; the profile's id, or None where `floor` forbids it. Problem 404 where nobody is.

    `at` is when it was bought; with negative `orders` the date that is taken back.
    """
    params = {
        "user": user_id,
        "points": points,
        "amount": amount,
        "orders": orders,
        "at": at,
        "floor": floor,
        "reason": reason,
        "order": str(order_id or ""),
        "actor": str(by.pk if by else ""),
        "via": via,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        # The second time where somebody merged the person into another while this waited for the row.
        for _ in range(2):
            cursor.execute(CHANGE, params)
            if found := cursor.fetchone():
                if orders < 0 and order_id is not None and at is not None:
                    cursor.execute(LAST_ORDER, {"profile": found[0], "order": order_id, "at": at})
                return uuid.UUID(str(found[0]))
    if balance(user_id) is None:
        raise not_found("profile of user", user_id)
    return None


def adjust(
    user_id: uuid.UUID | str,
    delta: int,
    reason: str,
    *,
    floor: bool = True,
    order_id: uuid.UUID | None = None,
    by: User | None,
    via: str,
) -> LoyaltyEntry | None:
    """Change the balance by `delta` and give the ledger's entry; None for 0.

    With `floor`, what would end below zero is refused unless it raises the balance: Problem 409, nothing written.
    """
    if not reason.strip():
        raise Problem(
            "invalid",
            "reason: A change of points needs a reason. Say why.",
            errors=[{"field": "reason", "code": "required", "detail": "A change of points needs a reason. Say why."}],
        )
    if delta == 0:
        return None
    with transaction.atomic():
        profile_id = change(
            user_id, points=delta, floor=floor, reason=reason.strip(), order_id=order_id, by=by, via=via
        )
        if profile_id is None:
            there = balance(user_id) or 0
            raise conflict(
                "not_enough_points",
                f"{-delta:,} points cannot be taken from a balance of {there:,}: it would end below zero. "
                f"Take at most {max(there, 0):,}.",
            )
        return LoyaltyEntry.objects.filter(profile_id=profile_id).latest("id")


def balance(user_id: uuid.UUID | str) -> int | None:
    """The points of the user's person; None where nobody is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT loyalty_points FROM profiles WHERE id ="
            " (SELECT coalesce(merged_into_id, id) FROM profiles WHERE user_id = %s)",
            [user_id],
        )
        row: Any = cursor.fetchone()
    return int(row[0]) if row else None


def purchase(
    user_id: uuid.UUID | str,
    total: Decimal | int | float,
    *,
    orders: int,
    at: datetime.datetime | None,
    by: User | None,
    via: str,
) -> Profile:
    """Money is rounded to cents, half up."""
    amount = Decimal(str(total))
    if not amount.is_finite() or abs(amount) >= Decimal(10) ** 12:
        raise Problem("invalid", f"order_total: {total} is no sum of money that can be kept.")
    amount = amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
    with transaction.atomic():
        profile_id = change(
            user_id, amount=amount, orders=orders, at=at or timezone.now(), reason="purchase", by=by, via=via
        )
        return Profile.objects.select_related("user").get(pk=profile_id or "")
