"""A sale under a number of its own takes a shorter way: it must do and say what the ordinary way does, once."""

import json
import uuid
from typing import Any

import pytest
from django.db import OperationalError

from accounts.models import User
from accounts.roles import Role
from accounts.services import api_keys
from orders.models import Order, OrderEvent
from orders.services import till
from profiles.models import LoyaltyEntry, Profile
from tests.api import HotClient, assert_problem, client_for, hot_client
from tests.factories import UserFactory, person
from tests.orders.till import PATH, line, sale

pytestmark = pytest.mark.django_db
TENANT = uuid.UUID("11111111-1111-4111-8111-111111111111")


@pytest.fixture
def staff() -> User:
    user: User = UserFactory(role=Role.STAFF, tenant_id=TENANT)
    return user


@pytest.fixture
def ann() -> Profile:
    return person("ann@example.com", tenant_id=TENANT)


def columns(order: Order) -> dict[str, Any]:
    """All that is stored of an order and its first step, but what is another for each."""
    items = [{**item, "id": ""} for item in order.items]
    step = OrderEvent.objects.values("status", "notes", "changed_by", "via").get(order=order)
    own = ("id", "order_number", "receipt_number", "created_at", "updated_at", "content_digest", "_state")
    return {name: value for name, value in vars(order).items() if name not in own} | {"items": items, "step": step}


@pytest.mark.parametrize("path", [PATH, PATH.rstrip("/")])
def test_both_ways_sell_alike(path: str, staff: User, ann: Profile) -> None:
    client = hot_client(staff)
    body = sale(customer_id=str(ann.pk), cashier_id=str(staff.pk), notes="A gift")
    short = client.post(path, body)
    ordinary = client_for(staff).post(path, {**body, "receipt_number": "R-2"})
    assert (client.hot, short.status_code, ordinary.status_code) == (True, 201, 201)
    del ordinary.headers["Allow"]  # DRF tells whoever asks for one thing what else there is
    assert short.headers == ordinary.headers
    assert short.json().keys() == ordinary.json().keys()
    first, second = (Order.objects.get(pk=answer.json()["id"]) for answer in (short, ordinary))
    assert columns(first) == columns(second)
    entries = LoyaltyEntry.objects.order_by("id").values_list("order_id", "delta", "balance", "created_by")
    assert list(entries) == [(first.pk, 11, 11, staff.pk), (second.pk, 11, 22, staff.pk)]


def test_two_statements_know_the_caller_and_sell(staff: User, ann: Profile, django_assert_num_queries: Any) -> None:
    client = hot_client(staff)
    for number in (1, 50):
        body = sale(*[line()] * number, customer_id=str(ann.pk), receipt_number=f"R-{number}")
        with django_assert_num_queries(4):  # with the savepoint's, within the test's transaction
            client.post(PATH, body)
    assert client.hot


def test_key_of_a_till_sells_too(staff: User) -> None:
    client = HotClient()
    _, key = api_keys.issue_key(staff, "till", by=staff)
    assert client.post(PATH, sale(), HTTP_AUTHORIZATION=f"Bearer {key}").status_code == 201
    assert client.hot


def test_same_receipt_is_answered_as_the_first_time(staff: User) -> None:
    client = hot_client(staff)
    first, again = client.post(PATH, sale()), client.post(PATH, sale())
    assert client.hot
    assert first.json() == again.json()
    assert Order.objects.count() == 1


def test_refusals_are_the_ordinary_ways(staff: User) -> None:
    client = hot_client(staff)
    for body, status, code in (
        (sale(subtotal=11), 400, "invalid"),
        (sale(customer_id=str(uuid.uuid4())), 404, "customer_not_found"),
        ([], 400, "invalid"),
    ):
        assert_problem(client.post(PATH, body), status, code)
        assert not client.hot
    assert_problem(client.generic("POST", PATH, "{", content_type="application/json"), 400, "parse_error")
    nul = json.dumps(sale(notes="a\0"))
    assert_problem(client.generic("POST", PATH, nul, content_type="application/json"), 400, "parse_error")
    assert_problem(hot_client(person().user).post(PATH, sale()), 403, "permission_denied")
    assert not Order.objects.exists()


def test_what_could_be_written_twice_takes_the_ordinary_way(staff: User) -> None:
    client = hot_client(staff)
    for body, headers in (
        (sale(receipt_number=None), {}),
        (sale(), {"Idempotency-Key": "k"}),
        (sale(*[line(note="x" * 1000)] * 100, receipt_number="R-2"), {}),  # longer than most
    ):
        assert client.post(PATH, body, headers=headers).status_code == 201
        assert not client.hot
    assert Order.objects.count() == 3


def test_error_after_it_was_sold_sells_once(staff: User, ann: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer of the database was lost: the ordinary way finds the receipt sold."""
    real, calls = till.sell, []

    def sell(*args: Any, **kwargs: Any) -> Any:
        calls.append(real(*args, **kwargs))
        if len(calls) == 1:
            raise OperationalError("the connection was lost")
        return calls[-1]

    monkeypatch.setattr(till, "sell", sell)
    client = hot_client(staff)
    answer = client.post(PATH, sale(customer_id=str(ann.pk)))
    assert (client.hot, answer.status_code, len(calls)) == (False, 201, 2)
    assert answer.json()["id"] == calls[0]["id"] == str(Order.objects.get().pk)
    ann.refresh_from_db()
    assert (ann.order_count, ann.loyalty_points) == (1, 11)
