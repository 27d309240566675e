"""`manage.py render_sql`."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from legacy_customers.unification.rendering import rendered


def test_writes_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    out = io.StringIO()
    call_command("render_sql", root=tmp_path, stdout=out)
    assert out.getvalue().splitlines() == [f"wrote {path}" for path in rendered()]
    assert {path: (tmp_path / path).read_text(encoding="utf-8") for path in rendered()} == rendered()
    again = io.StringIO()
    call_command("render_sql", root=tmp_path, stdout=again)
    assert again.getvalue() == ""


def test_check_shows_a_difference_and_writes_nothing(tmp_path: Path) -> None:
    call_command("render_sql", root=tmp_path, stdout=io.StringIO())
    changed = tmp_path / "legacy_customers" / "sql" / "orders.sql"
    before = changed.read_text(encoding="utf-8").replace("-- DISAGREEING, a work table\n", "-- SOMETHING ELSE\n")
    changed.write_text(before, encoding="utf-8")
    out = io.StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("render_sql", root=tmp_path, check=True, stdout=out)
    assert str(refused.value) == (
        "Not as rendered: legacy_customers/sql/orders.sql. Run `manage.py render_sql` and commit the result."
    )
    assert "--- SOMETHING ELSE\n+-- DISAGREEING, a work table\n" in out.getvalue()
    assert changed.read_text(encoding="utf-8") == before


def test_every_field_has_a_line() -> None:
    from legacy_customers.unification.field_map import FIELD_MAP

    page = rendered()[Path("docs/field-map.md")]
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == [
        field.column for field in FIELD_MAP
    ]
    assert (
        "| `customer_type` | customers, user_profiles | first that is not blank or the default; else the default"
        " | `regular` |"
    ) in page
