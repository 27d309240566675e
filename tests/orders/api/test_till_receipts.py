"""Receipts: to print, by mail."""

import uuid
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from django.core import mail
from rest_framework.test import APIClient

from accounts.roles import Role
from orders.models import Order
from tests.api import assert_problem, client_as
from tests.orders.till import PATH, line, sale

pytestmark = pytest.mark.django_db
TENANT = uuid.UUID("11111111-1111-4111-8111-111111111111")


@pytest.fixture
def till() -> APIClient:
    return client_as(Role.STAFF, tenant_id=TENANT)


@pytest.fixture
def receipt(till: APIClient) -> str:
    """The address of a receipt."""
    body = sale(
        line(1250.5, 2, discount=1), line(3, 0.5, product={"name": "<b>Tea</b>"}), subtotal=2501.5, total=2501.5
    )
    sold = till.post(PATH, {**body, "timestamp": "2026-11-20T10:00:00Z"}).json()
    till.post(f"{PATH}{sold['id']}/refund", {"amount": 1.5})
    return f"{PATH}{sold['id']}/receipt/"


def test_a_receipt_is_mailed_as_text_and_html(
    till: APIClient, receipt: str, django_capture_on_commit_callbacks: Any, settings: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        response = till.post(f"{receipt}email", {"email": "ann@example.com"})
        assert mail.outbox == []

    assert response.status_code == 200
    assert response.json() == {"success": True, "message": "Receipt R-1 was mailed to ann@example.com."}
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["ann@example.com"], "Your receipt R-1")
    assert message.from_email == settings.DEFAULT_FROM_EMAIL
    assert message.body == (
        "Receipt R-1\n2026-11-20 10:00, store store_001\n\n"
        "2 x Tea at 1250.50: 2500.00\n0.5 x <b>Tea</b> at 3.00: 1.50\n\n"
        "Subtotal: 2501.50\nTax: 0.00\nTotal: 2501.50\nGiven back: 1.50\nLeft: 2500.00\nPaid by: cash\n\n"
        "Thank you for your purchase.\n"
    )
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    assert "&lt;b&gt;Tea&lt;/b&gt;" in html


def test_a_mail_server_that_refuses_is_a_clear_error(
    till: APIClient, receipt: str, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise SMTPRecipientsRefused({})

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
    # As outside a test's transaction: at once.
    monkeypatch.setattr("orders.services.receipts.transaction.on_commit", lambda act: act())
    problem = assert_problem(till.post(f"{receipt}email", {"email": "ann@example.com"}), 503, "mail_failed")
    assert problem["detail"].startswith("Receipt R-1 could not be mailed to ann@example.com")


@pytest.mark.parametrize("body", [{}, {"email": ""}, {"email": "nobody"}, {"email": "a@b.com\nBcc: c@d.com"}, [], "x"])
def test_an_address_that_is_none_is_refused(till: APIClient, receipt: str, body: Any) -> None:
    assert_problem(till.post(f"{receipt}email", body), 400, "invalid")
    assert mail.outbox == []


def test_a_receipt_is_ready_to_print(till: APIClient, receipt: str) -> None:
    response = till.post(f"{receipt}print")
    assert (response.status_code, response.json()) == (
        200,
        {"success": True, "message": "Receipt R-1 is ready to print."},
    )


@pytest.mark.parametrize("status", ["parked", "resumed", "cancelled"])
def test_what_is_not_sold_has_no_receipt(till: APIClient, receipt: str, status: str) -> None:
    Order.objects.update(order_status=status)
    assert_problem(till.post(f"{receipt}print"), 409, "not_sold")
    assert_problem(till.post(f"{receipt}email", {"email": "ann@example.com"}), 409, "not_sold")
