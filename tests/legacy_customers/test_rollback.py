"""The way back: everything as it was found, and every write made since kept in the old shape."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import User
from config import protection_plan
from legacy_customers.models import LegacyCustomer
from legacy_customers.sample.persons import row_id
from legacy_customers.sample.stories import Story, load_story
from legacy_customers.unification import fingerprint
from legacy_customers.unification.sources import LEGACY_TABLES
from legacy_customers.unification.verify import verify
from orders.models import Order
from profiles.models import Profile
from tests.databases import one, rows, temporary_database

# What Django keeps for itself when the last of our migrations is gone.
DJANGOS_OWN = {
    "axes_accessattempt",
    "axes_accessattemptexpiration",
    "axes_accessfailurelog",
    "axes_accesslog",
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_content_type",
    "django_migrations",
    "django_session",
}

# Everything of the schema but the rows, a line per thing.
SCHEMA = """
    SELECT concat_ws(' ', 'column', c.relname, '#' || row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum),
        a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid)),
        c.relname
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated),
        conrelid::regclass::text
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid), indrelid::regclass::text
    FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', pg_get_triggerdef(oid), tgenabled), tgrelid::regclass::text
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT pg_get_functiondef(oid), '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'view', relname, relkind, reloptions, pg_get_viewdef(oid)), relname
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
    UNION ALL
    SELECT concat_ws(' ', 'relation', relname, relkind, relpersistence, relowner::regrole, relacl), relname
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S', 'm')
    UNION ALL
    SELECT concat_ws(' ', 'type', typname, typtype,
        (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)), ''
    FROM pg_type t WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
    UNION ALL
    SELECT concat_ws(' ', 'event trigger', evtname), '' FROM pg_event_trigger
"""
FOREIGN = ("reviews", "sessions", "carts")


def contents(*tables: str) -> dict[str, list[str]]:
    """Every row of each table as PostgreSQL writes it."""
    return {table: [row for (row,) in rows(f"SELECT t::text FROM {table} AS t ORDER BY 1")] for table in tables}


def schema() -> list[str]:
    """Everything that is not Django's own, or of an app that knows none of our tables."""
    ours = {*DJANGOS_OWN, *(f"{table}_id_seq" for table in DJANGOS_OWN)}
    return sorted(line for line, relation in rows(SCHEMA) if relation not in ours)


def relations() -> set[str]:
    return {
        name
        for (name,) in rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm')"
        )
    }


def back() -> None:
    call_command("migrate", "legacy_customers", "zero", verbosity=0)


# --- nothing written since ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("story", "older"), [("shop", False), ("shop", True), ("seed", False)])
def test_everything_is_as_it_was_found_when_nothing_was_written_since(
    empty_database: str, story: Story, older: bool
) -> None:
    load_story(connection, story, older=older)
    # The trigger's state is part of what was found.
    rows("ALTER TABLE users ENABLE ALWAYS TRIGGER create_customer_on_user_insert")
    foreign = FOREIGN if story == "shop" else ()
    taken, before, found, there = fingerprint.take(connection), contents(*LEGACY_TABLES), schema(), relations()
    others = contents(*foreign)
    call_command("migrate", verbosity=0)
    back()
    assert fingerprint.take(connection) == taken
    assert contents(*LEGACY_TABLES) == before
    assert contents(*foreign) == others
    assert schema() == found
    assert relations() - there == DJANGOS_OWN

    # The old trigger works again.
    with transaction.atomic():
        rows("INSERT INTO users (email, password_hash, first_name) VALUES ('back@example.com', 'x', 'Bea')")
        assert rows("SELECT first_name FROM customers WHERE email = 'back@example.com'") == [("Bea",)]
        transaction.set_rollback(True)

    # And the way there is open as it was.
    call_command("migrate", verbosity=0)
    report = verify(connection)
    assert {name: seen.samples for name, seen in report.checks.items() if not seen.passed} == {}
    assert contents("customers", "customer_profiles", "user_profiles") == {
        table: before[table] for table in ("customers", "customer_profiles", "user_profiles")
    }


