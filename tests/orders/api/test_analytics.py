"""/api/analytics: who may ask, what for, and what shape the answer has."""

import datetime
import uuid
from typing import Any

import pytest

from accounts.roles import Role
from tests.api import assert_problem, client_as, client_for
from tests.databases import one
from tests.factories import OrderFactory, person
from tests.orders.analytics.conftest import TODAY, at, nothing_rolled_up, today  # noqa: F401  (two are fixtures)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_rolled_up")]
CALLS = ("dashboard", "revenue", "products", "customers", "sales", "sales-today")
TENANT = uuid.UUID("33333333-3333-4333-8333-333333333333")
OTHER = uuid.UUID("44444444-4444-4444-8444-444444444444")
STORE = "55555555-5555-4555-8555-555555555555"


def get(client: Any, path: str, **extra: Any) -> dict[str, Any]:
    response = client.get(f"/api/analytics/{path}", **extra)
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("role", [Role.STORE_MANAGER, Role.TENANT_ADMIN, Role.SUPER_ADMIN])
def test_managers_and_above_may_ask_with_and_without_the_slash(role: Role, call: str) -> None:
    client = client_as(role)
    assert get(client, call) == get(client, f"{call}/")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("role", [Role.STAFF, Role.CUSTOMER, None])
def test_others_may_not(role: Role | None, call: str) -> None:
    client = client_for(None) if role is None else client_as(role)
    response = client.get(f"/api/analytics/{call}/")
    if role is None:
        assert_problem(response, 401, "not_authenticated")
    else:
        assert_problem(response, 403, "permission_denied")


NUMBER = (int, float)
NULLABLE = (str, type(None))
SALES = {
    "period": {"start_date": str, "end_date": str, "period_type": str},
    "summary": {
        "total_orders": int,
        "total_revenue": NUMBER,
        "average_order_value": NUMBER,
        "total_tax": NUMBER,
        "total_discounts": NUMBER,
    },
    "top_products": [{"product_name": str, "sku": NULLABLE, "units_sold": NUMBER, "revenue": NUMBER}],
}
# API.md's members with their JSON types; `...` stands for any name.
SHAPES: dict[str, Any] = {
    "dashboard": {
        "revenue": {"total": NUMBER, "trend": NUMBER, "chart_data": [{"date": str, "revenue": NUMBER}]},
        "orders": {
            "total": int,
            "trend": NUMBER,
            "recent": [
                {"id": str, "order_number": str, "customer": str, "total": NUMBER, "status": str, "time": str},
            ],
            "average_value": NUMBER,
        },
        "customers": {"total": int, "trend": NUMBER, "new": int, "new_this_week": int},
        "inventory": {"total": int, "low_stock": int, "out_of_stock": int},
        "sales_by_category": {...: NUMBER},
        "top_products": [{"name": str, "sales": NUMBER, "revenue": NUMBER}],
        "metrics": {"average_cart_size": NUMBER, "return_rate": NUMBER},
    },
    "revenue": {
        "period": str,
        "data": [{"date": str, "revenue": NUMBER, "orders": int, "average_order": NUMBER}],
        "summary": {"total": NUMBER, "average_daily": NUMBER, "peak_day": NULLABLE, "peak_revenue": NUMBER},
    },
    "products": {
        "top_products": [{"name": str, "category": str, "units": NUMBER, "revenue": NUMBER}],
        "categories_performance": [{"category": str, "units": NUMBER, "revenue": NUMBER}],
    },
    "customers": {
        "total_customers": int,
        "new_customers_30d": int,
        "returning_customers_30d": int,
        "customer_lifetime_value": NUMBER,
        "retention_rate": NUMBER,
        "segments": dict.fromkeys(("vip", "regular", "occasional", "new"), int),
        "demographics": {"age_groups": {...: int}, "top_locations": [{"city": str, "customers": int}]},
    },
    "sales": SALES,
    "sales-today": SALES,
}


def assert_fits(found: Any, shape: Any, path: str = "") -> None:
    """Exactly the members of `shape`, each of its type; a list has at least one. true and false are no numbers."""
    if isinstance(shape, dict):
        assert isinstance(found, dict), path
        assert found, path
        assert ... in shape or set(found) == set(shape), path
        for name, value in found.items():
            assert_fits(value, shape.get(name, shape.get(...)), f"{path}.{name}")
    elif isinstance(shape, list):
        assert isinstance(found, list), path
        assert found, path
        for value in found:
            assert_fits(value, shape[0], f"{path}[]")
    else:
        assert isinstance(found, shape), (path, found)
        assert not isinstance(found, bool), path


@pytest.mark.usefixtures("today")
def test_answers_have_the_members_of_the_contract() -> None:
    OrderFactory(user=person(first_name="Ann", city="Rome").user, created_at=at(str(TODAY)))
    client = client_as(Role.SUPER_ADMIN)
    found = {call: get(client, call) for call in CALLS}
    for call in CALLS:
        assert_fits(found[call], SHAPES[call], call)
    dashboard = found["dashboard"]
    assert dashboard["revenue"]["chart_data"][-1] == {"date": str(TODAY), "revenue": 20.0}
    assert len(dashboard["revenue"]["chart_data"]) == 30
    assert datetime.datetime.fromisoformat(dashboard["orders"]["recent"][0]["time"]).utcoffset() is not None
    assert dashboard["top_products"] == [{"name": "Tea", "sales": 2, "revenue": 20.0}]
    assert found["revenue"]["period"] == "30d"
    assert found["products"]["top_products"] == [
        {"name": "Tea", "category": "Uncategorized", "units": 2, "revenue": 20.0}
    ]
    assert found["sales-today"] == found["sales"]
    assert found["sales"] == {
        "period": {"start_date": str(TODAY), "end_date": str(TODAY), "period_type": "today"},
        "summary": {
            "total_orders": 1,
            "total_revenue": 20.0,
            "average_order_value": 20.0,
            "total_tax": 0.0,
            "total_discounts": 0.0,
        },
        "top_products": [{"product_name": "Tea", "sku": None, "units_sold": 2, "revenue": 20.0}],
    }


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("", (0, 0)),
        ("?period=today", (0, 0)),
        ("?period=yesterday", (1, 1)),
        ("?period=week", (6, 0)),
        ("?period=month", (29, 0)),
        ("?period=&store_id=", (0, 0)),
    ],
)
@pytest.mark.usefixtures("today")
def test_a_period_ends_today(query: str, days: tuple[int, int]) -> None:
    period = get(client_as(Role.SUPER_ADMIN), f"sales/{query}")["period"]
    assert (period["start_date"], period["end_date"]) == tuple(str(TODAY - datetime.timedelta(days=n)) for n in days)


