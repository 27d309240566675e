"""The landing page, of a database in any state."""

import re
from html import unescape
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from config.postgresql import counts
from legacy_customers.sample.stories import load_story
from legacy_customers.selectors import ArchivedCount, SuggestionCount, TableCount, documents, overview
from profiles.models import FieldConflict


def page(client: Client, address: str = "/") -> str:
    """The page's words, without its marks."""
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def test_counts_before_and_after(shop: str) -> None:
    found = overview()
    assert found.before == (
        TableCount("users", 383),
        TableCount("customers", 642),
        TableCount("customer_profiles", 121),
        TableCount("user_profiles", 40),
        TableCount("orders", 458),
    )
    assert found.after == (
        TableCount("users", 508),
        TableCount("profiles", 508),
        TableCount("profile_aliases", 146),
        TableCount("orders", 458),
    )


def test_cases_conflicts_suggestions_and_archived_rows(shop: str) -> None:
    found = overview()
    assert [(case.name, case.rows) for case in found.cases] == [
        ("linked to an account", 370),
        ("guest of a verified account", 131),
        ("guest with an address of their own", 109),
        ("guest who stays apart", 32),
    ]
    assert found.conflict_total == FieldConflict.objects.count()
    by_field = {(conflict.field, conflict.rule): conflict.count for conflict in found.conflicts}
    assert by_field["first_name", "first non-blank"] == 14
    assert by_field["orders.user_id", "the order's own user stands"] == 2
    assert found.suggestions == (
        SuggestionCount("the account's address is not verified", 5, 0),
        SuggestionCount("several accounts have the address", 5, 0),
        SuggestionCount("same address, different birth date", 7, 0),
        SuggestionCount("logins differ only in case or white space", 4, 0),
    )
    assert found.archived == (
        ArchivedCount("customer_profiles", "its id is no customer's", 7),
        ArchivedCount("user_profiles", "no account has the session or the address", 5),
        ArchivedCount("user_profiles", "several accounts have the session or the address", 2),
        ArchivedCount("user_profiles", "the account's address is not verified", 1),
    )


def test_decided_suggestions_are_counted_apart(shop: str) -> None:
    suggestions = apps.get_model("profiles", "MergeSuggestion").objects
    suggestions.filter(pk=suggestions.filter(reason="same_login")[0].pk).update(status="dismissed")
    assert overview().suggestions[-1] == SuggestionCount("logins differ only in case or white space", 3, 1)


def test_steps_are_shown_with_rows_and_duration(shop: str) -> None:
    steps = overview().steps
    assert [(step.name, step.rows) for step in steps if step.name != "preflight"] == [
        ("capture", 0),
        ("backup", 1644),
        ("old_trigger", 0),
        ("identity", 803),
        ("consolidate", 508),
        ("conflicts", 77),
        ("orders", 266),
        ("sync", 0),
    ]
    assert all(step.seconds is not None and 0 <= step.seconds < 600 and step.meaning for step in steps)


def test_page_asks_to_verify_and_then_shows_every_check(shop: str, client: Client) -> None:
    assert "Nobody has verified it yet. Run manage.py verify_unification" in page(client)
    call_command("verify_unification")
    found = overview()
    assert (found.todo, found.verification is not None and found.verification.passed) == ("", True)
    assert found.verification is not None
    assert len(found.verification.checks) >= 15
    assert all(check.passed and check.meaning for check in found.verification.checks)
    assert found.verification.cells is not None
    cells = found.verification.cells
    assert cells.nowhere == cells.changed == 0
    assert cells.total == cells.carried + cells.conflicts + cells.defaults + cells.archived > 10_000
    text = page(client)
    assert "Verification passed" in text
    assert "FAILED" not in text
    assert "Every user has a profile." in text


