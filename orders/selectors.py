"""Reads of orders: rows as the API tells them, whatever the old application put into them."""

import datetime
import json
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from django.db.models import Case, CharField, Count, F, Func, IntegerField, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, NullIf
from psycopg import sql

from profiles import selectors as people

from .models import Order, OrderEvent
from .services.sales import AMOUNT, DISCOUNT_TYPES
from .services.transitions import WAY

MESSAGES = {
    "pending": "We have received your order.",
    "confirmed": "Your order is confirmed.",
    "processing": "Your order is being processed.",
    "preparing": "Your order is being prepared.",
    "ready": "Your order is ready.",
    "out_for_delivery": "Your order is on its way.",
    "delivered": "Your order has been delivered.",
    "completed": "Your order is complete.",
    "paid": "Your order is paid.",
    "failed": "The payment failed.",
    "cancelled": "Your order was cancelled.",
    "refunded": "Your order was refunded.",
    "partial_refund": "A part of your order was refunded.",
    "parked": "Your purchase is on hold at the till.",
    "resumed": "Your purchase was taken up again at the till.",
}
# Lines nested deeper than this are told as text: JSON writers have a limit of their own.
_DEEPEST = 32

_COLUMNS = (
    "id",
    "order_number",
    "user_id",
    "order_status",
    "payment_status",
    "delivery_status",
    "order_source",
    "subtotal",
    "tax_amount",
    "discount_amount",
    "delivery_fee",
    "total_amount",
    "created_at",
    "updated_at",
)


class _Place(Func):
    """How far a status is on the way; NULL for one that is not on it."""

    function = "array_position"
    template = f"%(function)s('{{{','.join(WAY)}}}'::text[], %(expressions)s::text)"
    output_field = IntegerField()


def shown_status() -> Case:
    """An order's status as it is told, never NULL: of the whole, else of the delivery, else of the payment.

    The old application writes delivery_status alone: where that is further on, it is told.
    """
    return Case(
        When(
            Q(order_status="cancelled") | Q(delivery_status="cancelled") | Q(payment_status="cancelled"),
            then=Value("cancelled"),
        ),
        When(Q(order_status="refunded") | Q(payment_status="refunded"), then=Value("refunded")),
        When(Q(_delivery_place__gt=F("_order_place")), then=F("delivery_status")),
        default=Coalesce(
            NullIf("order_status", Value("")),
            NullIf("delivery_status", Value("")),
            NullIf("payment_status", Value("")),
            Value("pending"),
        ),
        output_field=CharField(),
    )


def _placed(orders: QuerySet[Any]) -> QuerySet[Any]:
    return orders.alias(_delivery_place=_Place("delivery_status"), _order_place=_Place("order_status"))


def with_status(orders: QuerySet[Any]) -> QuerySet[Any]:
    """Each order with its `shown_status`."""
    return _placed(orders).annotate(shown_status=shown_status())


def user_behind(customer_id: object) -> uuid.UUID | None:
    """The user whom an id leads to: a customers id, an alias, else a users.id; None where nobody is."""
    wanted = people.as_uuid(customer_id)
    if wanted is None:
        return None
    found = people.query(sql.SQL("SELECT user_id FROM profiles WHERE id = {}").format(people.RESOLVED), {"id": wanted})
    return found[0][0] if found else None


def of_customer(orders: QuerySet[Any], customer_id: str) -> QuerySet[Any]:
    """Whose user the id leads to; an id that is no uuid ('anonymous') is compared with what the till sent."""
    wanted = people.as_uuid(customer_id)
    if wanted is None:
        return orders.filter(customer_code=customer_id)
    return orders.filter(user_id=user_behind(wanted) or wanted)


def of_store(orders: QuerySet[Any], store_id: str) -> QuerySet[Any]:
    wanted = people.as_uuid(store_id)
    if wanted is None:
        return orders.filter(store_code=store_id)
    return orders.filter(Q(store_id=wanted) | Q(store_code__in=[store_id, str(wanted)]))


def matching(
    orders: QuerySet[Any],
    *,
    payment_status: str = "",
    delivery_status: str = "",
    status: str = "",
    user_id: str = "",
    store_id: str = "",
) -> QuerySet[Any]:
    """Those of `orders` that have all that is given; `status` is the one that is told."""
    if payment_status:
        orders = orders.filter(payment_status=payment_status)
    if delivery_status:
        orders = orders.filter(delivery_status=delivery_status)
    if status:
        orders = with_status(orders).filter(shown_status=status)
    if user_id:
        orders = of_customer(orders, user_id)
    return of_store(orders, store_id) if store_id else orders


