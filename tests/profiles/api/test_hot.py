"""GET of one profile by a token takes a shorter way: it must say what the ordinary way says."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import OperationalError, close_old_connections
from django.http import HttpResponse
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from accounts.roles import Role
from accounts.services import api_keys
from config.api.hot import HotFirst
from profiles import selectors
from profiles.models import Profile
from tests.api import assert_problem, client_for
from tests.factories import UserFactory, person

pytestmark = pytest.mark.django_db
TENANT, OTHER = uuid.uuid4(), uuid.uuid4()


@contextmanager
def one_connection() -> Iterator[None]:
    """The test's transaction goes on after the request, as with Django's own client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


class Server(APIClient):
    """A client of the WSGI application, which the others pass by; `hot` says whether the shorter way answered."""

    hot = False

    def request(self, **environ: Any) -> Any:
        def django(environ: dict[str, Any], start_response: Any) -> Any:
            self.hot = False
            return WSGIHandler()(environ, start_response)

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            self.answered = int(status[:3]), headers

        self.hot = True
        with one_connection():
            content = b"".join(HotFirst(django)(self._base_environ(**{**environ, **self._credentials}), start_response))
        status, headers = self.answered
        response: Any = HttpResponse(content, status=status, headers=dict(headers))
        response.json = lambda: self._parse_json(response)
        return response


def by_token(user: User) -> Server:
    client = Server()
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
    client = by_token(user)
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
    client = by_token(ann.user)
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

    client = by_token(ann.user)
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "config.api.hot"):
        patch.setattr(selectors, "json_statement", fails)
        assert_problem(client.get(path(ann)), 503, "unavailable")
    assert f"{path(ann)} takes the ordinary way" in caplog.messages


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
    client = Server()
    for header, status in ((f"Bearer {key}", 200), ("Bearer nonsense", 401), ("Bearer", 401), ("Basic x", 401)):
        assert client.get(path(ann), HTTP_AUTHORIZATION=header).status_code == status
        assert not client.hot


def test_other_types_than_json_are_the_ordinary_ways_to_refuse(ann: Profile) -> None:
    client = by_token(ann.user)
    assert client.get(path(ann), HTTP_ACCEPT="application/json").status_code == 200
    assert client.hot
    assert_problem(client.get(path(ann), HTTP_ACCEPT="text/csv"), 406, "not_acceptable")


@pytest.mark.parametrize("address", ["/api/profiles/{}/history/", "/api/profiles/{}/?a=1", "/api/nothing/{}/"])
def test_other_addresses_take_the_ordinary_way(address: str, ann: Profile) -> None:
    client = by_token(ann.user)
    expected = client_for(ann.user).get(address.format(ann.pk))
    found = client.get(address.format(ann.pk))
    assert (client.hot, found.status_code, found.content) == (False, expected.status_code, expected.content)


def test_other_methods_take_the_ordinary_way(ann: Profile) -> None:
    client = by_token(ann.user)
    assert client.head(path(ann)).status_code == 200
    assert not client.hot
    assert_problem(client.patch(path(ann), {}), 428, "precondition_required")
