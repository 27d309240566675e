"""/api/profiles/{id}/export/ and /erase/: who may call them, and what they answer."""

import uuid
from typing import Any

import pytest

from accounts.models import ApiKey, User
from accounts.roles import Role
from profiles.models import FieldConflict, MergeSuggestion, PrivacyEvent, Profile
from profiles.services import merging, profile_service
from tests.api import assert_problem, client_as, client_for
from tests.factories import PASSWORD, OrderFactory, person

pytestmark = pytest.mark.django_db

TENANT = uuid.UUID("10000000-0000-4000-8000-000000000001")
ERASE = {"reason": "asked for it by letter", "confirm": True}


def somebody(**columns: Any) -> Profile:
    """With something in every list of an export."""
    found = person(
        "ann@example.com",
        tenant_id=TENANT,
        password=PASSWORD,
        first_name="Ann",
        notes="likes tea",
        tags=["regular guest"],
        medical_conditions=["asthma"],
        **columns,
    )
    OrderFactory.create(user=found.user, delivery_address={"street": "1 Main St"})
    profile_service.update_loyalty_points(found.user_id, 5, "welcome")
    profile_service.update_profile(
        found.user_id, {"notes": "likes green tea", "tags": ["b"], "medical_conditions": ["asthma", "hay fever"]}
    )
    for field, value in (("phone", "1"), ("notes", "old note"), ("medical_conditions", ["migraine"])):
        FieldConflict.objects.create(
            profile=found, field=field, rule="first", other_value=value, other_table="customers", other_row="x"
        )
    MergeSuggestion.objects.create(profile=found, other_profile=person(tenant_id=TENANT), reason="birth_date")
    return found


def test_an_export_holds_everything_and_is_recorded() -> None:
    client, found = client_as(Role.TENANT_ADMIN, tenant_id=TENANT), somebody()
    answer = client.get(f"/api/profiles/{found.pk}/export/")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="profile-{found.pk}.json"'
    assert answer.headers["Content-Type"] == "application/json"
    held = answer.json()
    assert set(held) >= {"profile_id", "exported_at"}
    assert {name: len(held[name]) for name in held if isinstance(held[name], list)} == {
        "accounts": 1,
        "profiles": 1,
        "aliases": 0,
        "orders": 1,
        "order_events": 0,
        "refunds": 0,
        "loyalty": 1,
        "history": 3,
        "conflicts": 3,
        "conflict_decisions": 0,
        "suggestions": 1,
        "merges": 0,
        "privacy_events": 0,
        "corrections": 0,
        "kept_answers": 0,
        "sessions": 0,
        "api_keys": 0,
        "logins": 0,
    }
    (account,) = held["accounts"]
    assert (account["email"], account["id"]) == ("ann@example.com", str(found.user_id))
    assert b"$2b$" not in answer.content
    assert b"password" not in answer.content.replace(b"users.password", b"")
    assert held["profiles"][0]["medical_conditions"] == ["asthma", "hay fever"]
    assert held["orders"][0]["delivery_address"] == {"street": "1 Main St"}
    assert held["orders"][0]["created_at"].endswith("+00:00")
    event = PrivacyEvent.objects.get()
    assert (event.kind, event.by, event.via, event.profile_id) == ("export", client.user.pk, "api", found.pk)
    assert event.counts["orders"] == 1


def test_people_export_themselves_without_notes_and_tags() -> None:
    found = somebody()
    answer = client_for(found.user).get(f"/api/profiles/{found.pk}/export/")
    assert answer.status_code == 200
    for secret in (b"tea", b"regular guest", b"notes", b"tags", b"old note", b"changed_by", b"cashier_id"):
        assert secret not in answer.content.replace(b'"Tea"', b"")
    held = answer.json()
    assert held["profiles"][0]["medical_conditions"] == ["asthma", "hay fever"]
    assert (held["suggestions"], len(held["conflicts"]), len(held["loyalty"])) == ([], 2, 1)
    assert PrivacyEvent.objects.get().by == found.user_id


def test_medical_conditions_are_not_exported_for_who_may_not_see_them() -> None:
    found = somebody()
    answer = client_as(Role.STORE_MANAGER, tenant_id=TENANT).get(f"/api/profiles/{found.pk}/export/")
    assert answer.status_code == 200
    for secret in (b"asthma", b"hay fever", b"migraine", b"medical_conditions"):
        assert secret not in answer.content
    assert len(answer.json()["conflicts"]) == 2
    assert b"likes green tea" in answer.content


def test_medical_conditions_of_a_merge_are_not_exported_either() -> None:
    found, other = somebody(), person(tenant_id=TENANT, medical_conditions=["secret illness"])
    token = merging.preview(found.pk, other.pk).token
    merging.merge(found.pk, other.pk, token=token, by=None, via="api")
    answer = client_as(Role.STORE_MANAGER, tenant_id=TENANT).get(f"/api/profiles/{found.pk}/export/")
    assert b"illness" not in answer.content
    assert [entry["id"] for entry in answer.json()["profiles"]] == [str(found.pk), str(other.pk)]
    own = client_for(found.user).get(f"/api/profiles/{found.pk}/export/")
    assert b"illness" in own.content
    assert b"likes green tea" not in own.content