def test_an_empty_database_is_empty_again(empty_database: str) -> None:
    call_command("migrate", verbosity=0)
    User.objects.create_user("only@example.com", "a-password-1")
    with pytest.raises(CommandError, match=r"accounts\.0001_initial backwards: table users"):
        back()
    assert User.objects.count() == 1
    with protection_plan.released("a test"):
        back()
    assert relations() == DJANGOS_OWN
    assert schema() == []
    call_command("migrate", verbosity=0)
    assert verify(connection).passed


# --- written since ------------------------------------------------------------------------------------------------

LINKED, LINKED_USER = row_id("linked", "customers"), row_id("linked", "users")
SUMMED = row_id("guest_of_verified_user", "customers")
CLAIMED = row_id("guest_alone", "customers")
ORDERED = row_id("guest_inactive", "customers")
NAMED = row_id("guests_equally_new", "customers")
SEPARATE = row_id("guest_contradicts_user", "customers", 2)
VIEWED, VIEWED_USER = row_id("names_disagree", "customers"), row_id("names_disagree", "users")
WITHOUT_ROW = row_id("user_without_row_unverified", "users")
LOGIN_CHANGED = row_id("linked_row_blank", "customers")
LOGIN_CHANGED_USER = row_id("linked_row_blank", "users")
ADDED_BLANK = uuid.UUID("bbbbbbbb-1111-4111-8111-111111111111")
ADDED = uuid.UUID("aaaaaaaa-1111-4111-8111-111111111111")


@dataclass(frozen=True)
class GivenBack:
    """What the tests below ask about: ids that chance gave, and rows as they were before the way back."""

    before: dict[str, list[str]]
    claimed_user: uuid.UUID
    referenced_user: uuid.UUID
    registered: uuid.UUID


def account_of(customer: uuid.UUID) -> uuid.UUID:
    found: uuid.UUID = one("SELECT user_id FROM legacy_identities WHERE customer_id = %s", customer)
    return found


