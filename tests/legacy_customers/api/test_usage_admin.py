"""The list of who still calls the old API."""

import datetime

import pytest
from django.test import Client

from accounts.roles import Role
from legacy_customers.models import ApiUsage
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
NOON = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)


@pytest.fixture
def row() -> ApiUsage:
    return ApiUsage.objects.create(
        day=NOON.date(),
        client="Till 3",
        agent="till/1",
        method="GET",
        route="/api/customers/",
        first_at=NOON,
        last_at=NOON,
        calls=1234,
    )


def logged_in(role: Role) -> Client:
    client = Client()
    client.force_login(UserFactory(role=role))
    return client


def test_it_is_listed_and_cannot_be_changed(row: ApiUsage) -> None:
    boss = logged_in(Role.SUPER_ADMIN)
    page = boss.get("/admin/legacy_customers/apiusage/").content.decode()
    for text in ("Till 3", "till/1", "/api/customers/", "1234"):
        assert text in page
    one = boss.get(f"/admin/legacy_customers/apiusage/{row.pk}/change/")
    assert one.status_code == 200
    assert 'name="_save"' not in one.content.decode()
    assert boss.get("/admin/legacy_customers/apiusage/add/").status_code == 403
    assert boss.post(f"/admin/legacy_customers/apiusage/{row.pk}/change/", {"calls": 0}).status_code == 403
    assert boss.post(f"/admin/legacy_customers/apiusage/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    row.refresh_from_db()
    assert row.calls == 1234


@pytest.mark.parametrize("role", [Role.TENANT_ADMIN, Role.STORE_MANAGER, Role.STAFF])
def test_it_is_the_super_admins_alone(row: ApiUsage, role: Role) -> None:
    assert logged_in(role).get("/admin/legacy_customers/apiusage/").status_code == 403


def test_it_is_searched_and_filtered(row: ApiUsage) -> None:
    boss = logged_in(Role.SUPER_ADMIN)
    assert "Till 3" in boss.get("/admin/legacy_customers/apiusage/?q=till").content.decode()
    assert "0 calls of the old API" in boss.get("/admin/legacy_customers/apiusage/?q=nobody").content.decode()
    assert boss.get("/admin/legacy_customers/apiusage/?method__exact=GET").status_code == 200
