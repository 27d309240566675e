"""Money given back at the till: all that is left, some lines, or an amount."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts.models import User
from config.api.problems import conflict
from orders.models import Order, Refund
from orders.services import counting
from orders.services.till import VIA, left_of, locked, tell
from orders.services.transitions import OrderStatus

from .money import CENT, amount_of, cents, invalid, number
from .sales import MOST_LINES, line_net, text

REFUNDABLE = frozenset({OrderStatus.COMPLETED, OrderStatus.PARTIAL_REFUND})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A line to give back: how the till names it, its place in the body, and how much of it; None: what is left."""

    name: str | int
    field: str
    quantity: Decimal | None = None
    by_index: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be given back; without an amount and lines all that is left."""

    amount: Decimal | None = None
    lines: tuple[Wanted, ...] = ()
    reason: str = ""
    processed_by: str = ""


def parse(body: Any) -> Request:
    """Read {amount?, reason?, items?, processed_by?}, or the older bare list of line ids."""
    if isinstance(body, list):
        body = {"items": body}
    if not isinstance(body, Mapping):
        raise invalid("", "The body is {amount?, items?, reason?, processed_by?} or a list of line ids.")
    amount = body.get("amount")
    if amount is not None:
        amount = amount_of(amount, "amount")
        if amount <= 0:
            raise invalid("amount", "Nothing would be given back. Send more than 0, or no amount for all that is left.")
    items = body.get("items")
    if items is not None and not isinstance(items, list):
        raise invalid("items", "items is a list of line ids, or of {id or index, quantity}.")
    if items is not None and not items and amount is None:
        raise invalid("items", "No line is named. Leave items out to give all that is left back.")
    if items and len(items) > MOST_LINES:
        raise invalid("items", f"{len(items):,} lines are too many: at most {MOST_LINES:,}.")
    return Request(
        amount=amount,
        lines=tuple(_wanted(item, f"items.{place}") for place, item in enumerate(items or ())),
        reason=text(body, "reason", 1_000) or "",
        processed_by=text(body, "processed_by") or "",
    )


def refund(order_id: uuid.UUID, wanted: Request, *, by: User, via: str = VIA) -> str:
    """Give money back, with the points and totals that it had brought; says what was done.

    One at a time per order, by its row's lock. Errors: Problem 409 for more than is left, or where nothing was paid.
    """
    with transaction.atomic():
        order = locked(order_id, by=by)
        left = left_of(order)
        if order.order_status not in REFUNDABLE:
            raise conflict(
                "not_refundable",
                f"Sale {order.order_number} is {order.order_status}: there is nothing to give back. "
                "What is completed, or refunded in part, can be refunded.",
            )
        lines: list[dict[str, Any]] = []
        amount = left
        if wanted.lines:
            lines, worth = _lines(order, wanted.lines, left)
            amount = worth if wanted.amount is None else wanted.amount
        elif wanted.amount is not None:
            amount = wanted.amount
        if amount > left:
            raise conflict(
                "more_than_is_left",
                f"{amount} is more than the {left} that is left of sale {order.order_number}. Give back at most that.",
            )
        whole = amount == left
        if amount <= 0 and not whole:
            raise invalid("items", "These lines cost nothing: there is nothing to give back.")
        order.refunded_amount += amount
        order.order_status = OrderStatus.REFUNDED if whole else OrderStatus.PARTIAL_REFUND
        if whole:
            order.payment_status = "refunded"
        points = counting.settle(
            order, ended=whole, reason=f"refund of {amount} for sale {order.receipt_number}", by=by, via=via
        )
        if amount > 0:
            Refund.objects.create(
                order=order,
                amount=amount,
                points=points,
                lines=lines,
                reason=wanted.reason,
                processed_by=wanted.processed_by,
                created_by=by.pk,
            )
        order.save(update_fields=["refunded_amount", "order_status", "payment_status", *counting.COUNTED, "updated_at"])
        tell(order, notes=f"{amount} given back. {wanted.reason}".strip(), by=by, via=via)
    return f"{amount} was given back for sale {order.order_number}; {left - amount} is left."


def _wanted(item: Any, field: str) -> Wanted:
    """A line as the till names it: an id, or {id, or index, quantity?}. A product's id or sku will do for an id."""
    quantity = None
    if isinstance(item, Mapping):
        if (given := item.get("quantity")) is not None:
            quantity = number(given, f"{field}.quantity")
            if quantity <= 0:
                raise invalid(f"{field}.quantity", "A quantity to give back is more than 0.")
        if (index := item.get("index")) is not None:
            if not isinstance(index, int) or isinstance(index, bool):
                raise invalid(f"{field}.index", "index is a line's place in the sale; the first is 0.")
            return Wanted(index, field, quantity, by_index=True)
        product = item.get("product")
        names = [item.get(name) for name in ("id", "line_id", "item_id", "product_id")]
        names += [product.get(name) for name in ("id", "sku")] if isinstance(product, Mapping) else []
        item = next((name for name in names if name is not None), None)
    if not isinstance(item, str | int) or isinstance(item, bool):
        raise invalid(field, "Name the line: its id, or {id or index, quantity}.")
    return Wanted(item, field, quantity)


