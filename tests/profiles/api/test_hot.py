"""GET of one profile by a token takes a shorter way: it must say what the ordinary way says."""

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from accounts.roles import Role
from accounts.services import api_keys
from profiles.models import Profile
from tests.api import assert_problem, client_for
from tests.factories import UserFactory, person

pytestmark = pytest.mark.django_db
TENANT, OTHER = uuid.uuid4(), uuid.uuid4()


def by_token(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(user)}")
    return client


@pytest.fixture
def ann() -> Profile:
    return person(
        tenant_id=TENANT, first_name="Ann", notes="secret note", tags=["secret tag"], medical_conditions=["secret"]
    )


def path(profile: Profile) -> str:
    return f"/api/profiles/{profile.pk}/"


@pytest.mark.parametrize("role", Role.values)
def test_both_ways_answer_alike(role: Role, ann: Profile) -> None:
    user = UserFactory(role=role, tenant_id=TENANT)
    for _ in range(2):  # once not known yet, once by the hint
        short, ordinary = by_token(user).get(path(ann)), client_for(user).get(path(ann))
        assert (short.status_code, short.headers["Content-Type"]) == (
            ordinary.status_code,
            ordinary.headers["Content-Type"],
        )
        assert short.json() == ordinary.json()
        assert short.headers.get("ETag") == ordinary.headers.get("ETag")


def test_one_query_answers_who_asks_again(ann: Profile, django_assert_num_queries: Any) -> None:
    client = by_token(UserFactory(role=Role.STAFF, tenant_id=TENANT))
    client.get(path(ann))
    with django_assert_num_queries(1):
        assert client.get(path(ann)).json()["first_name"] == "Ann"


def test_right_that_was_lost_since_counts_at_once(ann: Profile) -> None:
    user = UserFactory(role=Role.TENANT_ADMIN, tenant_id=TENANT)
    client = by_token(user)
    assert client.get(path(ann)).json()["medical_conditions"] == ["secret"]
    User.objects.filter(pk=user.pk).update(role=Role.STAFF)
    assert "medical_conditions" not in client.get(path(ann)).json()
    User.objects.filter(pk=user.pk).update(role=Role.CUSTOMER)
    assert_problem(client.get(path(ann)), 404, "not_found")
    User.objects.filter(pk=user.pk).update(role=Role.STAFF, tenant_id=OTHER)
    assert_problem(client.get(path(ann)), 404, "not_found")
    User.objects.filter(pk=user.pk).update(active=False, tenant_id=TENANT)
    assert_problem(client.get(path(ann)), 401, "token_not_valid")


def test_new_password_ends_the_token(ann: Profile) -> None:
    user = UserFactory(role=Role.STAFF, tenant_id=TENANT)
    client = by_token(user)
    assert client.get(path(ann)).status_code == 200
    user.set_unusable_password()
    user.save()
    assert_problem(client.get(path(ann)), 401, "token_not_valid")


def test_account_that_is_gone_ends_the_token(ann: Profile) -> None:
    user = UserFactory(role=Role.STAFF, tenant_id=TENANT)
    client = by_token(user)
    assert client.get(path(ann)).status_code == 200
    user.profile.delete()
    user.delete()
    assert_problem(client.get(path(ann)), 401, "token_not_valid")


def test_people_see_themselves_alone(ann: Profile) -> None:
    client = by_token(ann.user)
    for _ in range(2):
        own = client.get(path(ann)).json()
        assert (own["first_name"], "notes" in own, "tags" in own) == ("Ann", False, False)
        assert_problem(client.get(path(person(tenant_id=TENANT))), 404, "not_found")


def test_keys_and_nonsense_take_the_ordinary_way(ann: Profile) -> None:
    user = UserFactory(role=Role.STAFF, tenant_id=TENANT)
    _, key = api_keys.issue_key(user, "till", by=user)
    for header, status in ((f"Bearer {key}", 200), ("Bearer nonsense", 401), ("Bearer", 401), ("Basic x", 401)):
        assert APIClient().get(path(ann), HTTP_AUTHORIZATION=header).status_code == status


def test_other_types_than_json_are_the_ordinary_ways_to_refuse(ann: Profile) -> None:
    client = by_token(ann.user)
    assert client.get(path(ann), HTTP_ACCEPT="application/json").status_code == 200
    assert_problem(client.get(path(ann), HTTP_ACCEPT="text/csv"), 406, "not_acceptable")