@dataclass(frozen=True)
class Page:
    orders: list[dict[str, Any]]
    total: int


def page(orders: QuerySet[Any], *, limit: int, offset: int) -> Page:
    """Newest first, those of an unknown date last, and how many there are in all.

    Two queries; a third where the page reaches those without a date, which the index by date has at its other end.
    """
    counts = orders.aggregate(total=Count("*"), dated=Count("created_at"))
    found = _slice(orders.filter(created_at__isnull=False), ("-created_at", "-id"), offset, limit)
    if len(found) < limit and counts["total"] > counts["dated"]:
        skipped = max(0, offset - counts["dated"])
        found += _slice(orders.filter(created_at__isnull=True), ("-id",), skipped, limit - len(found))
    return Page(found, counts["total"])


def _slice(orders: QuerySet[Any], ordering: tuple[str, ...], offset: int, limit: int) -> list[dict[str, Any]]:
    """The index is walked to the page first, and only the page's orders are joined with their customers."""
    chosen = orders.order_by(*ordering).values("pk")[offset : offset + limit]
    return told(Order.objects.filter(pk__in=chosen).order_by(*ordering))


def one(orders: QuerySet[Any]) -> dict[str, Any] | None:
    """The order that is left in `orders`, as it is told."""
    return next(iter(told(orders[:1])), None)


def tracked(order_number: str, email: str) -> dict[str, Any] | None:
    """The order of that number, if the address is its customer's: the login, where to write, or the order's own contact."""
    wanted = email.strip().lower()
    for row in _rows(Order.objects.filter(order_number=order_number)):
        order = _order(row)
        contact = order["delivery_info"].get("contact")
        known = [row["login"], row["contact_email"], contact.get("email") if isinstance(contact, dict) else None]
        if any(isinstance(address, str) and address.strip().lower() == wanted for address in known):
            return order
    return None


def told(orders: QuerySet[Any]) -> list[dict[str, Any]]:
    """Orders as the API tells them, each with its customer, in one query."""
    return [_order(row) for row in _rows(orders)]


def _rows(orders: QuerySet[Any]) -> Any:
    """JSON is read as text: a legacy column may hold numbers and depths that a model would not survive."""
    return _placed(orders).values(
        *_COLUMNS,
        status=shown_status(),
        lines=Cast("items", TextField()),
        delivery=Cast("delivery_address", TextField()),
        first_name=F("user__profile__first_name"),
        last_name=F("user__profile__last_name"),
        phone=F("user__profile__phone"),
        customer_type=F("user__profile__customer_type"),
        contact_email=F("user__profile__contact_email"),
        login=F("user__email"),
    )


def history(order: Order) -> list[dict[str, Any]]:
    """What happened to an order, oldest first. Of one that the old application made, its beginning is known at least."""
    events = [
        {"status": status, "notes": notes, "changed_at": moment(changed_at)}
        for status, notes, changed_at in OrderEvent.objects.filter(order=order)
        .order_by("id")
        .values_list("status", "notes", "changed_at")
    ]
    told_from_the_start = order.order_source == "pos" or any(event["status"] == "created" for event in events)
    if not events or not told_from_the_start:
        events.insert(0, {"status": "created", "notes": "", "changed_at": moment(order.created_at)})
    return events


def moment(value: datetime.datetime | None) -> str | None:
    """ISO 8601 with offset; PostgreSQL's text for a time beyond Python's."""
    return value.isoformat() if value is not None else None


def _order(row: dict[str, Any]) -> dict[str, Any]:
    stored = _json(row["delivery"])
    info = delivery_info(stored, row["order_source"])
    contact = info.get("contact")
    customer = {name: row[name] for name in ("first_name", "last_name", "phone", "customer_type")}
    if row["user_id"] is None and isinstance(contact, dict):
        customer |= {name: _text(contact.get(name)) for name in ("first_name", "last_name", "phone")}
        email = _text(contact.get("email"))
    else:
        email = row["contact_email"] or row["login"]
    return {
        "id": str(row["id"]),
        "order_number": row["order_number"],
        "user_id": str(row["user_id"]) if row["user_id"] else None,
        "customer": {
            "first_name": customer["first_name"],
            "last_name": customer["last_name"],
            "email": email,
            "phone": customer["phone"],
            "customer_type": customer["customer_type"],
        },
        "status": row["status"],
        "order_status": row["order_status"],
        "payment_status": row["payment_status"],
        "delivery_status": row["delivery_status"],
        "order_type": info["type"],
        "items": list(lines(_json(row["lines"]))),
        "subtotal": amount(row["subtotal"]),
        "tax": amount(row["tax_amount"]),
        "tax_amount": amount(row["tax_amount"]),
        "discount_amount": amount(row["discount_amount"]),
        "delivery_fee": amount(row["delivery_fee"]),
        "total": amount(row["total_amount"]),
        "total_amount": amount(row["total_amount"]),
        "delivery_info": info,
        "delivery_address": info["address"] if isinstance(stored, dict) and info.get("address") else stored,
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
    }


