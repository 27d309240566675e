"""The till: sell, park a sale and take it up again, give money back."""

import datetime
import secrets
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import orjson
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from psycopg import sql

from accounts.models import User
from config.api.json import Made
from config.api.problems import Problem, conflict, not_found
from config.postgresql.prepared import fetch_one
from orders.models import Order, OrderEvent
from profiles.search import resolved
from profiles.services.points import change_of

from .counting import points_for
from .sales import Sale, as_uuid

VIA = "till"
_TRIES = 3  # an order number that is there already: one chance in a million million
# Letters and digits that cannot be taken for each other.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

# A sale, its first step and what it brings its person, in one statement: it is a transaction by itself. `whom` is the
# customer by any id that a till may hold, or nobody where it holds none; who is not there, or not the caller's to see, is
# no row, and then nothing is written. Where the store has the receipt already, or sells it at this moment, it waits, fails,
# and leaves nothing. Where the person was merged into another meanwhile, `counted` is empty, and nothing is written either.
_SELL = """
WITH whom AS MATERIALIZED (
    SELECT q.user_id FROM profiles AS q JOIN users AS u ON u.id = q.user_id WHERE q.id = {customer} AND {visible}
    UNION ALL SELECT NULL WHERE %(customer)s::uuid IS NULL
), counted AS ({counted}), sold AS (
    INSERT INTO orders (
        id, order_number, user_id, store_id, items, subtotal, tax_amount, discount_amount, total_amount, payment_method,
        payment_status, special_instructions, order_source, order_status, receipt_number, cashier_id, payment_details,
        tenant_id, store_code, cashier_code, customer_code, counted_amount, counted_points, content_digest,
        created_at, updated_at
    ) SELECT
        %(id)s, %(order_number)s, (SELECT user_id FROM whom), %(store)s, %(items)s, %(subtotal)s, %(tax)s, %(discounts)s,
        %(total)s, %(payment_method)s, %(payment_status)s, %(notes)s, 'pos', %(status)s, %(receipt_number)s,
        (SELECT u.id FROM users AS u WHERE u.id = %(cashier)s AND {visible}), %(payment_details)s, %(tenant)s,
        %(store_code)s, %(cashier_code)s, %(customer_code)s, %(counted_amount)s, %(counted_points)s, %(digest)s,
        %(created)s, %(created)s
    FROM counted RETURNING id, items
), told AS (
    INSERT INTO order_events (order_id, status, notes, changed_by, via)
    SELECT id, %(status)s, '', %(actor)s::uuid, %(via)s FROM sold
)
SELECT EXISTS (SELECT FROM whom), (SELECT items::text FROM sold)
"""
_PARTS = {
    "customer": resolved("customer"),
    "visible": sql.SQL("(%(all)s OR u.tenant_id IS NOT DISTINCT FROM %(tenant)s)"),
}
# Written out once: to put them together takes as long as the rest of a sale's code.
_SELL_COUNTED = (
    sql.SQL(_SELL).format(counted=change_of(sql.SQL("(SELECT user_id FROM whom)")), **_PARTS).as_string(None)
)
_SELL_UNCOUNTED = sql.SQL(_SELL).format(counted=sql.SQL("SELECT FROM whom"), **_PARTS).as_string(None)
_FIRST = """
SELECT content_digest, items::text, id, order_number, receipt_number, created_at::timestamptz
FROM orders WHERE store_code = %(store_code)s AND receipt_number = %(receipt_number)s
    AND content_digest IS NOT NULL AND tenant_id IS NOT DISTINCT FROM %(tenant)s
"""


def sell(sale: Sale, *, by: User, via: str = VIA) -> dict[str, Any]:
    """Sell once per receipt number of a store: the sale as the till sent it, with id, order_number and timestamp.

    The same receipt again gives the same answer. Errors: Problem 409 where its contents differ, 404 for a customer who is
    nobody, or another tenant's.
    """
    for _ in range(_TRIES):
        values = _values(sale, by=by, via=via) | {
            "status": "completed",
            "payment_status": "completed",
            "digest": sale.digest,
        }
        if values["customer"] is not None:
            points = points_for(sale.total)
            values |= {"counted_amount": sale.total, "counted_points": points}
            values |= {"amount": sale.total, "points": points, "orders": 1, "at": values["created_at"], "floor": False}
            values |= {"order": str(values["id"]), "reason": f"sale {values['receipt_number']}"}
        try:
            items = _insert(_SELL_COUNTED if values["customer"] else _SELL_UNCOUNTED, values)
        except IntegrityError as error:
            if not may_go_next_time(error):
                raise
            if first := _first_answer(sale, values):
                return first
            continue
        if items is not None:
            return answer(sale, items, values)
    raise conflict(
        "try_again", f"Receipt {sale.receipt_number} was not sold: the store is busy. Nothing was written; try again."
    )


def park(sale: Sale, *, by: User, via: str = VIA) -> dict[str, Any]:
    """Hold a sale: it counts for nothing until the till takes it up and sells it."""
    values = _values(sale, by=by, via=via) | {"status": "parked", "payment_status": "pending"}
    items = _insert(_SELL_UNCOUNTED, values)
    assert items is not None
    return answer(sale, items, values)


