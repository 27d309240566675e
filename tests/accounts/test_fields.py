"""What the database holds of a password."""

import pytest

from accounts.models import User
from tests.accounts.legacy import rows

pytestmark = pytest.mark.django_db

RAW = "$2b$10$abcdefghijklmnopqrstuuH8Ny1X3fZrqVIG0zrHGgUn2EG8sYbPi"


@pytest.mark.parametrize("raw", [RAW, RAW.replace("2b", "2a"), RAW.replace("2b", "2y"), "$2b$", "$2b$10$dummy.hash"])
def test_bcrypt_is_raw_in_the_database_and_prefixed_for_django(raw: str) -> None:
    user = User.objects.create(email="a@x.com", password="legacy_bcrypt" + raw)
    assert rows("SELECT password_hash FROM users") == [(raw,)]
    user.refresh_from_db()
    assert user.password == "legacy_bcrypt" + raw
    assert User.objects.get(password=user.password) == user
    assert User.objects.get(password__in=[raw]) == user
    assert User.objects.get(password__startswith="legacy_bcrypt$2") == user
    assert User.objects.get(password__startswith="legacy_bcrypt") == user
    assert not User.objects.filter(password__startswith="!").exists()


@pytest.mark.parametrize("other", ["pbkdf2_sha256$1$salt$hash", "!unusable", "", "plain", "legacy_bcrypt"])
def test_other_formats_pass_unchanged(other: str) -> None:
    User.objects.bulk_create([User(email="a@x.com", password=other), User(email="b@x.com", password=other)])
    assert rows("SELECT password_hash FROM users") == [(other,), (other,)]
    assert set(User.objects.values_list("password", flat=True)) == {other}
