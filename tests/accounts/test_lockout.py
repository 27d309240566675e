"""Lock-out after repeated failures, in the API and in the admin."""

import datetime
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.core.mail import EmailMessage
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts import lockout
from accounts.models import User
from tests.accounts.api.calls import login, post
from tests.api import assert_problem

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("Ann@x.com", "secret", role="staff")


def fail(times: int, email: str = "Ann@x.com", **kwargs: Any) -> list[int]:
    return [login(email, "wrong", **kwargs).status_code for _ in range(times)]


def admin_login(client: Client, email: str, password: str, ip: str = "192.0.2.1") -> Any:
    return client.post(LOGIN, {"username": email, "password": password, "next": "/admin/"}, REMOTE_ADDR=ip)


def age(minutes: float) -> None:
    """The failures so far were that long ago."""
    AccessAttempt.objects.update(attempt_time=timezone.now() - datetime.timedelta(minutes=minutes))


def test_fifth_failure_locks_and_the_right_password_does_not_unlock(ann: User) -> None:
    assert fail(5) == [401, 401, 401, 401, 429]
    answer = login("Ann@x.com", "secret")
    body = assert_problem(answer, 429, "locked_out")
    assert body["detail"] == (
        "Too many failed logins with this address from where you are. Try again in 15 min, or set a new password: "
        "POST /api/auth/password/reset/."
    )
    assert body["instance"] == "/api/auth/token/"
    assert 14 * 60 < int(answer.headers["Retry-After"]) <= 15 * 60
    ann.refresh_from_db()
    assert ann.last_login is None


def test_failures_count_for_an_address_in_any_case(ann: User) -> None:
    assert [fail(1, email)[0] for email in ("Ann@x.com", "ann@x.com", "ANN@X.COM", " ann@x.com ")] == [401] * 4
    assert fail(1, "aNN@x.com") == [429]


def test_addresses_that_nobody_has_are_locked_alike() -> None:
    assert fail(6, "nobody@x.com") == [401, 401, 401, 401, 429, 429]
    assert fail(5, "x" * 900) == [401, 401, 401, 401, 429]


def test_another_place_and_another_address_are_not_locked(ann: User) -> None:
    User.objects.create_user("bo@x.com", "secret")
    fail(5)
    assert login("Ann@x.com", "secret", ip="192.0.2.2").status_code == 200
    assert login("bo@x.com", "secret").status_code == 200
    assert login("Ann@x.com", "secret").status_code == 429


def test_another_browser_is_locked_too(ann: User) -> None:
    assert [fail(1, HTTP_USER_AGENT=f"browser {n}")[0] for n in range(5)] == [401] * 4 + [429]
    assert login("Ann@x.com", "secret", HTTP_USER_AGENT="yet another").status_code == 429


def test_login_forgives_failures(ann: User) -> None:
    assert fail(4) == [401] * 4
    assert login("ann@x.com", "secret").status_code == 200
    assert fail(4) == [401] * 4


def test_lock_ends_with_its_time_and_trying_on_does_not_prolong_it(ann: User) -> None:
    fail(5)
    age(minutes=14)
    answer = login("Ann@x.com", "secret")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    age(minutes=15.1)
    assert login("Ann@x.com", "secret").status_code == 200


def test_retry_after_is_when_enough_failures_are_old(ann: User) -> None:
    """Two browsers: three failures ten minutes ago, three now. Without the first three an attempt is free again."""
    fail(3, HTTP_USER_AGENT="a")
    age(minutes=10)
    fail(2, HTTP_USER_AGENT="b")
    answer = login("Ann@x.com", "secret", HTTP_USER_AGENT="b")
    assert answer.status_code == 429
    assert 4 * 60 < int(answer.headers["Retry-After"]) <= 5 * 60


