"""accounts.0001_initial: creates users, or adopts what the old application left."""

import uuid

import pytest
from django.db import IntegrityError, connection
from django.dispatch import Signal

from accounts.models import User
from config.adoption import AdoptionError
from tests.accounts.legacy import Variant, backwards, forwards, make_users, rows, shape, storage

pytestmark = pytest.mark.usefixtures("empty_database")


def test_users_is_created_in_an_empty_database_and_dropped_backwards() -> None:
    forwards("accounts")
    assert [name for name, *_ in shape("users")["columns"]] == [
        "id",
        "email",
        "password_hash",
        "role",
        "active",
        "email_verified",
        "phone_verified",
        "age_verified",
        "terms_accepted",
        "tenant_id",
        "last_login",
        "created_at",
        "updated_at",
    ]
    assert rows("SELECT table_name, action, added_columns, relaxed_columns FROM adopted_tables")[0] == (
        "users",
        "created",
        [],
        [],
    )
    backwards("accounts")
    assert rows("SELECT to_regclass('users'), to_regclass('adopted_tables')") == [(None, None)]


@pytest.mark.parametrize("variant", ["current", "older"])
def test_legacy_users_is_adopted_without_rewriting_a_row(variant: Variant) -> None:
    make_users(variant)
    before, stored, carts = shape("users"), storage("users"), shape("carts")
    forwards("accounts")
    after = shape("users")
    assert storage("users") == stored
    assert shape("carts") == carts
    assert after["constraints"] == before["constraints"]
    assert after["indexes"] == before["indexes"]
    relaxed = [(*column[:-1], "YES") if column[0] == "email" else column for column in before["columns"]]
    added = [("tenant_id", "uuid", "uuid", None, None, "YES")] if variant == "older" else []
    assert after["columns"] == relaxed + added
    assert rows("SELECT action, added_columns, relaxed_columns FROM adopted_tables WHERE table_name = 'users'") == [
        ("adopted", ["tenant_id"] if variant == "older" else [], ["email"])
    ]


@pytest.mark.parametrize("variant", ["current", "older"])
def test_adopted_users_is_given_back_exactly_as_it_was(variant: Variant) -> None:
    make_users(variant)
    before, stored = shape("users"), storage("users")
    forwards("accounts")
    backwards("accounts")
    assert shape("users") == before
    assert storage("users") == stored
    assert rows("SELECT to_regclass('adopted_tables')") == [(None,)]


def test_users_without_email_stop_the_way_back_and_are_counted() -> None:
    make_users()
    forwards("accounts")
    rows("INSERT INTO users (password_hash) VALUES ('!') RETURNING id")
    adopted = shape("users")
    with pytest.raises(AdoptionError) as refusal:
        backwards("accounts")
    assert str(refusal.value) == (
        "users.email was NOT NULL before adoption, and 1 rows have no value now. "
        "Run rollback_unification, which takes such rows back, or give them one, and try again."
    )
    assert shape("users") == adopted


@pytest.mark.parametrize("variant", ["current", "older"])
def test_the_old_applications_insert_goes_on_working(variant: Variant) -> None:
    make_users(variant)
    forwards("accounts")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO users (email, password_hash, first_name) VALUES ('bo@x.com', '$2b$10$x', 'Bo')")
    user = User.objects.get(email="bo@x.com")
    assert (user.role, user.active, user.email_verified, user.tenant_id) == (
        "customer" if variant == "current" else "user",
        True,
        False,
        None,
    )


@pytest.mark.parametrize("variant", ["current", "older"])
def test_roles_are_written_and_read_in_either_column(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Signal, "send", lambda *args, **kwargs: [])  # there are no profiles here to make
    make_users(variant)
    forwards("accounts")
    single = User.objects.create_user("single@x.com", role="store_manager")
    several = User.objects.bulk_create(
        [User(email=f"bulk{n}@x.com", password="!", role=role) for n, role in enumerate(["customer", None, "staff"])]
    )
    assert dict(User.objects.values_list("email", "role")) == {
        "Ann@x.com": "staff",
        "ann@x.com": None,
        "single@x.com": "store_manager",
        "bulk0@x.com": "customer",
        "bulk1@x.com": None,
        "bulk2@x.com": "staff",
    }
    assert User.objects.filter(role="staff").count() == 2
    assert User.objects.filter(role="no such role").count() == 0
    assert User.objects.filter(role__in=["staff", "user"]).count() == 2
    assert User.objects.filter(role__icontains="MANAGER").get() == single
    assert list(User.objects.exclude(role=None).order_by("role", "email").values_list("role", flat=True)) == [
        "customer",
        "staff",
        "staff",
        "store_manager",
    ]
    single.role = "tenant_admin"
    single.save()
    several[0].role, several[1].role = "staff", "customer"
    User.objects.bulk_update(several, ["role"])
    User.objects.filter(email="ann@x.com").update(role="customer")
    assert dict(User.objects.values_list("email", "role")) == {
        "Ann@x.com": "staff",
        "ann@x.com": "customer",
        "single@x.com": "tenant_admin",
        "bulk0@x.com": "staff",
        "bulk1@x.com": "customer",
        "bulk2@x.com": "staff",
    }


def test_ids_of_others_pointing_at_users_stay_enforced() -> None:
    make_users()
    forwards("accounts")
    with pytest.raises(IntegrityError), connection.cursor() as cursor:
        cursor.execute("INSERT INTO carts VALUES (2, %s)", [uuid.uuid4()])
