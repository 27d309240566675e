"""Sales on hold."""

import uuid

import pytest
from rest_framework.test import APIClient

from accounts.roles import Role
from orders.models import Order, OrderEvent
from profiles.models import LoyaltyEntry
from tests.api import assert_problem, client_as
from tests.factories import person
from tests.orders.till import PATH, line, sale

pytestmark = pytest.mark.django_db
TENANT = uuid.UUID("11111111-1111-4111-8111-111111111111")


@pytest.fixture
def till() -> APIClient:
    return client_as(Role.STAFF, tenant_id=TENANT)


def test_a_parked_sale_is_resumed_whole_and_once(till: APIClient) -> None:
    ann = person("ann@example.com", tenant_id=TENANT, first_name="Ann")
    parked = till.post(f"{PATH}park", sale(customer_id=str(ann.id), status="parked", notes="Back soon"))
    assert (parked.status_code, parked.json()["status"]) == (201, "parked")

    resumed = till.put(f"{PATH}{parked.json()['id']}/resume")

    assert resumed.status_code == 200
    assert resumed.json() == {
        **parked.json(),
        "status": "resumed",
        "customer_name": "Ann",
        "customer_email": "ann@example.com",
        "refunded_amount": 0,
    }
    again = assert_problem(till.put(f"{PATH}{parked.json()['id']}/resume"), 409, "not_parked")
    assert " is resumed, not parked" in again["detail"]
    assert list(OrderEvent.objects.order_by("id").values_list("status", flat=True)) == ["parked", "resumed"]
    ann.refresh_from_db()
    assert (ann.order_count, ann.total_spent, ann.loyalty_points) == (0, 0, 0)
    assert not LoyaltyEntry.objects.exists()


def test_what_is_resumed_is_sold_under_the_number_it_had_or_a_new_one(till: APIClient) -> None:
    parked = till.post(f"{PATH}park", sale()).json()
    till.put(f"{PATH}{parked['id']}/resume")
    assert till.post(PATH, sale()).status_code == 201
    assert till.post(PATH, sale(receipt_number="R-2")).status_code == 201
    assert sorted(Order.objects.values_list("order_status", flat=True)) == ["completed", "completed", "resumed"]


def test_only_the_lines_are_needed_to_park(till: APIClient) -> None:
    answer = till.post(f"{PATH}park", {"store_id": "store_001", "items": [line(10, 2)], "tax": 2.6}).json()
    assert (answer["subtotal"], answer["tax"], answer["total"]) == (20, 2.6, 22.6)
    assert (answer["payment_method"], answer["payment_details"]) == (None, {})
    assert answer["receipt_number"] == answer["order_number"]


@pytest.mark.parametrize("changes", [{"items": []}, {"subtotal": 5}, {"total": 99}, {"store_id": ""}])
def test_what_is_wrong_is_not_parked_either(till: APIClient, changes: dict[str, object]) -> None:
    assert_problem(till.post(f"{PATH}park", sale(**changes)), 400, "invalid")
    assert not Order.objects.exists()


def test_parked_sales_are_listed_by_store(till: APIClient) -> None:
    for number, store in enumerate(("store_001", "store_002", "store_001")):
        till.post(f"{PATH}park", sale(store_id=store, receipt_number=str(number)))
    till.post(PATH, sale())
    client_as(Role.STAFF).post(f"{PATH}park", sale(receipt_number="theirs"))
    till.put(f"{PATH}{Order.objects.get(receipt_number='0').id}/resume")

    assert [found["receipt_number"] for found in till.get(f"{PATH}parked").json()] == ["2", "1"]
    found = till.get(f"{PATH}parked?store_id=store_001").json()
    assert [(one["receipt_number"], one["store_id"], one["status"]) for one in found] == [("2", "store_001", "parked")]


def test_a_sale_that_was_never_parked_is_not_resumed(till: APIClient) -> None:
    sold = till.post(PATH, sale()).json()
    assert_problem(till.put(f"{PATH}{sold['id']}/resume"), 409, "not_parked")
    assert Order.objects.get().order_status == "completed"


def test_the_same_receipt_may_be_parked_again_and_a_key_parks_once(till: APIClient) -> None:
    for _ in range(2):
        till.post(f"{PATH}park", sale())
    keyed = [till.post(f"{PATH}park", sale(), headers={"Idempotency-Key": "p1"}).content for _ in range(2)]
    assert keyed[0] == keyed[1]
    assert Order.objects.count() == 3
