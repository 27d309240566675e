"""Web orders: made, moved on, cancelled. Points and totals are counted while the order is paid, and taken back exactly.

Locks: the order first, then (by the UPDATE that counts) the profile.
"""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.authorship import sign
from accounts.models import User
from config.api.problems import conflict, not_found
from orders import selectors
from orders.models import PAID, DeliveryStatus, Order, OrderEvent, PaymentMethod, PaymentStatus, Refund
from profiles.models import Profile
from profiles.selectors import as_uuid
from profiles.services import profile_service

from . import counting
from .money import LIMIT, amount_of, cents, invalid, number
from .transitions import ENDED, WAY, Axis, OrderStatus, illegal, later, possible, require

CREATED = "created"
# Digits and capitals that are not mistaken for one another when read aloud or typed.
_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_MOST_LINES = 500
_MOST_OF_A_LINE = 1_000_000
_DEEPEST = 8
_ALIASES = {"credit_card": PaymentMethod.CREDIT}
PAYMENT_METHODS = (*PaymentMethod.values, *_ALIASES)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An order as a client asks for it. `customer` is any id of whom it is for, '' for nobody named."""

    items: Sequence[Any]
    payment_method: str
    customer: str = ""
    contact: Mapping[str, Any] | None = None
    cart_session_id: str = ""
    store_id: str = ""
    delivery_info: Mapping[str, Any] | None = None
    delivery_address: Any = None
    special_instructions: str | None = None


def create(draft: Draft, *, by: User, via: str) -> Order:
    """A new, unpaid order: sums are computed from the lines' prices. Gives nobody points yet.

    Errors: ValidationError for a line or sum that cannot be; Problem 404 for a customer whom `by` may not see.
    """
    lines, subtotal = priced(draft.items)
    with transaction.atomic():
        buyer, code = _buyer(draft, by=by, via=via)
        sign(using="default", by=by.pk, via=via)
        cart, store = as_uuid(draft.cart_session_id), as_uuid(draft.store_id)
        order = Order(
            user_id=buyer,
            customer_code=code,
            cart_session_id=cart,
            store_id=store,
            store_code=draft.store_id or None,
            tenant_id=by.tenant_id,
            items=lines,
            subtotal=subtotal,
            tax_amount=Decimal(0),
            discount_amount=Decimal(0),
            delivery_fee=Decimal(0),
            total_amount=subtotal,
            payment_method=_ALIASES.get(draft.payment_method, draft.payment_method),
            payment_status=PaymentStatus.PENDING,
            # The column holds uuids alone; a cart that is called otherwise is kept here.
            payment_details={"cart_session_id": draft.cart_session_id} if draft.cart_session_id and not cart else None,
            delivery_status=DeliveryStatus.PENDING,
            delivery_address=_delivery(draft),
            special_instructions=draft.special_instructions,
            order_status=OrderStatus.PENDING,
            order_source="web",
        )
        _insert(order)
        _tell(order, [CREATED], notes="", by=by, via=via)
    return order


def priced(items: Sequence[Any]) -> tuple[list[dict[str, Any]], Decimal]:
    """Lines as they are stored, flat, and their sum in cents. A line without a price is refused by its name."""
    if not 1 <= len(items) <= _MOST_LINES:
        raise invalid("items", f"There are {len(items):,} items; an order has 1 to {_MOST_LINES}.")
    lines = [_line(item, f"items.{place}") for place, item in enumerate(items)]
    total = sum((Decimal(str(line["subtotal"])) for line in lines), Decimal(0))
    if total >= LIMIT:
        raise invalid("items", f"The total of {total:,} is too large; it is below {LIMIT:,}.")
    return lines, total


def change_status(
    order_id: uuid.UUID,
    *,
    payment_status: str | None = None,
    delivery_status: str | None = None,
    status: str | None = None,
    notes: str = "",
    by: User | None,
    via: str,
) -> None:
    """Move an order on. What is so already is left alone; what is cancelled anywhere is cancelled as a whole.

    Errors: Problem 404 for an order that `by` may not see, 409 for a step that may not be taken; nothing is written.
    """
    asked = {Axis.PAYMENT: payment_status, Axis.DELIVERY: delivery_status, Axis.ORDER: status}
    with transaction.atomic():
        order = _locked(order_id, by=by, via=via)
        moves = {axis: value for axis, value in asked.items() if value and value != _current(order, axis)}
        for axis, value in moves.items():
            require(axis, _current(order, axis), value, order_number=order.order_number)
        if not moves:
            if notes:
                _tell(order, [order.shown_status], notes=notes, by=by, via=via)
        elif "cancelled" in moves.values() and order.shown_status != OrderStatus.CANCELLED:
            _cancel(order, moves, notes=notes, by=by, via=via)
        else:
            _move(order, moves, notes=notes, by=by, via=via)


def cancel(order_id: uuid.UUID, *, reason: str = "", by: User | None, via: str) -> None:
    """Cancel an order that is not delivered; what it counted is taken back, what was paid is refunded.

    Errors: Problem 404 for an order that `by` may not see, 409 when it is delivered, refunded or cancelled already.
    """
    with transaction.atomic():
        order = _locked(order_id, by=by, via=via)
        if order.order_source == "pos" and by is not None and not by.has_perm("orders.change_order"):
            raise conflict("till_sale", f"Order {order.order_number} was made at the till. Ask there to cancel it.")
        require(Axis.ORDER, _current(order, Axis.ORDER), "cancelled", order_number=order.order_number)
        _cancel(order, {Axis.ORDER: "cancelled"}, notes=reason, by=by, via=via)


def _current(order: Any, axis: Axis) -> str | None:
    """Where the order stands on an axis. A status that only the payment tells says nothing of the way."""
    if axis is Axis.PAYMENT:
        return order.payment_status or None
    if axis is Axis.DELIVERY:
        return order.delivery_status or None
    known = order.order_status or order.delivery_status or order.shown_status in ENDED
    return order.shown_status if known else None


def _cancel(order: Any, moves: Mapping[Axis, str], *, notes: str, by: User | None, via: str) -> None:
    number = order.order_number
    require(Axis.ORDER, _current(order, Axis.ORDER), "cancelled", order_number=number)
    if order.delivery_status == DeliveryStatus.DELIVERED:
        ways = possible(Axis.DELIVERY, order.delivery_status)
        raise illegal(Axis.DELIVERY, order.delivery_status, "cancelled", ways, order_number=number)
    paid = order.payment_status in PAID
    becomes = {Axis.PAYMENT: "refunded" if paid else "cancelled", Axis.DELIVERY: "cancelled", Axis.ORDER: "cancelled"}
    _require_one_end(order, moves, becomes, "cancelled")
    words = ["cancelled"]
    order.order_status, order.delivery_status = OrderStatus.CANCELLED, DeliveryStatus.CANCELLED
    if order.payment_status not in {PaymentStatus.REFUNDED, PaymentStatus.CANCELLED}:
        order.payment_status = becomes[Axis.PAYMENT]
    if paid:
        words.append("refunded")
        _give_back(order, reason=notes, by=by)
    counting.settle(order, ended=True, reason=f"order {number} cancelled", by=by, via=via)
    _keep(order)
    _tell(order, words, notes=notes, by=by, via=via)


def _move(order: Any, moves: dict[Axis, str], *, notes: str, by: User | None, via: str) -> None:
    number, shown = order.order_number, order.shown_status
    if order.order_source == "pos" and (Axis.PAYMENT in moves or "refunded" in moves.values()):
        raise conflict(
            "till_sale",
            f"Order {number} was sold at the till, where its payment is settled. "
            f"To give money back: POST /api/pos/transactions/{order.pk}/refund.",
        )
    if "refunded" in moves.values():
        if by is not None and not by.has_perm("orders.refund_order"):
            raise PermissionDenied("Your role may not refund an order.")
        _require_one_end(order, moves, dict.fromkeys((Axis.PAYMENT, Axis.ORDER), "refunded"), "refunded")
        if order.payment_status != PaymentStatus.REFUNDED:
            require(Axis.PAYMENT, order.payment_status or None, "refunded", order_number=number)
            moves[Axis.PAYMENT] = "refunded"
        if shown != OrderStatus.CANCELLED:
            moves[Axis.ORDER] = "refunded"
    elif shown in ENDED:
        for axis, value in moves.items():
            if value not in {"failed", "cancelled"}:
                raise illegal(
                    axis, _current(order, axis), value, (), order_number=number, why=f": the order is {shown}"
                )
    else:
        _follow(order, moves)
    was_paid = order.payment_status in PAID
    order.payment_status = moves.get(Axis.PAYMENT, order.payment_status)
    order.delivery_status = moves.get(Axis.DELIVERY, order.delivery_status)
    order.order_status = moves.get(Axis.ORDER, order.order_status)
    if order.payment_status in PAID and not was_paid and order.ours:
        counting.begin(order, reason=f"order {number}", by=by, via=via)
    elif was_paid and order.payment_status not in PAID:
        if order.payment_status == PaymentStatus.REFUNDED:
            _give_back(order, reason=notes, by=by)
        counting.settle(order, ended=True, reason=f"order {number} {order.payment_status}", by=by, via=via)
    _keep(order)
    words = [moves[axis] for axis in (Axis.ORDER, Axis.DELIVERY, Axis.PAYMENT) if axis in moves]
    _tell(order, list(dict.fromkeys(words)), notes=notes, by=by, via=via)


def _follow(order: Any, moves: dict[Axis, str]) -> None:
    """The whole follows the delivery and the delivery the whole, where only one of them was asked for."""
    of_whole, of_delivery = moves.get(Axis.ORDER), moves.get(Axis.DELIVERY)
    if of_delivery and not of_whole and later(of_delivery, _current(order, Axis.ORDER)):
        moves[Axis.ORDER] = of_delivery
    elif of_whole and not of_delivery and of_whole in WAY and order.order_source != "pos":
        reached = DeliveryStatus.DELIVERED if of_whole == OrderStatus.COMPLETED else of_whole
        if reached in DeliveryStatus.values and later(reached, order.delivery_status or None):
            moves[Axis.DELIVERY] = reached


def _require_one_end(order: Any, moves: Mapping[Axis, str], becomes: Mapping[Axis, str], ended: str) -> None:
    """What is asked for beside an end must be what the end brings anyway."""
    for axis, value in moves.items():
        if value != becomes.get(axis, value):
            raise conflict(
                "illegal_transition",
                f"Order {order.order_number} cannot be {ended} and have its {axis.value} become {value!r} in one step. "
                f"When it is {ended}, its {axis.value} becomes {becomes[axis]!r}.",
            )


def _give_back(order: Any, *, reason: str, by: User | None) -> None:
    """Note the refund of all that was not refunded yet."""
    rest = (order.total_amount or Decimal(0)) - order.refunded_amount
    if not rest.is_finite() or rest <= 0:
        return
    order.refunded_amount += rest
    Refund.objects.create(
        order=order,
        amount=rest,
        points=order.counted_points or 0,
        reason=reason,
        processed_by=str(by or "")[:100],
        created_by=by.pk if by else None,
    )


def _locked(order_id: uuid.UUID, *, by: User | None, via: str) -> Any:
    """The order for a change, its JSON left unread, signed. `ours`: the old application did not make it."""
    orders = Order.objects.all() if by is None else Order.objects.visible_to(by)
    made_here = OrderEvent.objects.filter(order=OuterRef("pk"), status=CREATED)
    order = (
        selectors.with_status(orders)
        .annotate(ours=Exists(made_here))
        .defer("items", "delivery_address", "payment_details")
        .select_for_update(of=("self",))
        .filter(pk=order_id)
        .first()
    )
    if order is None:
        raise not_found("order", order_id)
    sign(using="default", by=by.pk if by else None, via=via)
    return order


def _keep(order: Any) -> None:
    order.save(
        update_fields=[
            "order_status",
            "payment_status",
            "delivery_status",
            "refunded_amount",
            *counting.COUNTED,
            "updated_at",
        ]
    )


def _tell(order: Order, words: Sequence[str], *, notes: str, by: User | None, via: str) -> None:
    """The order's history: one entry per word, the notes with the first."""
    OrderEvent.objects.bulk_create(
        OrderEvent(
            order_id=order.pk,
            status=word,
            notes="" if place else notes,
            changed_by=by.pk if by else None,
            via=via,
        )
        for place, word in enumerate(words)
    )


