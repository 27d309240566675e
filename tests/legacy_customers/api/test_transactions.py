"""The tills' older names: the same answers as /api/pos/transactions, with the announcement of their end."""

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.roles import Role
from legacy_customers.api.usage import Counter
from legacy_customers.models import ApiUsage
from orders.api.urls import TILL
from orders.models import Order
from tests.api import assert_problem, client_as, client_for
from tests.orders.till import sale

pytestmark = pytest.mark.django_db

HERE = uuid.UUID("11111111-1111-4111-8111-111111111111")
ELSEWHERE = uuid.UUID("22222222-2222-4222-8222-222222222222")
STORE = "/api/stores/store_001/transactions"
SLASHES = pytest.mark.parametrize("slash", ["", "/"], ids=["bare", "slash"])


@pytest.fixture
def till() -> APIClient:
    return client_as(Role.STAFF, tenant_id=HERE)


def read(response: Any, status: int = 200) -> Any:
    """The answer of an older name."""
    assert response.status_code == status, response.content
    assert response.headers["Deprecation"].startswith("@")
    assert response.headers["Sunset"].endswith("GMT")
    return response.json()


@SLASHES
@pytest.mark.parametrize("path", ["/api/transactions", STORE])
def test_a_sale_by_an_older_name_is_listed_by_every_name(till: APIClient, path: str, slash: str) -> None:
    made = read(till.post(path + slash, sale()), 201)
    assert Order.objects.get().pk == uuid.UUID(made["id"])
    lists = [till.get(f"{each}{slash}").json() for each in ("/api/pos/transactions", "/api/transactions", STORE)]
    assert lists[0] == lists[1] == lists[2]
    assert [each["id"] for each in lists[0]] == [made["id"]]
    assert read(till.get(f"/api/transactions/{made['id']}{slash}")) == lists[0][0]


def test_the_store_of_the_path_is_the_sales(till: APIClient) -> None:
    body = sale()
    del body["store_id"]
    assert read(till.post(f"{STORE}/", body), 201)["store_id"] == "store_001"
    assert [each["store_id"] for each in read(till.get(STORE))] == ["store_001"]
    assert read(till.get("/api/stores/store_002/transactions")) == []


@SLASHES
def test_parked_sales_by_their_older_names(till: APIClient, slash: str) -> None:
    parked = read(till.post(f"/api/transactions/park{slash}", sale()), 201)
    for path in (f"{STORE}/parked", "/api/transactions/parked"):
        assert [each["id"] for each in read(till.get(path + slash))] == [parked["id"]]
    assert read(till.get(f"/api/stores/store_002/transactions/parked{slash}")) == []
    resumed = read(till.put(f"/api/transactions/{parked['id']}/resume{slash}"))
    assert resumed["status"] == "resumed"
    assert_problem(till.put(f"/api/transactions/{parked['id']}/resume{slash}"), 409, "not_parked")


@SLASHES
def test_refund_and_receipts_by_their_older_names(till: APIClient, slash: str) -> None:
    made = read(till.post("/api/transactions", sale()), 201)
    path = f"/api/transactions/{made['id']}"
    assert read(till.post(f"{path}/receipt/print{slash}"))["success"] is True
    assert read(till.post(f"{path}/receipt/email{slash}", {"email": "ann@example.com"}))["success"] is True
    lines = [each["id"] for each in made["items"]]
    assert read(till.post(f"{path}/refund{slash}", lines))["success"] is True
    assert read(till.get(path))["status"] in ("refunded", "partial_refund")


def test_every_path_of_the_till_has_an_older_name_that_leads_to_it(till: APIClient) -> None:
    for url in TILL:
        route = str(url.pattern).replace("<str:transaction_id>", "6f1d8c52-3a0b-5e7f-9c41-2b8e4d7a9f10")
        old = "/api/" + route.removeprefix("pos/")
        response = till.options(old)
        assert response.headers["Link"] == f'</api/{route}>; rel="successor-version"'
        assert "Deprecation" not in till.options(f"/api/{route}").headers


def test_the_link_of_a_stores_path_is_the_canonical_one(till: APIClient) -> None:
    assert till.get(STORE).headers["Link"] == '</api/pos/transactions/>; rel="successor-version"'
    assert till.get(f"{STORE}/parked").headers["Link"] == '</api/pos/transactions/parked/>; rel="successor-version"'


def test_older_names_ask_for_the_same_rights(till: APIClient) -> None:
    made = till.post("/api/transactions", sale()).json()
    elsewhere = client_as(Role.STAFF, tenant_id=ELSEWHERE)
    for path in ("/api/transactions", STORE, f"{STORE}/parked"):
        assert_problem(client_for(None).get(path), 401, "not_authenticated")
        assert_problem(client_as(Role.CUSTOMER).get(path), 403, "permission_denied")
        assert read(elsewhere.get(path)) == []
    assert_problem(elsewhere.get(f"/api/transactions/{made['id']}"), 404, "not_found")
    assert_problem(elsewhere.post(f"/api/transactions/{made['id']}/refund", {}), 404, "not_found")
    assert Order.objects.get().refunded_amount == 0


def test_calls_by_older_names_are_counted_and_those_by_the_new_ones_are_not(till: APIClient, counter: Counter) -> None:
    ApiUsage.objects.all().delete()
    till.get("/api/pos/transactions")
    till.get("/api/transactions")
    till.get(STORE)
    counter.flush()
    assert set(ApiUsage.objects.values_list("method", "route")) == {
        ("GET", "/api/transactions/"),
        ("GET", "/api/stores/{store_id}/transactions/"),
    }
