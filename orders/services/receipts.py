"""Receipts of the till's sales: on paper, by mail."""

import uuid
from decimal import Decimal
from smtplib import SMTPException
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string

from accounts.models import User
from config.api.problems import Problem, conflict, not_found
from orders.models import Order
from orders.services.sales import line_net
from orders.services.transitions import OrderStatus
from orders.till_selectors import sales_of

_SOLD = frozenset({OrderStatus.COMPLETED, OrderStatus.PARTIAL_REFUND, OrderStatus.REFUNDED})


def print_receipt(order_id: uuid.UUID, *, by: User) -> str:
    """See that there is a receipt to print: the printer is the till's."""
    order = _sold(order_id, by=by)
    return f"Receipt {order.receipt_number} is ready to print."


def email_receipt(order_id: uuid.UUID, address: str, *, by: User) -> str:
    """Mail the receipt once the transaction is committed. Problem 503 where the mail server does not take it."""
    order = _sold(order_id, by=by)
    context = {"order": order, "lines": _lines(order), "left": (order.total_amount or 0) - order.refunded_amount}
    message = EmailMultiAlternatives(
        subject=f"Your receipt {order.receipt_number}",
        body=render_to_string("orders/receipt.txt", context),
        to=[address],
    )
    message.attach_alternative(render_to_string("orders/receipt.html", context), "text/html")

    def send() -> None:
        try:
            message.send()
        except (SMTPException, OSError, ValueError) as error:
            raise Problem(
                "mail_failed",
                f"Receipt {order.receipt_number} could not be mailed to {address}: the mail server did not take it. "
                "Check the address and try again, or print it.",
                status=503,
            ) from error

    transaction.on_commit(send)
    return f"Receipt {order.receipt_number} was mailed to {address}."


def _sold(order_id: uuid.UUID, *, by: User) -> Order:
    order = sales_of(by).filter(pk=order_id).first()
    if order is None:
        raise not_found("transaction", order_id)
    if order.order_status not in _SOLD:
        raise conflict(
            "not_sold", f"Sale {order.order_number} is {order.order_status}: there is a receipt once it is sold."
        )
    return order


def _lines(order: Order) -> list[dict[str, Any]]:
    """What the receipt says of each line."""
    found = []
    for place, line in enumerate(order.items if isinstance(order.items, list) else []):
        net = line_net(line, f"items.{place}")
        product = line["product"]
        found.append(
            {
                "name": str(product.get("name") or product.get("sku") or "Item"),
                "quantity": f"{Decimal(str(line['quantity'])).normalize():f}",
                "price": Decimal(str(product["price"])),
                "net": net,
            }
        )
    return found
