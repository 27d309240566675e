"""Who sees which page of the workplace: for every role and page what accounts/roles.py says, and nothing else."""

import uuid

import pytest
from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from accounts.roles import ROLE_PERMISSIONS, Role
from accounts.staff_admin import CappedPaginator
from config.sidebar import GROUPS
from legacy_customers.sample.logins import LOGINS
from legacy_customers.sample.persons import row_id
from orders import tables_admin
from profiles.models import FieldConflict, Profile, SavedFilter
from profiles.workplace import panels, tabs
from tests.databases import run
from tests.factories import OrderFactory, UserFactory

STAFF = [role for role in Role.values if role != Role.CUSTOMER]
LIST = "/admin/profiles/profile/"


def log_in(client: Client, role: str) -> User:
    user = User.objects.get(email=next(login.email for login in LOGINS if login.role == role))
    client.force_login(user, "accounts.backends.AddressBackend")
    return user


def holds(role: str, permission: str) -> bool:
    return role == Role.SUPER_ADMIN or permission in ROLE_PERMISSIONS[role]


def of(key: str) -> Profile:
    return Profile.objects.by_customer_id(row_id(key, "customers"))[0]  # type: ignore[attr-defined]


def test_every_permission_that_a_page_asks_for_is_some_roles_or_the_super_admins_alone() -> None:
    """A misspelt one would be nobody's but the super_admin's, and nobody would notice."""
    asked = {entry.needs for entries in GROUPS.values() for entry in entries}
    asked |= {part.needs for part in (*tabs.values(), *panels.values())}
    known = set().union(*ROLE_PERMISSIONS.values())
    ours = {f"{model._meta.app_label}.{get_permission_codename('view', model._meta)}" for model in admin.site._registry}
    assert asked - known - ours == {"", tables_admin.NEEDS}


@pytest.mark.parametrize("role", STAFF)
def test_each_list_opens_for_who_may_see_it(shop: str, client: Client, role: str) -> None:
    log_in(client, role)
    for model in admin.site._registry:
        opts = model._meta
        page = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        seen = holds(role, f"{opts.app_label}.{get_permission_codename('view', opts)}")
        assert client.get(page).status_code == (200 if seen else 403), page


@pytest.mark.parametrize("role", STAFF)
def test_sidebar_shows_what_the_role_may_open(shop: str, client: Client, role: str) -> None:
    log_in(client, role)
    shown = {item["link"] for group in client.get("/admin/").context["sidebar_navigation"] for item in group["items"]}
    entries = [entry for group in GROUPS.values() for entry in group]
    assert shown == {reverse(entry.address) for entry in entries if not entry.needs or holds(role, entry.needs)}


@pytest.mark.parametrize("role", STAFF)
def test_each_tab_opens_for_who_may_see_it(shop: str, client: Client, role: str) -> None:
    log_in(client, role)
    mine, elsewhere = of("names_disagree"), of("names_differ_in_form")
    User.objects.filter(pk=elsewhere.user_id).update(tenant_id=uuid.uuid4())
    for tab in tabs.values():
        seen = holds(role, tab.needs)
        assert client.get(f"{LIST}{mine.pk}/{tab.name}/").status_code == (200 if seen else 403), tab.name
        theirs = client.get(f"{LIST}{elsewhere.pk}/{tab.name}/").status_code
        assert theirs == (200 if role == Role.SUPER_ADMIN else 404), tab.name
        assert client.get(f"{LIST}{uuid.uuid4()}/{tab.name}/").status_code == 404
    links = client.get(f"{LIST}{mine.pk}/change/").content.decode()
    for tab in tabs.values():
        assert (f"{LIST}{mine.pk}/{tab.name}/" in links) is holds(role, tab.needs), tab.name
    assert client.get(f"{LIST}{elsewhere.pk}/change/").status_code == (200 if role == Role.SUPER_ADMIN else 302)


@pytest.mark.parametrize("role", ["customer", None])
def test_customers_and_strangers_are_asked_to_log_in_everywhere(shop: str, client: Client, role: str | None) -> None:
    if role:
        log_in(client, role)
    profile = of("names_disagree")
    pages = [entry.address for group in GROUPS.values() for entry in group]
    addresses = [reverse(page) for page in pages] + [f"{LIST}{profile.pk}/{tab}/" for tab in ("change", *tabs)]
    for address in addresses:
        for answer in (client.get(address), client.post(address, {"points": "5", "reason": "mine"})):
            assert (answer.status_code, answer.headers["Location"][:13]) == (302, "/admin/login/"), address
    profile.refresh_from_db()
    assert profile.loyalty_points == 0


