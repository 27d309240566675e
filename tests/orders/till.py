"""What a till sends, for tests."""

from typing import Any

PATH = "/api/pos/transactions/"


def line(price: float = 10.0, quantity: float = 1, **more: Any) -> dict[str, Any]:
    """One line; its product is 'p1' at `price`, or what `product` adds to that."""
    product = {
        "id": "p1",
        "sku": "TEA-1",
        "name": "Tea",
        "price": price,
        "category": "Drinks",
        **more.pop("product", {}),
    }
    return {"product": product, "quantity": quantity, **more}


def sale(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A sale of one line at 10.00 with 1.30 tax, or of `lines` without tax; sums follow from the lines."""
    items = list(lines) or [line()]
    subtotal = sum(item["product"]["price"] * item["quantity"] for item in items)
    tax = 0.0 if lines else 1.3
    return {
        "store_id": "store_001",
        "cashier_id": "cashier_7",
        "items": items,
        "subtotal": subtotal,
        "discounts": 0,
        "tax": tax,
        "total": subtotal + tax,
        "payment_method": "cash",
        "payment_details": {"cash_amount": 20, "change_given": 8.7},
        "status": "completed",
        "receipt_number": "R-1",
        **changes,
    }