def _lines(order: Order, wanted: tuple[Wanted, ...], left: Decimal) -> tuple[list[dict[str, Any]], Decimal]:
    """The lines as a refund records them, and what they are worth: their share of the total, so tax and all.

    When nothing of any line is left after this, they are worth all that is left: cents are not lost in the shares.
    """
    stored = order.items if isinstance(order.items, list) else []
    sold = [_quantity(line) for line in stored]
    nets = [line_net(line, f"items.{place}") for place, line in enumerate(stored)]
    open_ = list(sold)
    for earlier in order.refunds.values_list("lines", flat=True):
        for line in earlier:
            open_[line["index"]] -= number(line["quantity"], "quantity")
    found: list[dict[str, Any]] = []
    net = Decimal(0)
    for want in wanted:
        index = _find(stored, want, order)
        quantity = open_[index] if want.quantity is None else want.quantity
        if quantity > open_[index] or open_[index] <= 0:
            raise conflict(
                "more_than_is_left",
                f"{want.field}: {quantity.normalize():f} of line {want.name!r} is more than the "
                f"{open_[index].normalize():f} that is left of it.",
            )
        open_[index] -= quantity
        net += nets[index] * quantity / sold[index]
        found.append({"index": index, "id": stored[index].get("id"), "quantity": float(quantity)})
    if not any(open_):
        return found, left
    total = sum(nets)
    worth = cents((order.total_amount or Decimal(0)) * net / total) if total else Decimal(0)
    # A share that was rounded up may be a cent above what the shares before it have left.
    return found, left if left < worth <= left + CENT else worth


def _find(lines: list[Any], want: Wanted, order: Order) -> int:
    """The place of the line that is meant. Errors: ValidationError where none is, or several are."""
    ways = [
        lambda line: line.get("id") == want.name or str(line.get("id")) == str(want.name),
        lambda line: str(line["product"].get("id")) == str(want.name),
        lambda line: str(line["product"].get("sku")) == str(want.name),
    ]
    if not want.by_index:
        for way in ways:
            places = [place for place, line in enumerate(lines) if way(line)]
            if len(places) > 1:
                raise invalid(
                    want.field, f"{want.name!r} names {len(places)} lines. Name one by its index.", "ambiguous"
                )
            if places:
                return places[0]
    if isinstance(want.name, int) and 0 <= want.name < len(lines):
        return want.name
    raise invalid(want.field, f"Sale {order.order_number} has no line {str(want.name)[:60]!r}.", "not_found")


def _quantity(line: Any) -> Decimal:
    return number(line.get("quantity") if isinstance(line, Mapping) else None, "quantity")