def test_failed_verification_is_shown_without_naming_rows(shop: str, client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM profiles LIMIT 1")
        (changed,) = cursor.fetchone()
        cursor.execute("ALTER TABLE profiles DISABLE TRIGGER USER")
        cursor.execute("UPDATE profiles SET phone = 'without a trace' WHERE id = %s", [changed])
        cursor.execute("ALTER TABLE profiles ENABLE TRIGGER USER")
    with pytest.raises(SystemExit):
        call_command("verify_unification")
    text = page(client)
    assert "Verification FAILED" in text
    assert str(changed) not in text


def test_unfinished_step_shows_its_ranges_and_what_to_run(shop: str, client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE unification_phases SET finished_at = NULL WHERE name = 'orders'")
    text = page(client)
    assert "The unification has not finished. It resumes where it stopped. Run manage.py migrate" in text
    assert "range 1 of 1" in text


def test_no_page_of_the_site_names_a_person(shop: str, client: Client) -> None:
    text = client.get("/").content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT email FROM users WHERE email <> ''")
        assert [email for (email,) in cursor.fetchall() if email in text] == []


def test_number_of_queries_is_fixed(seed: str, client: Client) -> None:
    with CaptureQueriesContext(connection) as few:
        page(client)
    assert len(few) <= 14


def test_large_table_is_estimated(shop: str, monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(counts, "COUNTED", 200)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    assert overview().after == (
        TableCount("users", 508, estimated=True),
        TableCount("profiles", 508, estimated=True),
        TableCount("profile_aliases", 146),
        TableCount("orders", 458, estimated=True),
    )
    assert "about 508" in page(client)


def test_empty_database_says_what_to_run(empty_database: str, client: Client) -> None:
    text = page(client)
    assert "This database is empty." in text
    assert "Run manage.py load_legacy_sample && manage.py migrate" in text


def test_legacy_database_before_migrate_says_what_to_run(empty_database: str, client: Client) -> None:
    load_story(connection, "seed")
    text = page(client)
    assert "A legacy database, as it was found. Nothing has been changed yet. Run manage.py migrate" in text


@pytest.mark.parametrize(
    "target", ["0001_initial", "0002_functions", "0003_backup", "0005_identity", "0006_profiles", "0008_orders"]
)
def test_migration_under_way_says_what_to_run(empty_database: str, client: Client, target: str) -> None:
    load_story(connection, "seed")
    call_command("migrate", "legacy_customers", target, verbosity=0)
    text = page(client)
    assert "Run manage.py migrate" in text


def test_database_without_a_legacy_world_has_nothing_to_unify(empty_database: str, client: Client) -> None:
    call_command("migrate", verbosity=0)
    assert "It began without legacy tables: there was nothing to unify" in page(client)
    call_command("verify_unification")
    assert "Verification passed" in page(client)


def test_documents_are_the_repositorys(client: Client, empty_database: str) -> None:
    assert {"readme", "changelog", "architecture", "runbook", "field-map"} <= set(documents())
    for name, document in documents().items():
        assert unescape(client.get(f"/docs/{name}/").content.decode()).count(document.text) == 1
        assert f'href="/docs/{name}/"' in client.get("/").content.decode()


def test_documents_are_escaped(
    client: Client, empty_database: str, tmp_path: Path, settings: pytest.FixtureRequest
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "odd.md").write_text("# <b>\n<script>alert(1)</script>", encoding="utf-8")
    settings.BASE_DIR = tmp_path  # type: ignore[attr-defined]
    text = client.get("/docs/odd/").content.decode()
    assert "&lt;script&gt;" in text
    assert "<script" not in text


@pytest.mark.parametrize("name", ["nothing", "..", "..%2fsettings", "settings.py", "README.md"])
def test_other_files_are_not_served(client: Client, empty_database: str, name: str) -> None:
    assert client.get(f"/docs/{name}/").status_code == 404


def test_pages_are_for_reading(client: Client, empty_database: str) -> None:
    assert client.post("/").status_code == 405
    assert client.head("/").status_code == 200
