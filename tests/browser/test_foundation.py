"""The frame of the workplace: logging in, the sidebar, the dashboard."""

import pytest
from playwright.sync_api import expect

from legacy_customers.sample.logins import PASSWORD

from .conftest import OpenAs
from .looks import assert_looks_right


def test_staff_log_in_and_land_on_the_dashboard(open_as: OpenAs) -> None:
    page = open_as("staff")
    page.context.clear_cookies()
    page.goto("/admin/")
    assert_looks_right(page, "login")
    page.get_by_label("Email").fill("staff@example.com")
    page.locator("[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_title("Dashboard | Unified Profiles")
    assert_looks_right(page, "dashboard")


@pytest.mark.parametrize("role", ["super_admin", "tenant_admin", "store_manager", "staff"])
def test_sidebar_leads_only_where_the_role_may_go(open_as: OpenAs, role: str) -> None:
    page = open_as(role)
    page.goto("/admin/")
    links = page.locator("#nav-sidebar a[href^='/admin/']").evaluate_all("all => all.map(link => link.href)")
    assert len(links) >= 3
    for link in sorted(set(links)):
        assert page.request.get(link).status == 200, link
