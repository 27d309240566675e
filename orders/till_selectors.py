"""Reads of the till's sales, as the till speaks of them."""

import datetime
import uuid
from collections.abc import Iterator
from typing import Any

from django.db.models import F, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat, NullIf, Trim
from django.utils import timezone

from accounts.models import User
from config.api.json import Made
from config.api.problems import not_found

from .models import Order
from .services.sales import as_uuid

# A till's order in its own words: name on the wire -> column.
_COLUMNS = {
    "id": F("pk"),
    "order_number": F("order_number"),
    "receipt_number": F("receipt_number"),
    "store_id": F("store_code"),
    "cashier_id": F("cashier_code"),
    "customer_id": Coalesce(Cast("user__profile__id", TextField()), "customer_code", output_field=TextField()),
    "customer_name": NullIf(
        Trim(
            Concat(
                Coalesce("user__profile__first_name", Value("")),
                Value(" "),
                Coalesce("user__profile__last_name", Value("")),
            )
        ),
        Value(""),
    ),
    "customer_email": Coalesce("user__profile__contact_email", "user__email", output_field=TextField()),
    # As text: JSON that is only passed on is neither read nor written again, and may nest as deep as it likes.
    "items": Cast("items", TextField()),
    "subtotal": F("subtotal"),
    "discounts": F("discount_amount"),
    "tax": F("tax_amount"),
    "total": F("total_amount"),
    "refunded_amount": F("refunded_amount"),
    "payment_method": F("payment_method"),
    "payment_details": Cast("payment_details", TextField()),
    "status": F("order_status"),
    "notes": F("special_instructions"),
    "timestamp": F("created_at"),
}
_MONEY = ("subtotal", "discounts", "tax", "total", "refunded_amount")


def sales_of(viewer: User) -> "QuerySet[Order]":
    """The till's orders that are the viewer's to see."""
    found: QuerySet[Order] = Order.objects.visible_to(viewer).filter(order_source="pos")
    return found


def transactions(
    viewer: User,
    *,
    store_id: str | None = None,
    status: str | None = None,
    first_day: datetime.date | None = None,
    last_day: datetime.date | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Sales and parked sales, newest first; days are the shop's, both included. One query.

    Where a store is asked for, its id is told as it was asked: a client compares it with its own spelling of a uuid.
    """
    found = sales_of(viewer)
    if store_id:
        found = found.filter(store_code=str(as_uuid(store_id) or store_id))
    if status:
        found = found.filter(order_status=status)
    if first_day:
        found = found.filter(created_at__gte=_midnight(first_day))
    if last_day:
        found = found.filter(created_at__lt=_midnight(last_day + datetime.timedelta(days=1)))
    rows = _rows(found.order_by("-created_at", "-id")[:limit])
    return [{**row, "store_id": store_id} for row in rows] if store_id else list(rows)


def transaction(viewer: User, order_id: uuid.UUID) -> dict[str, Any]:
    """One of them. Problem 404 where it is not the viewer's to see."""
    for found in _rows(sales_of(viewer).filter(pk=order_id)):
        return found
    raise not_found("transaction", order_id)


def _rows(orders: "QuerySet[Order]") -> Iterator[dict[str, Any]]:
    for values in orders.annotate(**{f"t_{name}": value for name, value in _COLUMNS.items()}).values_list(
        *(f"t_{name}" for name in _COLUMNS)
    ):
        row = dict(zip(_COLUMNS, values, strict=True))
        row |= {name: float(row[name] or 0) for name in _MONEY}
        row |= {name: Made((row[name] or "null").encode()) for name in ("items", "payment_details")}
        row["timestamp"] = row["timestamp"].isoformat() if row["timestamp"] else None
        yield row


def _midnight(day: datetime.date) -> datetime.datetime:
    return timezone.make_aware(datetime.datetime.combine(day, datetime.time()))
