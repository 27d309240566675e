"""Accounts in the admin."""

import uuid

import pytest
from django.test import Client

from accounts.models import ApiKey, User
from accounts.services import api_keys
from profiles.models import ProfileHistory
from tests.accounts.legacy import rows
from tests.databases import one, run

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/user/"
KEYS = "/admin/accounts/apikey/"


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


def test_who_logs_in_without_saying_where_to_go_sees_the_dashboard(client: Client) -> None:
    User.objects.create_user("boss@x.com", "secret", role="super_admin")
    answer = client.post("/admin/login/", {"username": "boss@x.com", "password": "secret"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


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


def test_password_is_changed_and_the_history_names_who_did_it(client: Client) -> None:
    boss = login(client, "super_admin")
    ann = User.objects.create_user("ann@x.com", "old")
    answer = client.post(
        f"{LIST}{ann.pk}/password/",
        {"usable_password": "true", "password1": "correct horse 1", "password2": "correct horse 1"},
    )
    assert answer.status_code == 302
    ann.refresh_from_db()
    assert ann.check_password("correct horse 1")
    assert list(ProfileHistory.objects.values_list("profile__user", "via", "changed_by", "changes")) == [
        (ann.pk, "admin", boss.pk, {"users.password_hash": {}})
    ]


def test_own_password_is_changed_and_the_history_names_who_did_it(client: Client) -> None:
    own = login(client, "staff")
    data = {"old_password": "secret", "new_password1": "correct horse 1", "new_password2": "correct horse 1"}
    assert client.get("/admin/password_change/").status_code == 200
    assert client.post("/admin/password_change/", data).status_code == 302
    own.refresh_from_db()
    assert own.check_password("correct horse 1")
    assert list(ProfileHistory.objects.values_list("profile__user", "via", "changed_by", "changes")) == [
        (own.pk, "admin", own.pk, {"users.password_hash": {}})
    ]
    assert client.get("/admin/").status_code == 200


def test_password_that_bcrypt_would_cut_is_refused_in_the_admin(client: Client) -> None:
    login(client, "super_admin")
    ann = User.objects.create_user("ann@x.com", "old")
    before = one("SELECT password_hash FROM users WHERE email = 'ann@x.com'")
    long = "correct horse " * 6
    answer = client.post(f"{LIST}{ann.pk}/password/", {"usable_password": "true", "password1": long, "password2": long})
    assert "only the first 72 would count" in answer.content.decode()
    assert one("SELECT password_hash FROM users WHERE email = 'ann@x.com'") == before


def test_form_keeps_what_it_does_not_change(client: Client) -> None:
    login(client, "super_admin")
    old = User.objects.create(
        password="legacy_bcrypt$2b$10$dummy.hash.for.orphaned.customers", role="user", active=None
    )
    assert change(client, old, email_verified="true") == 302
    assert rows("SELECT email, password_hash, role, active, email_verified FROM users WHERE id = %s", old.pk) == [
        (None, "$2b$10$dummy.hash.for.orphaned.customers", "user", None, True)
    ]


@pytest.mark.parametrize(
    ("values", "verified"),
    [({"email": "other@x.com"}, False), ({"role": "staff"}, True), ({"email": "ANN@x.com", "role": "staff"}, False)],
)
def test_another_address_is_not_verified(client: Client, values: dict[str, str], verified: bool) -> None:
    login(client, "super_admin")
    ann = User.objects.create_user("ann@x.com", email_verified=True)
    assert change(client, ann, **values) == 302
    ann.refresh_from_db()
    assert ann.email_verified is verified


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


def issue(client: Client, owner: User, name: str = "till 1"):  # type: ignore[no-untyped-def]
    return client.post(f"{KEYS}add/", {"user": str(owner.pk), "name": name})


def test_key_is_issued_and_shown_once(client: Client) -> None:
    boss = login(client, "super_admin")
    till = User.objects.create_user("till@x.com", "secret", role="staff")
    assert client.get(f"{KEYS}add/").status_code == 200
    answer = issue(client, till)
    assert answer.status_code == 200
    key = ApiKey.objects.get()
    page = answer.content.decode()
    start = page.index("it is not shown again: ") + len("it is not shown again: ")
    text = page[start : start + 47]
    assert api_keys.digest(text) == key.digest
    assert (key.user, key.name, key.prefix) == (till, "till 1", text[:12])
    assert "no-store" in answer.headers["Cache-Control"]
    assert text not in str(answer.cookies)
    for later in (KEYS, f"{KEYS}{key.pk}/change/", f"{KEYS}{key.pk}/history/", LIST, "/admin/"):
        assert text not in client.get(later).content.decode()
    assert one("SELECT count(*) FROM django_session WHERE session_data LIKE %s", f"%{text}%") == 0
    assert rows("SELECT user_id, object_repr FROM django_admin_log") == [(boss.pk, f"till 1 ({text[:12]}…)")]


def test_list_of_keys_says_when_each_was_used_and_revoked(client: Client, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    boss = login(client, "super_admin")
    for n in range(3):
        api_keys.issue_key(boss, f"till {n}", by=boss)
    run(
        "UPDATE api_keys SET last_used_at = '2026-03-01 12:00Z', revoked_at = '2026-04-01 12:00Z' WHERE name = 'till 2'"
    )
    with django_assert_num_queries(4):
        page = client.get(KEYS).content.decode()
    assert "March 1, 2026, noon" in page
    assert "April 1, 2026, noon" in page
    for n in range(30):
        api_keys.issue_key(boss, f"more {n}", by=boss)
    with django_assert_num_queries(4):
        client.get(KEYS)
    assert client.get(KEYS, {"revoked_at__isempty": "0"}).context["cl"].result_count == 1
    # In quotes: two words alone would each be looked for, and a random prefix can hold a 1.
    assert client.get(KEYS, {"q": '"till 1"'}).context["cl"].result_count == 1


@pytest.mark.parametrize("role", ["super_admin", "tenant_admin"])
def test_tenant_admin_issues_no_key_of_an_equal_or_a_superior(client: Client, role: str) -> None:
    own = login(client, "tenant_admin")
    superior = User.objects.create_user("up@x.com", "secret", role=role)
    page = issue(client, superior).content.decode()
    assert "Choose yourself or somebody of your tenant who ranks below you." in page
    assert not ApiKey.objects.exists()
    assert issue(client, own).status_code == 200
    assert ApiKey.objects.get().user == own


def test_tenant_admin_sees_and_issues_keys_of_the_own_tenant_alone(client: Client) -> None:
    tenant = uuid.uuid4()
    own = login(client, "tenant_admin", tenant)
    boss = User.objects.create_user("boss@x.com", role="super_admin")
    stranger = User.objects.create_user("other@x.com", "secret", role="staff", tenant_id=uuid.uuid4())
    api_keys.issue_key(stranger, "theirs", by=boss)
    page = issue(client, stranger).content.decode()
    assert "Choose yourself or somebody of your tenant who ranks below you." in page
    assert ApiKey.objects.count() == 1
    mine, _ = api_keys.issue_key(own, "mine", by=own)
    assert list(client.get(KEYS).context["cl"].queryset) == [mine]


def test_inactive_account_gets_no_key_in_the_admin(client: Client) -> None:
    login(client, "super_admin")
    gone = User.objects.create_user("gone@x.com", "secret", active=False)
    assert "This account is not active: its key would not work." in issue(client, gone).content.decode()
    assert not ApiKey.objects.exists()


def test_keys_are_revoked_where_the_rank_allows_it(client: Client) -> None:
    own = login(client, "tenant_admin")
    boss = User.objects.create_user("boss@x.com", role="super_admin")
    mine, _ = api_keys.issue_key(own, "mine", by=own)
    theirs, _ = api_keys.issue_key(boss, "theirs", by=boss)
    data = {"action": "revoke", "_selected_action": [mine.pk, theirs.pk]}
    page = client.post(KEYS, data, follow=True).content.decode()
    assert "Revoked: 1." in page
    assert "Not yours to revoke: 1. Their accounts rank no lower than yours." in page
    assert list(ApiKey.objects.filter(revoked_at=None)) == [theirs]
    assert rows("SELECT user_id, change_message FROM django_admin_log") == [(own.pk, "Revoked.")]


def test_keys_are_not_changed_and_not_deleted(client: Client) -> None:
    boss = login(client, "super_admin")
    key, _ = api_keys.issue_key(boss, "mine", by=boss)
    assert client.get(f"{KEYS}{key.pk}/change/").status_code == 200
    assert client.post(f"{KEYS}{key.pk}/change/", {"user": str(boss.pk), "name": "other"}).status_code == 403
    assert client.post(f"{KEYS}{key.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(KEYS, {"action": "delete_selected", "_selected_action": [key.pk]}).status_code == 302
    assert list(ApiKey.objects.values_list("name", flat=True)) == ["mine"]


@pytest.mark.parametrize("role", ["store_manager", "staff"])
def test_other_roles_do_not_reach_keys(client: Client, role: str) -> None:
    own = login(client, role)
    assert client.get(KEYS).status_code == 403
    assert issue(client, own).status_code == 403
    assert not ApiKey.objects.exists()


def test_lists_of_sessions_are_not_in_the_admin(client: Client) -> None:
    login(client, "super_admin")
    page = client.get("/admin/").content.decode()
    assert "/admin/token_blacklist/" not in page
    assert "/admin/axes/accessattempt/" in page
