"""What the analytics should say, computed in Python from the orders, one by one, without any roll-up."""

import datetime
from collections import defaultdict
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from accounts.models import User
from orders.models import Order, Refund

OUT = {"cancelled", "canceled", "failed", "parked", "resumed", "voided"}
Key = tuple[datetime.date, Any]


def day_of(order: Order) -> datetime.date | None:
    if order.created_at is None or not 2000 < order.created_at.year < 2100:
        return None
    day: datetime.date = order.created_at.astimezone(ZoneInfo(settings.TIME_ZONE)).date()
    return day


def number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return Decimal(str(value).strip())
    except InvalidOperation:
        return None


def days() -> dict[tuple[datetime.date, Any, Any, Any], tuple[Any, ...]]:
    """(day, tenant, store code, store id) -> (orders, revenue, placed, returned, units)."""
    tenants = dict(User.objects.values_list("id", "tenant_id"))
    found: dict[Any, list[Any]] = defaultdict(lambda: [0, Decimal(0), 0, 0, Decimal(0)])
    for order in Order.objects.all():
        day = day_of(order)
        if day is None:
            continue
        statuses = {(text or "").lower() for text in (order.order_status, order.payment_status, order.delivery_status)}
        tenant = order.tenant_id or (tenants.get(order.user_id) if order.user_id else None)
        sums = found[day, tenant, order.store_code, order.store_id]
        if statuses & OUT:
            continue
        sums[2] += 1
        sums[3] += "refunded" in statuses or order.refunded_amount > 0
        if "refunded" in statuses:
            continue
        sums[0] += 1
        sums[1] += (order.total_amount or 0) - order.refunded_amount
        sums[4] += sum(units for _, units, _ in lines(order))
    return {key: tuple(sums) for key, sums in found.items() if any(sums)}


def lines(order: Order) -> list[tuple[str, Decimal, Decimal]]:
    """(name, units, revenue) of each line of an order that counts."""
    found = []
    given = list(Refund.objects.filter(order=order))
    by_line = sum((refund.amount for refund in given if refund.lines), Decimal(0))
    share = Decimal(1)
    if order.refunded_amount > 0 and order.total_amount and order.total_amount > 0:
        share = 1 - min(Decimal(1), max(Decimal(0), order.refunded_amount - by_line) / order.total_amount)
    for index, line in enumerate(order.items if isinstance(order.items, list) else []):
        if not isinstance(line, dict):
            continue
        product = line["product"] if isinstance(line.get("product"), dict) else {}
        quantity = number(line.get("quantity"))
        quantity = Decimal(1) if quantity is None else quantity
        price = number(product.get("price")) or number(line.get("price"))
        back = sum(Decimal(part["quantity"]) for refund in given for part in refund.lines if part["index"] == index)
        part = 1 - min(Decimal(1), back / quantity) if order.refunded_amount > 0 and quantity > 0 else Decimal(1)
        net = Decimal(0) if price is None else price * quantity - (number(line.get("discount")) or 0)
        found.append((product.get("name") or line.get("name") or "Unknown", quantity * part, net * part * share))
    return found


def products() -> dict[tuple[datetime.date, str], tuple[Decimal, Decimal]]:
    """(day, name) -> units and revenue."""
    found: dict[Any, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for order in Order.objects.all():
        day = day_of(order)
        statuses = {(text or "").lower() for text in (order.order_status, order.payment_status, order.delivery_status)}
        if day is None or statuses & (OUT | {"refunded"}):
            continue
        for name, units, revenue in lines(order):
            found[day, name][0] += units
            found[day, name][1] += revenue
    return {key: (units, revenue) for key, (units, revenue) in found.items()}