def test_somebody_elses_export_is_not_found() -> None:
    found = somebody()
    strangers = (
        client_as(Role.CUSTOMER, tenant_id=TENANT),
        client_as(Role.STAFF, tenant_id=TENANT),
        client_as(Role.STORE_MANAGER, tenant_id=uuid.uuid4()),
        client_as(Role.TENANT_ADMIN),
    )
    for client in strangers:
        for path_id in (found.pk, found.user_id):
            problem = assert_problem(client.get(f"/api/profiles/{path_id}/export/"), 404, "not_found")
            assert problem["detail"] == f"There is no profile {path_id}."
    assert_problem(client_for(None).get(f"/api/profiles/{found.pk}/export/"), 401, "not_authenticated")
    assert PrivacyEvent.objects.count() == 0
    assert client_as(Role.STAFF, tenant_id=TENANT).get("/api/profiles/not-a-uuid/export/").status_code == 404


def test_erasing_answers_what_was_done_and_the_same_again() -> None:
    client, found = client_as(Role.TENANT_ADMIN, tenant_id=TENANT), somebody()
    ApiKey.objects.create(user=found.user, name="x", prefix="upk_x", digest="0" * 64)
    first = client.post(f"/api/profiles/{found.pk}/erase/", ERASE)
    assert first.status_code == 200
    answer = first.json()
    assert (answer["profile_id"], answer["reason"]) == (str(found.pk), "asked for it by letter")
    assert answer["counts"]["orders"] == 1
    second = client.post(f"/api/profiles/{found.pk}/erase/", {"reason": "another", "confirm": True})
    assert (second.status_code, second.json()) == (200, answer)
    event = PrivacyEvent.objects.get()
    assert (event.kind, event.by, event.reason) == ("erase", client.user.pk, "asked for it by letter")
    assert client.get(f"/api/profiles/{found.pk}/").json()["first_name"] is None
    assert b"Main" not in client.get(f"/api/profiles/{found.pk}/export/").content


def test_erasing_ends_every_session() -> None:
    found = somebody()
    login = client_for(None)
    tokens = login.post("/api/auth/token/", {"email": "ann@example.com", "password": PASSWORD}).json()
    login.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    assert login.get("/api/auth/me/").status_code == 200
    client_as(Role.TENANT_ADMIN, tenant_id=TENANT).post(f"/api/profiles/{found.pk}/erase/", ERASE)
    assert login.get("/api/auth/me/").status_code == 401
    login.credentials()
    assert login.post("/api/auth/token/refresh/", {"refresh": tokens["refresh"]}).status_code == 401
    assert login.post("/api/auth/token/", {"email": "ann@example.com", "password": PASSWORD}).status_code == 401


def test_only_administrators_erase_and_only_their_own_tenant() -> None:
    found = somebody()
    path = f"/api/profiles/{found.pk}/erase/"
    before = list(Profile.objects.filter(pk=found.pk).values())
    assert_problem(client_for(None).post(path, ERASE), 401, "not_authenticated")
    for role in (Role.STORE_MANAGER, Role.STAFF, Role.CUSTOMER):
        assert_problem(client_as(role, tenant_id=TENANT).post(path, ERASE), 403, "permission_denied")
    assert_problem(client_for(found.user).post(path, ERASE), 403, "permission_denied")
    for tenant in (uuid.uuid4(), None):
        assert_problem(client_as(Role.TENANT_ADMIN, tenant_id=tenant).post(path, ERASE), 404, "not_found")
    assert list(Profile.objects.filter(pk=found.pk).values()) == before
    assert PrivacyEvent.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"confirm": True}, "reason", "required"),
        ({"reason": " ", "confirm": True}, "reason", "blank"),
        ({"reason": "x"}, "confirm", "required"),
        ({"reason": "x", "confirm": False}, "confirm", "not_confirmed"),
        ({"reason": "x", "confirm": "true"}, "confirm", "invalid"),
        ({"reason": 1, "confirm": True}, "reason", "invalid"),
        ({"reason": "x", "confirm": True, "more": 1}, "more", "unknown_field"),
    ],
)
def test_an_erasure_needs_a_reason_and_a_confirmation(body: dict[str, Any], field: str, code: str) -> None:
    found = somebody()
    answer = client_as(Role.TENANT_ADMIN, tenant_id=TENANT).post(f"/api/profiles/{found.pk}/erase/", body)
    problem = assert_problem(answer, 400, "invalid")
    assert [(entry["field"], entry["code"]) for entry in problem["errors"]] == [(field, code)]
    assert User.objects.get(pk=found.user_id).email == "ann@example.com"


def test_staff_are_not_erased() -> None:
    staff = person(role=Role.STAFF, tenant_id=TENANT, first_name="Sam")
    client = client_as(Role.TENANT_ADMIN, tenant_id=TENANT)
    problem = assert_problem(client.post(f"/api/profiles/{staff.pk}/erase/", ERASE), 409, "staff_account")
    assert problem["detail"] == (
        f"User {staff.user_id} is a staff. Make the account a customer's first, then erase it."
    )
    staff.refresh_from_db()
    assert staff.first_name == "Sam"
