"""/api/profiles/merge/preview/ and /merge/ as staff call them."""

import datetime
import uuid
from typing import Any

import pytest

from accounts.roles import Role
from profiles.models import Profile, ProfileHistory, ProfileMerge
from tests.api import assert_problem, client_as, client_for
from tests.factories import OrderFactory, UserFactory, person

pytestmark = pytest.mark.django_db

TENANT = uuid.UUID("10000000-0000-4000-8000-000000000001")
PREVIEW, MERGE = "/api/profiles/merge/preview/", "/api/profiles/merge/"


def pair(**columns: Any) -> tuple[Profile, Profile]:
    return person(tenant_id=TENANT, **columns), person(tenant_id=TENANT, **columns)


def body(survivor: Profile, other: Profile, **more: Any) -> dict[str, Any]:
    return {"survivor_id": str(survivor.pk), "other_id": str(other.pk), **more}


def test_what_was_previewed_is_what_is_merged() -> None:
    client = client_as(Role.STORE_MANAGER, tenant_id=TENANT)
    survivor = person(tenant_id=TENANT, first_name="Ann", phone="1", loyalty_points=5)
    other = person(tenant_id=TENANT, first_name="Anna", phone="2", loyalty_points=7, total_spent="2.50")
    OrderFactory.create(user=other.user)
    choices = {"phone": "other"}
    preview = client.post(PREVIEW, body(survivor, other, choices=choices))
    assert preview.status_code == 200
    found = preview.json()
    assert (found["survivor_id"], found["other_id"]) == (str(survivor.pk), str(other.pk))
    fields = {entry["field"]: entry for entry in found["fields"]}
    assert fields["phone"] == {
        "field": "phone",
        "rule": "first",
        "survivor": "1",
        "other": "2",
        "chosen": "2",
        "source": "other",
        "by_choice": True,
        "choosable": True,
        "loses": True,
        "hidden": False,
    }
    assert (fields["first_name"]["chosen"], fields["first_name"]["loses"]) == ("Ann", True)
    assert (fields["loyalty_points"]["chosen"], fields["loyalty_points"]["choosable"]) == (12, False)
    assert fields["total_spent"]["chosen"] == 2.5
    assert found["moves"] == {
        "orders": 1,
        "aliases": 0,
        "conflicts": 0,
        "suggestions": 0,
        "merged_profiles": 0,
        "loyalty_points": 7,
        "total_spent": 2.5,
        "order_count": 0,
        "interaction_count": 0,
    }
    assert (found["blockers"], found["warnings"]) == ([], [])
    assert ProfileMerge.objects.count() == 0

    merged = client.post(MERGE, body(survivor, other, choices=choices, token=found["token"]))
    assert merged.status_code == 200
    done = ProfileMerge.objects.get()
    assert merged.json() == {
        "merge_id": done.pk,
        "survivor_id": str(survivor.pk),
        "other_id": str(other.pk),
        "merged_at": merged.json()["merged_at"],
    }
    survivor.refresh_from_db()
    assert [getattr(survivor, name) for name in fields if name in ("phone", "first_name", "loyalty_points")] == [
        *("Ann", "2", 12)
    ]
    assert ProfileHistory.objects.filter(profile=survivor).latest("id").changed_by == client.user.pk
    # Every id of the other leads to the survivor.
    for old_id in (other.pk, other.user_id):
        assert client.get(f"/api/profiles/{old_id}/").json()["id"] == str(survivor.pk)
    assert [entry["id"] for entry in client.get("/api/profiles/").json()["results"]].count(str(other.pk)) == 0


def test_merging_needs_the_token_of_the_preview() -> None:
    client = client_as(Role.STORE_MANAGER, tenant_id=TENANT)
    survivor, other = pair()
    problem = assert_problem(client.post(MERGE, body(survivor, other)), 400, "invalid")
    assert [entry["field"] for entry in problem["errors"]] == ["token"]
    assert_problem(client.post(MERGE, body(survivor, other, token="x")), 409, "preview_outdated")
    token = client.post(PREVIEW, body(survivor, other)).json()["token"]
    assert_problem(client.post(MERGE, body(other, survivor, token=token)), 409, "preview_outdated")
    Profile.objects.filter(pk=other.pk).update(city="Oslo")
    assert_problem(client.post(MERGE, body(survivor, other, token=token)), 409, "preview_outdated")
    assert ProfileMerge.objects.count() == 0


def test_blockers_are_named_in_the_preview_and_in_the_refusal() -> None:
    client = client_as(Role.STORE_MANAGER, tenant_id=TENANT)
    survivor = person(tenant_id=TENANT, date_of_birth=datetime.date(1990, 1, 1))
    other = person(tenant_id=TENANT, date_of_birth=datetime.date(1991, 1, 1))
    found = client.post(PREVIEW, body(survivor, other)).json()
    text = "The birth dates contradict each other. If it is one person all the same, confirm it."
    assert found["blockers"] == [{"code": "birth_date", "detail": text}]
    problem = assert_problem(client.post(MERGE, body(survivor, other, token=found["token"])), 409, "merge_blocked")
    assert problem["errors"] == [{"field": "", "code": "birth_date", "detail": text}]
    assert client.post(MERGE, body(survivor, other, token=found["token"], confirm=True)).status_code == 200
    again = client.post(PREVIEW, body(survivor, other)).json()
    assert [entry["code"] for entry in again["blockers"]] == ["already_merged", "birth_date"]


