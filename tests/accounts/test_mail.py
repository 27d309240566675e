"""Mails that go over a network are sent behind the request's back."""

import threading
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from accounts import mail

sent: list[tuple[str, list[str]]] = []
may_send, done = threading.Event(), threading.Event()


class SlowBackend(BaseEmailBackend):
    """A mail server that takes its time."""

    def send_messages(self, email_messages: Any) -> int:
        may_send.wait(10)
        for message in email_messages:
            sent.append((message.subject, message.to))
        done.set()
        return len(email_messages)


@pytest.mark.django_db(transaction=True)
def test_mail_is_sent_after_the_commit_and_nobody_waits_for_it(settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.SlowBackend"
    sent.clear()
    with transaction.atomic():
        mail.post(EmailMessage("Hello", "text", to=["ann@x.com"]))
    assert sent == []  # the commit is through, and the mail server has not answered
    may_send.set()
    assert done.wait(10)
    assert sent == [("Hello", ["ann@x.com"])]


def test_subject_is_the_first_line_and_the_text_is_not_escaped() -> None:
    message = mail.write(
        "verify_email", to=" o'neil@x.com ", context={"email": "o'neil@x.com", "link": "a&b", "hours": 1}
    )
    assert (message.subject, message.to) == ("Confirm your address", ["o'neil@x.com"])
    assert "made with o'neil@x.com." in str(message.body)
    assert "\na&b\n" in str(message.body)


def test_link_leads_to_the_site_and_quotes_what_it_carries(settings: Any) -> None:
    settings.PUBLIC_URL = "https://shop.example/de/"
    assert mail.link("verify-email", token="a:b/c d") == "https://shop.example/de/verify-email?token=a%3Ab%2Fc+d"
