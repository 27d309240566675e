"""How an address and a password become a user."""

import pytest

from accounts.backends import AddressBackend
from accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("password", ["a\0b", "a\ud800b", "", "x" * 5000])
@pytest.mark.parametrize("email", ["ann@x.com", "nobody@x.com"])
def test_text_that_no_password_can_be_fits_nobody(email: str, password: str) -> None:
    User.objects.create_user("ann@x.com", "secret")
    assert AddressBackend().authenticate(None, username=email, password=password) is None


def test_user_is_found_by_either_name_of_the_argument() -> None:
    ann = User.objects.create_user("Ann@x.com", "secret")
    assert AddressBackend().authenticate(None, username="ann@x.com", password="secret") == ann
    assert AddressBackend().authenticate(None, email="ann@x.com", password="secret") == ann
    assert AddressBackend().authenticate(None, username="ann@x.com") is None
    assert AddressBackend().authenticate(None, password="secret") is None


def test_of_several_spellings_none_is_guessed() -> None:
    for email in ("Ann@x.com", "ann@x.com"):
        User.objects.create_user(email, "secret")
    assert User.objects.of_login("ANN@x.com") is None
    assert set(User.objects.with_address(" aNN@x.com ")) == set(User.objects.all())


def test_address_of_nobody_is_nobodys() -> None:
    User.objects.create_user(None)
    assert User.objects.of_login("") is None
    assert not User.objects.with_address("").exists()
