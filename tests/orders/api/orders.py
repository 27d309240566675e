"""What an order is on the wire, by API.md."""

from typing import Any

NUMBERS = {"subtotal", "tax", "tax_amount", "discount_amount", "delivery_fee", "total", "total_amount"}
MEMBERS = NUMBERS | {
    "id",
    "order_number",
    "user_id",
    "customer",
    "status",
    "order_status",
    "payment_status",
    "delivery_status",
    "order_type",
    "items",
    "delivery_info",
    "delivery_address",
    "created_at",
    "updated_at",
}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def assert_order(order: dict[str, Any]) -> None:
    """It has exactly the members of the contract, with their JSON types."""
    assert set(order) == MEMBERS
    assert all(is_number(order[name]) for name in NUMBERS), order
    assert (order["tax"], order["total"]) == (order["tax_amount"], order["total_amount"])
    assert isinstance(order["status"], str)
    assert order["status"]
    assert set(order["customer"]) == {"first_name", "last_name", "email", "phone", "customer_type"}
    assert isinstance(order["items"], list)
    for line in order["items"]:
        assert all(is_number(line[name]) for name in ("quantity", "price", "subtotal")), line
    assert isinstance(order["delivery_info"], dict)
    assert isinstance(order["delivery_info"]["type"], str)
