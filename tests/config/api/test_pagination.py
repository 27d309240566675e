"""Pages by cursor."""

import base64

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from tests.api import assert_problem

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.api.views")]


def test_pages_show_each_row_once_though_rows_are_added_meanwhile(client: Client) -> None:
    User.objects.bulk_create([User(email=f"{n:03}@x.com") for n in range(120)])
    seen: list[str] = []
    following: str | None = "/api/users/?page_size=50"
    while following:
        page = client.get(following).json()
        seen += [row["email"] for row in page["results"]]
        following = page["next"]
        User.objects.create(email=f"late{len(seen)}@x.com", created_at=timezone.now())
    assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize(
    "cursor", ["x", "AAAA", base64.b64encode(b"p=never").decode(), base64.b64encode(b"o=-1&p=2020-01-01").decode()]
)
def test_cursor_that_is_none_of_ours_is_refused(client: Client, cursor: str) -> None:
    User.objects.create(email="a@x.com")
    body = assert_problem(client.get("/api/users/", {"cursor": cursor}), 400, "bad_cursor")
    assert repr(cursor) in body["detail"]


def test_page_size_has_a_limit(client: Client) -> None:
    User.objects.bulk_create([User(email=f"{n:03}@x.com") for n in range(210)])
    assert len(client.get("/api/users/?page_size=1000").json()["results"]) == 200
