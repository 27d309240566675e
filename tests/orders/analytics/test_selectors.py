"""orders.analytics.selectors: exact figures on small data, odd values included."""

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache

from orders.analytics import rollup, selectors
from orders.analytics.selectors import Scope
from tests.databases import run
from tests.factories import OrderFactory, UserFactory, person

from .conftest import at

EVERY = Scope(every_tenant=True)
TENANT = uuid.UUID(int=7)
STORE = uuid.UUID("55555555-5555-4555-8555-555555555555")
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("today")]

TILL_LINE = {"product": {"id": "p1", "sku": "T-1", "name": "Tea", "price": 10, "category": "Drinks"}, "quantity": 3}
SHOP_LINE = {"product_id": "p1", "name": "Tea", "category": "Drinks", "price": "10.00", "quantity": "1", "subtotal": 10}
CUP = {"product": {"sku": "C-1", "name": "Cup", "price": 8, "category": "Ware"}, "quantity": 1, "discount": 25}


@pytest.fixture(params=["live", "rolled up"])
def shop(request: pytest.FixtureRequest) -> None:
    """Two channels, every status, two periods; asked of `orders` alone and of the roll-up."""
    ann = person(first_name="Ann", last_name="Lee").user
    OrderFactory(
        user=ann,
        order_number="TILL",
        order_source="pos",
        store_code="store_001",
        items=[TILL_LINE, CUP | {"discount_type": "percentage"}],
        total_amount="40.68",
        tax_amount="4.68",
        discount_amount="2.00",
        payment_status="completed",
        delivery_status=None,
        order_status="completed",
        created_at=at("2026-10-14", "09:00"),
    )
    OrderFactory(
        user=None,
        order_number="WEB",
        store_id=STORE,
        items=[SHOP_LINE],
        total_amount="11.30",
        tax_amount="1.30",
        payment_status="pending",
        delivery_status="pending",
        created_at=at("2026-10-13", "23:59"),
    )
    OrderFactory(
        order_number="PART",
        items=[SHOP_LINE | {"quantity": 2}],
        total_amount="20.00",
        refunded_amount="5.00",
        order_status="partial_refund",
        created_at=at("2026-10-01"),
    )
    for number, (column, status) in enumerate(
        [
            ("order_status", "parked"),
            ("order_status", "resumed"),
            ("order_status", "cancelled"),
            ("payment_status", "cancelled"),
            ("payment_status", "failed"),
            ("delivery_status", "cancelled"),
            ("payment_status", "REFUNDED"),
        ]
    ):
        OrderFactory(order_number=f"OUT-{number}", created_at=at("2026-10-10"), **{column: status})
    OrderFactory(order_number="BEFORE", total_amount="50.00", created_at=at("2026-09-01"))
    OrderFactory(order_number="YEAR", total_amount="7.00", created_at=at("2025-11-01"))
    if request.param == "rolled up":
        rollup.roll_up()


@pytest.mark.usefixtures("shop")
def test_dashboard_tells_the_last_30_days() -> None:
    found = selectors.dashboard(EVERY)
    assert found["revenue"]["total"] == 66.98
    assert found["revenue"]["trend"] == 34.0
    chart = {str(point["date"]): point["revenue"] for point in found["revenue"]["chart_data"]}
    assert len(chart) == 30
    assert (min(chart), max(chart)) == ("2026-09-15", "2026-10-14")
    assert {day: value for day, value in chart.items() if value} == {
        "2026-10-01": 15.0,
        "2026-10-13": 11.3,
        "2026-10-14": 40.68,
    }
    assert (found["orders"]["total"], found["orders"]["trend"], found["orders"]["average_value"]) == (3, 200.0, 22.33)
    recent = found["orders"]["recent"]
    assert len(recent) == 10
    assert {key: value for key, value in recent[0].items() if key != "id"} == {
        "order_number": "TILL",
        "customer": "Ann Lee",
        "total": 40.68,
        "status": "completed",
        "time": at("2026-10-14", "09:00"),
    }
    assert (recent[1]["customer"], recent[1]["status"]) == ("Guest", "pending")
    assert {order["status"] for order in recent} >= {"parked", "cancelled", "resumed", "partial_refund"}
    assert found["inventory"] == {"total": 0, "low_stock": 0, "out_of_stock": 0}
    # 30 + 6 of the till, 10, and 20 less a quarter
    assert found["sales_by_category"] == {"Drinks": 90.2, "Ware": 9.8}
    assert found["top_products"] == [
        {"name": "Tea", "sales": 6, "revenue": 55.0},
        {"name": "Cup", "sales": 1, "revenue": 6.0},
    ]
    # 7 units in 3 orders; of 3 and the one that was refunded, 2 gave something back
    assert found["metrics"] == {"average_cart_size": 2.33, "return_rate": 50.0}


