"""The Authorization header: people's tokens, and keys of tills and servers."""

import datetime
import uuid

import pytest
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import ApiKey, User
from accounts.services import api_keys
from tests.api import assert_problem

pytestmark = pytest.mark.django_db

BAD_KEY = "This API key is unknown or revoked. Ask an administrator."


@pytest.fixture
def till() -> User:
    return User.objects.create_user("till@x.com", "secret", role="staff")


def get(header: str):  # type: ignore[no-untyped-def]
    return APIClient(raise_request_exception=False).get("/api/auth/me/", HTTP_AUTHORIZATION=header)


def test_key_speaks_for_its_user_until_it_is_revoked(till: User) -> None:
    key, text = api_keys.issue_key(till, "till 1", by=till)
    assert get(f"Bearer {text}").json()["id"] == str(till.pk)
    api_keys.revoke(key, by=till)
    assert assert_problem(get(f"Bearer {text}"), 401, "bad_key")["detail"] == BAD_KEY


def test_key_of_an_inactive_user_reads_like_an_unknown_one(till: User) -> None:
    _, text = api_keys.issue_key(till, "till 1", by=till)
    for active in (False, None):
        User.objects.update(active=active)
        assert assert_problem(get(f"Bearer {text}"), 401, "bad_key")["detail"] == BAD_KEY
    assert assert_problem(get("Bearer upk_unknown"), 401, "bad_key")["detail"] == BAD_KEY


def test_use_of_a_key_is_noted_once_a_minute(till: User) -> None:
    key, text = api_keys.issue_key(till, "till 1", by=till)
    assert key.last_used_at is None
    get(f"Bearer {text}")
    key.refresh_from_db()
    noted = key.last_used_at
    assert noted is not None
    get(f"Bearer {text}")
    key.refresh_from_db()
    assert key.last_used_at == noted
    ApiKey.objects.update(last_used_at=timezone.now() - datetime.timedelta(seconds=61))
    get(f"Bearer {text}")
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert key.last_used_at > noted


def test_either_token_costs_one_query(till: User, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    """The second is the profile of the answer."""
    _, text = api_keys.issue_key(till, "till 1", by=till)
    get(f"Bearer {text}")
    with django_assert_num_queries(2):
        get(f"Bearer {text}")
    with django_assert_num_queries(2):
        get(f"Bearer {AccessToken.for_user(till)}")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", " Bearer "])
def test_scheme_is_read_in_any_case(till: User, scheme: str) -> None:
    _, text = api_keys.issue_key(till, "till 1", by=till)
    assert get(f"{scheme} {text}").status_code == 200
    assert get(f"{scheme} {AccessToken.for_user(till)}").status_code == 200


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", "Bearer  a  b "])
def test_header_without_one_token_is_refused(header: str) -> None:
    body = assert_problem(get(header), 401, "bad_token")
    assert body["detail"] == "The Authorization header reads: Bearer, a blank, the token."


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Token abc", "upk_abc", "Bearerabc"])
def test_other_schemes_are_nobody(header: str) -> None:
    assert_problem(get(header), 401, "not_authenticated")


@pytest.mark.parametrize("token", ["x", "a.b.c", "\xe9\xff", "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoxfQ.", "." * 500])
def test_text_that_is_no_token_is_refused(token: str) -> None:
    answer = get(f"Bearer {token}")
    assert_problem(answer, 401, "token_not_valid")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("user_id", ["1", "", None, [], str(uuid.UUID(int=1))])
def test_signed_token_of_nobody_is_refused(till: User, user_id: object) -> None:
    token = AccessToken.for_user(till)
    token["user_id"] = user_id
    assert_problem(get(f"Bearer {token}"), 401, "token_not_valid")


def test_token_ends_with_its_password_and_with_its_account(till: User) -> None:
    token = AccessToken.for_user(till)
    assert get(f"Bearer {token}").status_code == 200
    User.objects.update(active=False)
    assert_problem(get(f"Bearer {token}"), 401, "token_not_valid")
    User.objects.update(active=True)
    till.set_password("secret")
    till.save()
    assert_problem(get(f"Bearer {token}"), 401, "token_not_valid")
