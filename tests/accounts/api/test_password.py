"""Passwords: set anew by mail, changed."""

import threading
import uuid
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import mail
from accounts.models import User
from accounts.services import api_keys, passwords
from profiles.models import ProfileHistory
from tests.accounts.api.calls import linked, login, me, post
from tests.api import assert_problem
from tests.databases import one, run

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = {
    "detail": "If an active account has this address, a mail with a link to set a new password is on its way to it."
}
NEW = "correct horse 7"


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("Ann@x.com", "secret")


def test_guest_claims_the_account_that_was_made_for_them(mailoutbox: list[EmailMessage], settings: Any) -> None:
    settings.PUBLIC_URL = "https://shop.example"
    guest = User.objects.create_user("Guest@x.com")
    guest.profile.loyalty_points = 120
    guest.profile.save()
    answer = post("password/reset", {"email": "guest@X.com"})
    assert (answer.status_code, answer.json()) == (202, ASKED)
    (message,) = mailoutbox
    assert (message.subject, message.to) == ("Set your password", ["Guest@x.com"])
    link = linked(message)
    assert link == {"uid": str(guest.pk), "token": link["token"]}
    assert str(message.body) == (
        "Hello,\n\nsomebody, probably you, asked for a new password for Guest@x.com. Open this page to set one:\n\n"
        f"https://shop.example/reset-password?uid={guest.pk}&token={link['token']}\n\n"
        "It works once, for 24 hours. If the shop made this account for you, this is how it becomes yours: you then\n"
        "find your orders and points in it.\n\n"
        "If you did not ask for it, ignore this mail: your password stays as it is.\n\n"
    )
    answer = post("password/reset/confirm", {**link, "password": NEW})
    assert (answer.status_code, answer.json()) == (
        200,
        {"detail": "The new password is set. Log in with it: POST /api/auth/token/."},
    )
    account = me(login("guest@x.com", NEW).json()["access"]).json()
    assert (account["id"], account["profile_id"], account["email_verified"]) == (
        str(guest.pk),
        str(guest.profile.pk),
        True,
    )
    changes = ProfileHistory.objects.exclude(changes__has_key="loyalty_points")
    assert list(changes.values_list("via", "changed_by", "changes")) == [
        ("api", guest.pk, {"users.password_hash": {}, "users.email_verified": {"old": False, "new": True}})
    ]


def test_link_works_once(ann: User, mailoutbox: list[EmailMessage]) -> None:
    post("password/reset/", {"email": "Ann@x.com"})
    link = linked(mailoutbox[0])
    assert post("password/reset/confirm/", {**link, "password": NEW}).status_code == 200
    body = assert_problem(
        post("password/reset/confirm/", {**link, "password": "another horse 8"}), 409, "link_not_valid"
    )
    assert body["detail"] == (
        "This link is used up, too old or incomplete. Ask for another: POST /api/auth/password/reset/."
    )
    assert login("Ann@x.com", NEW).status_code == 200


def test_link_that_is_sent_twice_at_once_works_once(ann: User, mailoutbox: list[EmailMessage]) -> None:
    post("password/reset/", {"email": "Ann@x.com"})
    link = linked(mailoutbox[0])
    answers: dict[str, int] = {}

    def confirm(password: str) -> None:
        try:
            answers[password] = post("password/reset/confirm/", {**link, "password": password}).status_code
        finally:
            connection.close()

    threads = [threading.Thread(target=confirm, args=(f"correct horse {n}",)) for n in range(4)]
    with transaction.atomic():
        run("LOCK TABLE users IN ROW EXCLUSIVE MODE")
        list(User.objects.select_for_update())
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(0.2)
    for thread in threads:
        thread.join()
    assert sorted(answers.values()) == [200, 409, 409, 409]
    (winner,) = [password for password, status in answers.items() if status == 200]
    assert login("Ann@x.com", winner).status_code == 200