def _insert(order: Order) -> None:
    """Under a number of its own: chance makes it, the unique key decides."""
    for tries_left in reversed(range(5)):
        order.order_number = new_number()
        try:
            with transaction.atomic():
                order.save(force_insert=True)
            return
        except IntegrityError:
            if not tries_left or not Order.objects.filter(order_number=order.order_number).exists():
                raise


def new_number() -> str:
    """ORD-<day in the shop's time zone>-<8 characters>: readable, and telling nobody how much is sold."""
    return f"ORD-{timezone.localdate():%Y%m%d}-{''.join(secrets.choice(_LETTERS) for _ in range(8))}"


def _line(item: Any, field: str) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise invalid(field, "An item is an object: {product_id, name, quantity, price}.")
    product = item.get("product")
    nested: Mapping[str, Any] = product if isinstance(product, Mapping) else {}
    product_id = next(
        (str(value) for value in (item.get("product_id"), nested.get("id"), product) if _is_id(value)), None
    )
    if product_id is None:
        raise invalid(field, "An item says which product it is: product_id, or product.", "required")
    name = next((str(v) for v in (item.get("name"), nested.get("name")) if isinstance(v, str) and v.strip()), None)
    price = item.get("price", nested.get("price"))
    if price is None or price == "":
        raise invalid(
            f"{field}.price",
            f"{name or product_id} has no price, and there is no catalogue here to take it from. Send its price.",
            "required",
        )
    if item.get("quantity") is None:
        raise invalid(f"{field}.quantity", f"{name or product_id} has no quantity. Send how many.", "required")
    quantity, each = number(item["quantity"], f"{field}.quantity"), amount_of(price, f"{field}.price")
    if not 0 < quantity <= _MOST_OF_A_LINE:
        raise invalid(f"{field}.quantity", f"{quantity} is no quantity; it is above 0, at most {_MOST_OF_A_LINE:,}.")
    subtotal = cents(quantity * each)
    known = {
        key: value
        for key, value in {**nested, **item}.items()
        if isinstance(value, str | int | float) and key not in {"id", "product", "subtotal"}
    }
    return {
        **known,
        "product_id": product_id,
        "name": name,
        "quantity": int(quantity) if quantity == quantity.to_integral_value() else float(quantity),
        "price": float(each),
        "subtotal": float(subtotal),
    }


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, int) and not isinstance(value, bool)


