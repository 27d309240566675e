"""Mails about accounts: written while a request is answered, sent behind its back.

How long an answer takes, and whether the mail server is up, must not tell who has an account.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)

# Backends that send nothing over a network are done at once.
INSTANT = tuple(
    f"django.core.mail.backends.{name}.EmailBackend" for name in ("console", "dummy", "filebased", "locmem")
)
_senders = ThreadPoolExecutor(max_workers=4, thread_name_prefix="mail")


def link(page: str, **query: str) -> str:
    """The address of a page of the site that people use; it passes `query` on to the API."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/{page}?{urlencode(query)}"


def write(template: str, *, to: str, context: Mapping[str, Any]) -> EmailMessage:
    """The mail of accounts/templates/accounts/mail/<template>.txt; its first line is the subject."""
    subject, _, text = render_to_string(f"accounts/mail/{template}.txt", dict(context)).partition("\n")
    return EmailMessage(subject.strip(), text.lstrip("\n"), to=[to.strip()])


def post(message: EmailMessage) -> None:
    """Send it once the transaction is committed. A failure is recorded, and nobody is told."""
    if settings.EMAIL_BACKEND in INSTANT:
        transaction.on_commit(lambda: _send(message))
    else:
        transaction.on_commit(lambda: _senders.submit(_send, message))


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except Exception:  # whatever a mail server or a legacy address comes up with
        logger.exception("The mail %r could not be sent", message.subject)
