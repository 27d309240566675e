"""Accounts in the admin."""

import uuid

import pytest
from django.test import Client

from accounts.hashers import LegacyBcryptHasher
from accounts.models import User
from tests.accounts.legacy import rows

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/user/"


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LegacyBcryptHasher, "rounds", 4)


def login(client: Client, role: str, tenant: uuid.UUID | None = None) -> User:
    user = User.objects.create_user(f"{role}@x.com", "secret", role=role, tenant_id=tenant)
    client.force_login(user)
    return user


def page(user: User) -> str:
    return f"{LIST}{user.pk}/change/"


def change(client: Client, user: User, **values: str) -> int:
    """Post the change form: what it showed, with `values` instead; the answer's status."""
    shown = client.get(page(user)).context["adminform"].form
    data = {name: "" if shown[name].value() is None else str(shown[name].value()) for name in shown.fields}
    return client.post(page(user), {**data, **values}).status_code


def test_list_finds_by_part_of_email_or_by_id(client: Client) -> None:
    login(client, "super_admin")
    ann, guest = User.objects.create_user("Ann@y.com"), User.objects.create_user(None)
    answer = client.get(LIST)
    assert list(answer.context["cl"].list_display) == [
        "action_checkbox",
        "email",
        "role",
        "active",
        "email_verified",
        "created_at",
    ]
    assert answer.context["cl"].full_result_count is None
    assert client.get(LIST, {"q": "@Y"}).context["cl"].queryset.get() == ann
    assert client.get(LIST, {"q": str(guest.pk)}).context["cl"].queryset.get() == guest
    assert client.get(LIST, {"q": "not-an-id"}).context["cl"].result_count == 0
    assert client.get(LIST, {"role__exact": "customer"}).context["cl"].result_count == 2


def test_list_has_a_fixed_number_of_queries(client: Client, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    login(client, "super_admin")
    with django_assert_num_queries(4):
        client.get(LIST)
    User.objects.bulk_create([User(email=f"{n}@y.com", password="!") for n in range(50)])
    with django_assert_num_queries(4):
        client.get(LIST)


def test_user_is_created_with_a_raw_hash(client: Client) -> None:
    login(client, "super_admin")
    data = {"email": "new@x.com", "role": "staff", "usable_password": "true"}
    answer = client.post(f"{LIST}add/", {**data, "password1": "correct horse 1", "password2": "correct horse 1"})
    assert answer.status_code == 302
    new = User.objects.get(email="new@x.com")
    assert (new.role, new.active, new.check_password("correct horse 1")) == ("staff", True, True)
    assert rows("SELECT left(password_hash, 7) FROM users WHERE email = 'new@x.com'") == [("$2b$04$",)]


def test_user_with_a_taken_email_is_refused_readably(client: Client) -> None:
    boss = login(client, "super_admin")
    data = {"email": boss.email, "role": "staff", "usable_password": "false"}
    answer = client.post(f"{LIST}add/", data)
    assert "A user with this email already exists." in answer.content.decode()
    assert User.objects.count() == 1


def test_password_is_changed(client: Client) -> None:
    login(client, "super_admin")
    ann = User.objects.create_user("ann@x.com", "old")
    answer = client.post(
        f"{LIST}{ann.pk}/password/",
        {"usable_password": "true", "password1": "correct horse 1", "password2": "correct horse 1"},
    )
    assert answer.status_code == 302
    ann.refresh_from_db()
    assert ann.check_password("correct horse 1")


def test_form_keeps_what_it_does_not_change(client: Client) -> None:
    login(client, "super_admin")
    old = User.objects.create(
        password="legacy_bcrypt$2b$10$dummy.hash.for.orphaned.customers", role="user", active=None
    )
    assert change(client, old, email_verified="true") == 302
    assert rows("SELECT email, password_hash, role, active, email_verified FROM users WHERE id = %s", old.pk) == [
        (None, "$2b$10$dummy.hash.for.orphaned.customers", "user", None, True)
    ]


def test_tenant_admin_sees_only_the_own_tenant(client: Client) -> None:
    tenant = uuid.uuid4()
    own = login(client, "tenant_admin", tenant)
    User.objects.create_user("other@x.com", tenant_id=uuid.uuid4())
    stranger = User.objects.create_user("none@x.com")
    assert list(client.get(LIST).context["cl"].queryset) == [own]
    assert client.get(page(stranger)).status_code == 302


@pytest.mark.parametrize("role", ["super_admin", "tenant_admin"])
def test_tenant_admin_cannot_change_an_equal_or_a_superior(client: Client, role: str) -> None:
    login(client, "tenant_admin")
    superior = User.objects.create_user("up@x.com", "secret", role=role)
    before = rows("SELECT * FROM users ORDER BY id")
    assert client.post(page(superior), {"email": "mine@x.com"}).status_code == 403
    taken = {"usable_password": "true", "password1": "correct horse 1", "password2": "correct horse 1"}
    assert client.post(f"{LIST}{superior.pk}/password/", taken).status_code == 403
    assert rows("SELECT * FROM users ORDER BY id") == before


def test_tenant_admin_raises_nobody_to_the_own_rank_or_to_another_tenant(client: Client) -> None:
    login(client, "tenant_admin")
    ann = User.objects.create_user("ann@x.com")
    assert change(client, ann, role="tenant_admin") == 200
    assert change(client, ann, role="super_admin") == 200
    assert change(client, ann, role="store_manager", tenant_id=str(uuid.uuid4())) == 302
    ann.refresh_from_db()
    assert (ann.role, ann.tenant_id) == ("store_manager", None)


@pytest.mark.parametrize("role", ["store_manager", "staff", "customer"])
def test_other_roles_do_not_reach_accounts(client: Client, role: str) -> None:
    login(client, role)
    assert client.get(LIST).status_code == (302 if role == "customer" else 403)
