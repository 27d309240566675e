"""The dashboard's panels about sales: 30 days, of the viewer's tenant."""

import datetime
import uuid
from decimal import Decimal

import pytest
from django.test import RequestFactory

from accounts.models import User
from accounts.roles import Role
from orders import dashboard
from orders.analytics.rollup import today
from profiles.models import Profile
from profiles.workplace import Context
from tests.factories import OrderFactory, UserFactory, person

pytestmark = pytest.mark.django_db
TENANT = uuid.UUID("10000000-0000-4000-8000-000000000001")


def shown(panel: str, by: User) -> Context:
    request = RequestFactory().get("/admin/")
    request.user = by
    show = {"sales": dashboard.sales, "new": dashboard.new_customers}[panel]
    return show(request)


def test_sales_are_the_tenants_and_a_super_admins_are_all() -> None:
    manager, boss = UserFactory(role=Role.STORE_MANAGER, tenant_id=TENANT), UserFactory(role=Role.SUPER_ADMIN)
    now = datetime.datetime.now(datetime.UTC)
    for tenant, days, total in ((TENANT, 0, 20), (TENANT, 1, 30), (TENANT, 30, 500), (None, 0, 7)):
        OrderFactory(
            user=UserFactory(tenant_id=tenant),
            tenant_id=tenant,
            created_at=now - datetime.timedelta(days=days),
            subtotal=total,
            total_amount=total,
        )
    found = shown("sales", manager)
    assert [(tile.label, tile.value) for tile in found["tiles"]] == [
        ("Revenue", "50.00"),
        ("Orders", "2"),
        ("Best day", "30.00"),
    ]
    days = found["chart"].days
    assert (len(days), list(days)[-1], days[today()]) == (30, today(), Decimal("20.0"))
    assert found["chart"].rows[-1] == (today(), "20.00")
    assert shown("sales", boss)["tiles"][0].value == "57.00"


def test_panels_of_a_shop_that_sold_nothing_are_empty_and_not_broken() -> None:
    boss = UserFactory(role=Role.SUPER_ADMIN)
    found = shown("sales", boss)
    assert [tile.value for tile in found["tiles"]] == ["0.00", "0", "none"]
    assert found["chart"].says == "Revenue by day: 0.00 in all, the best day none."


def test_new_customers_lead_to_the_list_of_them() -> None:
    boss = UserFactory(role=Role.SUPER_ADMIN)
    Profile.objects.update(created_at="2020-01-01T00:00Z")
    person()
    month, day = shown("new", boss)["tiles"]
    first = today() - datetime.timedelta(days=29)
    assert (month.value, month.address) == ("1", f"/admin/profiles/profile/?created_after={first}")
    assert (day.value, day.address) == ("1", f"/admin/profiles/profile/?created_after={today()}")
