"""Making users."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.signals import users_created
from tests.accounts.legacy import rows

pytestmark = pytest.mark.django_db


def test_created_user_is_a_customer_with_the_email_as_typed() -> None:
    user = User.objects.create_user(" Ann@X.com ", "secret")
    user.refresh_from_db()
    assert (user.email, user.role, user.active, user.is_staff) == ("Ann@X.com", "customer", True, False)
    assert user.check_password("secret")
    assert user.created_at is not None
    assert user.updated_at is not None
    assert str(user) == "Ann@X.com"


@pytest.mark.parametrize("email", [None, "", "  "])
def test_user_without_email_cannot_log_in_and_shows_the_id(email: str | None) -> None:
    user = User.objects.create_user(email)
    assert user.email is None
    assert not user.has_usable_password()
    assert str(user) == str(user.id)
    assert rows("SELECT left(password_hash, 1) FROM users") == [("!",)]


def test_login_name_is_found_exactly_as_written() -> None:
    upper, lower = User.objects.create_user("Ann@x.com"), User.objects.create_user("ann@x.com")
    assert User.objects.get_by_natural_key("Ann@x.com") == upper
    assert User.objects.get_by_natural_key("ann@x.com") == lower
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key("ANN@x.com")


def test_second_user_of_an_email_is_refused() -> None:
    User.objects.create_user("a@x.com")
    with pytest.raises(ValidationError) as refusal:
        User(email="a@x.com", password="!").full_clean()
    assert refusal.value.message_dict == {"email": ["A user with this email already exists."]}
    with pytest.raises(IntegrityError, match="users_email_key"), transaction.atomic():
        User.objects.create_user("a@x.com")
    assert User.objects.count() == 1


def test_superuser_is_a_super_admin_or_none() -> None:
    boss = User.objects.create_superuser("boss@x.com", "secret")
    assert (boss.role, boss.is_staff, boss.is_superuser) == ("super_admin", True, True)
    with pytest.raises(ValueError, match="A superuser's role is super_admin, not 'staff'"):
        User.objects.create_superuser("other@x.com", "secret", role="staff")
    with pytest.raises(ValueError, match="logs in by email"):
        User.objects.create_superuser(" ", "secret")
    assert User.objects.get() == boss


def test_createsuperuser_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "secret")
    call_command("createsuperuser", "--noinput", email="boss@x.com", verbosity=0)
    boss = User.objects.get(email="boss@x.com")
    assert boss.is_superuser
    assert boss.check_password("secret")


def test_bulk_create_sends_users_created() -> None:
    heard: list[tuple[list[User], str]] = []

    def listen(users: list[User], using: str, **kwargs: Any) -> None:
        heard.append((users, using))

    async def bulk_create_later() -> list[User]:
        return await User.objects.abulk_create([User(password="!")])

    users_created.connect(listen, sender=User)
    try:
        users = User.objects.bulk_create([User(email="a@x.com", password="!"), User(password="!")])
        User.objects.bulk_create([])
        later = async_to_sync(bulk_create_later)()
    finally:
        users_created.disconnect(listen, sender=User)
    assert heard == [(users, "default"), (later, "default")]


@pytest.mark.django_db(transaction=True)
def test_bulk_create_is_undone_when_a_listener_fails() -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("no profile")

    users_created.connect(fail, sender=User)
    try:
        with pytest.raises(RuntimeError, match="no profile"):
            User.objects.bulk_create([User(email="a@x.com", password="!")])
    finally:
        users_created.disconnect(fail, sender=User)
    assert not User.objects.exists()
