"""A sale as a till sends it: read, checked against its own lines, in cents."""

import datetime
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from django.utils import timezone

from orders.models import PaymentMethod

from .idempotency import digest_of
from .money import CENT, LIMIT, amount_of, cents, invalid, number, optional_amount

MOST_LINES = 1000
AMOUNT, PERCENTAGE = "amount", "percentage"
DISCOUNT_TYPES = {
    AMOUNT: AMOUNT,
    "fixed": AMOUNT,
    "flat": AMOUNT,
    PERCENTAGE: PERCENTAGE,
    "percent": PERCENTAGE,
    "%": PERCENTAGE,
}
# A till cannot always tell credit from debit, and takes several ways for one sale: card and split stay what they are.
PAYMENT_METHODS = {
    **{value: value for value in PaymentMethod.values},
    **dict.fromkeys(("card", "split", "gift_card", "store_credit", "other"), ""),
    "credit_card": PaymentMethod.CREDIT,
    "creditcard": PaymentMethod.CREDIT,
    "debit_card": PaymentMethod.DEBIT,
    "debitcard": PaymentMethod.DEBIT,
    "interac": PaymentMethod.DEBIT,
    "e_transfer": PaymentMethod.ETRANSFER,
    "interac_etransfer": PaymentMethod.ETRANSFER,
    "interac_e_transfer": PaymentMethod.ETRANSFER,
    "mixed": "split",
    "giftcard": "gift_card",
}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CARD_NUMBER = re.compile(r"(?:\d[ -]?){13,19}")


@dataclass(frozen=True, slots=True)
class Sale:
    """What a till sent, with its sums in cents. `digest` is that of its contents, without when it was sent."""

    store_id: str
    cashier_id: str | None
    customer_id: str | None
    lines: list[dict[str, Any]]
    subtotal: Decimal
    discounts: Decimal
    tax: Decimal
    total: Decimal
    payment_method: str | None
    payment_details: dict[str, Any]
    receipt_number: str | None
    notes: str | None
    timestamp: datetime.datetime | None
    digest: str

    @property
    def items(self) -> str:
        """The lines as JSON, each with an id by which it can be given back."""
        return orjson.dumps(
            [line if _line_id(line) else {**line, "id": str(uuid.uuid4())} for line in self.lines]
        ).decode()


def as_uuid(value: str | None) -> uuid.UUID | None:
    """The uuid that a text is in its usual form, else None."""
    return uuid.UUID(value) if value is not None and _UUID.fullmatch(value) else None


def parse(body: Any, *, store_id: str | None = None, parked: bool = False) -> Sale:
    """Read the body of a sale, or of one to be parked, whose sums and payment may be missing.

    `store_id` is the address's, where that names the store. Unknown fields are ignored, those of a line kept with it.
    Errors: ValidationError that names the field, both values and the way out.
    """
    if not isinstance(body, Mapping):
        raise invalid("", "The body is an object with store_id, items, subtotal, tax, total and payment_method.")
    store = text({"store_id": store_id} if store_id else body, "store_id")
    if not store:
        raise invalid("store_id", "Which store? Send its id, a uuid or a text such as 'store_001'.", "required")
    if not parked and (status := body.get("status")) not in (None, "", "completed"):
        raise invalid("status", f"{str(status)[:60]!r} is not what a sale can be: send 'completed', or park it.")
    lines, exact, rounded = _lines(body.get("items"))
    sums = {name: optional_amount(body, name) for name in ("subtotal", "discounts", "tax", "total")}
    subtotal, discounts, tax = sums["subtotal"], sums["discounts"] or Decimal(0), sums["tax"] or Decimal(0)
    total = sums["total"]
    if parked:
        subtotal = cents(exact) if subtotal is None else subtotal
        total = subtotal + tax if total is None else total
    if subtotal is None or total is None:
        name = "subtotal" if subtotal is None else "total"
        raise invalid(name, f"A sale needs its {name}.", "required")
    if min(abs(subtotal - cents(exact)), abs(subtotal - rounded)) > CENT:
        raise invalid(
            "subtotal",
            f"{subtotal} is not the sum of the lines, {cents(exact)} (price × quantity less the line's discount). "
            "Send the sum of the net lines.",
            "wrong_sum",
        )
    if total > subtotal + tax + CENT:
        raise invalid(
            "total",
            f"{total} is more than subtotal and tax, {subtotal + tax}. Send what the customer pays, tax included.",
            "wrong_sum",
        )
    if (method := payment_method(body.get("payment_method"))) is None and not parked:
        raise invalid("payment_method", "How was it paid? Send payment_method.", "required")
    contents: dict[str, Any] = {
        "store_id": str(as_uuid(store) or store),
        "cashier_id": text(body, "cashier_id"),
        "customer_id": text(body, "customer_id"),
        "subtotal": subtotal,
        "discounts": discounts,
        "tax": tax,
        "total": total,
        "payment_method": method,
        "payment_details": payment_details(body.get("payment_details")),
        "receipt_number": text(body, "receipt_number"),
        "notes": text(body, "notes", 10_000),
    }
    return Sale(**contents, lines=lines, timestamp=_timestamp(body), digest=digest_of(contents, lines))


