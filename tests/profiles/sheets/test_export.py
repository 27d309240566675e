"""A list as CSV: who sees which people and columns, what is recorded, and that memory does not grow with it."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.roles import Role
from profiles.models import ListExport, Profile
from profiles.services import merging
from profiles.sheets import export as module
from profiles.sheets.export import export
from tests.factories import UserFactory, person
from tests.profiles.sheets.files import exported

pytestmark = pytest.mark.django_db
TENANT = uuid.UUID("10000000-0000-4000-8000-000000000001")


def test_file_has_every_column_with_the_values_that_are_there() -> None:
    boss = UserFactory(role=Role.SUPER_ADMIN)
    found = person(
        "ann@example.com",
        first_name="Änn",
        phone="+1 613",
        tags=["a", "b"],
        notes='two\nlines, "quoted"',
        medical_conditions=["asthma"],
        marketing_consent=True,
        total_spent="12.50",
    )
    (row,) = exported(boss, pk=found.pk)
    assert list(row)[:3] == ["id", "version", "user_id"]
    assert int(row["version"]) > 0
    told = {
        "id": str(found.pk),
        "email": "ann@example.com",
        "first_name": "Änn",
        "phone": "'+1 613",
        "tags": "a; b",
        "notes": 'two\nlines, "quoted"',
        "medical_conditions": "asthma",
        "marketing_consent": "true",
        "total_spent": "12.50",
        "is_active": "true",
        "date_of_birth": "",
    }
    assert {name: row[name] for name in told} == told


def test_medical_conditions_are_a_column_only_for_who_may_see_them() -> None:
    found = person(tenant_id=TENANT, medical_conditions=["asthma"])
    manager, boss = (UserFactory(role=role, tenant_id=TENANT) for role in (Role.STORE_MANAGER, Role.TENANT_ADMIN))
    for by, sees in ((manager, False), (boss, True)):
        content = b"".join(export(Profile.objects.filter(pk=found.pk), filters={}, by=by))
        assert (b"medical_conditions" in content, b"asthma" in content) == (sees, sees)
        assert ("medical_conditions" in ListExport.objects.latest("id").columns) is sees


def test_only_people_whom_the_reader_sees_are_in_it() -> None:
    manager = UserFactory(role=Role.STORE_MANAGER, tenant_id=TENANT)
    mine, _, survivor, shell = (
        *(person(tenant_id=TENANT), person(tenant_id=uuid.uuid4())),
        *(person(tenant_id=TENANT), person(tenant_id=TENANT)),
    )
    token = merging.preview(survivor.pk, shell.pk).token
    merging.merge(survivor.pk, shell.pk, token=token, by=None, via="api")
    assert {row["id"] for row in exported(manager)} == {
        str(profile.pk) for profile in (mine, survivor, manager.profile)
    }


def test_record_says_who_took_how_many_rows_of_which_list() -> None:
    boss = UserFactory(role=Role.SUPER_ADMIN)
    for _ in range(3):
        person(customer_type="vip")
    b"".join(export(Profile.objects.filter(customer_type="vip"), filters={"customer_type": "vip"}, by=boss))
    record = ListExport.objects.get()
    assert (record.by, record.rows, record.filters) == (boss.pk, 3, {"customer_type": "vip"})
    assert record.columns[0] == "id"
    assert record.finished_at is not None


def test_client_that_goes_away_leaves_the_rows_that_were_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    boss = UserFactory(role=Role.SUPER_ADMIN)
    for _ in range(5):
        person()
    lines = export(Profile.objects.all(), filters={}, by=boss)
    for _ in range(3):  # the header and two readings, of which the second is not asked for its successor
        next(lines)
    lines.close()  # type: ignore[attr-defined]
    record = ListExport.objects.get()
    assert (record.rows, record.finished_at) == (2, None)


def test_list_is_read_in_stretches_each_person_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    boss = UserFactory(role=Role.SUPER_ADMIN)
    people = {str(person(customer_type="vip").pk) for _ in range(5)}
    with CaptureQueriesContext(connection) as asked:
        rows = exported(boss, customer_type="vip")
    assert [row["id"] for row in rows] == sorted(people)
    # The record twice; ids and rows of three stretches, and the ids that are no more.
    assert len(asked) == 2 + 3 * 2 + 1
