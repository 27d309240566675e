"""JSON in and out."""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from config.api.json import JSONRenderer, Made
from tests.api import assert_problem, client_for
from tests.factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.api.views")]


def post(client: Client, body: bytes) -> Any:
    return client.post("/api/echo/", body, content_type="application/json")


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b'{"a": NaN}', b'"\xff"', b'"\\ud800"', b'{"a": 1}}'], ids=repr)
def test_body_that_is_no_json_is_refused(client: Client, body: bytes) -> None:
    assert_problem(post(client, body), 400, "parse_error")


@pytest.mark.parametrize("body", [b'"a\\u0000b"', b'{"a\\u0000": 1}', b'[{"a": ["\\u0000"]}]'])
def test_nul_in_a_text_is_refused_wherever_it_is(client: Client, body: bytes) -> None:
    problem = assert_problem(post(client, body), 400, "parse_error")
    assert "\\u0000" in problem["detail"]


def test_backslash_that_only_looks_like_nul_is_kept(client: Client) -> None:
    answer = post(client, b'"C:\\\\u0000"')
    assert (answer.status_code, answer.json()) == (200, "C:\\u0000")


def test_another_type_than_json_is_refused(client: Client) -> None:
    answer = client.post("/api/echo/", "a=1", content_type="application/x-www-form-urlencoded")
    problem = assert_problem(answer, 415, "unsupported_media_type")
    assert problem["detail"].endswith("Send JSON, with Content-Type: application/json.")


def test_body_that_is_too_long_is_not_read(client: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 20
    assert post(client, b'"%s"' % (b"a" * 18)).status_code == 200
    problem = assert_problem(post(client, b'"%s"' % (b"a" * 19)), 413, "too_large")
    assert problem["detail"] == "The body is longer than 20 bytes, which is more than any call needs. Send less."


def test_json_made_by_the_database_passes_as_it_is() -> None:
    answer = client_for(UserFactory()).get("/api/echo/")
    assert answer.content == b'{"made":[1.50]}'


def test_money_is_a_number_and_made_json_nests() -> None:
    rendered = JSONRenderer().render({"total": Decimal("12.30"), "inner": Made(b'{"a":1}')})
    assert json.loads(rendered) == {"total": 12.3, "inner": {"a": 1}}
