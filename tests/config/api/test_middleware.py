"""Paths under /api/, and errors that never reach a view."""

import pytest
from django.test import Client

from tests.api import assert_problem

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.api.views")]


def test_slash_at_the_end_is_optional_for_every_method(client: Client) -> None:
    for path in ("/api/echo", "/api/echo/"):
        answer = client.post(path, {"a": 1}, content_type="application/json")
        assert (answer.status_code, answer.json()) == (200, {"a": 1})


def test_unknown_address_is_a_problem(client: Client) -> None:
    body = assert_problem(client.get("/api/nothing/here"), 404, "not_found")
    assert body["detail"] == "There is nothing at /api/nothing/here/. See /api/docs/ for what there is."
    assert_problem(client.get("/api"), 404, "not_found")


def test_method_that_is_not_there_names_those_that_are(client: Client) -> None:
    answer = client.delete("/api/fail/problem/")
    body = assert_problem(answer, 405, "method_not_allowed")
    assert body["detail"] == 'Method "DELETE" not allowed. Possible: GET, HEAD, OPTIONS.'
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/api/fail/%00/", "/api/echo/?q=%00"])
def test_nul_in_the_address_is_refused(client: Client, path: str) -> None:
    body = assert_problem(client.get(path), 400, "bad_request")
    assert "%00" in body["detail"]


def test_addresses_outside_the_api_are_left_alone(client: Client) -> None:
    for path in ("/nothing/", "/apiary"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
