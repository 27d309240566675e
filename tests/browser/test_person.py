"""The person's page as staff use it."""

import pytest
from playwright.sync_api import Page, expect

from legacy_customers.sample.persons import row_id
from profiles.models import LoyaltyEntry, Profile, ProfileHistory

from .conftest import OpenAs
from .looks import assert_looks_right

TABS = ["change", "orders", "loyalty", "history", "conflicts", "origins", "aliases"]


def of(key: str) -> Profile:
    """The profile of the shop's person `key`."""
    return Profile.objects.by_customer_id(row_id(key, "customers"))[0]  # type: ignore[attr-defined]


def address(profile: Profile, tab: str = "change") -> str:
    return f"/admin/profiles/profile/{profile.pk}/{tab}/"


@pytest.mark.parametrize("tab", TABS)
def test_tab_looks_right(open_as: OpenAs, tab: str) -> None:
    page = open_as("super_admin")
    page.goto(address(of("names_disagree"), tab))
    assert_looks_right(page, f"person-{tab}")
