"""Every error is a problem, and none says what it should not."""

import logging

import pytest
from django.db import connection
from django.test import Client

from accounts.models import ApiKey
from tests.api import assert_problem
from tests.factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.api.views")]


def test_problem_answers_with_its_status_code_text_and_headers(client: Client) -> None:
    answer = client.get("/api/fail/problem/")
    assert assert_problem(answer, 409, "too_late") == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "code": "too_late",
        "detail": "The shop closed at 18:00. Come back tomorrow.",
        "instance": "/api/fail/problem/",
    }
    assert answer.headers["X-Wait"] == "1"


def test_conflict_and_not_found_name_the_value(client: Client) -> None:
    assert assert_problem(client.get("/api/fail/conflict/"), 409, "taken")["detail"] == "The number 7 is taken."
    assert assert_problem(client.get("/api/fail/missing/"), 404, "not_found")["detail"] == "There is no thing 7."


def test_field_errors_name_their_path_and_are_one_text_too(client: Client) -> None:
    body = assert_problem(client.get("/api/fail/nested/"), 400, "invalid")
    assert body["errors"] == [{"field": "items.1.price", "code": "invalid", "detail": "A price is needed."}]
    assert body["detail"] == "items.1.price: A price is needed."


def test_throttled_says_when_to_come_back(client: Client) -> None:
    answer = client.get("/api/fail/throttled/")
    assert_problem(answer, 429, "throttled")
    assert answer.headers["Retry-After"] == "3"


def test_value_that_fits_no_column_is_the_callers_fault(client: Client) -> None:
    body = assert_problem(client.get("/api/fail/range/"), 400, "out_of_range")
    assert body["detail"] == "A value does not fit its column: integer out of range. Nothing was written."


@pytest.mark.django_db(transaction=True)
def test_broken_constraint_is_a_conflict_and_writes_nothing(client: Client) -> None:
    UserFactory()
    body = assert_problem(client.get("/api/fail/unique/"), 409, "conflict")
    assert "api_keys_digest" in body["detail"]
    assert "same" not in body["detail"]
    assert not ApiKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_lost_database_asks_to_try_again(client: Client) -> None:
    answer = client.get("/api/fail/gone/")
    connection.close()  # as the end of a request does with one that is lost
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "1"


def test_unforeseen_error_is_recorded_and_not_shown(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.raise_request_exception = False
    with caplog.at_level(logging.ERROR, "django.request"):
        answer = client.get("/api/fail/unforeseen/")
    body = assert_problem(answer, 500, "internal_error")
    assert "cause" not in body["detail"]
    assert "the cause, which nobody outside may read" in caplog.text


def test_view_that_declares_no_access_lets_nobody_in(client: Client) -> None:
    assert_problem(client.get("/api/undeclared/"), 401, "not_authenticated")


def test_call_without_login_is_told_how(client: Client) -> None:
    answer = client.get("/api/echo/")
    body = assert_problem(answer, 401, "not_authenticated")
    assert "Send Authorization: Bearer and a token of POST /api/auth/token/" in body["detail"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_page_that_cannot_be_answered_in_the_wanted_type_is_a_problem(client: Client) -> None:
    body = assert_problem(client.get("/api/echo/", headers={"accept": "text/csv"}), 406, "not_acceptable")
    assert body["detail"].endswith("Answers are application/json: let Accept allow that, or leave it out.")
