"""The dashboard's panels about the unification, of a database in any state."""

import uuid
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from legacy_customers import dashboard
from legacy_customers.models import ApiUsage, VerificationRun
from legacy_customers.unification.verify import verify
from profiles.panels import Table
from tests.databases import run

REQUEST = RequestFactory().get("/admin/")


def values(table: Table) -> list[tuple[str, ...]]:
    return [tuple(text for text, _ in row) for row in table.rows]


def test_unification_tells_rows_before_and_after_and_whose_they_are(seed: str) -> None:
    shown = dashboard.unification(REQUEST)
    assert [(tile.label, tile.value) for tile in shown["tiles"]] == [("Old customers", "10"), ("People now", "10")]
    before, after, cases = shown["tables"]
    assert values(before)[:2] == [("users", "8"), ("customers", "10")]
    assert values(after)[:2] == [("users", "10"), ("profiles", "10")]
    assert values(cases)[0] == ("linked to an account", "8")
    assert cases.rows[0][0][1] == "/admin/legacy_customers/customeridentity/?case__exact=linked"


def test_health_asks_for_attention_where_something_is_wrong(seed: str) -> None:
    never, sync = dashboard.health(REQUEST)["tiles"]
    assert (never.value, never.alarm, sync.value, sync.alarm) == ("never", True, "awake", False)
    report = verify(connection)
    VerificationRun.objects.create(passed=True, report=report.as_json())
    passed, _ = dashboard.health(REQUEST)["tiles"]
    assert (passed.value, passed.alarm) == ("passed", False)
    failing = report.as_json()
    failing["checks"]["old_ids_resolve"]["passed"] = False
    last = VerificationRun.objects.create(passed=False, report=failing)
    run("ALTER TABLE customers DISABLE TRIGGER USER")
    failed, faulty = dashboard.health(REQUEST)["tiles"]
    assert (failed.value, failed.alarm) == ("failed", True)
    assert failed.note.endswith(": old_ids_resolve")
    assert failed.address == f"/admin/legacy_customers/verificationrun/{last.pk}/change/"
    assert (faulty.value, faulty.alarm) == ("faulty", True)
    assert "on customers is disabled" in faulty.note


def test_usage_names_who_writes_to_old_tables_and_who_calls_the_old_api(seed: str) -> None:
    shown = dashboard.usage(REQUEST)
    assert (shown["tables"], shown["empty"][:6]) == ([], "Nobody")
    run("UPDATE customers SET city = 'Elsewhere'")
    now = datetime.now(UTC)
    ApiUsage.objects.create(
        day=now.date(), client="till 3", method="GET", route="/api/customers/", first_at=now, last_at=now, calls=1234
    )
    assert dashboard.usage(REQUEST)["tables"] == []  # as of up to five minutes ago
    writes, calls = dashboard._usage()
    assert [(who, n) for who, _, n in values(writes)] == [
        (f"{connection.settings_dict['USER'] or 'postgres'} to customers", "10")
    ]
    assert [(who, n) for who, _, n in values(calls)] == [("till 3 (no agent)", "1,234")]


@pytest.mark.django_db
def test_shop_without_an_old_database_is_told_so() -> None:
    for show in (dashboard.unification, dashboard.health):
        assert show(REQUEST) == {"empty": "No old database was taken over."}
    assert dashboard.usage(REQUEST)["tables"] == []


def test_panels_ask_a_fixed_number_of_queries(seed: str) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            dashboard.unification(REQUEST)
            dashboard.health(REQUEST)
            dashboard._usage()
        return len(queries)

    few = asked()
    for number in range(5):
        User.objects.create_user(f"new{number}@example.com", "correct horse 7")
        run("INSERT INTO customers (id, email) VALUES (%s, '')", uuid.uuid4())
    assert asked() == few <= 20