@pytest.fixture(scope="module")
def given_back(shop_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[GivenBack]:
    """A shop in which both applications wrote, and which was then given back."""
    with django_db_blocker.unblock():
        connection.close()
        with temporary_database(template=shop_template):
            before = contents(*(f"backup_{table}" for table in LEGACY_TABLES))
            linked = Profile.objects.get(pk=LINKED)
            linked.phone, linked.notes, linked.tags = "+14165557777", "Since.", ["since"]
            linked.needs, linked.language = ["sleep"], "fr"
            linked.preferences = {"theme": "light"}
            linked.interaction_count += 3
            linked.save()
            Profile.objects.filter(pk=SUMMED).update(loyalty_points=150, total_spent="30.00", order_count=4)
            LegacyCustomer.objects.filter(pk=VIEWED).update(
                city="Oslo", first_name="Ada", email="ada.writes@example.com", marketing_consent=True, is_active=False
            )
            LegacyCustomer.objects.create(id=ADDED, email="added@example.com", first_name="Guest", loyalty_points=9)
            Profile.objects.filter(user_id=WITHOUT_ROW).update(last_name="Named")
            claimed, ordered = account_of(CLAIMED), account_of(ORDERED)
            referenced = account_of(SEPARATE)
            user = User.objects.get(pk=claimed)
            user.set_password("claimed-password-1")
            user.save()
            registered = User.objects.create_user("since@example.com", "since-password-1", role="customer")
            Profile.objects.filter(user=registered).update(first_name="Sinclair", loyalty_points=2)
            User.objects.filter(pk=LOGIN_CHANGED_USER).update(email="new.login@example.com")
            LegacyCustomer.objects.create(id=ADDED_BLANK, email="", first_name="Blank")
            added = Profile.objects.get(pk=ADDED_BLANK).user_id
            Order.objects.create(order_number="SINCE-2", user_id=added, total_amount="8.00")
            Profile.objects.filter(pk=ADDED_BLANK).delete()
            Profile.objects.create(
                id=ADDED_BLANK, user_id=added, contact_email="", first_name="Blank", needs=["calm"], interaction_count=5
            )
            Profile.objects.filter(pk=ADDED_BLANK).update(interaction_count=6)
            Order.objects.create(order_number="SINCE-1", user_id=ordered, total_amount="7.00")
            rows("INSERT INTO sessions (user_id, expires_at) VALUES (%s, '2028-01-01')", referenced)
            call_command("migrate", "legacy_customers", "zero", verbosity=0)
            yield GivenBack(before, claimed, referenced, registered.pk)


def test_the_schema_is_as_it_was_found_after_writes(given_back: GivenBack, shop_template: str) -> None:
    assert relations() - {*LEGACY_TABLES, *FOREIGN, "active_customers"} == DJANGOS_OWN
    assert (
        one("SELECT count(*) FROM pg_trigger WHERE tgname = 'create_customer_on_user_insert' AND tgenabled = 'O'") == 1
    )
    assert (
        rows("SELECT attname FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'order_source'") == []
    )


@pytest.mark.parametrize(
    ("table", "changed"),
    [
        ("users", {LINKED_USER, VIEWED_USER, WITHOUT_ROW, LOGIN_CHANGED_USER}),
        ("customers", {LINKED, SUMMED, VIEWED, CLAIMED, SEPARATE, LOGIN_CHANGED}),
        ("customer_profiles", {LINKED}),
        ("user_profiles", set()),
        ("orders", set()),
    ],
)
def test_rows_that_nobody_wrote_are_as_they_were(given_back: GivenBack, table: str, changed: set[uuid.UUID]) -> None:
    untouched = [row for row in given_back.before[f"backup_{table}"] if not any(str(id_) in row for id_ in changed)]
    now = contents(table)[table]
    assert set(untouched) <= set(now)
    assert len(untouched) > len(now) - 20


def test_an_edit_through_the_model_is_in_every_copy(given_back: GivenBack) -> None:
    assert rows("SELECT phone, notes, tags FROM customers WHERE id = %s", LINKED) == [
        ("+14165557777", "Since.", '["since"]')
    ]
    assert one("SELECT phone FROM users WHERE id = %s", LINKED_USER) == "+14165557777"
    assert rows("SELECT preferences, interaction_count FROM customer_profiles WHERE customer_id = %s", str(LINKED)) == [
        ('{"theme": "light"}', 7)
    ]


def test_a_value_without_a_legacy_row_gets_one_that_leads_to_its_person(given_back: GivenBack) -> None:
    assert rows(
        "SELECT p.needs, p.language, u.session_id FROM user_profiles AS p JOIN users AS u USING (session_id)"
        " WHERE u.id = %s",
        LINKED_USER,
    ) == [('["sleep"]', "fr", f"profile-{LINKED}")]


def test_an_edit_through_the_view_is_in_every_copy(given_back: GivenBack) -> None:
    assert rows(
        "SELECT city, first_name, email, marketing_consent, is_active FROM customers WHERE id = %s", VIEWED
    ) == [("Oslo", "Ada", "ada.writes@example.com", True, False)]
    assert rows("SELECT first_name, marketing_consent, active FROM users WHERE id = %s", VIEWED_USER) == [
        ("Ada", True, False)
    ]
    assert one("SELECT email FROM users WHERE id = %s", VIEWED_USER) == "names.disagree@example.com"


def test_a_sum_of_several_rows_travels_as_a_difference(given_back: GivenBack) -> None:
    guest = row_id("guest_of_verified_user", "customers", 2)
    assert rows("SELECT loyalty_points, total_spent::text, order_count FROM customers WHERE id = %s", SUMMED) == [
        (139, "24.75", 3)  # 100 + (150 - 111), 20.50 + (30 - 25.75), 2 + (4 - 3)
    ]
    assert rows("SELECT loyalty_points, total_spent::text, order_count FROM customers WHERE id = %s", guest) == [
        (11, "5.25", 1)
    ]


def test_a_claimed_guest_keeps_the_account_and_the_customers_row_is_linked(given_back: GivenBack) -> None:
    assert one("SELECT user_id FROM customers WHERE id = %s", CLAIMED) == given_back.claimed_user
    kept = User.objects.only("password").get(pk=given_back.claimed_user)
    assert kept.check_password("claimed-password-1")


def test_accounts_of_guests_that_nobody_used_are_gone(given_back: GivenBack) -> None:
    known = {row.split(",")[0].lstrip("(") for row in given_back.before["backup_users"]}
    new = {str(id_) for (id_,) in rows("SELECT id FROM users")} - known
    assert new == {str(given_back.claimed_user), str(given_back.referenced_user), str(given_back.registered)}


def test_an_account_that_another_table_names_stays(given_back: GivenBack) -> None:
    assert one("SELECT count(*) FROM sessions WHERE user_id = %s", given_back.referenced_user) == 1
    assert one("SELECT user_id FROM customers WHERE id = %s", SEPARATE) == given_back.referenced_user
    assert one("SELECT email FROM users WHERE id = %s", given_back.referenced_user) == (
        f"guest-{given_back.referenced_user}@invalid"
    )


def test_a_user_registered_since_gets_a_customers_row(given_back: GivenBack) -> None:
    assert rows(
        "SELECT email, first_name, loyalty_points, is_active, country FROM customers WHERE user_id = %s",
        given_back.registered,
    ) == [("since@example.com", "Sinclair", 2, True, "USA")]
    kept = User.objects.only("password").get(pk=given_back.registered)
    assert kept.check_password("since-password-1")


def test_a_guest_added_through_the_view_is_a_guest_again(given_back: GivenBack) -> None:
    assert rows("SELECT user_id, email, first_name, loyalty_points FROM customers WHERE id = %s", ADDED) == [
        (None, "added@example.com", "Guest", 9)
    ]


def test_an_order_of_a_guest_added_since_names_its_customers_row(given_back: GivenBack) -> None:
    assert rows("SELECT user_id, customer_id, total_amount::text FROM orders WHERE order_number = 'SINCE-2'") == [
        (None, ADDED_BLANK, "8.00")
    ]
    assert rows("SELECT user_id, email, first_name FROM customers WHERE id = %s", ADDED_BLANK) == [(None, "", "Blank")]


def test_values_that_a_new_profile_came_with_are_kept(given_back: GivenBack) -> None:
    assert rows("SELECT interaction_count FROM customer_profiles WHERE customer_id = %s", str(ADDED_BLANK)) == [(6,)]


def test_a_changed_login_is_in_the_customers_row_too(given_back: GivenBack) -> None:
    assert one("SELECT email FROM customers WHERE id = %s", LOGIN_CHANGED) == "new.login@example.com"


def test_a_user_without_a_customers_row_gets_one_where_something_was_written(given_back: GivenBack) -> None:
    assert rows("SELECT last_name FROM customers WHERE user_id = %s", WITHOUT_ROW) == [("Named",)]
    assert one("SELECT count(*) FROM customers WHERE user_id = %s", row_id("user_without_customers_row", "users")) == 0


def test_an_order_made_since_for_a_guest_names_the_guests_customers_row(given_back: GivenBack) -> None:
    assert rows("SELECT user_id, customer_id, total_amount::text FROM orders WHERE order_number = 'SINCE-1'") == [
        (None, ORDERED, "7.00")
    ]


def test_the_way_there_is_open_after_the_way_back(given_back: GivenBack) -> None:
    call_command("migrate", verbosity=0)
    report = verify(connection)
    assert {name: seen.samples for name, seen in report.checks.items() if not seen.passed} == {}
    assert Profile.objects.get(pk=LINKED).phone == "+14165557777"
    assert Profile.objects.get(pk=SUMMED).loyalty_points == 150


# --- what stops it ------------------------------------------------------------------------------------------------


def test_rows_deleted_behind_the_sync_stop_the_way_back_and_nothing_is_lost(seed: str) -> None:
    customer, attached = (
        one("SELECT min(id::text)::uuid FROM customers WHERE user_id IS NULL"),
        one("SELECT customer_id FROM customer_profiles"),
    )
    order = one("SELECT min(id::text)::uuid FROM orders")
    with transaction.atomic():
        rows("SET LOCAL session_replication_role = replica")
        rows("DELETE FROM orders WHERE id = %s", order)
        rows("DELETE FROM customer_profiles")
        rows("DELETE FROM customers WHERE id = %s", customer)
    ours = ("profiles", "profile_history", "legacy_identities", "field_conflicts", "django_migrations")
    left = contents(*LEGACY_TABLES, *(f"backup_{table}" for table in LEGACY_TABLES), *ours)
    with pytest.raises(CommandError) as refusal:
        back()
    assert str(refusal.value) == (
        f"Rows that were backed up are gone: customers {customer}, customer_profiles {attached}, orders {order}."
        " Put them back from the backup of their table or, where they were deleted on purpose, delete them there too"
        " (drop its trigger unification_never_written first). Then run this again."
    )
    assert contents(*left) == left

    # The ways out that it names.
    rows("INSERT INTO customers SELECT * FROM backup_customers WHERE id = %s", customer)
    rows("INSERT INTO customer_profiles SELECT * FROM backup_customer_profiles")
    rows("DROP TRIGGER unification_never_written ON backup_orders")
    rows("DELETE FROM backup_orders WHERE id = %s", order)
    back()
    assert relations() == {*DJANGOS_OWN, *LEGACY_TABLES}
    assert contents("customers", "customer_profiles")["customers"] == left["backup_customers"]
    assert one("SELECT count(*) FROM orders") == 11


def test_a_changed_schema_stops_the_way_back_and_is_named(seed: str) -> None:
    rows("CREATE INDEX somebodys ON customers (notes)")
    with pytest.raises(CommandError) as refusal:
        back()
    assert str(refusal.value) == (
        "The legacy schema is not as it was found:\n"
        "  customers: index somebodys was absent, is CREATE INDEX somebodys ON public.customers USING btree (notes)\n"
        "Put it right, then run this again."
    )
    rows("DROP INDEX somebodys")
    back()
    assert relations() == {*DJANGOS_OWN, *LEGACY_TABLES}


def test_a_sum_that_outgrew_its_old_column_stops_the_way_back_and_nothing_is_lost(seed: str) -> None:
    profile = Profile.objects.filter(user__email__isnull=False).earliest("id")
    Profile.objects.filter(pk=profile.pk).update(loyalty_points=3_000_000_000)
    ours = ("profiles", "profile_aliases", "profile_history", "loyalty_entries")
    before, profiles = contents(*LEGACY_TABLES), contents(*ours)
    with pytest.raises(CommandError) as refusal:
        back()
    assert str(refusal.value) == (
        "The old tables cannot take these values back. Nothing was done.\n"
        f"  profiles {profile.pk}: customers.loyalty_points cannot hold 3000000000\n"
        "Make each fit, or widen the old column, then run this again."
    )
    assert contents(*ours) == profiles
    assert contents("customers") == {"customers": before["customers"]}
    Profile.objects.filter(pk=profile.pk).update(loyalty_points=5)
    back()
    assert one("SELECT loyalty_points FROM customers WHERE id = %s", profile.pk) == 5
