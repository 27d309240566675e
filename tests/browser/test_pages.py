"""Every other page of the workplace: that it opens without a complaint, and looks right."""

import pytest

from accounts.models import User
from orders.models import Order
from profiles.models import ProfileHistory
from tests.databases import run

from .conftest import OpenAs
from .looks import FEW, assert_looks_right

LISTS = (
    *("orders/order", "profiles/profilehistory", "profiles/loyaltyentry", "profiles/profilealias"),
    *("profiles/privacyevent", "profiles/profilemerge", "accounts/user", "accounts/apikey", "axes/accessattempt"),
    *("legacy_customers/phase", "legacy_customers/verificationrun", "legacy_customers/customeridentity"),
    *("legacy_customers/attachment", "legacy_customers/legacycustomer", "legacy_customers/apiusage"),
    "legacy_customers/legacywrite",
)


@pytest.mark.parametrize("part", range(3))
def test_lists_look_right(open_as: OpenAs, part: int) -> None:
    page = open_as("super_admin")
    run("UPDATE profiles SET city = '1', loyalty_points = loyalty_points + 1")
    for name in LISTS[part::3]:
        page.goto(f"/admin/{name}/")
        assert_looks_right(page, f"list-{name.replace('/', '-')}", FEW)


def test_records_and_forms_look_right(open_as: OpenAs) -> None:
    page = open_as("super_admin")
    run("UPDATE profiles SET city = '1'")
    user, order = User.objects.get(email="staff@example.com"), Order.objects.all()[0]
    pages = {
        "order": f"orders/order/{order.pk}/change/",
        "history": f"profiles/profilehistory/{ProfileHistory.objects.all()[0].pk}/change/",
        "account": f"accounts/user/{user.pk}/change/",
        "account-add": "accounts/user/add/",
        "account-password": f"accounts/user/{user.pk}/password/",
        "api-key-add": "accounts/apikey/add/",
        "phase": "legacy_customers/phase/backup/change/",
        "password": "password_change/",
    }
    for name, address in pages.items():
        page.goto(f"/admin/{address}")
        assert_looks_right(page, f"page-{name}", FEW)
