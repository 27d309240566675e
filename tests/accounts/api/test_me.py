"""Who is logged in."""

import uuid

import pytest

from accounts.models import User
from tests.api import assert_problem, client_for
from tests.databases import run
from tests.factories import person

pytestmark = pytest.mark.django_db


def test_me_is_the_account_with_its_profiles_names() -> None:
    tenant = uuid.uuid4()
    profile = person("ann@x.com", role="staff", tenant_id=tenant, first_name="Ann", last_name=None, notes="secret")
    for path in ("/api/auth/me", "/api/auth/me/"):
        answer = client_for(profile.user).get(path)
        assert (answer.status_code, answer.json()) == (
            200,
            {
                "id": str(profile.user_id),
                "email": "ann@x.com",
                "role": "staff",
                "tenant_id": str(tenant),
                "email_verified": True,
                "phone_verified": False,
                "age_verified": False,
                "terms_accepted": False,
                "profile_id": str(profile.pk),
                "first_name": "Ann",
                "last_name": None,
            },
        )


def test_me_of_an_odd_legacy_row() -> None:
    user = User.objects.create_user(None, role="user")
    run("DELETE FROM profiles")
    run("UPDATE users SET email_verified = NULL, phone_verified = NULL, age_verified = NULL, terms_accepted = NULL")
    body = client_for(User.objects.get(pk=user.pk)).get("/api/auth/me/").json()
    assert (body["email"], body["role"], body["email_verified"], body["profile_id"], body["first_name"]) == (
        None,
        "user",
        False,
        None,
        None,
    )


def test_nobody_is_told_to_log_in() -> None:
    answer = client_for(None).get("/api/auth/me/")
    assert_problem(answer, 401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