def test_admin_locks_with_a_readable_page(ann: User, client: Client) -> None:
    assert [admin_login(client, "Ann@x.com", "wrong").status_code for _ in range(5)] == [200] * 4 + [429]
    answer = admin_login(client, "Ann@x.com", "secret")
    assert answer.status_code == 429
    assert answer.headers["Content-Type"].startswith("text/html")
    assert 14 * 60 < int(answer.headers["Retry-After"]) <= 15 * 60
    page = answer.content.decode()
    assert "<h1>Too many failed logins</h1>" in page
    assert "Try again in 15 minutes." in page
    assert client.get("/admin/").status_code == 302


def test_admin_and_api_share_their_count(ann: User, client: Client) -> None:
    fail(3)
    assert admin_login(client, "ann@x.com", "wrong").status_code == 200
    assert admin_login(client, "ann@x.com", "wrong").status_code == 429
    assert login("Ann@x.com", "secret").status_code == 429


def test_admin_logs_in_by_the_only_spelling(ann: User, client: Client) -> None:
    assert admin_login(client, "ann@X.com", "secret").status_code == 302
    assert client.get("/admin/").status_code == 200
    User.objects.create_user("ann@x.com", "secret", role="staff")
    other = Client()
    assert admin_login(other, "ANN@x.com", "secret").status_code == 200
    assert other.get("/admin/").status_code == 302


@pytest.mark.parametrize("typed", ["a\0b", "x" * 5000, "é" * 100, " "])
def test_odd_input_in_the_admin_is_a_failed_login(ann: User, client: Client, typed: str) -> None:
    assert admin_login(client, typed, "secret").status_code == 200
    assert admin_login(client, "Ann@x.com", typed).status_code == 200


def test_new_password_by_mail_ends_the_lock_of_who_set_it(ann: User, mailoutbox: list[EmailMessage]) -> None:
    fail(5)
    fail(5, ip="192.0.2.66")
    post("password/reset/", {"email": "Ann@x.com"})
    from accounts.services import passwords

    link = {"uid": str(ann.pk), "token": passwords.link_tokens.make_token(ann)}
    assert post("password/reset/confirm/", {**link, "password": "correct horse 7"}).status_code == 200
    assert login("ann@x.com", "correct horse 7").status_code == 200
    assert login("ann@x.com", "correct horse 7", ip="192.0.2.66").status_code == 429


@pytest.mark.parametrize(
    ("proxies", "remote", "forwarded", "found"),
    [
        (0, "192.0.2.1", "10.0.0.1", "192.0.2.1"),
        (1, "192.0.2.1", "10.0.0.1", "10.0.0.1"),
        (1, "192.0.2.1", "6.6.6.6, 10.0.0.1", "10.0.0.1"),
        (2, "192.0.2.1", "6.6.6.6, 10.0.0.1, 10.0.0.2", "10.0.0.1"),
        (1, "192.0.2.1", None, "192.0.2.1"),
        (1, "192.0.2.1", "10.0.0.1:5432", "10.0.0.1"),
        (1, "192.0.2.1", "[2001:db8::1]:5432", "2001:db8::1"),
        (0, "2001:DB8::1", None, "2001:db8::1"),
        (0, "::ffff:192.0.2.1", None, "192.0.2.1"),
        (0, "fe80::1%eth0", None, "fe80::1"),
        (1, "192.0.2.1", "no address'); --", "0.0.0.0"),
        (0, "", None, "0.0.0.0"),
    ],
)
def test_place_is_what_the_nearest_trusted_proxy_saw(
    settings: Any, proxies: int, remote: str, forwarded: str | None, found: str
) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert lockout.client_ip(RequestFactory().get("/", REMOTE_ADDR=remote, headers=headers)) == found


@pytest.mark.parametrize(("remote", "forwarded"), [("", None), ("192.0.2.1", "no address"), ("fe80::1%eth0", None)])
def test_login_from_an_unknown_place_is_counted(ann: User, settings: Any, remote: str, forwarded: str | None) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert fail(5, ip=remote, **headers) == [401] * 4 + [429]
