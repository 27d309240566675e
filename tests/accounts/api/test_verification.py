"""Whether an address is its account's."""

from typing import Any

import pytest
from django.core import signing
from django.core.mail import EmailMessage

from accounts.models import User
from accounts.services import verification
from profiles.models import ProfileHistory
from tests.accounts.api.calls import linked, post
from tests.api import assert_problem, client_for
from tests.databases import run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("Ann@x.com", "secret")


def verified() -> bool | None:
    return User.objects.get(email="Ann@x.com").email_verified


def test_mail_is_sent_again_to_who_asks_and_its_link_verifies(ann: User, mailoutbox: list[EmailMessage]) -> None:
    answer = client_for(ann).post("/api/auth/email/verify/resend")
    assert (answer.status_code, answer.json()) == (202, {"detail": "A mail is on its way to Ann@x.com."})
    assert [message.to for message in mailoutbox] == [["Ann@x.com"]]
    for _ in range(2):  # a second click is no error, and no second change
        assert post("email/verify", linked(mailoutbox[0])).status_code == 200
    assert verified() is True
    assert list(ProfileHistory.objects.values_list("via", "changed_by", "changes")) == [
        ("api", ann.pk, {"users.email_verified": {"old": False, "new": True}})
    ]


def test_mail_is_not_sent_to_nobody_nor_for_what_is_verified(ann: User, mailoutbox: list[EmailMessage]) -> None:
    assert_problem(client_for(None).post("/api/auth/email/verify/resend/"), 401, "not_authenticated")
    guest = User.objects.create_user(None)
    assert_problem(client_for(guest).post("/api/auth/email/verify/resend/"), 409, "no_email")
    ann.email_verified = True
    body = assert_problem(client_for(ann).post("/api/auth/email/verify/resend/"), 409, "already_verified")
    assert body["detail"] == "The address Ann@x.com is verified already; nothing is left to do."
    assert mailoutbox == []


@pytest.mark.parametrize("statement", ["email = 'ann@x.com'", "email = NULL", "active = false"])
def test_link_of_an_account_that_has_changed_is_refused(ann: User, statement: str) -> None:
    token = verification.token_for(ann)
    run(f"UPDATE users SET {statement}")
    body = assert_problem(post("email/verify/", {"token": token}), 409, "link_not_valid")
    assert body["detail"] == (
        "This link is too old, incomplete or for another address. Ask for another: POST /api/auth/email/verify/resend/."
    )
    assert User.objects.get().email_verified is False


def test_old_link_is_refused(ann: User, settings: Any) -> None:
    token = verification.token_for(ann)
    settings.EMAIL_VERIFICATION_HOURS = -1
    assert_problem(post("email/verify/", {"token": token}), 409, "link_not_valid")
    assert verified() is False


@pytest.mark.parametrize("token", ["x", "x:y:z", "é", ":" * 50, "x" * 9999])
def test_made_up_link_is_refused(ann: User, token: str) -> None:
    assert_problem(post("email/verify/", {"token": token}), 409, "link_not_valid")


def test_link_signed_for_something_else_is_refused(ann: User) -> None:
    token = signing.dumps([str(ann.pk), ann.email], salt="something else")
    assert_problem(post("email/verify/", {"token": token}), 409, "link_not_valid")
    assert verified() is False