@pytest.mark.usefixtures("shop")
def test_revenue_tells_every_day_of_the_period() -> None:
    found = selectors.revenue(EVERY, "7d")
    assert found["period"] == "7d"
    assert [str(point["date"]) for point in found["data"]] == [f"2026-10-{day:02}" for day in range(8, 15)]
    assert [(point["revenue"], point["orders"], point["average_order"]) for point in found["data"]] == [
        *[(0.0, 0, 0.0)] * 5,
        (11.3, 1, 11.3),
        (40.68, 1, 40.68),
    ]
    assert found["summary"] == {
        "total": 51.98,
        "average_daily": 7.43,
        "peak_day": datetime.date(2026, 10, 14),
        "peak_revenue": 40.68,
    }
    assert [selectors.revenue(EVERY, period)["summary"]["total"] for period in ("30d", "90d", "1y")] == [
        66.98,
        116.98,
        123.98,
    ]


@pytest.mark.usefixtures("shop")
def test_products_tells_what_was_ever_sold() -> None:
    found = selectors.products(EVERY, 10, None)
    assert found["top_products"] == [
        {"name": "Tea", "category": "Drinks", "units": 10, "revenue": 95.0},
        {"name": "Cup", "category": "Ware", "units": 1, "revenue": 6.0},
    ]
    assert found["categories_performance"] == [
        {"category": "Drinks", "units": 6, "revenue": 55.0},
        {"category": "Uncategorized", "units": 4, "revenue": 40.0},
        {"category": "Ware", "units": 1, "revenue": 6.0},
    ]
    assert [product["units"] for product in selectors.products(EVERY, 1, "30d")["top_products"]] == [6]


@pytest.mark.usefixtures("shop")
def test_sales_tells_the_days_that_are_asked_for() -> None:
    found = selectors.sales(EVERY, datetime.date(2026, 10, 13), datetime.date(2026, 10, 14), "custom")
    assert found["period"] == {
        "start_date": datetime.date(2026, 10, 13),
        "end_date": datetime.date(2026, 10, 14),
        "period_type": "custom",
    }
    assert found["summary"] == {
        "total_orders": 2,
        "total_revenue": 51.98,
        "average_order_value": 25.99,
        "total_tax": 5.98,
        "total_discounts": 2.0,
    }
    # The shop's line names no sku: it goes to the one that its name has.
    assert found["top_products"] == [
        {"product_name": "Tea", "sku": "T-1", "units_sold": 4, "revenue": 40.0},
        {"product_name": "Cup", "sku": "C-1", "units_sold": 1, "revenue": 6.0},
    ]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("store", "total"), [("store_001", 40.68), (str(STORE), 11.3), (str(STORE).upper(), 11.3), ("store_002", 0.0)]
)
def test_a_store_is_found_by_its_name_and_by_its_uuid(store: str, total: float) -> None:
    scope = Scope(every_tenant=True, store=store)
    assert selectors.revenue(scope, "30d")["summary"]["total"] == total
    assert selectors.dashboard(scope)["orders"]["total"] == (1 if total else 0)


def test_two_products_of_one_name_are_told_apart_by_sku() -> None:
    lines: list[dict[str, Any]] = [
        {"name": "Tea", "sku": "A", "price": 1, "quantity": 1},
        {"name": "Tea", "sku": "B", "price": 2, "quantity": 1},
        {"name": "Tea", "price": 4, "quantity": 1},
    ]
    OrderFactory(items=lines, created_at=at("2026-10-14"))
    today = datetime.date(2026, 10, 14)
    assert [
        (line["sku"], line["revenue"]) for line in selectors.sales(EVERY, today, today, "today")["top_products"]
    ] == [
        (None, 4.0),
        ("B", 2.0),
        ("A", 1.0),
    ]


def test_whole_months_come_from_the_months_and_what_changed_in_them_from_orders() -> None:
    for month in range(3, 10):
        OrderFactory(order_number=f"M{month}", created_at=at(f"2026-{month:02}-15"))
    rollup.roll_up()
    before = selectors.products(EVERY, 10, None)["top_products"]
    assert before == [{"name": "Tea", "category": "Uncategorized", "units": 14, "revenue": 140.0}]
    run("""UPDATE orders SET items = '[{"name": "Cup", "price": 3}]' WHERE order_number = 'M5'""")
    for _ in range(2):
        assert selectors.products(EVERY, 10, None)["top_products"] == [
            {"name": "Tea", "category": "Uncategorized", "units": 12, "revenue": 120.0},
            {"name": "Cup", "category": "Uncategorized", "units": 1, "revenue": 3.0},
        ]
        rollup.roll_up()


def test_an_empty_shop_has_zeros() -> None:
    found = selectors.dashboard(EVERY)
    assert found["revenue"]["total"] == 0.0
    assert found["revenue"]["trend"] == 0.0
    assert found["orders"] == {"total": 0, "trend": 0.0, "recent": [], "average_value": 0.0}
    assert found["metrics"] == {"average_cart_size": 0.0, "return_rate": 0.0}
    assert selectors.revenue(EVERY, "7d")["summary"] == {
        "total": 0.0,
        "average_daily": 0.0,
        "peak_day": None,
        "peak_revenue": 0.0,
    }
    assert selectors.customers(EVERY)["customer_lifetime_value"] == 0.0


