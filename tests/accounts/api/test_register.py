"""Registration."""

import threading
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.db import connection, transaction

from accounts.models import User
from accounts.services import registration
from config.api.problems import Problem
from profiles.models import ProfileHistory
from tests.accounts.api.calls import linked, login, me, post
from tests.api import assert_problem
from tests.databases import run

pytestmark = pytest.mark.django_db(transaction=True)

ANN = {"email": "Ann@x.com", "password": "correct horse 7", "first_name": "Ann", "last_name": "Lée"}


def test_registered_customer_is_logged_in_and_has_a_profile(mailoutbox: list[EmailMessage]) -> None:
    answer = post("register", ANN)
    assert answer.status_code == 201
    body = answer.json()
    user = User.objects.get()
    tokens = {name: body.pop(name) for name in ("access", "refresh")}
    assert body == {
        "id": str(user.pk),
        "email": "Ann@x.com",
        "role": "customer",
        "tenant_id": None,
        "email_verified": False,
        "phone_verified": False,
        "age_verified": False,
        "terms_accepted": False,
        "profile_id": str(user.profile.pk),
        "first_name": "Ann",
        "last_name": "Lée",
    }
    assert me(tokens["access"]).json() == body
    assert post("token/refresh/", {"refresh": tokens["refresh"]}).status_code == 200
    assert login("ann@X.com", ANN["password"]).status_code == 200
    change = ProfileHistory.objects.get()
    assert (change.via, change.changed_by) == ("api", user.pk)
    assert change.changes["first_name"] == {"old": None, "new": "Ann"}
    assert change.changes["last_name"] == {"old": None, "new": "Lée"}
    assert change.changes.keys() - {"updated_at"} == {"first_name", "last_name"}
    assert len(mailoutbox) == 1


def test_mail_of_a_registration_confirms_its_address(mailoutbox: list[EmailMessage], settings: Any) -> None:
    settings.PUBLIC_URL = "https://shop.example/"
    token = post("register/", ANN).json()["access"]
    (message,) = mailoutbox
    assert (message.subject, message.to) == ("Confirm your address", ["Ann@x.com"])
    found = linked(message)
    assert str(message.body).startswith(
        "Hello,\n\nan account was made with Ann@x.com. If you made it, open this page to confirm the address:\n\n"
        "https://shop.example/verify-email?token="
    )
    answer = post("email/verify/", found)
    assert (answer.status_code, answer.json()) == (200, {"detail": "The address Ann@x.com is verified."})
    assert me(token).json()["email_verified"] is True


@pytest.mark.parametrize("spelling", ["ann@x.com", "ANN@X.COM", " Ann@x.com "])
def test_taken_address_is_refused_with_the_way_out(spelling: str, mailoutbox: list[EmailMessage]) -> None:
    """A guest's account is nobody's to register: the mail to its address hands it over."""
    guest = User.objects.create_user("ann@X.com", active=False)
    body = assert_problem(post("register/", {**ANN, "email": spelling}), 409, "email_taken")
    assert body["detail"] == (
        f"There is an account with the address {spelling.strip()} already. Log in, or set a new password: "
        "POST /api/auth/password/reset/. That is also how an account that the shop made for you becomes yours."
    )
    assert User.objects.get() == guest
    assert mailoutbox == []


def test_address_beyond_ascii_is_taken_in_any_case() -> None:
    User.objects.create_user("ÄNNE@x.com")
    with pytest.raises(Problem, match=r"the address änne@x\.com already"):
        registration.register(email="änne@x.com", password="correct horse 7")


