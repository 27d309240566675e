"""orders.0001_initial: creates orders, or adopts what the old application left."""

import pytest
from django.db import connection

from orders.models import Order
from tests.accounts.legacy import backwards, forwards, make_users, rows, shape, storage

pytestmark = pytest.mark.usefixtures("empty_database")

_ORDERS = """
CREATE TABLE orders (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_number varchar(100) NOT NULL UNIQUE,
    cart_session_id uuid,
    user_id uuid REFERENCES users (id),
    user_profile_id uuid,
    customer_id uuid,
    store_id uuid,
    items jsonb NOT NULL DEFAULT '[]',
    subtotal numeric(12,2),
    tax_amount numeric(12,2),
    discount_amount numeric(12,2),
    delivery_fee numeric(12,2),
    total_amount numeric(12,2),
    payment_method varchar(50),
    payment_status varchar(50),
    delivery_address jsonb,
    delivery_status varchar(50),
    special_instructions text,
    created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp DEFAULT CURRENT_TIMESTAMP,
    gift_note text
);
INSERT INTO orders (order_number, user_id, total_amount, payment_method)
SELECT 'A-' || n, (SELECT min(id::text)::uuid FROM users), n, 'barter' FROM generate_series(1, 300) n;
"""

ADDED = [
    *("order_source", "order_status", "receipt_number", "payment_details", "tenant_id", "store_code", "cashier_code"),
    *("customer_code", "refunded_amount", "counted_amount", "counted_points", "content_digest", "cashier_id"),
]


@pytest.fixture
def legacy_orders(empty_database: str) -> None:
    make_users()
    with connection.cursor() as cursor:
        cursor.execute(_ORDERS)


@pytest.mark.usefixtures("legacy_orders")
def test_legacy_orders_is_adopted_without_rewriting_a_row() -> None:
    before, stored = shape("orders"), storage("orders")
    forwards("accounts", "orders")
    after = shape("orders")
    assert storage("orders") == stored
    assert {part: after[part] for part in ("constraints", "indexes", "triggers")} == {
        part: before[part] for part in ("constraints", "indexes", "triggers")
    }
    assert after["columns"][: len(before["columns"])] == before["columns"]
    assert sorted(column[0] for column in after["columns"][len(before["columns"]) :]) == sorted(ADDED)
    assert rows("SELECT action, relaxed_columns FROM adopted_tables WHERE table_name = 'orders'") == [("adopted", [])]
    order = Order.objects.get(order_number="A-7")
    assert (order.order_source, order.cashier, order.payment_method, order.items) == (
        "web",
        None,
        "barter",
        [],
    )


@pytest.mark.usefixtures("legacy_orders")
def test_adopted_orders_is_given_back_exactly_as_it_was() -> None:
    before, stored = shape("orders"), storage("orders")
    forwards("accounts", "orders")
    backwards("accounts", "orders")
    assert shape("orders") == before
    assert storage("orders") == stored


@pytest.mark.usefixtures("legacy_orders")
def test_the_old_applications_insert_goes_on_working() -> None:
    forwards("accounts", "orders")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders (order_number, total_amount) VALUES ('B-1', 5)")
    assert Order.objects.get(order_number="B-1").order_source == "web"


def test_orders_is_created_in_an_empty_database() -> None:
    forwards("accounts", "orders")
    created = shape("orders")
    names = [name for name, *_ in created["columns"]]
    assert sorted(names) == sorted(str(field.column) for field in Order._meta.concrete_fields)
    assert {definition for _, definition in created["constraints"]} == {
        "PRIMARY KEY (id)",
        "UNIQUE (order_number)",
        "FOREIGN KEY (user_id) REFERENCES users(id) DEFERRABLE INITIALLY DEFERRED",
        "FOREIGN KEY (cashier_id) REFERENCES users(id) DEFERRABLE INITIALLY DEFERRED",
    }
    backwards("accounts", "orders")
    assert rows("SELECT to_regclass('orders')") == [(None,)]
