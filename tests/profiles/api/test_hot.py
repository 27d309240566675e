"""GET of one profile by a token takes a shorter way: it must say what the ordinary way says."""

import logging
import uuid
from typing import Any

import pytest
from django.db import OperationalError

from accounts.models import User
from accounts.roles import Role
from accounts.services import api_keys
from profiles import selectors
from profiles.models import Profile
from tests.api import HotClient, assert_problem, client_for, hot_client
from tests.factories import UserFactory, person

pytestmark = pytest.mark.django_db
TENANT, OTHER = uuid.uuid4(), uuid.uuid4()


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
    client = hot_client(user)
    for address in (path(ann), path(ann)[:-1], path(ann)):  # once not known yet, then by the hint
        short, ordinary = client.get(address), client_for(user).get(address)
        assert client.hot == (ordinary.status_code == 200)
        del ordinary.headers["Allow"]  # DRF tells whoever asks for one thing what else there is
        del short.headers["Allow"]
        assert (short.status_code, short.headers) == (ordinary.status_code, ordinary.headers)
        assert short.content == ordinary.content


def test_what_https_asks_for_is_asked_of_both_ways(ann: Profile, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 60
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    client = hot_client(ann.user)
    assert client.get(path(ann)).headers["Location"] == f"https://testserver{path(ann)}"
    assert not client.hot
    found = client.get(path(ann), headers={"X-Forwarded-Proto": "https"})
    assert (client.hot, found.status_code, found.headers["Strict-Transport-Security"]) == (True, 200, "max-age=60")
    settings.ALLOWED_HOSTS = ["elsewhere"]
    refused = client.get(path(ann), headers={"X-Forwarded-Proto": "https"})
    assert (client.hot, refused.status_code) == (False, 400)


def test_error_of_the_shorter_way_is_the_ordinary_ways_to_tell(
    ann: Profile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*args: Any) -> Any:
        raise OperationalError("gone")

    client = hot_client(ann.user)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "config.api.hot"):
        patch.setattr(selectors, "json_statement", fails)
        assert_problem(client.get(path(ann)), 503, "unavailable")
    assert f"{path(ann)} takes the ordinary way" in caplog.messages


def test_one_query_answers_who_asks_again(ann: Profile, django_assert_num_queries: Any) -> None:
    client = hot_client(UserFactory(role=Role.STAFF, tenant_id=TENANT))
    client.get(path(ann))
    with django_assert_num_queries(1):
        assert client.get(path(ann)).json()["first_name"] == "Ann"


def test_right_that_was_lost_since_counts_at_once(ann: Profile) -> None:
    user = UserFactory(role=Role.TENANT_ADMIN, tenant_id=TENANT)
    client = hot_client(user)
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
    client = hot_client(user)
    assert client.get(path(ann)).status_code == 200
    user.set_unusable_password()
    user.save()
    assert_problem(client.get(path(ann)), 401, "token_not_valid")


def test_account_that_is_gone_ends_the_token(ann: Profile) -> None:
    user = UserFactory(role=Role.STAFF, tenant_id=TENANT)
    client = hot_client(user)
    assert client.get(path(ann)).status_code == 200
    user.profile.delete()
    user.delete()
    assert_problem(client.get(path(ann)), 401, "token_not_valid")


def test_people_see_themselves_alone(ann: Profile) -> None:
    client = hot_client(ann.user)
    for _ in range(2):
        own = client.get(path(ann)).json()
        assert (own["first_name"], "notes" in own, "tags" in own) == ("Ann", False, False)
        assert_problem(client.get(path(person(tenant_id=TENANT))), 404, "not_found")


def test_keys_and_nonsense_take_the_ordinary_way(ann: Profile) -> None:
    user = UserFactory(role=Role.STAFF, tenant_id=TENANT)
    _, key = api_keys.issue_key(user, "till", by=user)
    client = HotClient()
    for header, status in ((f"Bearer {key}", 200), ("Bearer nonsense", 401), ("Bearer", 401), ("Basic x", 401)):
        assert client.get(path(ann), HTTP_AUTHORIZATION=header).status_code == status
        assert not client.hot


def test_other_types_than_json_are_the_ordinary_ways_to_refuse(ann: Profile) -> None:
    client = hot_client(ann.user)
    assert client.get(path(ann), HTTP_ACCEPT="application/json").status_code == 200
    assert client.hot
    assert_problem(client.get(path(ann), HTTP_ACCEPT="text/csv"), 406, "not_acceptable")


@pytest.mark.parametrize("address", ["/api/profiles/{}/history/", "/api/profiles/{}/?a=1", "/api/nothing/{}/"])
def test_other_addresses_take_the_ordinary_way(address: str, ann: Profile) -> None:
    client = hot_client(ann.user)
    expected = client_for(ann.user).get(address.format(ann.pk))
    found = client.get(address.format(ann.pk))
    assert (client.hot, found.status_code, found.content) == (False, expected.status_code, expected.content)


def test_other_methods_take_the_ordinary_way(ann: Profile) -> None:
    client = hot_client(ann.user)
    assert client.head(path(ann)).status_code == 200
    assert not client.hot
    assert_problem(client.patch(path(ann), {}), 428, "precondition_required")
