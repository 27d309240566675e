"""Hashes of the old application: read, compared, never rewritten."""

import bcrypt
import pytest
from django.contrib.auth.hashers import check_password, identify_hasher, make_password
from django.test import Client

from accounts.hashers import LegacyBcryptHasher
from accounts.models import User
from tests.accounts.legacy import rows

PLACEHOLDER = "$2b$10$dummy.hash.for.orphaned.customers"


def legacy_hash(password: str, version: str = "2b") -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", f"${version}$")


def test_new_hashes_have_twelve_rounds(monkeypatch: pytest.MonkeyPatch, usual_rounds: int) -> None:
    monkeypatch.setattr(LegacyBcryptHasher, "rounds", usual_rounds)
    assert make_password("secret").startswith("legacy_bcrypt$2b$12$")


@pytest.mark.parametrize("version", ["2a", "2b", "2y"])
def test_every_version_verifies(version: str) -> None:
    encoded = "legacy_bcrypt" + legacy_hash("pässword", version)
    assert check_password("pässword", encoded)
    assert not check_password("password", encoded)


def test_only_the_first_72_bytes_count() -> None:
    encoded = make_password("ä" * 40)
    assert check_password("ä" * 40, encoded)
    assert check_password("ä" * 36 + "b", encoded)
    assert not check_password("ä" * 35 + "b", encoded)


@pytest.mark.parametrize(
    "raw",
    [
        PLACEHOLDER,
        "$2b$",
        "$2b$10$",
        "$2b$99$" + "a" * 53,
        "$2b$04$" + "z" * 53,
        "$2b$04$" + "é" * 53,
        "$2$x",
        "$2b",
    ],
)
def test_malformed_hash_matches_nothing(raw: str) -> None:
    encoded = "legacy_bcrypt" + raw
    hasher = LegacyBcryptHasher()
    assert hasher.verify("", encoded) is False
    assert hasher.verify("x", encoded) is False
    assert check_password("x", encoded) is False
    assert hasher.safe_summary(encoded)["algorithm"] == "legacy_bcrypt"
    assert hasher.must_update(encoded) is False


@pytest.mark.parametrize("password", ["a\0b", "\ud800"])
def test_text_that_cannot_be_hashed_matches_nothing_and_is_refused_by_name(password: str) -> None:
    encoded = make_password("a")
    assert check_password(password, encoded) is False
    with pytest.raises(ValueError, match=r"^The password holds "):
        make_password(password)


def test_summary_masks_the_hash() -> None:
    encoded = make_password("secret")
    summary = identify_hasher(encoded).safe_summary(encoded)
    assert summary["work_factor"] == 4
    assert encoded[-31:] not in summary.values()
    assert summary["hash"].endswith("*" * 25)


@pytest.mark.django_db
@pytest.mark.parametrize("version", ["2a", "2b", "2y"])
def test_login_leaves_the_stored_hash_byte_for_byte(version: str, client: Client) -> None:
    raw = legacy_hash("x" * 80, version)
    rows("INSERT INTO users (email, password_hash, role) VALUES ('boss@x.com', %s, 'staff') RETURNING id", raw)
    answer = client.post("/admin/login/", {"username": "boss@x.com", "password": "x" * 80})
    assert (answer.status_code, answer.headers.get("Location")) == (302, "/admin/")
    assert rows("SELECT password_hash FROM users") == [(raw,)]
    assert User.objects.get().last_login is not None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("raw", "password"),
    [
        (PLACEHOLDER, "x"),
        (PLACEHOLDER, PLACEHOLDER),
        ("$2b$", "x"),
        ("!", "!"),
        ("", "x"),
        ("plain", "plain"),
    ],
)
def test_login_with_a_placeholder_is_refused(raw: str, password: str, client: Client) -> None:
    rows("INSERT INTO users (email, password_hash, role) VALUES ('o@x.com', %s, 'staff') RETURNING id", raw)
    answer = client.post("/admin/login/", {"username": "o@x.com", "password": password})
    assert answer.status_code == 200
    assert "Please enter the correct email" in answer.content.decode()
    assert rows("SELECT password_hash, last_login FROM users") == [(raw, None)]


@pytest.mark.django_db
@pytest.mark.parametrize("active", [False, None])
def test_login_of_an_inactive_user_is_refused(active: bool | None, client: Client) -> None:
    User.objects.create_user("off@x.com", "secret", role="staff", active=active)
    answer = client.post("/admin/login/", {"username": "off@x.com", "password": "secret"})
    assert answer.status_code == 200
    assert "_auth_user_id" not in client.session
