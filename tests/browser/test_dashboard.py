"""The first page: figures by role, charts that are told in words too, and numbers that lead to the lists behind them."""

import datetime
import re

import pytest
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import User
from orders.models import Order
from profiles.models import FieldConflict, Profile
from tests.databases import run

from .conftest import OpenAs
from .looks import assert_looks_right


@pytest.fixture
def lively(shop: str) -> None:
    """Sales and new customers on some of the last days, and a verification."""
    now = timezone.now()
    for n, profile in enumerate(Profile.objects.select_related("user").order_by("pk")[:20]):
        Profile.objects.filter(pk=profile.pk).update(created_at=now - datetime.timedelta(days=n))
        Order.objects.create(
            order_number=f"LIVELY-{n}",
            user=profile.user,
            items=[{"name": "Tea", "quantity": 1, "price": 10 + n}],
            subtotal=10 + n,
            total_amount=10 + n,
            payment_status="paid",
            delivery_status="delivered",
            created_at=now - datetime.timedelta(days=n % 9),
        )
    call_command("verify_unification", verbosity=0)
    run("UPDATE customers SET city = 'Elsewhere' WHERE id IN (SELECT id FROM customers ORDER BY id LIMIT 3)")


def test_dashboard_tells_a_super_admin_everything(open_as: OpenAs, lively: None) -> None:
    page = open_as("super_admin")
    page.goto("/admin/")
    people = page.get_by_role("region", name="People", exact=True)
    expect(people).to_contain_text(f"{Profile.objects.of_people().count():,}")
    sales = page.get_by_role("region", name="Sales of 30 days")
    expect(sales.get_by_role("img", name=re.compile("^Revenue by day: 390.00 in all, the best day "))).to_be_visible()
    sales.get_by_text("The days as a table").press("Enter")
    expect(sales.get_by_role("row")).to_have_count(31)
    new = page.get_by_role("region", name="New customers of 30 days")
    expect(new.get_by_role("img", name="New customers by day: 20 in all, 1 today.")).to_be_visible()
    health = page.get_by_role("region", name="Is it right?")
    expect(health).to_contain_text("passed")
    expect(health).to_contain_text("awake")
    expect(page.get_by_role("region", name="The unification")).to_contain_text("642")
    assert_looks_right(page, "dashboard-full")


def test_numbers_lead_to_the_lists_behind_them(open_as: OpenAs, lively: None) -> None:
    page = open_as("super_admin")
    page.goto("/admin/")
    links = page.locator("main a, #content a, section a").evaluate_all("all => all.map(link => link.href)")
    inside = sorted({link for link in links if "/admin/" in link})
    assert len(inside) > 15
    for link in inside:
        assert page.request.get(link).status == 200, link
    page.get_by_role("region", name="New customers of 30 days").get_by_role("link", name="20").press("Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(20)
    page.goto("/admin/")
    field, count = "phone", FieldConflict.objects.filter(resolved_at=None, field="phone").count()
    shown = page.get_by_role("region", name="Conflicts by field").get_by_role(
        "row", name=f"{field} {count}", exact=True
    )
    shown.get_by_role("link").press("Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(count)


@pytest.mark.parametrize(
    ("role", "titles"),
    [
        ("staff", ["People"]),
        (
            "store_manager",
            ["People", "Sales of 30 days", "New customers of 30 days", "Conflicts by field"],
        ),
    ],
)
def test_each_role_sees_its_panels(open_as: OpenAs, lively: None, role: str, titles: list[str]) -> None:
    page = open_as(role)
    page.goto("/admin/")
    assert page.locator("section > div h2, section h2").all_inner_texts() == titles
    tenant = User.objects.get(email=f"{role.removeprefix('store_')}@example.com").tenant_id
    people = Profile.objects.of_people().filter(user__tenant_id=tenant).count()
    expect(page.get_by_role("region", name="People", exact=True)).to_contain_text(f"{people:,}")
    assert_looks_right(page, f"dashboard-{role}")
