"""What an order adds to its person's totals: money, points, and one order."""

import math
from decimal import Decimal

from accounts.models import User
from orders.models import Order
from profiles.services import profile_service

# What `begin` and `settle` set on the order: the caller saves it, with its own changes, in one UPDATE.
COUNTED = ("counted_amount", "counted_points")


def points_for(amount: Decimal) -> int:
    """One point per whole currency unit."""
    return max(0, math.floor(amount))


def begin(order: Order, *, reason: str, by: User | None, via: str) -> int:
    """Count an order for the first time, in its transaction. Returns the points that it gave.

    Nothing happens where nobody is known to have bought, or where the order is counted already. Sets COUNTED, saves nothing.
    """
    if order.user_id is None or order.counted_amount is not None:
        return 0
    amount = (order.total_amount or Decimal(0)) - order.refunded_amount
    points = points_for(amount)
    order.counted_amount, order.counted_points = amount, points
    profile_service.record_purchase(
        order.user_id,
        amount=amount,
        points=points,
        orders=1,
        at=order.created_at,
        order_id=order.pk,
        reason=reason,
        by=by,
        via=via,
    )
    return points


def settle(order: Order, *, ended: bool, reason: str, by: User | None, via: str) -> int:
    """After `refunded_amount` grew, or with `ended` when the order is refunded in full or cancelled: take back what is no
    longer due. Returns the points taken.

    The order is locked by the caller. Exact: the sum of all that is taken is all that was given. An order that was never
    counted (nobody's, parked, or the old application's) or is ended already changes no totals. Sets COUNTED, saves nothing.
    """
    if order.user_id is None or order.counted_amount is None:
        return 0
    due = Decimal(0) if ended else (order.total_amount or Decimal(0)) - order.refunded_amount
    amount = order.counted_amount - due
    points = (order.counted_points or 0) - points_for(due)
    order.counted_amount, order.counted_points = (None, None) if ended else (due, points_for(due))
    profile_service.record_purchase(
        order.user_id,
        amount=-amount,
        points=-points,
        orders=-1 if ended else 0,
        at=order.created_at if ended else None,
        order_id=order.pk,
        reason=reason,
        by=by,
        via=via,
    )
    return points
