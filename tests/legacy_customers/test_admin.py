"""The old world in the admin: every list, every search, every odd page; nothing can be written."""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from legacy_customers.models import Attachment, LegacyCustomer, VerificationRun
from legacy_customers.sample.logins import PASSWORD
from legacy_customers.sample.persons import row_id
from legacy_customers.sample.shop_odd import ODD

MODELS = ["legacycustomer", "customeridentity", "attachment", "phase", "verificationrun"]
ROOT = "/admin/legacy_customers/"


@pytest.fixture
def boss(shop: str, client: Client) -> Client:
    """A browser in which a super_admin has logged in through the form."""
    answer = client.post("/admin/login/", {"username": "admin@example.com", "password": PASSWORD})
    assert answer.status_code == 302
    return client


def verify(times: int = 1) -> None:
    for _ in range(times):
        call_command("verify_unification")


@pytest.mark.parametrize("model", MODELS)
def test_list_has_a_fixed_number_of_queries(boss: Client, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(3)
    model_admin = admin.site.get_model_admin(apps.get_model("legacy_customers", model))
    found = []
    for size in (2, 3):
        monkeypatch.setattr(model_admin, "list_per_page", size)
        with CaptureQueriesContext(connection) as queries:
            answer = boss.get(f"{ROOT}{model}/")
        assert answer.status_code == 200
        found.append((len(answer.context["cl"].result_list), len(queries)))
    assert found == [(2, 4), (3, 4)]


@pytest.mark.parametrize("model", MODELS)
def test_pages_open_and_refuse_to_write(boss: Client, model: str) -> None:
    verify()
    rows = apps.get_model("legacy_customers", model).objects.all()
    before = rows.count()
    for row in rows[:20]:
        assert boss.get(f"{ROOT}{model}/{row.pk}/change/").status_code == 200
    address = f"{ROOT}{model}/{row.pk}"
    assert boss.get(f"{ROOT}{model}/add/").status_code == 403
    assert boss.post(f"{address}/change/", {}).status_code == 403
    assert boss.post(f"{address}/delete/", {"post": "yes"}).status_code == 403
    assert rows.count() == before


def test_every_odd_customer_opens(boss: Client) -> None:
    ids = [row["id"] for person in ODD for row in person.customers]
    odd = LegacyCustomer.objects.filter(id__in=ids)
    assert len(odd) > 25
    for customer in odd:
        assert boss.get(f"{ROOT}legacycustomer/{customer.pk}/change/").status_code == 200
    text = boss.get(f"{ROOT}legacycustomer/{row_id('times_infinite', 'customers')}/change/").content.decode()
    assert len(re.findall(r">\s*-infinity\s*<", text)) == 1
    assert len(re.findall(r">\s*infinity\s*<", text)) == 2


@pytest.mark.parametrize(
    ("model", "query", "count"),
    [
        ("legacycustomer", str(row_id("birth_date_bc", "customers")), 1),
        ("customeridentity", str(row_id("birth_date_bc", "customers")), 1),
        ("customeridentity", str(row_id("times_infinite", "users")), 2),
        ("attachment", str(row_id("times_unknown", "customers")), 1),
        ("legacycustomer", "not an id", 0),
        ("attachment", "'; --", 0),
    ],
)
def test_search(boss: Client, model: str, query: str, count: int) -> None:
    assert boss.get(f"{ROOT}{model}/", {"q": query}).context["cl"].result_count == count


def test_archived_rows_are_listed_by_reason(boss: Client) -> None:
    listed = boss.get(f"{ROOT}attachment/", {"reason": "no_customer"}).context["cl"]
    assert listed.result_count == Attachment.objects.filter(reason="no_customer").count() == 7


def test_evidence_of_a_verification_is_shown(boss: Client) -> None:
    verify()
    run = VerificationRun.objects.get()
    assert run.passed
    text = boss.get(f"{ROOT}verificationrun/{run.pk}/change/").content.decode()
    assert "<dt>cells conserved</dt>" in text


@pytest.mark.parametrize("role", ["tenant", "manager", "staff"])
def test_others_do_not_see_the_old_world(shop: str, client: Client, role: str) -> None:
    client.post("/admin/login/", {"username": f"{role}@example.com", "password": PASSWORD})
    assert [client.get(f"{ROOT}{model}/").status_code for model in MODELS] == [403] * 5