def test_new_password_ends_every_old_session(ann: User, mailoutbox: list[EmailMessage], client: Client) -> None:
    User.objects.update(role="staff")
    ann.refresh_from_db()
    client.force_login(ann)
    assert client.get("/admin/").status_code == 200
    old = login("Ann@x.com", "secret").json()
    assert me(old["access"]).status_code == 200
    post("password/reset/", {"email": "Ann@x.com"})
    assert post("password/reset/confirm/", {**linked(mailoutbox[0]), "password": NEW}).status_code == 200
    assert_problem(me(old["access"]), 401, "token_not_valid")
    assert_problem(post("token/refresh/", {"refresh": old["refresh"]}), 401, "token_not_valid")
    assert client.get("/admin/").status_code == 302
    assert login("Ann@x.com", "secret").status_code == 401


@pytest.mark.parametrize("email", ["nobody@x.com", "gone@x.com", "unknown@x.com", "no address", "%@x.com", "x" * 1000])
def test_unknown_address_is_answered_alike_and_gets_no_mail(
    ann: User, email: str, mailoutbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many queries, tokens and texts as for a known one; only the mail is not sent."""
    User.objects.create_user("gone@x.com", "secret", active=False)
    User.objects.create_user("unknown@x.com", "secret", active=None)
    written: list[str] = []
    write = mail.write

    def counted(template: str, **kwargs: Any) -> EmailMessage:
        written.append(template)
        return write(template, **kwargs)

    monkeypatch.setattr(mail, "write", counted)
    with CaptureQueriesContext(connection) as known:
        answer = post("password/reset/", {"email": "ann@x.com"})
    assert (answer.status_code, answer.json(), len(mailoutbox)) == (202, ASKED, 1)
    with CaptureQueriesContext(connection) as unknown:
        answer = post("password/reset/", {"email": email})
    assert (answer.status_code, answer.json(), len(mailoutbox)) == (202, ASKED, 1)
    assert len(unknown) == len(known) == 1
    assert written == ["password_reset"] * 2


def test_every_account_of_an_address_gets_its_own_link(mailoutbox: list[EmailMessage]) -> None:
    """To its own spelling: who has mail at one of them may not have it at the other."""
    users = {
        user.email: user for user in (User.objects.create_user("Ann@x.com"), User.objects.create_user("ann@x.com"))
    }
    post("password/reset/", {"email": "ANN@x.com"})
    assert {message.to[0]: linked(message)["uid"] for message in mailoutbox} == {
        email: str(user.pk) for email, user in users.items()
    }


def test_mail_that_cannot_be_sent_changes_nothing_in_the_answer(
    ann: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: EmailMessage, fail_silently: bool = False) -> int:
        raise ConnectionRefusedError("no mail server")

    monkeypatch.setattr(EmailMessage, "send", fail)
    assert post("password/reset/", {"email": "Ann@x.com"}).json() == ASKED
    assert "The mail 'Set your password' could not be sent" in caplog.text


@pytest.mark.parametrize(
    "broken",
    [
        {"token": "x"},
        {"token": "d00000-" + "0" * 32},
        {"token": "é-é"},
        {"token": "-" * 40},
        {"uid": str(uuid.UUID(int=0))},
    ],
)
def test_made_up_link_is_refused(ann: User, mailoutbox: list[EmailMessage], broken: dict[str, str]) -> None:
    post("password/reset/", {"email": "Ann@x.com"})
    before = one("SELECT password_hash FROM users")
    answer = post("password/reset/confirm/", {**linked(mailoutbox[0]), "password": NEW, **broken})
    assert_problem(answer, 409, "link_not_valid")
    assert one("SELECT password_hash FROM users") == before


@pytest.mark.parametrize("statement", ["active = false", "active = NULL", "email = 'b@x.com'", "email = NULL"])
def test_link_of_an_account_that_has_changed_is_refused(
    ann: User, mailoutbox: list[EmailMessage], statement: str
) -> None:
    post("password/reset/", {"email": "Ann@x.com"})
    run(f"UPDATE users SET {statement}")
    before = one("SELECT password_hash FROM users")
    answer = post("password/reset/confirm/", {**linked(mailoutbox[0]), "password": NEW})
    assert_problem(answer, 409, "link_not_valid")
    assert one("SELECT password_hash FROM users") == before


def test_link_ends_with_its_time_and_with_a_login(ann: User, mailoutbox: list[EmailMessage], settings: Any) -> None:
    post("password/reset/", {"email": "Ann@x.com"})
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert_problem(post("password/reset/confirm/", {**linked(mailoutbox[0]), "password": NEW}), 409, "link_not_valid")
    settings.PASSWORD_RESET_TIMEOUT = 3600
    assert login("Ann@x.com", "secret").status_code == 200
    assert_problem(post("password/reset/confirm/", {**linked(mailoutbox[0]), "password": NEW}), 409, "link_not_valid")


def test_link_works_for_a_login_at_a_time_beyond_python(ann: User, mailoutbox: list[EmailMessage]) -> None:
    run("UPDATE users SET last_login = 'infinity'")
    post("password/reset/", {"email": "Ann@x.com"})
    assert post("password/reset/confirm/", {**linked(mailoutbox[0]), "password": NEW}).status_code == 200
    assert one("SELECT last_login::text FROM users") == "infinity"


def test_weak_password_is_refused_and_the_link_stays_good(ann: User, mailoutbox: list[EmailMessage]) -> None:
    post("password/reset/", {"email": "Ann@x.com"})
    link = linked(mailoutbox[0])
    body = assert_problem(post("password/reset/confirm/", {**link, "password": "ann@x.com"}), 400, "invalid")
    assert [(error["field"], error["code"]) for error in body["errors"]] == [("password", "password_too_similar")]
    assert post("password/reset/confirm/", {**link, "password": NEW}).status_code == 200


def test_link_stays_with_its_account(ann: User) -> None:
    other = User.objects.create_user("other@x.com", "secret")
    token = passwords.link_tokens.make_token(other)
    answer = post("password/reset/confirm/", {"uid": str(ann.pk), "token": token, "password": NEW})
    assert_problem(answer, 409, "link_not_valid")


def test_changed_password_begins_another_session_and_ends_the_old(ann: User) -> None:
    old = login("Ann@x.com", "secret").json()
    body = {"password": "secret", "new_password": NEW}
    assert_problem(post("password/change/", body), 401, "not_authenticated")
    answer = post("password/change/", body, token=old["access"])
    assert answer.status_code == 200
    assert me(answer.json()["access"]).status_code == 200
    assert post("token/refresh/", {"refresh": answer.json()["refresh"]}).status_code == 200
    assert_problem(me(old["access"]), 401, "token_not_valid")
    assert login("Ann@x.com", NEW).status_code == 200
    assert list(ProfileHistory.objects.values_list("via", "changed_by", "changes")) == [
        ("api", ann.pk, {"users.password_hash": {}})
    ]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"password": "secret", "new_password": "short"}, "new_password", "min_length"),
        ({"password": "secret", "new_password": "12345678901"}, "new_password", "password_entirely_numeric"),
        ({"password": "secret"}, "new_password", "required"),
    ],
)
def test_password_is_not_changed_by_a_wrong_body(ann: User, body: dict[str, str], field: str, code: str) -> None:
    token = login("Ann@x.com", "secret").json()["access"]
    problem = assert_problem(post("password/change/", body, token=token), 400, "invalid")
    assert (field, code) in [(error["field"], error["code"]) for error in problem["errors"]]
    assert login("Ann@x.com", "secret").status_code == 200


def test_password_is_not_changed_by_who_does_not_know_it(ann: User) -> None:
    token = login("Ann@x.com", "secret").json()["access"]
    answer = post("password/change/", {"password": "wrong", "new_password": NEW}, token=token)
    body = assert_problem(answer, 403, "wrong_password")
    assert body["detail"] == "This is not the present password. Nothing was changed."
    assert login("Ann@x.com", "secret").status_code == 200


def test_api_key_changes_no_password(ann: User) -> None:
    _, key = api_keys.issue_key(ann, "till 1", by=ann)
    answer = post("password/change/", {"password": "secret", "new_password": NEW}, token=key)
    assert_problem(answer, 403, "permission_denied")
    assert login("Ann@x.com", "secret").status_code == 200
