"""The page /api/docs/, and the examples of the OpenAPI document that it shows."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft4Validator

from tests.api import assert_problem

document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)


def examples() -> Iterator[Any]:
    """Each example with the schema that it must fit."""
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            bodies = {"request": call.get("requestBody", {}), **call["responses"]}
            for body, described in bodies.items():
                for content in described.get("content", {}).values():
                    for name, example in content.get("examples", {}).items():
                        found = (example["value"], content["schema"])
                        yield pytest.param(*found, id=f"{method} {path} {body} {name}")


def nullable(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema says it."""
    if isinstance(schema, list):
        return [nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: nullable(value) for name, value in schema.items() if name != "nullable"}
    return {"anyOf": [changed, {"type": "null"}]} if schema.get("nullable") is True else changed


@pytest.mark.parametrize(("example", "schema"), [*examples()])
def test_example_is_what_the_schema_says(example: Any, schema: dict[str, Any]) -> None:
    components = nullable(document["components"])
    validator = Draft4Validator({**nullable(schema), "components": components})
    assert [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(example)] == []


def test_main_calls_have_an_example_of_what_to_send() -> None:
    for path in ("auth/register", "auth/token", "auth/password/reset/confirm", "pos/transactions", "orders"):
        body = document["paths"][f"/api/{path}/"]["post"]["requestBody"]["content"]["application/json"]
        assert body["examples"], path


def test_every_call_says_in_a_line_what_it_does() -> None:
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            assert 0 < len(call.get("summary", "")) <= 110, f"{method} {path}: {call.get('summary')!r}"
            assert not call["summary"].endswith("."), call["summary"]


def test_every_tag_is_explained_and_used() -> None:
    used = {tag for methods in document["paths"].values() for call in methods.values() for tag in call["tags"]}
    assert used == {tag["name"] for tag in document["tags"] if tag["description"]}


def test_page_loads_nothing_from_elsewhere(client: Client) -> None:
    answer = client.get("/api/docs/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', answer.content.decode())
    assert len(loaded) == 4
    for address in loaded:
        assert address.startswith("/static/"), address
        assert finders.find(address.removeprefix("/static/")), address
    assert 'url: "/api/schema/"' in answer.content.decode()


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/"])
def test_errors_of_what_is_no_json_are_problems_too(client: Client, path: str) -> None:
    assert_problem(client.post(path), 405, "method_not_allowed")
    assert_problem(client.get(path, headers={"accept": "image/png"}), 406, "not_acceptable")


@pytest.mark.django_db
def test_landing_page_leads_to_it_and_to_the_walk_through(client: Client) -> None:
    page = client.get("/").content.decode()
    assert 'href="/api/docs/"' in page
    assert 'href="/docs/api/"' in page