@pytest.mark.parametrize("role", STAFF)
def test_no_page_of_a_person_shows_medical_conditions_without_the_permission(
    shop: str, client: Client, role: str
) -> None:
    log_in(client, role)
    profile = of("names_disagree")
    run("UPDATE profiles SET medical_conditions = '[\"scurvy\"]' WHERE id = %s", profile.pk)
    FieldConflict.objects.create(
        profile=profile, field="medical_conditions", rule="shape", other_value="scurvy", other_table="t", other_row="1"
    )
    pages = ["change", *(name for name, tab in tabs.items() if holds(role, tab.needs))]
    showing = {page for page in pages if "scurvy" in client.get(f"{LIST}{profile.pk}/{page}/").content.decode()}
    seen = {"change", "history", "conflicts", "origins"} if holds(role, "profiles.view_medical_conditions") else set()
    assert showing & {"change", "history", "conflicts", "origins"} == seen
    assert showing <= seen | {"privacy", "export"}


@pytest.mark.parametrize("tab", ["change", *tabs])
def test_page_of_a_person_has_a_fixed_number_of_queries(shop: str, client: Client, tab: str) -> None:
    log_in(client, Role.SUPER_ADMIN)
    little, much = of("names_differ_in_form"), of("names_disagree")
    for number in range(30):
        run("UPDATE profiles SET phone = %s, loyalty_points = loyalty_points + 1 WHERE id = %s", str(number), much.pk)
        FieldConflict.objects.create(
            profile=much, field="phone", rule="first", other_value="1", other_table="t", other_row=str(number)
        )
    run("UPDATE orders SET user_id = %s", much.user_id)
    run("UPDATE profile_aliases SET profile_id = %s", much.pk)
    counts = []
    client.get(f"{LIST}{little.pk}/{tab}/")  # what is kept between requests
    for profile in (little, much):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"{LIST}{profile.pk}/{tab}/").status_code == 200
        counts.append(len(queries))
    # Who is named in the rows is one question more, where anybody is.
    assert counts[1] - counts[0] in (0, 1)
    assert counts[1] <= 12


def test_saved_filter_is_seen_by_its_maker_or_the_tenant_and_removed_by_them_or_a_manager(
    shop: str, client: Client
) -> None:
    maker = log_in(client, Role.STAFF)
    form = {"name": "Guests of ours", "query": "is_guest=true&p=2", "shared": "on"}
    assert client.post(f"{LIST}save-filter/", form).status_code == 302
    assert client.post(f"{LIST}save-filter/", form).status_code == 302  # told that the name is taken
    shared = SavedFilter.objects.get()
    assert (shared.query, shared.made_by, shared.tenant_id) == ("is_guest=true", maker, maker.tenant_id)
    for wrong in ({"name": " ", "query": "q=x"}, {"name": "x" * 41, "query": "q=x"}, {"name": "x", "query": "p=3"}):
        client.post(f"{LIST}save-filter/", wrong)
    assert SavedFilter.objects.count() == 1
    own = SavedFilter.objects.create(name="own", query="q=a", made_by=maker, tenant_id=maker.tenant_id)
    colleague = UserFactory(role=Role.STAFF, tenant_id=maker.tenant_id)
    stranger = UserFactory(role=Role.STORE_MANAGER, tenant_id=uuid.uuid4())
    for user, sees in ((colleague, {shared}), (stranger, set()), (maker, {shared, own})):
        assert set(SavedFilter.objects.seen_by(user)) == sees
    client.force_login(colleague, "accounts.backends.AddressBackend")
    for kept in (shared, own):
        assert client.post(f"{LIST}remove-filter/{kept.pk}/").status_code in (403, 404)
    log_in(client, Role.STORE_MANAGER)
    assert client.post(f"{LIST}remove-filter/{shared.pk}/").status_code == 302
    assert list(SavedFilter.objects.all()) == [own]


@pytest.mark.parametrize("column", ["order_number", "receipt_number"])
def test_number_on_paper_leads_to_somebody_without_a_login(shop: str, client: Client, column: str) -> None:
    log_in(client, Role.SUPER_ADMIN)
    guest = Profile.objects.filter(user__email=None)[0]
    order = OrderFactory(user=guest.user, **{column: "R-2026/17"})
    User.objects.filter(pk=guest.user_id).update(tenant_id=uuid.uuid4())
    found = client.get(LIST, {"q": "R-2026/17"}).context["cl"].result_list
    assert [profile.pk for profile in found] == [guest.pk]
    assert list(client.get(LIST, {"q": "R-2026/17 x"}).context["cl"].result_list) == []
    assert [one.pk for one in client.get("/admin/orders/order/", {"q": "R-2026/17"}).context["cl"].result_list] == [
        order.pk
    ]
    log_in(client, Role.STAFF)  # of another tenant
    assert list(client.get(LIST, {"q": "R-2026/17"}).context["cl"].result_list) == []


def test_list_says_that_it_is_longer_than_it_counts(shop: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(client, Role.SUPER_ADMIN)
    monkeypatch.setattr(CappedPaginator, "MOST", 60)
    for page in ("/admin/profiles/profilealias/", "/admin/accounts/user/"):
        answer = client.get(page)
        assert answer.context["cl"].result_count == 60
        assert "The first 60: search for what is further back." in answer.content.decode()