def status_of(order: dict[str, Any]) -> dict[str, Any]:
    """How an order that was told stands, in short."""
    estimated = order["delivery_info"].get("estimated_delivery")
    return {
        "order_id": order["id"],
        "order_number": order["order_number"],
        "status": order["status"],
        "payment_status": order["payment_status"],
        "updated_at": order["updated_at"] or order["created_at"],
        "status_message": MESSAGES.get(order["status"], f"Your order is {order['status']}."),
        "estimated_delivery": estimated if isinstance(estimated, str) else None,
    }


def delivery_info(stored: Any, source: str | None) -> dict[str, Any]:
    """What is known of the delivery, as an object with a type: delivery, pickup, or in_store for the till's."""
    match stored:
        case dict():
            info = dict(stored)
        case None | "":
            info = {}
        case _:
            info = {"address": stored}
    named = info.pop("type", None)
    if isinstance(named, str) and named.strip():
        kind = named
    elif source == "pos":
        kind = "in_store"
    else:
        kind = "delivery" if set(info) - {"contact"} else "pickup"
    return {"type": kind, **info}


def lines(items: Any) -> Iterator[dict[str, Any]]:
    """Lines with quantity, price and subtotal as numbers, whatever `items` is; the till's nest the price under `product`."""
    if isinstance(items, dict):
        items = [items] if items else []
    elif not isinstance(items, list):
        items = [] if items is None or items == "" else [items]
    for item in items:
        if isinstance(item, dict):
            yield _line(item)
        elif item is not None:
            yield _line({"name" if isinstance(item, str) else "value": item})


def _line(item: dict[str, Any]) -> dict[str, Any]:
    product = item.get("product")
    nested: dict[str, Any] = product if isinstance(product, dict) else {}
    quantity = _first_number(item, "quantity", "qty")
    price = _first_number(item, "price", "unit_price")
    if price is None:
        price = _first_number(nested, "price", "unit_price")
    subtotal = _first_number(item, "subtotal", "line_total", "total")
    quantity = quantity if quantity is not None else 1 if price is not None else 0
    if subtotal is None:
        gross = quantity * (price or 0)
        subtotal = round(gross - _discount(item, gross), 2)
        subtotal = subtotal if math.isfinite(subtotal) else 0
    line = {**item, "quantity": quantity, "price": price or 0, "subtotal": subtotal}
    for name, source in (("product_id", "id"), ("name", "name"), ("sku", "sku"), ("category", "category")):
        if source in nested:
            line.setdefault(name, nested[source])
    return line


def _discount(item: dict[str, Any], gross: float) -> float:
    """What a line's discount takes off; nothing where it is of a sort that no till sends."""
    discount, sort = _first_number(item, "discount") or 0, item.get("discount_type") or AMOUNT
    match DISCOUNT_TYPES.get(sort) if isinstance(sort, str) else None:
        case "percentage":
            return gross * discount / 100
        case "amount":
            return discount
    return 0


def _first_number(values: dict[str, Any], *names: str) -> int | float | None:
    """The first of `names` that is a number, or a text that reads as one."""
    for name in names:
        value = values.get(name)
        if isinstance(value, str) and len(value) <= 40:
            try:
                value = float(value)
            except ValueError:
                continue
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
    return None


def amount(value: Decimal | None) -> Decimal:
    """Money as a number; 0 where it was never known, or is PostgreSQL's NaN."""
    return value if value is not None and value.is_finite() else Decimal(0)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


class _Unfit(ValueError):
    """JSON that a writer could not write again."""


def _json(text: str | None) -> Any:
    """JSON as PostgreSQL keeps it, with numbers that a float can hold; as its text where it is too deep or too large."""
    if text is None:
        return None
    try:
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            found = json.loads(text)
        return _fit(found, 0)
    except (ValueError, RecursionError):
        return text


def _fit(value: Any, depth: int) -> Any:
    if isinstance(value, dict | list):
        if depth >= _DEEPEST:
            raise _Unfit
        if isinstance(value, dict):
            return {key: _fit(inner, depth + 1) for key, inner in value.items()}
        return [_fit(inner, depth + 1) for inner in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 10**300 else None
    return value
