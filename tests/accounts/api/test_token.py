"""Logging in and out, and going on."""

import datetime
import threading
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.models import User
from tests.accounts.api.calls import login, me, post
from tests.api import assert_problem
from tests.databases import one, run

pytestmark = pytest.mark.django_db

WRONG = (
    "No active account has this address and password. Check both, or set a new password: "
    "POST /api/auth/password/reset/."
)


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("Ann@x.com", "secret")


def test_login_gives_tokens_and_notes_the_time(ann: User) -> None:
    stored = one("SELECT password_hash FROM users")
    answer = login("Ann@x.com", "secret")
    assert answer.status_code == 200
    assert sorted(answer.json()) == ["access", "refresh"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert me(answer.json()["access"]).json()["id"] == str(ann.pk)
    ann.refresh_from_db()
    assert ann.last_login is not None
    assert one("SELECT password_hash FROM users") == stored


@pytest.mark.parametrize("rounds", ["04", "10"])
def test_legacy_hash_logs_in_and_stays_as_it_is(rounds: str) -> None:
    import bcrypt

    raw = bcrypt.hashpw(b"secret", bcrypt.gensalt(int(rounds), prefix=b"2a")).decode()
    run("INSERT INTO users (email, password_hash) VALUES ('old@x.com', %s)", raw)
    assert login("old@x.com", "secret").status_code == 200
    assert one("SELECT password_hash FROM users") == raw


def test_login_makes_no_session_and_no_log(ann: User) -> None:
    answer = login("Ann@x.com", "secret")
    assert not answer.cookies
    assert Session.objects.count() == 0
    assert one("SELECT count(*) FROM axes_accesslog") == 0


def test_stored_list_of_tokens_holds_no_token(ann: User) -> None:
    tokens = login("Ann@x.com", "secret").json()
    post("token/refresh/", {"refresh": tokens["refresh"]})
    assert list(OutstandingToken.objects.values_list("token", "user")) == [("", ann.pk)] * 2


@pytest.mark.parametrize("typed", ["ann@x.com", "ANN@X.COM", " Ann@x.com", "ann@x.com "])
def test_only_account_of_an_address_is_found_in_any_spelling(ann: User, typed: str) -> None:
    answer = login(typed, "secret")
    assert answer.status_code == 200
    assert me(answer.json()["access"]).json()["email"] == "Ann@x.com"


def test_of_two_spellings_the_exact_one_is_meant(ann: User) -> None:
    User.objects.create_user("ann@x.com", "other")
    assert login("Ann@x.com", "secret").status_code == 200
    assert login("ann@x.com", "other").status_code == 200
    assert login(" ann@x.com", "other").status_code == 200
    assert login("ann@x.com", "secret").status_code == 401
    assert login("ANN@x.com", "secret").status_code == 401


def test_legacy_address_with_white_space_is_found_as_stored() -> None:
    User.objects.create(email=" bo@x.com", password="!")
    bo = User.objects.get()
    bo.set_password("secret")
    bo.save()
    assert login(" bo@x.com", "secret").status_code == 200


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("Ann@x.com", "Secret"),
        ("Ann@x.com", "secret "),
        ("nobody@x.com", "secret"),
        ("gone@x.com", "secret"),
        ("unknown@x.com", "secret"),
        ("guest@x.com", "secret"),
        ("orphan@x.com", "secret"),
        ("Ann@x.com", "x" * 1000),
        ("nobody@x.com", "é" * 100),
        ("x" * 1000, "secret"),
    ],
)
def test_every_failure_reads_alike(ann: User, email: str, password: str) -> None:
    User.objects.create_user("gone@x.com", "secret", active=False)
    User.objects.create_user("unknown@x.com", "secret", active=None)
    User.objects.create_user("guest@x.com")
    User.objects.create_user(None)
    User.objects.create(email="orphan@x.com", password="legacy_bcrypt$2b$10$dummy.hash.for.orphaned.customers")
    answer = login(email, password)
    assert assert_problem(answer, 401, "wrong_credentials")["detail"] == WRONG
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_long_legacy_password_is_cut_as_the_old_application_cut_it() -> None:
    User.objects.create_user("old@x.com", "x" * 80)
    assert login("old@x.com", "x" * 72).status_code == 200
    assert login("old@x.com", "x" * 300).status_code == 200
    assert login("old@x.com", "x" * 71).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "Ann@x.com"},
        {"email": "", "password": "x"},
        {"email": "Ann@x.com", "password": ""},
        {"email": None, "password": None},
        {"email": {}, "password": []},
        {"email": 1, "password": 1.5},
        {"email": "Ann@x.com", "password": "secret", "extra": 1},
        {"email": "Ann@x.com", "password": "x" * 1001},
        [],
        "text",
        None,
    ],
)
def test_unfit_body_is_refused(ann: User, body: Any) -> None:
    assert_problem(post("token/", body), 400, "invalid")
    ann.refresh_from_db()
    assert ann.last_login is None