@pytest.mark.parametrize("query", ["period=custom&", ""])
def test_dates_are_both_included(query: str) -> None:
    for day in (9, 10, 12, 13):
        OrderFactory(created_at=datetime.datetime(2026, 5, day, 12, tzinfo=datetime.UTC))
    found = get(client_as(Role.SUPER_ADMIN), f"sales/?{query}start_date=2026-05-10&end_date=2026-05-12")
    assert found["summary"]["total_orders"] == 2
    assert found["period"] == {"start_date": "2026-05-10", "end_date": "2026-05-12", "period_type": "custom"}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("revenue/?period=8d", "period"),
        ("products/?limit=0", "limit"),
        ("products/?limit=201", "limit"),
        ("products/?limit=99999999999999999999999999", "limit"),
        ("products/?limit=ten", "limit"),
        ("products/?period=ever", "period"),
        ("sales/?period=year", "period"),
        ("sales/?period=custom", "start_date"),
        ("sales/?start_date=2026-05-10", "end_date"),
        ("sales/?start_date=2026-05-10&end_date=2026-05-09", "end_date"),
        ("sales/?start_date=2026-02-30&end_date=2026-05-09", "start_date"),
        ("sales/?start_date=infinity&end_date=2026-05-09", "start_date"),
        ("dashboard/?tenant_id=mine", "tenant_id"),
        ("dashboard/?store_id=" + "s" * 101, "store_id"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(path: str, field: str) -> None:
    response = client_as(Role.SUPER_ADMIN).get(f"/api/analytics/{path}")
    assert [error["field"] for error in assert_problem(response, 400, "invalid")["errors"]] == [field]


@pytest.mark.parametrize(
    "dates", [("0001-01-01", "0001-01-02"), ("9999-12-30", "9999-12-31"), ("0001-01-01", "9999-12-31")]
)
def test_the_first_and_the_last_day_that_there_are_can_be_asked(dates: tuple[str, str]) -> None:
    OrderFactory()
    found = get(client_as(Role.SUPER_ADMIN), f"sales/?start_date={dates[0]}&end_date={dates[1]}")
    assert found["summary"]["total_orders"] == (1 if dates == ("0001-01-01", "9999-12-31") else 0)


def test_figures_are_those_of_the_callers_tenant() -> None:
    OrderFactory(tenant_id=TENANT, total_amount=1)
    OrderFactory(tenant_id=OTHER, total_amount=10)
    OrderFactory(total_amount=100)

    def total(role: Role, query: str = "", **columns: Any) -> float:
        return float(get(client_as(role, **columns), f"revenue/{query}")["summary"]["total"])

    assert total(Role.SUPER_ADMIN) == 111
    assert total(Role.SUPER_ADMIN, f"?tenant_id={OTHER}") == 10
    assert total(Role.TENANT_ADMIN, tenant_id=TENANT) == 1
    assert total(Role.STORE_MANAGER, f"?tenant_id={TENANT}", tenant_id=TENANT) == 1
    assert total(Role.STORE_MANAGER) == 100
    for call in CALLS:
        for columns in ({"tenant_id": TENANT}, {}):
            response = client_as(Role.TENANT_ADMIN, **columns).get(f"/api/analytics/{call}/?tenant_id={OTHER}")
            assert_problem(response, 404, "not_found")


def test_the_querys_store_wins_over_the_headers() -> None:
    OrderFactory(store_code="store_001", total_amount=1)
    OrderFactory(store_id=STORE, total_amount=10)
    client = client_as(Role.SUPER_ADMIN)

    def total(query: str = "", **headers: str) -> float:
        return float(get(client, f"revenue/{query}", headers=headers)["summary"]["total"])

    assert total() == 11
    assert total("?store_id=store_001") == 1
    assert total(f"?store_id={STORE}") == 10
    assert total(**{"X-Store-ID": "store_001"}) == 1
    assert total(f"?store_id={STORE}", **{"X-Store-ID": "store_001"}) == 10
    assert total("?store_id=store_009", **{"X-Store-ID": "store_001"}) == 0


@pytest.mark.parametrize(
    ("call", "queries"), [("dashboard", 10), ("revenue", 6), ("products", 6), ("customers", 5), ("sales", 7)]
)
def test_the_number_of_queries_is_constant(call: str, queries: int, django_assert_num_queries: Any) -> None:
    client = client_as(Role.SUPER_ADMIN)
    for _ in range(3):
        OrderFactory()
        with django_assert_num_queries(queries):
            get(client, f"{call}/")


def test_asking_writes_nothing_where_everything_is_new() -> None:
    OrderFactory()
    get(client_as(Role.SUPER_ADMIN), "dashboard/")
    assert one("SELECT count(*) FROM sales_days") == 0
    assert one("SELECT count(*) FROM sales_dirty") == 1
