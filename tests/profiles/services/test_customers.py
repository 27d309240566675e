"""The customer of the old clients, by the old names."""

import datetime
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from accounts.models import User
from accounts.roles import Role
from config.api.problems import Problem
from profiles.models import LoyaltyEntry, MergeSuggestion, Profile, ProfileAlias
from profiles.services import profile_service
from tests.databases import one, rows, run
from tests.factories import OrderFactory, UserFactory, person

pytestmark = pytest.mark.django_db

COLUMNS = [
    *("id", "user_id", "email", "first_name", "last_name", "phone", "date_of_birth", "address", "city", "state"),
    *("postal_code", "country", "loyalty_points", "total_spent", "order_count", "last_order_date", "customer_type"),
    *("preferred_payment_method", "marketing_consent", "sms_consent", "tags", "notes", "is_active", "is_verified"),
    *("created_at", "updated_at", "tenant_id", "name", "birth_date"),
]


def test_customer_is_the_row_of_customers_view_with_name_and_birth_date(django_assert_num_queries: Any) -> None:
    profile = person(
        first_name="Ann", last_name="Lee", tags=["vip"], contact_email="x@example.com", tenant_id=uuid.uuid4(),
        date_of_birth=datetime.date(1990, 2, 3), last_order_date=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    )  # fmt: skip
    with django_assert_num_queries(1):
        found = profile_service.get_customer(profile.pk)
    assert found is not None
    assert list(found) == COLUMNS
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM customers_view WHERE id = %s", [profile.pk])
        row = dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))
    for name in ("last_order_date", "created_at", "updated_at"):
        row[name] = row[name].replace(tzinfo=datetime.UTC)
    row["tags"] = ["vip"]
    assert found == row | {"name": "Ann Lee", "birth_date": datetime.date(1990, 2, 3)}


def test_customer_is_found_by_every_id_in_one_query(django_assert_num_queries: Any) -> None:
    profile, alias = person(), uuid.uuid4()
    ProfileAlias.objects.create(id=alias, profile=profile)
    for wanted in (profile.pk, str(profile.pk).upper(), alias, profile.user_id):
        with django_assert_num_queries(1):
            found = profile_service.get_customer(wanted)
        assert found is not None
        assert found["id"] == profile.pk
    assert profile_service.get_customer_by_user_id(profile.user_id) == profile_service.get_customer(profile.pk)