def _delivery(draft: Draft) -> Any:
    """What the column keeps: the delivery as it was sent, and the contact if one was given."""
    info, address = draft.delivery_info, draft.delivery_address
    for name, value in (("delivery_info", info), ("delivery_address", address)):
        if _too_deep(value, _DEEPEST):
            raise invalid(name, f"It is nested deeper than {_DEEPEST} levels.")
    stored: Any = dict(info) if info else None
    if address not in (None, "", {}, []):
        stored = {**stored, "address": address} if stored else address
    contact = {key: value for key, value in (draft.contact or {}).items() if value not in (None, "")}
    if contact:
        stored = {**(stored if isinstance(stored, dict) else {"address": stored} if stored else {}), "contact": contact}
    return stored


def _too_deep(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return levels < 0 or any(_too_deep(one, levels - 1) for one in inner)


def _buyer(draft: Draft, *, by: User, via: str) -> tuple[uuid.UUID | None, str | None]:
    """Whose order it is, and the text by which the client called them where that is no id.

    Staff order for a customer whom they name by an id or by contact; everybody else for themselves.
    """
    serves, wanted = by.has_perm("orders.add_order"), as_uuid(draft.customer) if draft.customer else None
    if wanted is not None:
        user = selectors.user_behind(wanted)
        if user is None or (user != by.pk and not (serves and _sees(by, user))):
            raise not_found("customer", draft.customer)
        return user, None
    if not serves:
        return by.pk, None
    if draft.customer:
        return None, draft.customer
    return (_by_contact(draft.contact, by=by, via=via) if draft.contact else None) or by.pk, None


def _sees(by: User, user_id: uuid.UUID) -> bool:
    return Profile.objects.visible_to(by).filter(user_id=user_id).exists()


def _by_contact(contact: Mapping[str, Any], *, by: User, via: str) -> uuid.UUID | None:
    """The customer of that address in the caller's tenant, else a new guest. None where the contact says nothing.

    An address that somebody registered and never verified is not trusted: the order would be theirs.
    """
    named = {key: contact[key] for key in ("first_name", "last_name", "name", "email", "phone") if contact.get(key)}
    email = str(named.get("email", "")).strip()
    if not named:
        return None
    if email and email.lower() == (by.email or "").strip().lower():
        return by.pk
    if email:
        spelled = User.objects.filter(email__in={email, email.lower()}).order_by("pk")
        trusted = [user.pk for user in spelled if user.email_verified or not user.has_usable_password()]
        if len(trusted) == 1 and _sees(by, trusted[0]):
            return trusted[0]
    made = profile_service.create_customer(named, by=by, via=via)
    return uuid.UUID(str(made["user_id"]))
