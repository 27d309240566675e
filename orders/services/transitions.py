"""What may follow what in an order's life: of the money, of the delivery, of the whole. Pure: no row is read here."""

from collections.abc import Mapping
from enum import Enum

from django.db import models

from config.api.problems import Problem, conflict
from orders.models import DeliveryStatus, PaymentStatus

from .money import invalid


class OrderStatus(models.TextChoices):
    """Where an order stands as a whole. The last four are the till's alone: nobody sets them by hand."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    PROCESSING = "processing"
    PREPARING = "preparing"
    READY = "ready"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"
    PARTIAL_REFUND = "partial_refund"
    PARKED = "parked"
    RESUMED = "resumed"


class Axis(Enum):
    """The three things that are told of an order; the value is the member's name on the wire."""

    PAYMENT = "payment_status"
    DELIVERY = "delivery_status"
    ORDER = "status"


# The way of an order; it may skip steps, since a counter pick-up has few of them, and never goes back.
WAY = (
    OrderStatus.PENDING,
    OrderStatus.CONFIRMED,
    OrderStatus.PROCESSING,
    OrderStatus.PREPARING,
    OrderStatus.READY,
    OrderStatus.OUT_FOR_DELIVERY,
    OrderStatus.DELIVERED,
    OrderStatus.COMPLETED,
)
HANDED_OVER = frozenset({OrderStatus.DELIVERED, OrderStatus.COMPLETED})
# What the till says of an order on top of the way, and what ends one: nothing moves on from there by hand.
ENDED = frozenset({OrderStatus.CANCELLED, OrderStatus.REFUNDED, OrderStatus.RESUMED})
SETTABLE = tuple(
    status
    for status in OrderStatus
    if status not in {OrderStatus.PARTIAL_REFUND, OrderStatus.PARKED, OrderStatus.RESUMED}
)

_UNPAID = ("processing", "completed", "paid", "failed", "cancelled")
_PAYMENT: Mapping[str, tuple[str, ...]] = {
    PaymentStatus.PENDING: _UNPAID,
    PaymentStatus.PROCESSING: ("completed", "paid", "failed", "cancelled"),
    # A transfer that bounced is a failed payment, also after it was booked.
    PaymentStatus.COMPLETED: ("paid", "failed", "refunded"),
    PaymentStatus.PAID: ("completed", "failed", "refunded"),
    PaymentStatus.FAILED: ("pending", *_UNPAID[:3], "cancelled"),
    PaymentStatus.CANCELLED: (),
    PaymentStatus.REFUNDED: (),
}


def _forward(way: tuple[str, ...], until: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Each step to all later ones; cancelled from every step before those of `until`."""
    steps = {step: (*way[place + 1 :], *(() if step in until else ("cancelled",))) for place, step in enumerate(way)}
    return {**steps, "cancelled": ()}


_DELIVERY_WAY: tuple[str, ...] = tuple(status for status in DeliveryStatus if status != DeliveryStatus.CANCELLED)
_DELIVERY: Mapping[str, tuple[str, ...]] = _forward(_DELIVERY_WAY, frozenset({DeliveryStatus.DELIVERED}))
_ORDER: Mapping[str, tuple[str, ...]] = {
    **{step: (*after, "refunded") for step, after in _forward(WAY, HANDED_OVER).items()},
    OrderStatus.CANCELLED: (),
    OrderStatus.REFUNDED: (),
    OrderStatus.PARTIAL_REFUND: ("refunded",),
    OrderStatus.PARKED: ("cancelled",),
    OrderStatus.RESUMED: (),
}
STEPS: Mapping[Axis, Mapping[str, tuple[str, ...]]] = {
    Axis.PAYMENT: _PAYMENT,
    Axis.DELIVERY: _DELIVERY,
    Axis.ORDER: _ORDER,
}
_VALUES: Mapping[Axis, tuple[str, ...]] = {
    Axis.PAYMENT: tuple(PaymentStatus.values),
    Axis.DELIVERY: tuple(DeliveryStatus.values),
    Axis.ORDER: SETTABLE,
}


def possible(axis: Axis, current: str | None) -> tuple[str, ...]:
    """What may follow `current`. Nothing known is a beginning; a word that is none of ours may become any of them."""
    steps = STEPS[axis]
    if not current:
        return steps["pending"]
    return steps.get(current, tuple(value for value in _VALUES[axis] if value != current))


def require(axis: Axis, current: str | None, wanted: str, *, order_number: str) -> None:
    """Refuse a step that may not be taken: 409 that names from, to and what is possible; 400 for an unknown word."""
    if wanted not in _VALUES[axis]:
        known = ", ".join(_VALUES[axis])
        raise invalid(axis.value, f"{wanted!r} is no {axis.value}. There are: {known}.", "invalid_choice")
    ways = possible(axis, current)
    if wanted not in ways:
        raise illegal(axis, current, wanted, ways, order_number=order_number)


def illegal(
    axis: Axis, current: str | None, wanted: str, ways: tuple[str, ...], *, order_number: str, why: str = ""
) -> Problem:
    """409: from, to, and what is possible instead."""
    way_out = f"Possible: {', '.join(ways)}." if ways else "Nothing follows it."
    return conflict(
        "illegal_transition",
        f"The {axis.value} of order {order_number} is {current or 'pending'!r} and cannot become {wanted!r}"
        f"{why}. {way_out}",
    )


def later(status: str | None, than: str | None) -> bool:
    """Whether `status` is further on the way than `than`; nothing known is its beginning."""
    way: tuple[str, ...] = WAY
    if status not in way:
        return False
    return (than or "pending") in way and way.index(str(status)) > way.index(than or "pending")