@pytest.mark.parametrize("wanted", ["anonymous", "", "store_001", "\0", "x" * 5000])
def test_text_that_is_no_id_is_nobody(wanted: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert profile_service.get_customer(wanted) is None
        assert profile_service.get_customer_by_user_id(wanted) is None
        assert profile_service.get_customer_stats(wanted) is None
        assert profile_service.get_customer_orders(wanted) == []
    assert profile_service.update_customer(wanted, {"name": "x"}) is None
    assert profile_service.delete_customer(wanted) is False


def test_profile_id_comes_before_alias_and_alias_before_user_id() -> None:
    first, second, third = person(), person(), person()
    ProfileAlias.objects.create(id=second.user_id, profile=third)
    assert profile_service.get_customer(second.user_id)["id"] == third.pk  # type: ignore[index]
    ProfileAlias.objects.create(id=first.pk, profile=third)
    assert profile_service.get_customer(first.pk)["id"] == first.pk  # type: ignore[index]


def test_ids_of_a_shell_lead_to_who_it_was_merged_into() -> None:
    survivor, shell, alias = person(), person(), uuid.uuid4()
    ProfileAlias.objects.create(id=alias, profile=shell)
    Profile.objects.filter(pk=shell.pk).update(merged_into=survivor)
    for wanted in (shell.pk, shell.user_id, alias):
        assert profile_service.get_customer(wanted)["id"] == survivor.pk  # type: ignore[index]
    assert profile_service.get_customer_by_user_id(shell.user_id)["id"] == survivor.pk  # type: ignore[index]
    assert [customer["id"] for customer in profile_service.list_customers()] == [survivor.pk]


def test_long_form_makes_a_customer() -> None:
    author = UserFactory(role=Role.STAFF, tenant_id=uuid.uuid4())
    made = profile_service.create_customer(
        {
            "first_name": "Ann",
            "last_name": "Lee",
            "email": " Ann@Example.com ",
            "phone": "416",
            "address": {
                "street": "1 Main",
                "city": "Toronto",
                "province": "ON",
                "postal_code": "M1",
                "country": "Canada",
            },
            "tags": ["vip"],
            "notes": "n",
            "loyalty_points": 12,
        },
        by=author,
        via="api",
    )
    assert {name: made[name] for name in ("name", "email", "phone", "address", "city", "state", "postal_code")} == {
        "name": "Ann Lee",
        "email": "Ann@Example.com",
        "phone": "416",
        "address": "1 Main",
        "city": "Toronto",
        "state": "ON",
        "postal_code": "M1",
    }
    assert (made["country"], made["tags"], made["notes"], made["loyalty_points"]) == ("Canada", ["vip"], "n", 12)
    assert (made["tenant_id"], made["is_active"]) == (author.tenant_id, True)
    user = User.objects.get(pk=made["user_id"])
    assert (user.email, user.role, user.email_verified) == ("Ann@Example.com", Role.CUSTOMER, False)
    assert not user.has_usable_password()
    entry = LoyaltyEntry.objects.get(profile_id=made["id"])
    assert (entry.delta, entry.created_by) == (12, author.pk)


def test_short_form_makes_a_customer() -> None:
    made = profile_service.create_customer(
        {"name": "Mary Ann Lee", "email": "", "phone": "", "birth_date": "1990-02-03", "address": "1 Main"}
    )
    assert (made["first_name"], made["last_name"], made["email"]) == ("Mary", "Ann Lee", None)
    assert (made["birth_date"], made["address"]) == (datetime.date(1990, 2, 3), "1 Main")
    empty = profile_service.create_customer({"name": "", "birth_date": ""})
    assert (empty["name"], empty["first_name"], empty["birth_date"]) == ("", None, None)


@pytest.mark.parametrize(
    ("verified", "reason"), [(True, "verified_address"), (False, "unverified_address"), (None, "unverified_address")]
)
def test_taken_address_leaves_the_customer_apart_with_a_suggestion(verified: bool | None, reason: str) -> None:
    account = person("Änn@example.com", email_verified=verified)
    made = profile_service.create_customer({"name": "Ann", "email": "äNN@Example.com"})
    assert made["id"] != account.pk
    assert made["email"] == "äNN@Example.com"
    assert User.objects.get(pk=made["user_id"]).email is None
    assert list(MergeSuggestion.objects.values_list("profile_id", "other_profile_id", "reason")) == [
        (made["id"], account.pk, reason)
    ]


def test_address_of_several_accounts_is_suggested_with_each() -> None:
    accounts = [person("ann@example.com"), person("ANN@example.com")]
    made = profile_service.create_customer({"name": "Ann", "email": "Ann@example.com"})
    found = MergeSuggestion.objects.filter(profile_id=made["id"]).values_list("other_profile_id", "reason")
    assert set(found) == {(account.pk, "shared_address") for account in accounts}


@pytest.mark.parametrize("email", ["no address", "a@b", "two@at@example.com"])
def test_unusable_address_is_no_login(email: str) -> None:
    made = profile_service.create_customer({"name": "Ann", "email": email})
    assert made["email"] == email
    assert User.objects.get(pk=made["user_id"]).email is None
    assert not MergeSuggestion.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_tills_making_one_guest_leave_one_login_and_a_suggestion() -> None:
    start = threading.Barrier(4)

    def make(spelling: str) -> Any:
        try:
            start.wait()
            return profile_service.create_customer({"name": "Ann", "email": spelling})
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, ["ann@example.com", "ANN@example.com", "Ann@example.com", "ann@example.com"]))
    assert len({customer["id"] for customer in made}) == 4
    assert User.objects.exclude(email=None).count() == 1
    assert MergeSuggestion.objects.count() == 3


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "x" * 101}, "first_name"),
        ({"phone": "x" * 51}, "phone"),
        ({"birth_date": "tomorrow"}, "birth_date"),
        ({"email": "x" * 256}, "contact_email"),
        ({"tags": "vip"}, "tags"),
        ({"loyalty_points": 1.5}, "loyalty_points"),
        ({"loyalty_points": True}, "loyalty_points"),
    ],
)
def test_bad_customer_is_refused_and_nobody_is_made(data: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        profile_service.create_customer(data)
    assert list(caught.value.message_dict) == [field]
    assert not User.objects.exists()


def test_negative_start_is_refused_and_nobody_is_made() -> None:
    with pytest.raises(Problem, match="it would end below zero"):
        profile_service.create_customer({"name": "Ann", "loyalty_points": -1})
    assert not User.objects.exists()


def test_staff_make_customers_of_their_own_tenant_only() -> None:
    author, other = UserFactory(role=Role.STAFF, tenant_id=uuid.uuid4()), uuid.uuid4()
    assert profile_service.create_customer({"tenant_id": str(other)}, by=author)["tenant_id"] == author.tenant_id
    chief = UserFactory(role=Role.SUPER_ADMIN)
    assert profile_service.create_customer({"tenant_id": str(other)}, by=chief)["tenant_id"] == other
    assert profile_service.create_customer({"tenant_id": str(other)})["tenant_id"] == other


def test_echoed_customer_with_a_new_name_changes_that_alone() -> None:
    profile = person(first_name="Ann", last_name="Lee", date_of_birth=datetime.date(1990, 2, 3), loyalty_points=7)
    found = profile_service.get_customer(profile.pk)
    assert found is not None
    after = profile_service.update_customer(profile.pk, {**found, "name": "Anna Maria Lee"})
    assert after is not None
    changed = {name for name in COLUMNS if after[name] != found[name]}
    assert changed == {"name", "first_name", "last_name", "updated_at"}
    assert (after["first_name"], after["last_name"]) == ("Anna", "Maria Lee")


def test_columns_win_over_an_echoed_name() -> None:
    profile = person(first_name="Ann", last_name="Lee")
    after = profile_service.update_customer(profile.pk, {"name": "Ann Lee", "first_name": "Eve"})
    assert after is not None
    assert after["name"] == "Eve Lee"


@pytest.mark.parametrize("sent", ["1991-05-06", "1991-05-06T00:00:00Z", datetime.date(1991, 5, 6)])
def test_birth_date_counts_beside_an_echoed_date_of_birth(sent: Any) -> None:
    profile = person(date_of_birth=datetime.date(1990, 2, 3))
    after = profile_service.update_customer(profile.pk, {"birth_date": sent, "date_of_birth": "1990-02-03"})
    assert after is not None
    assert after["birth_date"] == datetime.date(1991, 5, 6)
    cleared = profile_service.update_customer(profile.pk, {"birth_date": ""})
    assert cleared is not None
    assert cleared["birth_date"] is None


def test_odd_birth_date_that_is_echoed_stays() -> None:
    profile = person()
    run("UPDATE profiles SET date_of_birth = '0044-03-15 BC' WHERE id = %s", profile.pk)
    found = profile_service.get_customer(profile.pk)
    assert found is not None
    text = str(found["birth_date"])
    assert text == "0044-03-15 BC"
    profile_service.update_customer(profile.pk, {**found, "birth_date": text, "date_of_birth": text, "city": "Rome"})
    assert one("SELECT date_of_birth::text FROM profiles WHERE city = 'Rome'") == "0044-03-15 BC"


def test_odd_columns_that_are_echoed_do_not_stop_a_change() -> None:
    profile = person(active=None)
    run("UPDATE profiles SET tags = '\"vip\"' WHERE id = %s", profile.pk)
    found = profile_service.get_customer(profile.pk)
    assert found is not None
    after = profile_service.update_customer(profile.pk, {**found, "city": "Rome"})
    assert after is not None
    assert (after["city"], after["tags"], after["is_active"]) == ("Rome", "vip", None)


def test_email_goes_where_to_write_and_never_to_the_login() -> None:
    profile = person("ann@example.com")
    after = profile_service.update_customer(profile.pk, {"email": "home@example.com"})
    assert after is not None
    assert after["email"] == "home@example.com"
    profile.refresh_from_db()
    assert (profile.contact_email, profile.user.email) == ("home@example.com", "ann@example.com")
    profile_service.update_customer(profile.pk, {"email": "ann@example.com"})
    profile.refresh_from_db()
    assert profile.contact_email is None


def test_absolute_points_become_an_entry() -> None:
    profile, author = person(loyalty_points=10), UserFactory(role=Role.STAFF)
    profile_service.update_customer(profile.pk, {"loyalty_points": 4}, by=author, via="api")
    entry = LoyaltyEntry.objects.filter(profile=profile).latest("id")
    assert (entry.delta, entry.balance, entry.source, entry.created_by) == (-6, 4, "api", author.pk)
    with pytest.raises(Problem, match="it would end below zero"):
        profile_service.update_customer(profile.pk, {"loyalty_points": -1, "city": "Rome"})
    profile.refresh_from_db()
    assert (profile.loyalty_points, profile.city) == (4, None)


def test_read_only_and_unknown_fields_are_ignored() -> None:
    profile = person()
    before = rows("SELECT total_spent, order_count, tenant_id, u.id FROM profiles JOIN users AS u ON u.id = user_id")
    sent = dict.fromkeys(("id", "user_id", "total_spent", "order_count", "tenant_id", "created_at", "nonsense"), 5)
    assert profile_service.update_customer(profile.pk, sent) is not None
    after = rows("SELECT total_spent, order_count, tenant_id, u.id FROM profiles JOIN users AS u ON u.id = user_id")
    assert after == before


def test_deactivated_customer_cannot_log_in_and_comes_back() -> None:
    profile = person()
    assert profile_service.delete_customer(profile.user_id) is True
    assert profile_service.get_customer(profile.pk)["is_active"] is False  # type: ignore[index]
    assert User.objects.get(pk=profile.user_id).is_active is False
    profile_service.update_customer(profile.pk, {"is_active": True})
    assert User.objects.get(pk=profile.user_id).is_active is True


def test_list_is_newest_first_with_unknown_dates_last(django_assert_num_queries: Any) -> None:
    made = [person() for _ in range(4)]
    run("UPDATE profiles SET created_at = NULL WHERE id = %s", made[1].pk)
    run("UPDATE profiles SET created_at = 'infinity' WHERE id = %s", made[0].pk)
    with django_assert_num_queries(1):
        found = profile_service.list_customers()
    assert [customer["id"] for customer in found] == [made[0].pk, made[3].pk, made[2].pk, made[1].pk]
    assert [customer["id"] for customer in profile_service.list_customers(limit=2, offset=1)] == [
        made[3].pk,
        made[2].pk,
    ]
    assert profile_service.list_customers(offset=10) == []


def test_list_is_filtered_and_sees_what_the_viewer_may() -> None:
    tenant = uuid.uuid4()
    mine, theirs, gone = person(tenant_id=tenant), person(tenant_id=uuid.uuid4()), person(tenant_id=tenant, active=None)
    staff = UserFactory(role=Role.STAFF, tenant_id=tenant)

    def ids(**kwargs: Any) -> set[uuid.UUID]:
        return {customer["id"] for customer in profile_service.list_customers(**kwargs)}

    assert ids(visible_to=staff) == {mine.pk, gone.pk, staff.profile.pk}
    assert ids(visible_to=staff, is_active=False) == {gone.pk}
    assert ids(tenant_id=str(theirs.user.tenant_id)) == {theirs.pk}
    assert ids(visible_to=staff, tenant_id=theirs.user.tenant_id) == set()
    assert ids(tenant_id="store_001") == set()
    found = profile_service.list_customers(visible_to=mine.user)
    assert [customer["id"] for customer in found] == [mine.pk]
    assert not {"notes", "tags"} & set(found[0])


def test_stats_and_orders() -> None:
    profile = person(loyalty_points=3)
    profile_service.update_purchase_stats(profile.user_id, Decimal("70.00"), orders=4)
    now = datetime.datetime.now(datetime.UTC)
    recent = OrderFactory(
        user=profile.user, created_at=now - datetime.timedelta(days=29), refunded_amount=Decimal("5.00")
    )
    old = OrderFactory(user=profile.user, created_at=now - datetime.timedelta(days=31))
    undated = OrderFactory(user=profile.user, created_at=None, items="odd")
    OrderFactory(user=profile.user, order_status="cancelled", created_at=now - datetime.timedelta(days=1))
    OrderFactory()
    stats = profile_service.get_customer_stats(profile.user_id)
    assert stats == {
        "loyalty_points": 3,
        "total_spent": Decimal("70.00"),
        "total_orders": 4,
        "recent_orders": 1,
        "recent_spent": Decimal("15.00"),
        "member_since": profile.created_at,
    }
    orders = profile_service.get_customer_orders(profile.pk)
    assert [order["id"] for order in orders[1:]] == [recent.pk, old.pk, undated.pk]
    assert (orders[0]["status"], orders[3]["items"]) == ("cancelled", "odd")
    assert len(profile_service.get_customer_orders(profile.pk, limit=2)) == 2


def test_analytics_tell_sums_months_and_channels() -> None:
    profile = person()
    profile_service.update_purchase_stats(profile.user_id, Decimal("45.00"), orders=3)
    now = datetime.datetime.now(datetime.UTC)
    OrderFactory(user=profile.user, created_at=now, total_amount=Decimal("10.50"), order_source="pos")
    OrderFactory(user=profile.user, created_at=now, total_amount=None)
    OrderFactory(user=profile.user, created_at=now - datetime.timedelta(days=800))
    OrderFactory(user=profile.user, payment_status="refunded")
    found = profile_service.get_profile_analytics(profile.user_id)
    assert found["average_order_value"] == Decimal("15.00")
    assert (found["orders_found"], found["orders_total"]) == (3, Decimal("30.50"))
    assert (found["recent_orders"], found["recent_spent"]) == (2, Decimal("10.50"))
    assert found["by_month"] == [{"month": f"{now:%Y-%m}", "orders": 2, "spent": 10.5}]
    assert found["by_channel"] == {"web": 2, "pos": 1}
    with pytest.raises(Problem, match="There is no profile of user"):
        profile_service.get_profile_analytics(uuid.uuid4())
