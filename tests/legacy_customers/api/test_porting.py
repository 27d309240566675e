"""docs/porting.md: its Python and its SQL are run, from top to bottom, against the sample shop."""

import ast
import inspect
import re
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection

from legacy_customers.sample.persons import row_id
from profiles.services import ProfileService, profile_service

PAGE = (Path(settings.BASE_DIR) / "docs" / "porting.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def compiled(source: str) -> CodeType:
    return compile(source, "docs/porting.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def run_python(source: str, names: dict[str, Any]) -> None:
    code = compiled(source)
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, names)
        return

    async def awaited() -> None:
        await eval(code, names)

    async_to_sync(awaited)()


def run_sql(source: str, names: dict[str, Any]) -> None:
    for statement in source.split(";\n"):
        if statement.strip():
            with connection.cursor() as cursor:
                cursor.execute(statement, names)


def test_every_block_of_the_page_runs(shop: str) -> None:
    names: dict[str, Any] = {
        "customer_id": str(row_id("linked", "customers")),
        "merged_customer_id": str(row_id("guest_of_verified_user", "customers", 2)),
    }
    kinds = [kind for kind, _ in BLOCKS]
    assert (kinds.count("python"), kinds.count("sql"), len(kinds)) == (13, 8, 21)
    for kind, source in BLOCKS:
        if kind == "python":
            run_python(source, names)
        else:
            run_sql(source, {name: value for name, value in names.items() if name.endswith("_id")})


def test_a_broken_promise_of_the_page_would_be_seen(shop: str) -> None:
    with pytest.raises(AssertionError):
        run_python("customer = await service.aget_customer('new')\nassert customer", {"service": profile_service})


def test_every_call_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(?:await )?(\w+)\([^`]*\)`", PAGE)) | set(re.findall(r"profile_service\.(\w+)\(", PAGE))
    assert len(named) > 12
    assert {name for name in named if not hasattr(ProfileService, name)} == set()


def test_every_old_name_of_the_service_is_on_the_page() -> None:
    for name in ("get_customer", "get_customer_by_user_id", "create_customer", "update_customer", "delete_customer"):
        assert f"| `{name}(" in PAGE
    for name in ("list_customers", "get_customer_orders", "get_customer_stats", "update_loyalty_points"):
        assert f"| `{name}(" in PAGE
