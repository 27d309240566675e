"""Figures of the dashboard: right, of the viewer's tenant, and never more work than the cap."""

import datetime
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.roles import Role
from config.postgresql import counts
from config.postgresql.counts import Count
from profiles import figures
from profiles.models import FieldConflict, MergeSuggestion, Profile
from tests.factories import UserFactory, person

pytestmark = pytest.mark.django_db
TENANT = uuid.UUID("10000000-0000-4000-8000-000000000001")


def boss() -> User:
    return UserFactory(role=Role.SUPER_ADMIN)


def manager(**columns: Any) -> User:
    return UserFactory(**{"role": Role.STORE_MANAGER, "tenant_id": TENANT, **columns})


def conflict(profile: Profile, field: str, **columns: Any) -> FieldConflict:
    made: FieldConflict = FieldConflict.objects.create(
        profile=profile, field=field, rule="first", other_table="customers", other_row=str(uuid.uuid4()), **columns
    )
    return made


def test_people_are_counted_as_far_as_the_viewer_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    by, head = manager(), boss()
    person(tenant_id=TENANT)
    person()
    assert (figures.people(by), figures.people(head)) == (Count(2), Count(4))
    monkeypatch.setattr(counts, "COUNTED", 2)
    found = figures.people(head)
    assert (figures.people(by), found is not None and found.estimated) == (None, True)


@override_settings(TIME_ZONE="America/Toronto")
def test_new_people_are_told_by_days_of_the_shop() -> None:
    by = manager()
    for moment in ("2026-03-01T04:59:59Z", "2026-03-01T05:00:00Z", "2026-03-03T04:59:59Z", "2026-03-03T05:00:00Z"):
        Profile.objects.filter(pk=person(tenant_id=TENANT).pk).update(created_at=moment)
    Profile.objects.filter(pk=person().pk).update(created_at="2026-03-02T12:00:00Z")  # of no tenant
    first, last = datetime.date(2026, 3, 1), datetime.date(2026, 3, 2)
    assert figures.new_people(by, first, last) == {first: 1, last: 1}
    assert figures.new_people(boss(), first, last) == {first: 1, last: 2}


def test_conflicts_are_told_by_column_and_decided_ones_are_none() -> None:
    mine, other = person(tenant_id=TENANT), person()
    for profile, field in ((mine, "phone"), (mine, "phone"), (mine, "city"), (other, "phone")):
        conflict(profile, field)
    conflict(mine, "city", resolved_at="2026-01-01T00:00Z")
    conflict(mine, "medical_conditions")
    conflict(mine, "users.active")
    assert [(one.field, one.count) for one in figures.open_conflicts(manager())] == [
        ("phone", Count(2)),
        ("city", Count(1)),
        ("users.active", Count(1)),
    ]
    found = {one.field: one.count.rows for one in figures.open_conflicts(boss())}
    assert found == {"phone": 3, "city": 1, "medical_conditions": 1, "users.active": 1}


def test_what_is_more_than_the_cap_is_told_as_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST", 2)
    monkeypatch.setattr(figures, "MOST_OF_TENANT", 2)
    mine, other = person(tenant_id=TENANT), person()
    for profile in (mine, other, mine):
        conflict(profile, "phone")
        MergeSuggestion.objects.create(profile=profile, other_profile=person(), reason="birth_date")
    MergeSuggestion.objects.create(profile=mine, other_profile=person(), reason="birth_date", status="dismissed")
    assert [one.count for one in figures.open_conflicts(boss())] == [Count(2, more=True)]
    assert figures.open_suggestions(boss()) == Count(2, more=True)
    # Of the newest two conflicts of the column one is the tenant's and one is not.
    by = manager()
    (found,) = figures.open_conflicts(by)
    assert (found.count.more, found.count.rows) == (True, 2)
    assert figures.open_suggestions(by).more


def test_each_figure_costs_the_same_however_many_there_are() -> None:
    def asked(by: User) -> int:
        with CaptureQueriesContext(connection) as queries:
            figures.people(by)
            figures.new_people(by, datetime.date(2026, 1, 1), datetime.date(2026, 1, 30))
            figures.open_conflicts(by)
            figures.open_suggestions(by)
        return len(queries)

    by = manager()
    few = asked(by)
    for _ in range(5):
        conflict(person(tenant_id=TENANT), "phone")
    assert asked(by) == few == 6