def test_customers_tells_who_buys() -> None:
    recently, before = at("2026-10-01"), at("2026-08-01")
    for columns in (
        {"customer_type": "vip", "total_spent": Decimal(100), "order_count": 1, "last_order_date": recently},
        {"total_spent": Decimal(1000), "order_count": 5, "last_order_date": recently, "city": " Ottawa "},
        {"total_spent": Decimal(40), "order_count": 3, "last_order_date": before, "city": "Toronto"},
        {"total_spent": Decimal(20), "order_count": 1, "last_order_date": before, "city": "Toronto"},
        {"city": "  ", "date_of_birth": datetime.date(1990, 5, 5)},
    ):
        profile = person(**columns)
        profile.created_at = before
        profile.save()
    fresh = person(city="Ottawa")
    fresh.created_at = recently
    fresh.save()
    assert selectors.customers(EVERY) == {
        "total_customers": 6,
        "new_customers_30d": 1,
        "returning_customers_30d": 1,
        "customer_lifetime_value": 290.0,
        "retention_rate": 50.0,
        "segments": {"vip": 2, "regular": 1, "occasional": 2, "new": 1},
        "demographics": {
            "age_groups": {
                "under_18": 0,
                "18-24": 0,
                "25-34": 0,
                "35-44": 1,
                "45-54": 0,
                "55-64": 0,
                "65+": 0,
                "unknown": 5,
            },
            "top_locations": [{"city": "Ottawa", "customers": 2}, {"city": "Toronto", "customers": 2}],
        },
    }


@pytest.mark.parametrize(
    ("born", "group"),
    [
        ("2026-10-15", "unknown"),
        ("2026-10-14", "under_18"),
        ("2008-10-15", "under_18"),
        ("2008-10-14", "18-24"),
        ("2001-10-15", "18-24"),
        ("2001-10-14", "25-34"),
        ("1961-10-15", "55-64"),
        ("1961-10-14", "65+"),
        ("1896-10-15", "65+"),
        ("1896-10-14", "unknown"),
        ("0044-03-15 BC", "unknown"),
        ("12345-06-07", "unknown"),
        ("infinity", "unknown"),
        ("-infinity", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_age_is_that_of_today(born: str | None, group: str) -> None:
    person()
    run("UPDATE profiles SET date_of_birth = %s::date", born)
    ages = selectors.customers(EVERY)["demographics"]["age_groups"]
    assert {name for name, count in ages.items() if count} == {group}


def test_customers_with_odd_times_and_sums_are_counted_and_nothing_else() -> None:
    person()
    run(
        "UPDATE profiles SET created_at = 'infinity', last_order_date = 'infinity', total_spent = 'NaN', order_count = -3"
    )
    person()
    run("UPDATE profiles SET created_at = NULL, last_order_date = NULL, city = NULL WHERE total_spent = 0")
    found = selectors.customers(EVERY)
    assert (found["total_customers"], found["new_customers_30d"], found["returning_customers_30d"]) == (2, 0, 0)
    assert found["customer_lifetime_value"] == 0.0


@pytest.mark.parametrize("rolled", [False, True])
def test_figures_are_those_of_the_scopes_tenant(rolled: bool) -> None:
    mine, theirs = UserFactory(tenant_id=TENANT), UserFactory(tenant_id=uuid.uuid4())
    OrderFactory(user=mine, total_amount=1, created_at=at("2026-10-12"))
    OrderFactory(user=theirs, total_amount=10, created_at=at("2026-10-12"))
    OrderFactory(user=theirs, tenant_id=TENANT, total_amount=100, created_at=at("2026-10-12"))
    OrderFactory(user=None, total_amount=1000, created_at=at("2026-10-12"))
    if rolled:
        rollup.roll_up()
    for scope, total, people in (
        (Scope(tenant_id=TENANT), 101.0, 1),
        (Scope(), 1000.0, 0),
        (EVERY, 1111.0, 2),
        (Scope(tenant_id=uuid.uuid4()), 0.0, 0),
    ):
        assert selectors.revenue(scope, "7d")["summary"]["total"] == total
        assert selectors.customers(scope)["total_customers"] == people
        found = selectors.dashboard(scope)
        assert found["revenue"]["total"] == total
        assert found["customers"]["total"] == people
        assert sum(order["total"] for order in found["orders"]["recent"]) == total
        assert sum(product["revenue"] for product in found["top_products"]) == 20.0 * found["orders"]["total"]


def test_customers_of_many_people_is_a_minute_old_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(selectors, "MANY", 1)
    person()
    assert selectors.customers(EVERY)["total_customers"] == 1
    person()
    assert selectors.customers(EVERY)["total_customers"] == 2
    person()
    assert selectors.customers(EVERY)["total_customers"] == 2
    assert selectors.customers(Scope())["total_customers"] == 3
    cache.clear()
    assert selectors.customers(EVERY)["total_customers"] == 3
    cache.clear()