def test_expired_token_in_the_header_keeps_nobody_from_logging_in(ann: User) -> None:
    assert login("Ann@x.com", "secret", token="old.and.useless").status_code == 200


def test_refresh_token_works_once(ann: User) -> None:
    first = login("Ann@x.com", "secret").json()
    second = post("token/refresh", {"refresh": first["refresh"]})
    assert second.status_code == 200
    assert sorted(second.json()) == ["access", "refresh"]
    assert me(second.json()["access"]).status_code == 200
    body = assert_problem(post("token/refresh/", {"refresh": first["refresh"]}), 401, "token_not_valid")
    assert body["detail"] == (
        "This refresh token is used up, too old or none of ours. Log in again: POST /api/auth/token/."
    )
    assert post("token/refresh/", {"refresh": second.json()["refresh"]}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_refresh_token_that_is_sent_twice_at_once_works_once(ann: User) -> None:
    token = login("Ann@x.com", "secret").json()["refresh"]
    answers: list[int] = []

    def refresh() -> None:
        try:
            answers.append(post("token/refresh/", {"refresh": token}).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=refresh) for _ in range(6)]
    with transaction.atomic():
        run("LOCK TABLE token_blacklist_blacklistedtoken IN SHARE ROW EXCLUSIVE MODE")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(0.2)
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [401] * 5
    assert OutstandingToken.objects.count() == 2


def test_deleted_inactive_or_changed_user_refreshes_nothing(ann: User) -> None:
    def refresh() -> Any:
        return post("token/refresh/", {"refresh": str(RefreshToken.for_user(ann))})

    token = str(RefreshToken.for_user(ann))
    User.objects.update(active=False)
    assert_problem(refresh(), 401, "token_not_valid")
    User.objects.update(active=True)
    ann.set_password("other")
    ann.save()
    assert_problem(post("token/refresh/", {"refresh": token}), 401, "token_not_valid")
    token = str(RefreshToken.for_user(ann))
    run("UPDATE token_blacklist_outstandingtoken SET user_id = NULL")
    run("DELETE FROM profiles")
    run("DELETE FROM users")
    assert_problem(post("token/refresh/", {"refresh": token}), 401, "token_not_valid")
    assert post("token/blacklist/", {"refresh": token}).status_code == 200


def test_logged_out_session_goes_on_no_more(ann: User) -> None:
    tokens = login("Ann@x.com", "secret").json()
    answer = post("token/blacklist", {"refresh": tokens["refresh"]})
    assert (answer.status_code, answer.json()) == (200, {})
    assert_problem(post("token/refresh/", {"refresh": tokens["refresh"]}), 401, "token_not_valid")
    assert_problem(post("token/blacklist/", {"refresh": tokens["refresh"]}), 401, "token_not_valid")


@pytest.mark.parametrize("path", ["token/refresh/", "token/blacklist/"])
@pytest.mark.parametrize(
    "raw", ["x", "é.é.é", "a.b.c", "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoxfQ.", "." * 50, "x" * 9999]
)
def test_text_that_is_no_token_is_401(path: str, raw: str) -> None:
    assert_problem(post(path, {"refresh": raw}), 401, "token_not_valid")


def test_access_token_refreshes_nothing_and_a_refresh_token_opens_nothing(ann: User) -> None:
    tokens = login("Ann@x.com", "secret").json()
    assert_problem(post("token/refresh/", {"refresh": tokens["access"]}), 401, "token_not_valid")
    assert_problem(me(tokens["refresh"]), 401, "token_not_valid")


def test_old_token_is_refused(ann: User) -> None:
    for kind, answer in (
        (AccessToken, lambda raw: me(raw)),
        (RefreshToken, lambda raw: post("token/refresh/", {"refresh": raw})),
    ):
        token = kind.for_user(ann)
        token.set_exp(lifetime=datetime.timedelta(seconds=-1))
        assert_problem(answer(str(token)), 401, "token_not_valid")
