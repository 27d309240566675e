"""customers_view: the old table's shape, readable and writable, and what it refuses."""

import datetime
import json
import threading
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from psycopg import sql
from psycopg.types.json import Jsonb
from pytest_django.plugin import DjangoDbBlocker

from legacy_customers.models import LegacyCustomer
from legacy_customers.sample.persons import row_id
from legacy_customers.unification.sources import columns_of
from profiles.models import MergeSuggestion, Profile
from tests.databases import one, rows, temporary_database

LINKED, LINKED_USER = row_id("linked", "customers"), row_id("linked", "users")
MERGED = row_id("guest_of_verified_user", "customers", 2)
WITHOUT_ROW = row_id("user_without_customers_row", "users")
NEW = uuid.UUID("99999999-9999-4999-8999-999999999999")
WIDER = {"loyalty_points": "bigint", "total_spent": "numeric(14,2)", "order_count": "bigint"}


@pytest.fixture(scope="module")
def viewed(shop_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A shop; what the tests write is rolled back."""
    with django_db_blocker.unblock():
        connection.close()
        with temporary_database(template=shop_template) as name:
            yield name


@pytest.fixture
def undone(viewed: str) -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def refusal(statement: str, *params: Any) -> tuple[str, str, str]:
    """SQLSTATE, message and hint with which a statement is refused."""
    with pytest.raises(DatabaseError) as refused, transaction.atomic():
        rows(statement, *params)
    cause = refused.value.__cause__
    assert isinstance(cause, psycopg.Error)
    return (cause.sqlstate or "", cause.diag.message_primary or "", cause.diag.message_hint or "")


def counts() -> list[tuple[Any, ...]]:
    return rows(
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM profiles), (SELECT count(*) FROM merge_suggestions)"
    )


# --- the shape ----------------------------------------------------------------------------------------------------


def old_columns(without: set[str]) -> list[tuple[str, str]]:
    return [
        (name, WIDER.get(name, kind))
        for name, kind in columns_of(connection, "customers").items()
        if name not in without
    ]


def test_columns_are_the_old_tables_in_its_order_then_the_tenant(undone: None) -> None:
    expected = [*old_columns({"loyalty_tier"}), ("tenant_id", "uuid")]
    assert list(columns_of(connection, "customers_view").items()) == expected
    assert [field.column for field in LegacyCustomer._meta.concrete_fields] == [name for name, _ in expected]


def test_an_older_installations_address_is_jsonb(older_shop: str) -> None:
    expected = [*old_columns({"loyalty_tier"}), ("tenant_id", "uuid")]
    assert list(columns_of(connection, "customers_view").items()) == expected
    assert columns_of(connection, "customers_view")["address"] == "jsonb"
    # Objects and texts read back as they were written.
    for written in ({"street": "1 Elm", "unit": 5}, "2 Oak St", {}):
        rows("UPDATE customers_view SET address = %s WHERE id = %s", Jsonb(written), LINKED)
        assert json.loads(one("SELECT address FROM customers_view WHERE id = %s", LINKED)) == written
    assert (
        rows(
            "SELECT c.address, v.address FROM customers AS c JOIN customers_view AS v USING (id)"
            " WHERE c.id <> %s AND c.address IS DISTINCT FROM v.address"
            " AND jsonb_typeof(c.address) IN ('object', 'string') AND unification_address(c.address #>> '{}') IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM profile_aliases AS a WHERE a.profile_id = v.id)",
            LINKED,
        )
        == []
    )


def test_a_database_without_legacy_tables_has_the_same_view(empty_database: str, shop_template: str) -> None:
    call_command("migrate", verbosity=0)
    here = columns_of(connection, "customers_view")
    defaults = "SELECT adnum, pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'customers_view'::regclass"
    mine = sorted(rows(defaults))
    connection.close()
    before, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], shop_template
    try:
        assert here == columns_of(connection, "customers_view")
        assert mine == sorted(rows(defaults))
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def test_it_is_read_with_the_readers_rights(undone: None) -> None:
    if one("SELECT current_setting('server_version_num')::integer >= 150000"):
        assert rows("SELECT reloptions FROM pg_class WHERE relname = 'customers_view'") == [
            (["security_invoker=true"],)
        ]


@pytest.mark.parametrize("shop_kind", ["shop", "older_shop"])
def test_a_row_that_nothing_was_merged_into_reads_back_its_own_values(
    shop_kind: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(shop_kind)
    # Alone: one guest's row with nothing attached and no account of its own before.
    alone = """
        FROM customers AS c JOIN customers_view AS v USING (id) JOIN legacy_identities AS i ON i.customer_id = c.id
        WHERE i."case" IN ('new_user', 'separate')
            AND (SELECT count(*) FROM legacy_identities AS o WHERE o.user_id = i.user_id) = 1
            AND NOT EXISTS (SELECT FROM legacy_attachments AS a WHERE a.user_id = i.user_id)"""
    assert one(f"SELECT count(*) {alone}") > 90
    unlike = {}
    for name in columns_of(connection, "customers").keys() - {"loyalty_tier", "user_id"}:
        found = rows(f"SELECT c.{name}::text, v.{name}::text {alone} AND c.{name} IS DISTINCT FROM v.{name}")
        if found:
            unlike[name] = set(found)
    # Blanks became NULL, unknown booleans false, unknown amounts 0, JSON of the wrong shape empty: nothing else.
    for name, pairs in unlike.items():
        for before, after in pairs:
            blank = before is None or not before.strip() or before in ("{}", "[]", "null", '""', " {} ")
            merely_shape = name in ("tags", "address", "city", "state", "postal_code", "country", "email")
            assert blank or merely_shape, (name, before, after)


def test_every_old_id_that_is_a_profiles_own_is_in_the_view(undone: None) -> None:
    assert (
        rows("SELECT id FROM customers WHERE id IN (SELECT id FROM profiles) EXCEPT SELECT id FROM customers_view")
        == []
    )
    assert one("SELECT count(*) FROM customers_view WHERE id = %s", MERGED) == 0  # an alias


# --- insert -------------------------------------------------------------------------------------------------------

DEFAULTS = {
    "country": "USA",
    "loyalty_points": 0,
    "total_spent": Decimal("0.00"),
    "order_count": 0,
    "customer_type": "regular",
    "marketing_consent": False,
    "sms_consent": False,
    "tags": [],
    "is_active": True,
    "is_verified": False,
}


def test_insert_of_few_columns_gets_the_old_tables_defaults(undone: None) -> None:
    [(id_, user)] = rows("INSERT INTO customers_view (email) VALUES ('few@example.com') RETURNING id, user_id")
    stored = LegacyCustomer.objects.get(pk=id_)
    assert {name: getattr(stored, name) for name in DEFAULTS} == DEFAULTS
    assert (stored.user_id, stored.email, stored.first_name, stored.tenant_id) == (user, "few@example.com", None, None)
    assert abs(stored.created_at - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=5)
    assert stored.created_at == stored.updated_at
    profile = Profile.objects.get(pk=id_)
    assert (profile.contact_email, profile.user.email, profile.user.role) == (None, "few@example.com", "customer")
    assert (profile.user.active, profile.user.email_verified) == (True, False)
    assert not profile.user.has_usable_password()
    assert profile.created_at == stored.created_at


def test_insert_of_every_column_is_read_back(undone: None) -> None:
    written = {
        "id": NEW,
        "email": "Every@Example.com",
        "first_name": "Élan",
        "last_name": "",
        "phone": "+1",
        "date_of_birth": datetime.date(1980, 2, 29),
        "address": "1 Elm St",
        "city": "Oslo",
        "state": "ON",
        "postal_code": "0150",
        "country": "Norway",
        "loyalty_points": 3_000_000_000,
        "total_spent": Decimal("999999999999.99"),
        "order_count": 3_000_000_000,
        "last_order_date": datetime.datetime(2024, 5, 6, 7, 8, 9),
        "customer_type": "vip",
        "preferred_payment_method": "cash",
        "marketing_consent": True,
        "sms_consent": True,
        "tags": Jsonb(["a", 1]),
        "notes": "Läuten 🔔",
        "is_active": False,
        "is_verified": True,
        "created_at": datetime.datetime(2020, 1, 1, 1, 1, 1, 1),
        "updated_at": datetime.datetime(2021, 1, 1, 1, 1, 1, 1),
        "tenant_id": uuid.UUID("11111111-1111-4111-8111-111111111111"),
    }
    names = sql.SQL(", ").join(map(sql.Identifier, written))
    rows(
        sql.SQL("INSERT INTO customers_view ({}) VALUES ({})").format(
            names, sql.SQL(", ").join([sql.Placeholder()] * len(written))
        ),
        *written.values(),
    )
    expected = tuple(value.obj if isinstance(value, Jsonb) else value for value in written.values())
    assert rows(sql.SQL("SELECT {} FROM customers_view WHERE id = %s").format(names), NEW) == [
        tuple(value if name != "tags" else '["a", 1]' for name, value in zip(written, expected, strict=True))
    ]


def test_insert_through_the_model_is_read_back(undone: None) -> None:
    made = LegacyCustomer.objects.create(email="model@example.com", first_name="Mo", tags=["x"])
    stored = LegacyCustomer.objects.get(pk=made.pk)
    assert (stored.email, stored.first_name, stored.tags, stored.country) == ("model@example.com", "Mo", ["x"], "USA")
    assert stored.user_id is not None


def test_insert_with_white_space_around_the_address_makes_a_login_without(undone: None) -> None:
    id_ = one("INSERT INTO customers_view (email) VALUES (E' Trim.Me@example.com\t') RETURNING id")
    profile = Profile.objects.get(pk=id_)
    assert (profile.user.email, profile.contact_email) == ("Trim.Me@example.com", None)


def test_insert_for_a_user_without_a_profile_makes_that_users_profile(undone: None) -> None:
    user = uuid.UUID("22222222-2222-4222-8222-222222222222")
    rows("SET LOCAL session_replication_role = replica")
    rows("INSERT INTO users (id, email, password_hash) VALUES (%s, 'direct@example.com', 'x')", user)
    rows("SET LOCAL session_replication_role = origin")
    id_ = one("INSERT INTO customers_view (user_id, email) VALUES (%s, 'other@example.com') RETURNING id", user)
    profile = Profile.objects.get(pk=id_)
    assert (profile.user_id, profile.user.email, profile.contact_email) == (
        user,
        "direct@example.com",
        "other@example.com",
    )


@pytest.mark.parametrize("email", ["", "   ", "none", "a@b@example.com"], ids=["empty", "blank", "word", "two_ats"])
def test_insert_without_a_usable_address_is_a_guest_who_cannot_log_in(undone: None, email: str) -> None:
    suggestions = MergeSuggestion.objects.count()
    id_ = one("INSERT INTO customers_view (email) VALUES (%s) RETURNING id", email)
    profile = Profile.objects.get(pk=id_)
    assert (profile.user.email, profile.contact_email) == (None, email)
    assert LegacyCustomer.objects.get(pk=id_).email == email
    assert MergeSuggestion.objects.count() == suggestions


def test_insert_with_the_address_of_an_account_stays_apart_and_is_suggested(undone: None) -> None:
    id_ = one("INSERT INTO customers_view (email) VALUES ('LINKED@example.com ') RETURNING id")
    profile = Profile.objects.get(pk=id_)
    assert (profile.user.email, profile.contact_email) == (None, "LINKED@example.com ")
    assert list(
        MergeSuggestion.objects.filter(profile=profile).values_list("other_profile_id", "reason", "status")
    ) == [(LINKED, "verified_address", "open")]


def test_insert_with_the_address_of_several_accounts_is_suggested_with_each(undone: None) -> None:
    id_ = one("INSERT INTO customers_view (email) VALUES ('tWiN@example.com') RETURNING id")
    twins = {row_id("users_who_differ_in_case", "customers", n) for n in (1, 2)}
    found = MergeSuggestion.objects.filter(profile_id=id_)
    assert set(found.values_list("other_profile_id", "reason")) == {(twin, "shared_address") for twin in twins}


INSERT_REFUSALS = {
    "of_a_null_address": (
        "INSERT INTO customers_view (first_name) VALUES ('x')",
        (),
        ("23502", "a customer needs an email", "Write an empty text where there is none."),
    ),
    "of_a_known_id": (
        "INSERT INTO customers_view (id, email) VALUES (%s, 'x@example.com')",
        (LINKED,),
        ("23505", f"customer {LINKED} exists already", "Update that row, or insert without an id."),
    ),
    "of_an_alias": (
        "INSERT INTO customers_view (id, email) VALUES (%s, 'x@example.com')",
        (MERGED,),
        ("23505", f"customer {MERGED} exists already", "Update that row, or insert without an id."),
    ),
    "for_a_user_who_has_one": (
        "INSERT INTO customers_view (user_id, email) VALUES (%s, 'x@example.com')",
        (WITHOUT_ROW,),
        ("23505", f"user {WITHOUT_ROW} has a customer already", "Update the customers_view row with that user_id."),
    ),
    "for_nobody": (
        "INSERT INTO customers_view (user_id, email) VALUES (%s, 'x@example.com')",
        (NEW,),
        ("23503", f"user {NEW} does not exist", "Insert the users row first."),
    ),
}


@pytest.mark.parametrize("name", INSERT_REFUSALS)
def test_insert_is_refused(undone: None, name: str) -> None:
    statement, params, expected = INSERT_REFUSALS[name]
    before = counts()
    assert refusal(statement, *params) == expected
    assert counts() == before


# --- update -------------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "phone": "+44",
    "date_of_birth": datetime.date(1815, 12, 10),
    "address": "St James's Square",
    "city": "London",
    "state": "LDN",
    "postal_code": "SW1",
    "country": "UK",
    "loyalty_points": 5_000_000_000,
    "total_spent": Decimal("12345678901.23"),
    "order_count": 77,
    "last_order_date": datetime.datetime(2025, 1, 2, 3, 4, 5),
    "customer_type": "wholesale",
    "preferred_payment_method": "debit",
    "marketing_consent": True,
    "sms_consent": True,
    "tags": '["x", {"y": 1}]',
    "notes": "New.",
    "is_verified": False,
    "created_at": datetime.datetime(2001, 1, 1),
    "updated_at": datetime.datetime(2031, 1, 1),
}


@pytest.mark.parametrize("column", VALUES)
def test_update_of_a_column_reaches_the_profile(undone: None, column: str) -> None:
    rows(f"UPDATE customers_view SET {column} = %s WHERE id = %s", VALUES[column], LINKED)
    assert rows(f"SELECT {column} FROM customers_view WHERE id = %s", LINKED) == [(VALUES[column],)]
    stored = one(f"SELECT {column} FROM profiles WHERE id = %s", LINKED)
    if isinstance(VALUES[column], datetime.datetime):
        assert stored == VALUES[column].replace(tzinfo=datetime.UTC)
    else:
        assert stored == VALUES[column]
    changed = one("SELECT changes FROM profile_history WHERE profile_id = %s", LINKED)
    assert set(json.loads(changed)) == {column, "updated_at"}


@pytest.mark.parametrize("column", [name for name in VALUES if name not in ("created_at", "updated_at")])
def test_update_to_null_is_null_or_what_the_profile_says_instead(undone: None, column: str) -> None:
    instead = {
        "loyalty_points": 0,
        "total_spent": Decimal(0),
        "order_count": 0,
        "customer_type": "regular",
        "marketing_consent": False,
        "sms_consent": False,
        "tags": "[]",
        "is_verified": False,
    }
    rows(f"UPDATE customers_view SET {column} = NULL WHERE id = %s", LINKED)
    assert rows(f"SELECT {column} FROM customers_view WHERE id = %s", LINKED) == [(instead.get(column),)]


def test_update_of_activity_and_tenant_reaches_the_login(undone: None) -> None:
    rows("UPDATE customers_view SET is_active = false, tenant_id = %s WHERE id = %s", NEW, LINKED)
    assert rows("SELECT active, tenant_id FROM users WHERE id = %s", LINKED_USER) == [(False, NEW)]
    assert rows("SELECT is_active, tenant_id FROM customers_view WHERE id = %s", LINKED) == [(False, NEW)]


def test_update_of_the_address_is_where_to_write_and_not_the_login(undone: None) -> None:
    rows("UPDATE customers_view SET email = 'write.here@example.com' WHERE id = %s", LINKED)
    assert rows("SELECT contact_email FROM profiles WHERE id = %s", LINKED) == [("write.here@example.com",)]
    assert rows("SELECT email FROM users WHERE id = %s", LINKED_USER) == [("linked@example.com",)]
    rows("UPDATE customers_view SET email = 'linked@example.com' WHERE id = %s", LINKED)
    assert rows("SELECT contact_email FROM profiles WHERE id = %s", LINKED) == [(None,)]
    rows("UPDATE customers_view SET email = '' WHERE id = %s", LINKED)
    assert rows("SELECT email FROM customers_view WHERE id = %s", LINKED) == [("",)]


def test_update_dates_itself_unless_the_writer_does(undone: None) -> None:
    before = one("SELECT updated_at FROM customers_view WHERE id = %s", LINKED)
    rows("UPDATE customers_view SET phone = '1' WHERE id = %s", LINKED)
    assert one("SELECT updated_at = now() AT TIME ZONE 'utc' FROM customers_view WHERE id = %s", LINKED) is True
    assert before != one("SELECT updated_at FROM customers_view WHERE id = %s", LINKED)


def test_update_through_the_model_is_read_back(undone: None) -> None:
    row = LegacyCustomer.objects.get(pk=LINKED)
    row.city, row.total_spent = "Bergen", Decimal("7.50")
    row.save()
    assert Profile.objects.filter(pk=LINKED).values_list("city", "total_spent").get() == ("Bergen", Decimal("7.50"))
    assert LegacyCustomer.objects.filter(city="Bergen").update(loyalty_points=F("loyalty_points") + 1) == 1
    assert LegacyCustomer.objects.get(pk=LINKED).loyalty_points == row.loyalty_points + 1


def test_update_that_changes_nothing_writes_nothing(undone: None) -> None:
    read = (
        "SELECT p.xmin::text, p.ctid::text, u.xmin::text, u.ctid::text FROM profiles p JOIN users u ON u.id = p.user_id"
    )
    before, history = sorted(rows(read)), one("SELECT count(*) FROM profile_history")
    everything = ", ".join(f"{name} = {name}" for name in columns_of(connection, "customers_view"))
    rows(f"UPDATE customers_view SET {everything}")
    assert sorted(rows(read)) == before
    assert one("SELECT count(*) FROM profile_history") == history


UPDATE_REFUSALS = {
    "of_the_id": (
        "UPDATE customers_view SET id = %s WHERE id = %s",
        (NEW, LINKED),
        (
            "0A000",
            f"the id and user_id of customer {LINKED} cannot change",
            "Merge the two profiles instead; every old id keeps resolving through its alias.",
        ),
    ),
    "of_the_user": (
        "UPDATE customers_view SET user_id = NULL WHERE id = %s",
        (LINKED,),
        (
            "0A000",
            f"the id and user_id of customer {LINKED} cannot change",
            "Merge the two profiles instead; every old id keeps resolving through its alias.",
        ),
    ),
    "of_the_address_to_null": (
        "UPDATE customers_view SET email = NULL WHERE id = %s",
        (LINKED,),
        ("23502", f"customer {LINKED} needs an email", "Write an empty text where there is none."),
    ),
}


@pytest.mark.parametrize("name", UPDATE_REFUSALS)
def test_update_is_refused(undone: None, name: str) -> None:
    statement, params, expected = UPDATE_REFUSALS[name]
    before = rows("SELECT v::text FROM customers_view AS v ORDER BY id")
    assert refusal(statement, *params) == expected
    assert rows("SELECT v::text FROM customers_view AS v ORDER BY id") == before


def test_delete_is_refused_with_the_way_out(undone: None) -> None:
    before = counts()
    assert refusal("DELETE FROM customers_view WHERE id = %s", LINKED) == (
        "0A000",
        f"customer {LINKED} cannot be deleted through customers_view",
        "UPDATE customers_view SET is_active = false instead.",
    )
    with pytest.raises(DatabaseError, match="cannot be deleted through customers_view"), transaction.atomic():
        LegacyCustomer.objects.get(pk=LINKED).delete()
    assert counts() == before


# --- two at once --------------------------------------------------------------------------------------------------


def test_two_inserts_of_one_new_address_at_once_give_one_login(shop: str) -> None:
    def insert(email: str) -> None:
        try:
            with connect() as other:
                other.execute("SELECT pg_advisory_lock_shared(77)")
                made.append(
                    other.execute("INSERT INTO customers_view (email) VALUES (%s) RETURNING id", [email]).fetchone()
                )
        except psycopg.Error as error:
            errors.append(error)

    def connect() -> "psycopg.Connection[tuple[Any, ...]]":
        params = connection.get_connection_params()
        keep = {key: params[key] for key in ("host", "port", "user", "password", "dbname") if params.get(key)}
        return psycopg.connect(**keep)

    made: list[Any] = []
    errors: list[psycopg.Error] = []
    with connect() as starter:
        starter.execute("SELECT pg_advisory_lock(77)")
        threads = [
            threading.Thread(target=insert, args=(email,))
            for email in ("race@example.com", "Race@Example.com", " race@example.com", "RACE@example.com")
        ]
        for thread in threads:
            thread.start()
        while one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted") < 4:
            assert all(thread.is_alive() for thread in threads), errors
        starter.execute("SELECT pg_advisory_unlock(77)")
        starter.commit()
        for thread in threads:
            thread.join(timeout=30)
    assert errors == []
    ids = [id_ for (id_,) in made]
    profiles = Profile.objects.filter(pk__in=ids)
    assert profiles.count() == 4
    with_login = profiles.exclude(user__email=None)
    assert with_login.count() == 1
    assert set(MergeSuggestion.objects.filter(profile__in=ids).values_list("other_profile_id", "reason")) == {
        (with_login.get().pk, "unverified_address")
    }
    assert MergeSuggestion.objects.filter(profile__in=ids).count() == 3