@pytest.mark.parametrize("name", ["role", "tenant_id", "email_verified", "is_staff", "active"])
def test_nothing_but_what_is_asked_for_is_taken_from_the_body(name: str) -> None:
    body = assert_problem(post("register/", {**ANN, name: "super_admin"}), 400, "invalid")
    assert body["errors"] == [
        {
            "field": name,
            "code": "unknown_field",
            "detail": "There is no such field here. Possible: email, password, first_name, last_name.",
        }
    ]
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ({"email": "no address"}, "email", "invalid"),
        ({"email": "a@x"}, "email", "invalid"),
        ({"email": f"{'a' * 60}@{'b.' * 100}com"}, "email", "max_length"),
        ({"email": ""}, "email", "blank"),
        ({"email": None}, "email", "null"),
        ({"email": 1}, "email", "invalid"),
        ({"email": ["a@x.com"]}, "email", "invalid"),
        ({"password": "1234567"}, "password", "min_length"),
        ({"password": ""}, "password", "blank"),
        ({"password": "12345678901"}, "password", "password_entirely_numeric"),
        ({"password": "password123"}, "password", "password_too_common"),
        ({"password": "Ann@x.com"}, "password", "password_too_similar"),
        ({"password": "é" * 36 + "x"}, "password", "password_too_long"),
        ({"password": "x" * 1001}, "password", "max_length"),
        ({"password": 12345678}, "password", "invalid"),
        ({"password": True}, "password", "invalid"),
        ({"first_name": "x" * 101}, "first_name", "max_length"),
        ({"first_name": {}}, "first_name", "invalid"),
    ],
)
def test_unfit_value_is_refused_by_field(wrong: dict[str, Any], field: str, code: str) -> None:
    body = assert_problem(post("register/", {**ANN, **wrong}), 400, "invalid")
    assert (field, code) in [(error["field"], error["code"]) for error in body["errors"]]
    assert not User.objects.exists()


@pytest.mark.parametrize("raw", [b'{"email": "a\\ud800@x.com"}', b'{"password": "a\\u0000b"}', b"[]", b"1", b"{", b""])
def test_body_that_is_none_is_refused(raw: bytes) -> None:
    from rest_framework.test import APIClient

    answer = APIClient().generic("POST", "/api/auth/register/", raw, content_type="application/json")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_longest_password_counts_whole() -> None:
    password = "7é" * 24
    assert post("register/", {**ANN, "password": password}).status_code == 201
    assert login("Ann@x.com", password).status_code == 200
    assert login("Ann@x.com", password[:-1] + "x").status_code == 401


def test_mail_is_not_sent_for_a_registration_that_is_undone(mailoutbox: list[EmailMessage]) -> None:
    with transaction.atomic():
        registration.register(email="ann@x.com", password="correct horse 7")
        transaction.set_rollback(True)
    assert mailoutbox == []
    assert not User.objects.exists()


@pytest.mark.parametrize("spellings", [["ann@x.com"] * 8, ["ann@x.com", "Ann@x.com", "ANN@x.com", "ann@X.COM"] * 2])
def test_of_registrations_at_the_same_instant_one_wins(spellings: list[str]) -> None:
    """Each in a thread with a connection of its own; a lock on the table holds all back until everybody is there."""
    answers: list[int] = []

    def register(email: str) -> None:
        try:
            answers.append(post("register/", {**ANN, "email": email}).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=register, args=(email,)) for email in spellings]
    with transaction.atomic():
        run("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(0.2)
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201] + [409] * 7
    assert User.objects.count() == 1


def test_registration_that_the_old_application_overtakes_is_a_taken_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no turn: its row is committed between our look and our write."""
    looks: list[bool] = []

    def look(user: User, using: str) -> bool:
        looks.append(len(looks) >= 2)  # the two looks before the write see nothing yet
        return looks[-1]

    User.objects.create_user("Ann@x.com", "theirs")
    monkeypatch.setattr(registration, "_is_taken", look)
    assert_problem(post("register/", ANN), 409, "email_taken")
    assert looks == [False, False, True]
    assert User.objects.get().check_password("theirs")


def test_calls_are_throttled_by_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    from rest_framework.throttling import ScopedRateThrottle

    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"auth": "2/min"})
    statuses = [post("register/", {}).status_code for _ in range(2)]
    assert statuses == [400, 400]
    answer = post("register/", {})
    assert_problem(answer, 429, "throttled")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert post("register/", {}, ip="192.0.2.2").status_code == 400