def test_people_of_another_tenant_do_not_exist() -> None:
    client = client_as(Role.STORE_MANAGER, tenant_id=TENANT)
    own, foreign = person(tenant_id=TENANT), person(tenant_id=uuid.uuid4())
    gone = person(tenant_id=uuid.uuid4())
    for first, second in ((own, foreign), (foreign, own), (own, gone)):
        for path, more in ((PREVIEW, {}), (MERGE, {"token": "x"})):
            wrong = second if first == own else first
            problem = assert_problem(client.post(path, body(first, second, **more)), 404, "not_found")
            assert problem["detail"] == f"There is no profile {wrong.pk}."


@pytest.mark.parametrize("path", [PREVIEW, MERGE])
def test_only_managers_merge(path: str) -> None:
    survivor, other = pair()
    given = body(survivor, other, **({"token": "x"} if path == MERGE else {}))
    assert_problem(client_for(None).post(path, given), 401, "not_authenticated")
    for role in (Role.STAFF, Role.CUSTOMER):
        assert_problem(client_as(role, tenant_id=TENANT).post(path, given), 403, "permission_denied")
    assert_problem(client_for(survivor.user).post(path, given), 403, "permission_denied")
    assert ProfileMerge.objects.count() == 0


def test_medical_conditions_are_hidden_from_who_may_not_see_them() -> None:
    survivor, other = pair()
    Profile.objects.filter(pk=other.pk).update(medical_conditions=["asthma"])
    manager, admin = client_as(Role.STORE_MANAGER, tenant_id=TENANT), client_as(Role.TENANT_ADMIN, tenant_id=TENANT)
    answer = manager.post(PREVIEW, body(survivor, other))
    assert b"asthma" not in answer.content
    (hidden,) = [entry for entry in answer.json()["fields"] if entry["field"] == "medical_conditions"]
    assert (hidden["hidden"], hidden["chosen"], hidden["choosable"]) == (True, None, False)
    choice = body(survivor, other, choices={"medical_conditions": "survivor"})
    problem = assert_problem(manager.post(PREVIEW, choice), 400, "invalid")
    assert problem["errors"][0]["field"] == "choices.medical_conditions"
    (shown,) = [
        entry
        for entry in admin.post(PREVIEW, body(survivor, other)).json()["fields"]
        if entry["field"] == "medical_conditions"
    ]
    assert (shown["hidden"], shown["chosen"]) == (False, ["asthma"])
    # The merge itself loses nothing of it.
    token = answer.json()["token"]
    assert manager.post(MERGE, body(survivor, other, token=token)).status_code == 200
    survivor.refresh_from_db()
    assert survivor.medical_conditions == ["asthma"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"survivor_id": "x"}, "survivor_id"),
        ({"survivor_id": None}, "survivor_id"),
        ({"choices": {"phone": "both"}}, "choices.phone"),
        ({"choices": {"nothing": "other"}}, "choices.nothing"),
        ({"choices": ["phone"]}, "choices"),
        ({"choices": {"phone": {}}}, "choices.phone"),
        ({"confirm": "yes"}, "confirm"),
        ({"more": 1}, "more"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    client = client_as(Role.STORE_MANAGER, tenant_id=TENANT)
    survivor, other = pair()
    problem = assert_problem(client.post(PREVIEW, body(survivor, other) | change), 400, "invalid")
    assert [entry["field"] for entry in problem["errors"]] == [field]


def test_sums_and_numbers_beyond_what_json_readers_hold_are_answered() -> None:
    client = client_for(UserFactory.create(role=Role.SUPER_ADMIN))
    survivor, other = pair(loyalty_points=2**63 - 1, price_range={"max": 10**30})
    answer = client.post(PREVIEW, body(survivor, other))
    assert answer.status_code == 200
    assert_problem(client.post(MERGE, body(survivor, other, token=answer.json()["token"])), 400, "out_of_range")
    assert ProfileMerge.objects.count() == 0


def test_a_merge_is_taken_back_once_and_by_who_may_see_it() -> None:
    client = client_as(Role.STORE_MANAGER, tenant_id=TENANT)
    survivor, other = pair(loyalty_points=3)
    token = client.post(PREVIEW, body(survivor, other)).json()["token"]
    merge_id = client.post(MERGE, body(survivor, other, token=token)).json()["merge_id"]
    elsewhere = client_as(Role.STORE_MANAGER, tenant_id=uuid.uuid4())
    assert_problem(elsewhere.delete(f"{MERGE}{merge_id}/"), 404, "not_found")
    assert_problem(client.delete(f"{MERGE}{10**30}/"), 404, "not_found")
    assert Profile.objects.get(pk=other.pk).merged_into_id == survivor.pk
    assert client.delete(f"{MERGE}{merge_id}/").status_code == 204
    assert Profile.objects.get(pk=other.pk).merged_into_id is None
    assert ProfileMerge.objects.get().unmerged_by == client.user.pk
    assert_problem(client.delete(f"{MERGE}{merge_id}/"), 409, "already_unmerged")
