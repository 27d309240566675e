"""Orders as rows, and in the admin."""

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError
from django.test import Client

from accounts.models import User
from orders.models import Order
from tests.accounts.legacy import rows

pytestmark = pytest.mark.django_db


def test_order_round_trips() -> None:
    user = User.objects.create_user("a@x.com")
    order = Order.objects.create(
        order_number="A-1",
        user=user,
        total_amount=Decimal("12.30"),
        items=[{"sku": "1", "qty": 2}],
        payment_details={"card": "…1234"},
    )
    order.refresh_from_db()
    assert user.orders.get() == order
    assert (order.total_amount, order.items, order.order_source) == (
        Decimal("12.30"),
        [{"sku": "1", "qty": 2}],
        "web",
    )
    assert str(order) == "A-1"


def test_row_that_names_only_its_number_gets_the_defaults() -> None:
    rows("INSERT INTO orders (order_number) VALUES ('A-1') RETURNING id")
    order = Order.objects.get()
    assert (order.items, order.order_source, order.user, order.total_amount) == ([], "web", None, None)
    assert order.created_at is not None


def test_user_with_orders_cannot_be_deleted() -> None:
    user = User.objects.create_user("a@x.com")
    Order.objects.create(order_number="A-1", user=user)
    with pytest.raises(ProtectedError):
        Order.objects.get().user.delete()  # type: ignore[union-attr]
    assert User.objects.count() == 1


def test_taken_number_is_refused_readably() -> None:
    Order.objects.create(order_number="A-1")
    with pytest.raises(ValidationError) as refusal:
        Order(order_number="A-1").full_clean()
    assert refusal.value.message_dict == {"order_number": ["An order with this number already exists."]}


def test_admin_list_has_a_fixed_number_of_queries(client: Client, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    client.force_login(User.objects.create_user("staff@x.com", role="staff"))
    counts = []
    for number in range(2):
        user = User.objects.create_user(f"{number}@x.com")
        Order.objects.bulk_create([Order(order_number=f"{number}-{n}", user=user) for n in range(20)])
        with django_assert_num_queries(4):
            answer = client.get("/admin/orders/order/")
        counts.append(answer.context["cl"].result_count)
    assert counts == [20, 40]
    order = Order.objects.first()
    assert order is not None
    assert client.post(f"/admin/orders/order/{order.pk}/change/", {}).status_code == 403
    assert client.get("/admin/orders/order/", {"q": "1-7"}).context["cl"].queryset.get().order_number == "1-7"


def test_admin_saves_an_order_without_changing_the_rest(client: Client) -> None:
    client.force_login(User.objects.create_user("boss@x.com", role="super_admin"))
    order = Order.objects.create(order_number="A-1", items=[{"sku": "1"}], payment_method="cash")
    page = f"/admin/orders/order/{order.pk}/change/"
    form = client.get(page).context["adminform"].form
    data = {name: "" if form[name].value() is None else form[name].value() for name in form.fields}
    data["payment_status"] = "paid"
    assert client.post(page, data).status_code == 302
    assert rows("SELECT items, payment_method, payment_status, delivery_address FROM orders")[0][1:] == (
        "cash",
        "paid",
        None,
    )
    order.refresh_from_db()
    assert order.items == [{"sku": "1"}]