def resume(order_id: uuid.UUID, *, by: User, via: str = VIA) -> None:
    """Take up a parked sale, once: Problem 409 the second time."""
    with transaction.atomic():
        order = locked(order_id, by=by)
        if order.order_status != "parked":
            raise conflict(
                "not_parked",
                f"Sale {order.order_number} is {order.order_status}, not parked: it cannot be resumed. "
                "GET /api/pos/transactions/parked lists what can.",
            )
        order.order_status = "resumed"
        order.save(update_fields=["order_status", "updated_at"])
        tell(order, notes="", by=by, via=via)


def locked(order_id: uuid.UUID, *, by: User) -> Order:
    """The till's order, locked until the transaction ends. Problem 404 where it is not the caller's to see."""
    found = Order.objects.visible_to(by).filter(order_source="pos", pk=order_id).select_for_update(of=("self",)).first()
    if found is None:
        raise not_found("transaction", order_id)
    order: Order = found
    return order


def tell(order: Order, *, notes: str, by: User, via: str) -> None:
    """Add the order's present status to its history."""
    OrderEvent.objects.create(
        order=order, status=order.order_status or "", notes=notes, changed_at=timezone.now(), changed_by=by.pk, via=via
    )


def answer(sale: Sale, items: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The sale as the till sent it, in cents; `values` has the id, the numbers, the time and the status."""
    return {
        "id": str(values["id"]),
        "order_number": values["order_number"],
        "receipt_number": values["receipt_number"],
        "store_id": sale.store_id,
        "cashier_id": sale.cashier_id,
        "customer_id": sale.customer_id,
        "items": Made(items.encode()),
        "subtotal": float(sale.subtotal),
        "discounts": float(sale.discounts),
        "tax": float(sale.tax),
        "total": float(sale.total),
        "payment_method": sale.payment_method,
        "payment_details": sale.payment_details,
        "status": values["status"],
        "notes": sale.notes,
        "timestamp": values["created_at"].isoformat(),
    }


def left_of(order: Order) -> Decimal:
    """What of an order's total has not been given back."""
    return (order.total_amount or Decimal(0)) - order.refunded_amount


def may_go_next_time(error: IntegrityError) -> bool:
    """Whether a number that is to be there once is there already, a receipt's in its store or an order's; or whether the
    person was merged into another at this moment."""
    name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
    return name in {"orders_one_per_receipt", "orders_order_number_key", "profiles_merged_holds_no_sums"}


def _insert(statement: str, values: Mapping[str, Any]) -> str | None:
    """The lines as they were stored; None where nothing was written. Problem 404 for a customer who is nobody.

    A customer's uuid must be somebody of the caller's tenant; a text such as 'anonymous' is nobody. A cashier who is not
    known stays a text.
    """
    # Alone it is a transaction; in a caller's, its failure must leave that one alive.
    with transaction.atomic() if connection.in_atomic_block else nullcontext():
        row = fetch_one(statement, values)
    assert row is not None
    somebody, items = row
    if not somebody:
        customer = values["customer"]
        raise Problem(
            "customer_not_found",
            f"There is no customer {customer}. Leave customer_id out, or send 'anonymous', to sell to nobody in particular.",
            status=404,
            errors=[{"field": "customer_id", "code": "not_found", "detail": f"There is no customer {customer}."}],
        )
    return None if items is None else str(items)


def _first_answer(sale: Sale, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was answered when the receipt was sold first; None where it never was. Problem 409: other contents."""
    with connection.cursor() as cursor:
        cursor.execute(_FIRST, values)
        row = cursor.fetchone()
    if row is None:
        return None
    digest, items, *facts = row
    if digest != sale.digest:
        raise conflict(
            "receipt_taken",
            f"Store {sale.store_id} has sold receipt {sale.receipt_number} with other contents. Nothing was sold: send a "
            "new sale under a new number.",
        )
    names = ("id", "order_number", "receipt_number", "created_at")
    return answer(sale, items, {**dict(zip(names, facts, strict=True)), "status": "completed"})


def _values(sale: Sale, *, by: User, via: str) -> dict[str, Any]:
    """The columns of a new row that counts for nothing."""
    now = sale.timestamp or timezone.now().astimezone(datetime.UTC)
    # The day and eight letters: asks no counter that all tills would wait for.
    order_number = f"POS-{timezone.localtime(now):%Y%m%d}-{_letters()}"
    return {
        "id": uuid.uuid4(),
        "order_number": order_number,
        "receipt_number": sale.receipt_number or order_number,
        "customer": as_uuid(sale.customer_id),
        "store": as_uuid(sale.store_id),
        "items": sale.items,
        "subtotal": sale.subtotal,
        "tax": sale.tax,
        "discounts": sale.discounts,
        "total": sale.total,
        "payment_method": sale.payment_method,
        "notes": sale.notes,
        "cashier": as_uuid(sale.cashier_id),
        "payment_details": orjson.dumps(sale.payment_details).decode(),
        "tenant": by.tenant_id,
        "all": by.is_superuser,
        "store_code": sale.store_id,
        "cashier_code": sale.cashier_id,
        "customer_code": sale.customer_id,
        "counted_amount": None,
        "counted_points": None,
        "digest": None,
        "created_at": now,
        # With its offset: right in a column without time zone, which ignores it, and in one with.
        "created": now.isoformat(sep=" "),
        "actor": str(by.pk),
        "via": via,
    }


def _letters() -> str:
    """Eight at random, by one question to the system."""
    number, found = secrets.randbelow(len(_ALPHABET) ** 8), ""
    for _ in range(8):
        number, letter = divmod(number, len(_ALPHABET))
        found += _ALPHABET[letter]
    return found
