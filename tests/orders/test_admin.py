"""Orders in the admin: what a person's totals depend on is changed by steps alone."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from orders.models import UNPAID, Order, OrderEvent
from orders.services import orders as service
from orders.services.orders import Draft
from profiles.models import Profile

pytestmark = pytest.mark.django_db
LIST = "/admin/orders/order/"
TEA = {"product_id": "tea", "name": "Tea", "quantity": 1, "price": "21.50"}


@pytest.fixture
def boss(client: Client) -> User:
    user = User.objects.create_user("boss@x.com", role="super_admin")
    client.force_login(user)
    return user


def submit(client: Client, order: Order, **changes: str) -> Any:
    page = f"/admin/orders/order/{order.pk}/change/"
    form = client.get(page).context["adminform"].form
    data = {name: "" if form[name].value() is None else form[name].value() for name in form.fields}
    return client.post(page, {**data, **changes})


def made() -> Order:
    buyer = User.objects.create_user("ann@x.com")
    return service.create(Draft(items=[TEA], payment_method="cash"), by=buyer, via="test")


def test_a_status_is_changed_by_a_step_that_counts(client: Client, boss: User) -> None:
    order = made()
    assert submit(client, order, payment_status="paid", special_instructions="Ring").status_code == 302
    order.refresh_from_db()
    assert (order.payment_status, order.special_instructions, order.counted_points) == ("paid", "Ring", 21)
    profile = Profile.objects.get(user=order.user)
    assert (profile.loyalty_points, profile.total_spent, profile.order_count) == (21, Decimal("21.50"), 1)
    event = OrderEvent.objects.latest("id")
    assert (event.status, event.changed_by, event.via) == ("paid", boss.pk, "admin")


def test_a_step_that_may_not_be_taken_is_an_error_of_the_form(client: Client, boss: User) -> None:
    order = made()
    answer = submit(client, order, payment_status="refunded", special_instructions="Ring")
    assert answer.status_code == 200
    assert answer.context["adminform"].form.non_field_errors() == [
        f"The payment_status of order {order.order_number} is 'pending' and cannot become 'refunded'. "
        "Possible: processing, completed, paid, failed, cancelled."
    ]
    answer = submit(client, order, order_status="barter")
    assert "'barter' is no status" in answer.context["adminform"].form.non_field_errors()[0]
    order.refresh_from_db()
    assert (order.payment_status, order.special_instructions, order.order_status) == ("pending", None, "pending")
    assert OrderEvent.objects.count() == 1


def test_what_totals_depend_on_is_not_typed(client: Client, boss: User) -> None:
    order = made()
    fields = client.get(f"/admin/orders/order/{order.pk}/change/").context["adminform"].form.fields
    assert not {"refunded_amount", "counted_amount", "counted_points", "content_digest"} & set(fields)
    assert {"user", "total_amount"} <= set(fields)
    service.change_status(order.pk, payment_status="paid", by=None, via="test")
    fields = client.get(f"/admin/orders/order/{order.pk}/change/").context["adminform"].form.fields
    assert not {"user", "total_amount"} & set(fields)


def test_no_order_is_added_or_deleted_by_hand(client: Client, boss: User) -> None:
    assert client.get("/admin/orders/order/add/").status_code == 403
    assert client.get(f"/admin/orders/order/{made().pk}/delete/").status_code == 403


def test_orders_are_listed_by_how_they_are_paid(client: Client, boss: User) -> None:
    buyer = User.objects.create_user("ann@x.com")
    statuses = ("completed", "paid", "pending", "refunded", None)
    numbers = [
        Order.objects.create(order_number=f"A-{n}", user=buyer, payment_status=s) for n, s in enumerate(statuses)
    ]
    found = {
        choice: {order.payment_status for order in client.get(LIST, {"payment": choice}).context["cl"].result_list}
        for choice in ("paid", "pending", "refunded", "failed")
    }
    assert found == {"paid": {"completed", "paid"}, "pending": {"pending"}, "refunded": {"refunded"}, "failed": set()}
    assert client.get(LIST).context["cl"].result_count == len(numbers)


def test_unpaid_orders_have_an_index_that_the_list_asks(client: Client, boss: User) -> None:
    """Reading by it, whatever the statistics say, the planner proves that the filter is the index's."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off")
        for status in UNPAID:
            wanted = Order.objects.filter(payment_status=status).order_by("-created_at", "-id")[:50]
            assert "orders_unpaid" in wanted.explain(), status


def test_an_order_leads_to_its_person(client: Client, boss: User) -> None:
    order = made()
    profile = Profile.objects.get(user=order.user)
    text = client.get(f"{LIST}{order.pk}/change/").content.decode()
    assert f'href="/admin/profiles/profile/{profile.pk}/change/">ann@x.com</a>' in text
