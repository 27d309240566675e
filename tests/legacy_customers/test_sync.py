"""Two-way sync of single changes: what one application writes, the other sees at once, and nothing answers itself."""

import datetime
import json
import uuid
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from legacy_customers.models import LegacyCustomer
from legacy_customers.sample.persons import row_id
from legacy_customers.unification import sync
from legacy_customers.unification.field_map import FIELD_MAP, Kind, Table, fields_of
from legacy_customers.unification.sources import find_sources
from legacy_customers.unification.verify import verify
from profiles.models import FieldConflict, LoyaltyEntry, Profile
from profiles.services import merging, profile_service
from tests.databases import one, rows, run, temporary_database
from tests.legacy_customers.test_verify import failed

LINKED, LINKED_USER = row_id("linked", "customers"), row_id("linked", "users")
# A verified user whose profile has a guest's row merged in, and that row.
MERGED_INTO, MERGED_USER = row_id("guest_of_verified_user", "customers"), row_id("guest_of_verified_user", "users")
MERGED = row_id("guest_of_verified_user", "customers", 2)
GUEST = row_id("guest_alone", "customers")
WITHOUT_ROW = row_id("user_without_customers_row", "users")
SESSION_USER = row_id("session_of_one_user", "users")


@pytest.fixture(scope="module")
def shared(shop_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A shop that all tests of this module work on; what they write is rolled back."""
    with django_db_blocker.unblock():
        connection.close()
        with temporary_database(template=shop_template) as name:
            yield name


@pytest.fixture
def undone(shared: str) -> Iterator[None]:
    """A transaction that verification, which wants a snapshot of its own, can read in; rolled back at the end."""
    with transaction.atomic():
        run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield
        run("SET CONSTRAINTS ALL IMMEDIATE")
        assert failed(verify(connection)) == {}
        transaction.set_rollback(True)


def profile(column: str, id_: uuid.UUID = LINKED) -> Any:
    return one(sql.SQL("SELECT {} FROM profiles WHERE id = %s").format(sql.Identifier(column)), id_)


def customer(column: str, id_: uuid.UUID = LINKED) -> Any:
    return one(sql.SQL("SELECT {} FROM customers WHERE id = %s").format(sql.Identifier(column)), id_)


def user(column: str, id_: uuid.UUID = LINKED_USER) -> Any:
    return one(sql.SQL("SELECT {} FROM users WHERE id = %s").format(sql.Identifier(column)), id_)


def history() -> list[tuple[str, set[str]]]:
    """Who changed what, in order."""
    found = rows("SELECT via, changes::text FROM profile_history ORDER BY id")
    return [(via, set(json.loads(changes))) for via, changes in found]


# --- each column, both ways ---------------------------------------------------------------------------------------

NEW: dict[Kind, Any] = {
    Kind.TEXT: "changed",
    Kind.ADDRESS: "7 New Road",
    Kind.DATE: datetime.date(1971, 2, 3),
    Kind.INTEGER: 41,
    Kind.MONEY: "41.25",
    Kind.BOOLEAN: True,
    Kind.TIME: datetime.datetime(2030, 1, 2, 3, 4, 5, 6),
    Kind.LIST: '["changed", 1]',
    Kind.OBJECT: '{"changed": true}',
}
KEYS = {"users": "id", "customers": "id", "customer_profiles": "customer_id", "user_profiles": "id"}


def legacy_row(table: str) -> tuple[str, Any, uuid.UUID]:
    """Key column, key and profile of a row of the table that is alone of its kind at its person's."""
    if table == "user_profiles":
        key, owner = rows(
            "SELECT a.key, p.id FROM legacy_attachments AS a JOIN profiles AS p ON p.user_id = a.user_id"
            " WHERE a.source = 'user_profiles' AND a.user_id = %s",
            SESSION_USER,
        )[0]
        return "id", key, owner
    return KEYS[table], {"users": LINKED_USER}.get(table, str(LINKED)), LINKED


CARRIED = [
    pytest.param(str(table), field, id=f"{table}.{field.column}")
    for table in Table
    for field in fields_of(table)
    if field.column not in ("created_at", "updated_at")
]


@pytest.mark.parametrize(("table", "field"), CARRIED)
def test_a_legacy_write_is_in_the_profile_at_once(undone: None, table: str, field: Any) -> None:
    key, value, owner = legacy_row(table)
    run(
        sql.SQL("UPDATE {} SET {} = %s WHERE {}::text = %s").format(
            sql.Identifier(table), sql.Identifier(field.column), sql.Identifier(key)
        ),
        NEW[field.kind],
        str(value),
    )
    found = profile(field.column, owner)
    if field.kind in (Kind.LIST, Kind.OBJECT):
        assert json.loads(found) == json.loads(NEW[field.kind])
    elif field.kind is Kind.TIME:
        assert found == NEW[field.kind].replace(tzinfo=datetime.UTC)
    else:
        assert str(found) == str(NEW[field.kind])


@pytest.mark.parametrize("field", [f for f in FIELD_MAP if f.column not in ("created_at", "updated_at")], ids=str)
def test_a_write_to_the_profile_is_in_the_legacy_rows_at_once(undone: None, field: Any) -> None:
    run(
        sql.SQL("UPDATE profiles SET {} = %s WHERE id = %s").format(sql.Identifier(field.column)),
        NEW[field.kind],
        LINKED,
    )
    copies: list[Any] = []
    if Table.CUSTOMERS in field.sources:
        copies.append(customer(field.column))
    if Table.USERS in field.sources:
        copies.append(user(field.column))
    if not copies:
        table = "customer_profiles" if Table.CUSTOMER_PROFILES in field.sources else "user_profiles"
        found = rows(
            sql.SQL(
                "SELECT {} FROM {} AS r JOIN legacy_attachments AS a ON a.key = r.{}::text WHERE a.user_id = %s"
                " AND a.source = %s"
            ).format(sql.Identifier("r", field.column), sql.Identifier(table), sql.Identifier(KEYS[table])),
            LINKED_USER,
            table,
        )
        copies += [cell for (cell,) in found]
    assert len(copies) >= 1
    for copy in copies:
        if field.kind in (Kind.LIST, Kind.OBJECT):
            assert json.loads(copy) == json.loads(NEW[field.kind])
        else:
            assert str(copy) == str(NEW[field.kind])


# --- no echo, no needless write -----------------------------------------------------------------------------------


def test_one_write_leaves_one_trace_each_way(undone: None) -> None:
    run("UPDATE customers SET phone = '+1', city = 'Oslo' WHERE id = %s", LINKED)
    run("UPDATE profiles SET phone = '+2' WHERE id = %s", LINKED)
    run("UPDATE users SET phone = '+3' WHERE id = %s", LINKED_USER)
    assert history() == [
        ("sync", {"phone", "city", "updated_at"}),
        ("sql", {"phone"}),
        ("sync", {"phone"}),
    ]
    assert (customer("phone"), user("phone"), profile("phone")) == ("+3", "+3", "+3")


def test_a_write_that_changes_nothing_writes_nothing(undone: None) -> None:
    before = rows("SELECT xmin::text, ctid::text FROM profiles WHERE id = %s", LINKED)
    run("UPDATE customers SET phone = phone, loyalty_tier = 'gold' WHERE id = %s", LINKED)
    run("UPDATE users SET last_login = localtimestamp WHERE id = %s", LINKED_USER)
    run("UPDATE profiles SET search_text = DEFAULT WHERE false")
    assert rows("SELECT xmin::text, ctid::text FROM profiles WHERE id = %s", LINKED) == before
    rows_of = rows("SELECT xmin::text, ctid::text FROM customers WHERE id = %s", LINKED)
    run("UPDATE profiles SET phone = phone, updated_at = now() WHERE id = %s", LINKED)
    assert rows("SELECT xmin::text, ctid::text FROM customers WHERE id = %s", LINKED) == rows_of


def test_a_bulk_statement_is_carried_whole(undone: None) -> None:
    run("UPDATE customers SET loyalty_points = coalesce(loyalty_points, 0) + 1 WHERE loyalty_points < 2000000000")
    assert one("SELECT sum(coalesce(loyalty_points, 0)) FROM customers") == one(
        "SELECT sum(loyalty_points) FROM profiles"
    )
    run("UPDATE profiles SET city = 'Oslo' WHERE merged_into_id IS NULL")
    assert (
        one("SELECT count(*) FROM customers AS c JOIN profiles AS p USING (id) WHERE c.city IS DISTINCT FROM 'Oslo'")
        == 0
    )


def test_the_author_and_the_ledger_say_how_it_came(undone: None) -> None:
    run("UPDATE customers SET loyalty_points = 7 WHERE id = %s", LINKED)
    assert LoyaltyEntry.objects.filter(profile_id=LINKED).values_list("delta", "source", "balance").last() == (
        7,
        "sync",
        7,
    )
    run("UPDATE profiles SET loyalty_points = 9 WHERE id = %s", LINKED)
    assert LoyaltyEntry.objects.filter(profile_id=LINKED).values_list("delta", "source", "balance").last() == (
        2,
        "sql",
        9,
    )
    assert one("SELECT current_setting('unified.via', true)") in (None, "")


def test_services_and_the_view_reach_the_legacy_rows(undone: None) -> None:
    LegacyCustomer.objects.filter(pk=LINKED).update(city="Oslo", email="write.here@example.com", loyalty_points=3)
    assert rows("SELECT city, email, loyalty_points FROM customers WHERE id = %s", LINKED) == [
        ("Oslo", "write.here@example.com", 3)
    ]
    profile_service.update_loyalty_points(LINKED_USER, 4, reason="gift", by=None, via="api")
    assert customer("loyalty_points") == 7


# --- several rows of one person -----------------------------------------------------------------------------------


def test_sums_travel_as_differences_from_every_row(undone: None) -> None:
    run("UPDATE customers SET loyalty_points = loyalty_points + 5 WHERE id = %s", MERGED)
    assert (profile("loyalty_points", MERGED_INTO), customer("loyalty_points", MERGED_INTO)) == (116, 100)
    run("UPDATE profiles SET loyalty_points = loyalty_points - 16, total_spent = 30 WHERE id = %s", MERGED_INTO)
    assert (customer("loyalty_points", MERGED_INTO), customer("loyalty_points", MERGED)) == (84, 16)
    assert str(customer("total_spent", MERGED_INTO)) == "24.75"  # 20.50 + (30 - 25.75)


def test_a_value_written_to_a_merged_row_is_everywhere_but_in_other_merged_rows(undone: None) -> None:
    run("UPDATE customers SET phone = '+9', notes = 'Call.', tags = '[\"x\"]' WHERE id = %s", MERGED)
    assert (profile("phone", MERGED_INTO), customer("phone", MERGED_INTO), user("phone", MERGED_USER)) == ("+9",) * 3
    run("UPDATE profiles SET phone = '+8' WHERE id = %s", MERGED_INTO)
    assert (customer("phone", MERGED_INTO), customer("phone", MERGED)) == ("+8", "+9")


def test_addresses_are_never_mixed(undone: None) -> None:
    run("UPDATE customers SET address = '1 Elm', city = 'Oslo', country = 'Norway' WHERE id = %s", MERGED_INTO)
    run("UPDATE customers SET city = 'Rome' WHERE id = %s", MERGED)
    block = "SELECT address, city, country FROM {} WHERE id = %s"
    assert rows(block.format("profiles"), MERGED_INTO) == [(None, "Rome", "USA")]
    assert rows(block.format("customers"), MERGED_INTO) == [(None, "Rome", "USA")]


def test_lists_and_objects_travel_as_differences(undone: None) -> None:
    run(
        'UPDATE profiles SET tags = \'["a", "b"]\', preferences = \'{"a": {"x": 1, "y": 2}, "b": 1}\' WHERE id = %s',
        LINKED,
    )
    run('UPDATE customers SET tags = \'["b", "c"]\' WHERE id = %s', LINKED)
    assert json.loads(profile("tags")) == ["b", "c"]
    run(
        "UPDATE customer_profiles SET preferences = preferences #- '{a,x}' || '{\"c\": 3}' WHERE customer_id = %s",
        str(LINKED),
    )
    assert json.loads(profile("preferences")) == {"a": {"y": 2}, "b": 1, "c": 3}
    run("UPDATE customers SET tags = '[\"z\"]' WHERE id = %s", MERGED_INTO)
    run('UPDATE customers SET tags = \'["g", "h"]\' WHERE id = %s', MERGED)
    run("UPDATE customers SET tags = '[\"h\"]' WHERE id = %s", MERGED)
    assert json.loads(profile("tags", MERGED_INTO)) == ["z", "h"]


NOTES = [
    ("one", "one", "two", "two"),
    ("one\n\ntwo\n\nthree", "two", "2", "one\n\n2\n\nthree"),
    ("one\n\ntwo\n\nthree", "two", None, "one\n\nthree"),
    ("one\n\ntwo", "one", " ", "two"),
    ("one\n\ntwo", "two", "", "one"),
    ("banana", "a", "b", "banana\n\nb"),
    (None, None, "new", "new"),
    ("one", None, "two", "one\n\ntwo"),
    ("one\n\ntwo", None, "two", "one\n\ntwo"),
    ("one", "gone", None, "one"),
]


@pytest.mark.parametrize(("whole", "before", "after", "expected"), NOTES)
def test_the_part_of_a_row_in_the_notes_is_replaced(
    undone: None, whole: str | None, before: str | None, after: str | None, expected: str | None
) -> None:
    assert one("SELECT unification_notes_changed(%s, %s, %s)", whole, before, after) == expected


# --- what one side cannot hold ------------------------------------------------------------------------------------


def test_a_sum_beyond_the_old_column_stays_out_of_it_and_comes_back_in_when_it_fits(undone: None) -> None:
    run("UPDATE customers SET loyalty_points = 10 WHERE id = %s", LINKED)
    run("UPDATE profiles SET loyalty_points = 3000000000 WHERE id = %s", LINKED)
    assert customer("loyalty_points") == 10
    conflict = FieldConflict.objects.get(profile_id=LINKED, field="customers.loyalty_points")
    assert (conflict.rule, conflict.chosen_value, conflict.other_value) == ("width", 3000000000, 10)
    run("UPDATE customers SET loyalty_points = 15 WHERE id = %s", LINKED)
    assert profile("loyalty_points") == 3000000005
    run("UPDATE profiles SET loyalty_points = 20 WHERE id = %s", LINKED)
    assert customer("loyalty_points") == 20
    assert not FieldConflict.objects.filter(profile_id=LINKED, field="customers.loyalty_points").exists()


def test_json_of_the_wrong_shape_is_kept_as_a_conflict(undone: None) -> None:
    run("UPDATE customers SET tags = '[\"a\"]' WHERE id = %s", LINKED)
    run('UPDATE customers SET tags = \'{"not": "a list"}\' WHERE id = %s', LINKED)
    assert json.loads(profile("tags")) == []
    conflict = FieldConflict.objects.get(profile_id=LINKED, field="customers.tags")
    assert (conflict.rule, conflict.other_value) == ("shape", {"not": "a list"})


@pytest.mark.parametrize("date", ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01"])
def test_dates_beyond_the_calendar_travel(undone: None, date: str) -> None:
    run("UPDATE customers SET date_of_birth = %s, last_order_date = %s WHERE id = %s", date, date, LINKED)
    assert one("SELECT date_of_birth = %s::date FROM profiles WHERE id = %s", date, LINKED)
    run("UPDATE profiles SET date_of_birth = NULL WHERE id = %s", LINKED)
    assert one("SELECT date_of_birth IS NULL FROM users WHERE id = %s", LINKED_USER)


# --- consents, verification, login --------------------------------------------------------------------------------


def test_an_explicit_consent_is_on_every_copy(undone: None) -> None:
    run("UPDATE users SET marketing_consent = true WHERE id = %s", LINKED_USER)
    assert (profile("marketing_consent"), customer("marketing_consent")) == (True, True)
    run("UPDATE customers SET marketing_consent = false WHERE id = %s", LINKED)
    assert (profile("marketing_consent"), user("marketing_consent")) == (False, False)


def test_what_the_old_trigger_did_on_an_update_is_still_done(undone: None) -> None:
    run(
        "UPDATE users SET email = 'moved@example.com', first_name = NULL, email_verified = false, phone_verified = false"
        " WHERE id = %s",
        LINKED_USER,
    )
    assert (customer("email"), customer("first_name"), customer("is_verified")) == ("moved@example.com", "Lena", False)
    assert (profile("contact_email"), profile("first_name"), profile("is_verified")) == (None, "Lena", False)
    run("UPDATE users SET active = false, phone_verified = true WHERE id = %s", LINKED_USER)
    assert (customer("is_active"), customer("is_verified")) == (False, True)


def test_another_address_of_a_linked_row_is_where_to_write(undone: None) -> None:
    run("UPDATE customers SET email = 'write@example.com' WHERE id = %s", LINKED)
    assert profile("contact_email") == "write@example.com"
    run("UPDATE customers SET email = ' LINKED@example.com' WHERE id = %s", LINKED)
    assert (profile("contact_email"), customer("email")) == (None, " LINKED@example.com")


# --- merged people ------------------------------------------------------------------------------------------------


def test_rows_of_a_merged_person_lead_to_the_survivor(undone: None) -> None:
    other = row_id("names_disagree", "customers")
    token = merging.preview(LINKED, other, confirm=True).token
    merging.merge(LINKED, other, token=token, confirm=True, by=None, via="api")
    run("UPDATE customers SET phone = '+77', loyalty_points = coalesce(loyalty_points, 0) + 3 WHERE id = %s", other)
    assert (profile("phone"), customer("phone"), profile("loyalty_points", other)) == ("+77", "+77", 0)
    assert one("SELECT user_id FROM orders WHERE id = %s", row_id("linked", "orders")) == LINKED_USER


# --- installing ---------------------------------------------------------------------------------------------------


def test_health_names_what_is_missing_or_asleep(shop: str) -> None:
    assert sync.health(connection).faults == []
    run("ALTER TABLE users DISABLE TRIGGER unification_sync_updated")
    run("DROP TRIGGER unification_sync_truncated ON orders")
    assert sorted(sync.health(connection).faults) == [
        "trigger unification_sync_truncated on orders is missing",
        "trigger unification_sync_updated on users is disabled",
    ]


def test_removed_and_installed_again_it_leaves_nothing_and_works(shop: str) -> None:
    sources = find_sources(connection)
    assert sources
    with transaction.atomic(), connection.cursor() as cursor:
        sync.drop_triggers(cursor)
        sync.drop_functions(cursor)
    assert (
        rows(
            "SELECT proname FROM pg_proc WHERE proname LIKE 'unification\\_sync%'",
        )
        == []
    )
    run("UPDATE customers SET phone = 'unseen' WHERE id = %s", LINKED)
    assert profile("phone") != "unseen"
    with transaction.atomic(), connection.cursor() as cursor:
        sync.install(cursor, sources)
    run("UPDATE customers SET phone = 'seen' WHERE id = %s", LINKED)
    assert profile("phone") == "seen"


def test_functions_of_an_earlier_release_are_replaced_where_it_is_on(shop: str) -> None:
    renew = import_module("legacy_customers.migrations.0020_cheap_sync").forwards
    run(
        "CREATE OR REPLACE FUNCTION unification_sync_customers_follow(person uuid, o customers, n customers,"
        " among_others boolean) RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$"
    )
    run("UPDATE customers SET phone = 'unseen' WHERE id = %s", LINKED)
    assert profile("phone") != "unseen"
    with connection.schema_editor(atomic=False) as schema_editor:
        renew(None, schema_editor)
    run("UPDATE customers SET phone = 'seen' WHERE id = %s", LINKED)
    assert profile("phone") == "seen"
    with transaction.atomic(), connection.cursor() as cursor:
        sync.drop_triggers(cursor)
        sync.drop_functions(cursor)
    with connection.schema_editor(atomic=False) as schema_editor:
        renew(None, schema_editor)
    assert one("SELECT count(*) FROM pg_proc WHERE proname LIKE 'unification\\_sync%%'") == 0


@pytest.mark.parametrize("table", ["customers", "users", "profiles"])
def test_statement_of_one_row_and_of_many_are_both_carried_in_one_session(undone: None, table: str) -> None:
    one_row = {"customers": LINKED, "users": LINKED_USER, "profiles": LINKED}[table]
    differing = """SELECT count(*) FROM profiles AS p JOIN users AS u ON u.id = p.user_id JOIN customers AS c ON c.user_id = u.id
        WHERE p.merged_into_id IS NULL AND (p.phone, u.phone, c.phone) IS DISTINCT FROM (%s, %s, %s)"""
    for phone in ("first", "second"):
        statement = sql.SQL("UPDATE {} SET phone = %s WHERE id = %s").format(sql.Identifier(table))
        run(statement, f"{phone} of one", one_row)
        assert {profile("phone"), customer("phone"), user("phone")} == {f"{phone} of one"}
        condition = "merged_into_id IS NULL" if table == "profiles" else "true"
        run(sql.SQL("UPDATE {} SET phone = %s WHERE {}").format(sql.Identifier(table), sql.SQL(condition)), phone)
        assert one(differing, phone, phone, phone) == 0


@pytest.mark.parametrize("table", ["users", "customers", "customer_profiles", "user_profiles", "orders"])
def test_truncate_is_refused_and_says_what_to_do(shop: str, table: str) -> None:
    with pytest.raises(Exception, match="refused") as refused:
        run(sql.SQL("TRUNCATE {} CASCADE").format(sql.Identifier(table)))
    cause = refused.value.__cause__
    assert isinstance(cause, psycopg.Error)
    assert cause.diag.message_hint == "DELETE the rows: each is then kept, and its person stays."


def test_an_application_that_owns_nothing_writes_as_before(shop: str) -> None:
    run("CREATE ROLE sync_till")
    try:
        run(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON users, customers, customer_profiles, user_profiles, orders TO sync_till"
        )
        with transaction.atomic():
            run("SET LOCAL ROLE sync_till")
            run("SET LOCAL search_path = pg_catalog")
            for table in ("profiles", "customers", "legacy_writes", "profile_history"):
                run(sql.SQL("CREATE TEMP TABLE {} (odd integer) ON COMMIT DROP").format(sql.Identifier(table)))
            run("UPDATE public.customers SET phone = '+5' WHERE id = %s", LINKED)
            run("INSERT INTO public.customers (email) VALUES ('till.guest@example.com')")
            run("INSERT INTO public.users (email, password_hash) VALUES ('till.user@example.com', '$2b$x')")
            run("INSERT INTO public.orders (order_number, customer_id) VALUES ('T-1', %s)", LINKED)
            run("UPDATE public.users SET active = false, email = 'till.other@example.com' WHERE id = %s", LINKED_USER)
            run("UPDATE public.orders SET total_amount = 7, payment_status = 'paid' WHERE order_number = 'T-1'")
            run("DELETE FROM public.users WHERE email = 'till.user@example.com'")
            run("DELETE FROM public.customers WHERE email = 'till.guest@example.com'")
        assert profile("phone") == "+5"
        assert one("SELECT count(*) FROM profile_history WHERE changes ? 'users.active'") == 1
        assert Profile.objects.filter(user__email__in=["till.guest@example.com", "till.user@example.com"]).count() == 1
        assert one("SELECT user_id FROM orders WHERE order_number = 'T-1'") == LINKED_USER
    finally:
        run("DROP OWNED BY sync_till")
        run("DROP ROLE sync_till")