def line_net(line: Any, field: str) -> Decimal:
    """price × quantity less the discount, unrounded. Errors: ValidationError under `field`."""
    if not isinstance(line, Mapping):
        raise invalid(field, "A line is an object: {product, quantity}.", "required")
    product = line.get("product")
    if not isinstance(product, Mapping):
        raise invalid(f"{field}.product", "A line needs its product: {id, sku, name, price}.", "required")
    price = number(product.get("price"), f"{field}.product.price")
    quantity = number(line.get("quantity"), f"{field}.quantity")
    if price < 0:
        raise invalid(f"{field}.product.price", f"{price} is negative; a price is 0 or more.")
    if quantity <= 0:
        raise invalid(
            f"{field}.quantity", f"{quantity} is not a quantity: send more than 0. To give back, refund the sale."
        )
    gross = price * quantity
    given = line.get("discount")
    if given is None:
        return gross
    discount = number(given, f"{field}.discount")
    sort = line.get("discount_type")
    known = DISCOUNT_TYPES.get(sort) if isinstance(sort, str) and sort else AMOUNT if not sort else None
    if known is None:
        raise invalid(
            f"{field}.discount_type", f"{str(sort)[:60]!r} is no discount type: send 'amount' or 'percentage'."
        )
    off = gross * discount / 100 if known == PERCENTAGE else discount
    if discount < 0 or off > gross + CENT / 2:
        raise invalid(
            f"{field}.discount", f"{discount} ({known}) takes {off} off {gross}: send 0 up to the whole line."
        )
    return gross - off


def payment_method(value: Any) -> str | None:
    """The one word for a way of paying, whatever a client's spelling; None where none is named."""
    if value is None or value == "":
        return None
    word = re.sub(r"[\s-]+", "_", value.strip().lower()) if isinstance(value, str) else ""
    if word not in PAYMENT_METHODS:
        known = ", ".join(name for name, value in PAYMENT_METHODS.items() if value in {"", name})
        raise invalid("payment_method", f"{str(value)[:60]!r} is no way of paying that is known. Known: {known}.")
    return str(PAYMENT_METHODS[word] or word)


def payment_details(value: Any) -> dict[str, Any]:
    """The known parts of payment_details, sums in cents. A whole card number is refused, and never stored."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid("payment_details", "payment_details is an object.")
    found: dict[str, Any] = {}
    for name in ("cash_amount", "card_amount", "change_given"):
        if value.get(name) is not None:
            found[name] = float(amount_of(value[name], f"payment_details.{name}"))
    if digits := text(value, "card_last_four", 30, "payment_details."):
        if not re.fullmatch(r"[0-9]{4}", digits):
            raise invalid(
                "payment_details.card_last_four", "Send the card's last four digits alone: its number is not stored."
            )
        found["card_last_four"] = digits
    if code := text(value, "authorization_code", 100, "payment_details."):
        if _CARD_NUMBER.search(code):
            raise invalid(
                "payment_details.authorization_code",
                "This looks like a card number, which is not stored. Send the code.",
            )
        found["authorization_code"] = code
    return found


def text(body: Mapping[str, Any], name: str, most: int = 100, path: str = "") -> str | None:
    """A text of the body; None where it is missing, null or blank."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(path + name, f"{name} is a text.")
    if len(value) > most:
        raise invalid(path + name, f"{name} has {len(value):,} characters; at most {most:,} are kept.")
    if most <= 100 and _CONTROL.search(value):
        raise invalid(path + name, f"{name} holds a control character, such as a line's end. Leave it out.")
    return value if value.strip() else None


def _lines(value: Any) -> tuple[list[dict[str, Any]], Decimal, Decimal]:
    """The lines, the sum of their nets, and the sum of their nets in cents: clients round either way."""
    if not isinstance(value, list) or not value:
        raise invalid("items", "A sale has lines: send items, a list of {product, quantity}.", "required")
    if len(value) > MOST_LINES:
        raise invalid("items", f"{len(value):,} lines are too many for one sale: at most {MOST_LINES:,}.")
    exact = rounded = Decimal(0)
    for index, line in enumerate(value):
        net = line_net(line, f"items.{index}")
        exact += net
        if exact >= LIMIT:
            raise invalid("items", f"The lines come to {LIMIT:,} or more.")
        rounded += cents(net)
    return value, exact, rounded


def _line_id(line: Mapping[str, Any]) -> bool:
    """Whether the till named the line."""
    found = line.get("id")
    return isinstance(found, str | int) and not isinstance(found, bool) and found != ""


def _timestamp(body: Mapping[str, Any]) -> datetime.datetime | None:
    """When the till sold; without an offset in the shop's time zone."""
    given = text(body, "timestamp")
    if given is None:
        return None
    try:
        found = datetime.datetime.fromisoformat(given)
        if timezone.is_naive(found):
            found = timezone.make_aware(found)
        found = found.astimezone(datetime.UTC)
    except (ValueError, OverflowError) as error:
        raise invalid("timestamp", f"{given!r} is no time: send one as 2026-11-23T14:05:00Z.") from error
    if found.year < 2000 or found > timezone.now() + datetime.timedelta(days=1):
        raise invalid("timestamp", f"{given!r} is before the year 2000 or in the future. Set the till's clock.")
    return found
