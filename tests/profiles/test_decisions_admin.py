"""The pages of conflicts and duplicates: what they cost, who may use them, and that they go through the services."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.roles import Role
from profiles.models import FieldConflict, MergeSuggestion, Profile, ProfileHistory, ProfileMerge
from profiles.services import merging
from tests.factories import UserFactory, person

pytestmark = pytest.mark.django_db

TENANT = uuid.UUID("10000000-0000-4000-8000-000000000001")
CONFLICTS, SUGGESTIONS = "/admin/profiles/fieldconflict/", "/admin/profiles/mergesuggestion/"


def client_as(role: Role) -> Client:
    client = Client()
    client.force_login(UserFactory.create(role=role, tenant_id=TENANT), backend="accounts.backends.AddressBackend")
    return client


def customer(**columns: Any) -> Profile:
    return person(tenant_id=TENANT, **columns)


def fill(count: int) -> None:
    for number in range(count):
        one, other = customer(phone=str(number)), customer()
        FieldConflict.objects.create(
            profile=one, field="phone", rule="first", other_value="x", other_table="customers", other_row=str(number)
        )
        MergeSuggestion.objects.create(profile=one, other_profile=other, reason="same_phone", score=60)


@pytest.mark.parametrize("page", [CONFLICTS, SUGGESTIONS])
def test_a_list_costs_the_same_number_of_queries_whatever_its_length(page: str) -> None:
    client = client_as(Role.STORE_MANAGER)
    counts = []
    for more in (3, 20):
        fill(more)
        client.get(page)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(page).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("tab", ["conflicts", "duplicates"])
def test_a_tab_costs_the_same_number_of_queries_whatever_its_length(tab: str) -> None:
    client, profile, counts = client_as(Role.STORE_MANAGER), customer(), []
    for more in (2, 8):
        for number in range(more):
            FieldConflict.objects.create(
                profile=profile, field="phone", rule="first", other_table="users", other_row=f"{more} {number}"
            )
            MergeSuggestion.objects.create(profile=profile, other_profile=customer(), reason="same_phone")
            other = customer()
            token = merging.preview(profile.pk, other.pk).token
            merging.merge(profile.pk, other.pk, token=token, by=None, via="api")
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/admin/profiles/profile/{profile.pk}/{tab}/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ({"field": "postal_code"}, ["3", "1"]),
        ({"rule": "block"}, ["3", "1"]),
        ({"other_table": "user_profiles"}, ["4", "3"]),
        ({"other_table": "user_profiles", "rule": "first"}, ["4"]),
        ({"field": "postal_code", "state": "decided"}, ["5"]),
        ({"field": "postal_code", "state": "all"}, ["5", "3", "1"]),
        ({"field": "needs"}, []),
    ],
)
def test_the_queue_is_filtered_newest_first(wanted: dict[str, str], rows: list[str]) -> None:
    profile = customer()
    for number, (field, rule, source, at) in enumerate(
        (
            ("postal_code", "block", "customers", None),
            ("phone", "first", "users", None),
            ("postal_code", "block", "user_profiles", None),
            ("phone", "first", "user_profiles", None),
            ("postal_code", "block", "customers", timezone.now()),
        ),
        1,
    ):
        FieldConflict.objects.create(
            profile=profile, field=field, rule=rule, other_table=source, other_row=str(number), resolved_at=at
        )
    answer: Any = client_as(Role.STORE_MANAGER).get(CONFLICTS, wanted)
    assert [one.other_row for one in answer.context_data["cl"].result_list] == rows


def test_an_action_goes_through_the_service_and_history_names_its_author() -> None:
    client, profile = client_as(Role.STORE_MANAGER), customer(phone="1")
    found = FieldConflict.objects.create(
        profile=profile, field="phone", rule="first", other_value="2", other_table="customers", other_row="x"
    )
    answer = client.post(CONFLICTS, {"action": "decide_take", "_selected_action": [found.pk]}, follow=True)
    assert "1 taken." in answer.content.decode()
    profile.refresh_from_db()
    assert profile.phone == "2"
    entry = ProfileHistory.objects.filter(profile=profile, changes__has_key="phone").latest("id")
    assert (str(entry.changed_by), entry.via) == (client.session["_auth_user_id"], "admin")


def test_the_till_sees_and_decides_nothing() -> None:
    client, profile, other = client_as(Role.STAFF), customer(), customer()
    found = FieldConflict.objects.create(
        profile=profile, field="phone", rule="first", other_value="2", other_table="customers", other_row="x"
    )
    for page in (
        *(CONFLICTS, SUGGESTIONS, f"/admin/profiles/profile/{profile.pk}/conflicts/"),
        f"/admin/profiles/profile/{profile.pk}/merge/{other.pk}/",
    ):
        assert client.get(page).status_code == 403
    client.post(CONFLICTS, {"action": "decide_take", "_selected_action": [found.pk]})
    client.post("/admin/profiles/fieldconflict/undo/", {"batch": str(uuid.uuid4())})
    found.refresh_from_db()
    assert found.resolved_at is None


def test_nobody_compares_with_somebody_of_another_tenant() -> None:
    client, profile, other = client_as(Role.STORE_MANAGER), customer(), person(tenant_id=uuid.uuid4())
    assert client.get(f"/admin/profiles/profile/{profile.pk}/merge/{other.pk}/").status_code == 404
    answer = client.post(f"/admin/profiles/profile/{profile.pk}/duplicates/", {"other": str(other.pk)})
    assert f"Nobody has the id {other.pk}." in answer.content.decode()


def test_medical_conditions_are_neither_shown_nor_chosen_without_the_permission() -> None:
    one, other = customer(medical_conditions=["asthma"]), customer(medical_conditions=["measles"])
    page = f"/admin/profiles/profile/{one.pk}/merge/{other.pk}/"
    manager = client_as(Role.STORE_MANAGER)
    shown = manager.get(page).content.decode()
    assert "asthma" not in shown
    assert "measles" not in shown
    assert "Some columns are not for your role" in shown
    token = merging.preview(one.pk, other.pk).token
    manager.post(page, {"step": "merge", "token": token, "choice-medical_conditions": "other"})
    one.refresh_from_db()
    assert one.medical_conditions == ["asthma", "measles"]
    assert "asthma" in client_as(Role.TENANT_ADMIN).get(page).content.decode()


def test_only_a_merge_of_the_page_is_taken_back() -> None:
    client, profile, other, stranger = client_as(Role.STORE_MANAGER), customer(), customer(), customer()
    token = merging.preview(profile.pk, other.pk).token
    done = merging.merge(profile.pk, other.pk, token=token, by=None, via="api")
    client.post(f"/admin/profiles/profile/{stranger.pk}/duplicates/", {"unmerge": str(done.pk)})
    assert ProfileMerge.objects.get().unmerged_at is None
    client.post(f"/admin/profiles/profile/{profile.pk}/duplicates/", {"unmerge": str(done.pk)})
    assert ProfileMerge.objects.get().unmerged_at is not None
