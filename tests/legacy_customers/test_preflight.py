"""What stops the take-over before its first write: each reason with its code and its way out, all at once."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django.plugin import DjangoDbBlocker

from legacy_customers.sample.schema import Variant, extra_tables, schema
from legacy_customers.sample.stories import load_story
from legacy_customers.unification import preflight
from legacy_customers.unification.preflight import DoesNotFit, blockers
from legacy_customers.unification.sources import LEGACY_TABLES
from legacy_customers.unification.verify import verify
from tests.databases import another_session, maintenance, rows, run, temporary_database


@pytest.fixture(scope="module")
def legacy(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The legacy schema without rows; what tests do to it is rolled back."""
    with django_db_blocker.unblock(), temporary_database() as name:
        run(schema())
        yield name


@pytest.fixture
def undone(legacy: str) -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def role() -> Iterator[str]:
    """A role that may log in, and nothing more; gone at the end, after the databases in which it owned something."""
    name = f"test_role_{uuid.uuid4().hex[:12]}"
    with maintenance() as server:
        server.execute(f"CREATE ROLE {name} LOGIN")
    try:
        yield name
    finally:
        with maintenance() as server:
            server.execute(f"DROP ROLE {name}")


@contextmanager
def connected_as(role: str) -> Iterator[None]:
    """Django's connection as `role`."""
    connection.close()
    before, connection.settings_dict["USER"] = connection.settings_dict["USER"], role
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["USER"] = before


def found() -> list[str]:
    return [str(blocker) for blocker in preflight.preflight(connection)]


def relations() -> list[tuple[Any, ...]]:
    return rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")


@pytest.mark.parametrize("variant", ["current", "older"])
def test_a_legacy_schema_fits(empty_database: str, variant: Variant) -> None:
    run(schema(variant))
    assert found() == []


def test_a_database_without_legacy_tables_fits(empty_database: str) -> None:
    assert found() == []


def test_a_server_that_is_too_old_stops_it(undone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockers, "MINIMUM_VERSION", 990000)
    version = rows("SHOW server_version")[0][0]
    assert found() == [f"B001 PostgreSQL is {version}; 14 or later is needed.\n     Way out: Upgrade the server first."]


def test_another_encoding_stops_it(empty_database: str) -> None:
    name = f"test_{uuid.uuid4().hex[:16]}"
    # From 15 on the template may have a provider that knows UTF8 alone.
    provider = "LOCALE_PROVIDER libc" if rows("SHOW server_version_num")[0][0] >= "150000" else ""
    run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' {provider} LC_COLLATE 'C' LC_CTYPE 'C'")
    connection.close()
    before, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], name
    try:
        assert found() == [
            f"B002 Database {name} has the encoding LATIN1; UTF8 is needed.\n"
            "     Way out: Dump it and restore it into a database made with ENCODING 'UTF8'."
        ]
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
        run(f"DROP DATABASE {name}")


BLOCKERS: dict[str, tuple[str, list[str]]] = {
    "a_table_is_missing": (
        "DROP TABLE user_profiles",
        [
            "B003 Table user_profiles is missing; of the legacy tables there are users, customers, customer_profiles,"
            " orders.\n     Way out: Point DATABASE_URL at the whole legacy database, or create user_profiles with no"
            " rows."
        ],
    ),
    "a_column_is_missing": (
        "ALTER TABLE customers DROP COLUMN loyalty_points",
        [
            "B004 Column customers.loyalty_points is missing.\n"
            "     Way out: ALTER TABLE customers ADD COLUMN loyalty_points integer."
        ],
    ),
    "the_role_column_is_missing": (
        "ALTER TABLE users DROP COLUMN role",
        ["B004 Column users.role is missing.\n     Way out: ALTER TABLE users ADD COLUMN role character varying."],
    ),
    "a_column_has_another_type": (
        "ALTER TABLE orders ALTER COLUMN total_amount TYPE double precision",
        [
            "B005 Column orders.total_amount is double precision; numeric is needed.\n     Way out:"
            " ALTER TABLE orders ALTER COLUMN total_amount TYPE numeric USING total_amount::numeric."
        ],
    ),
    "a_text_is_a_number": (
        "ALTER TABLE users ALTER COLUMN phone TYPE bigint USING NULL",
        [
            "B005 Column users.phone is bigint; character varying or text or character is needed.\n     Way out:"
            " ALTER TABLE users ALTER COLUMN phone TYPE character varying USING phone::character varying."
        ],
    ),
    "the_role_is_a_number": (
        "ALTER TABLE users ALTER COLUMN role DROP DEFAULT, ALTER COLUMN role TYPE integer USING NULL",
        [
            "B005 Column users.role is integer; enum or character varying or text or character is needed.\n     Way"
            " out: ALTER TABLE users ALTER COLUMN role TYPE character varying USING role::character varying."
        ],
    ),
    "a_time_has_a_zone": (
        "ALTER TABLE users ALTER COLUMN created_at TYPE timestamptz",
        [
            "B005 Column users.created_at is timestamp with time zone; timestamp without time zone is needed.\n"
            "     Way out: ALTER TABLE users ALTER COLUMN created_at TYPE timestamp without time zone"
            " USING created_at::timestamp without time zone."
        ],
    ),
    "json_is_not_jsonb": (
        "ALTER TABLE customers ALTER COLUMN tags DROP DEFAULT, ALTER COLUMN tags TYPE json",
        [
            "B005 Column customers.tags is json; jsonb is needed.\n"
            "     Way out: ALTER TABLE customers ALTER COLUMN tags TYPE jsonb USING tags::jsonb."
        ],
    ),
    "relations_stand_in_the_way": (
        "CREATE TABLE profiles (); CREATE VIEW backup_users AS SELECT 1; CREATE SEQUENCE profile_history;"
        " CREATE MATERIALIZED VIEW customers_view AS SELECT 1",
        [
            "B009 A view named backup_users exists already, and the unification creates one.\n"
            "     Way out: If it is of no use, drop it; else ALTER VIEW backup_users RENAME TO another name.",
            "B009 A materialized view named customers_view exists already, and the unification creates one.\n"
            "     Way out: If it is of no use, drop it; else ALTER MATERIALIZED VIEW customers_view RENAME TO another"
            " name.",
            "B009 A sequence named profile_history exists already, and the unification creates one.\n"
            "     Way out: If it is of no use, drop it; else ALTER SEQUENCE profile_history RENAME TO another name.",
            "B009 A table named profiles exists already, and the unification creates one.\n"
            "     Way out: If it is of no use, drop it; else ALTER TABLE profiles RENAME TO another name.",
        ],
    ),
    "keys_are_missing": (
        "ALTER TABLE customer_profiles DROP CONSTRAINT customer_profiles_pkey;"
        " ALTER TABLE users DROP CONSTRAINT users_email_key;"
        " CREATE UNIQUE INDEX ON users (lower(email)); CREATE UNIQUE INDEX ON users (email) WHERE active",
        [
            "B010 Column customer_profiles.customer_id has no primary or unique key.\n     Way out: Remove duplicates,"
            " then CREATE UNIQUE INDEX CONCURRENTLY ON customer_profiles (customer_id).",
            "B010 Column users.email has no primary or unique key.\n"
            "     Way out: Remove duplicates, then CREATE UNIQUE INDEX CONCURRENTLY ON users (email).",
        ],
    ),
    "unknown_columns_want_a_value": (
        "ALTER TABLE users ADD COLUMN shoe_size integer NOT NULL;"
        " ALTER TABLE orders ADD COLUMN till integer NOT NULL DEFAULT 1, ADD COLUMN shelf text NOT NULL",
        [
            "B011 Column users.shoe_size is NOT NULL without a default: new rows could not be written.\n"
            "     Way out: ALTER TABLE users ALTER COLUMN shoe_size SET DEFAULT a value, or DROP NOT NULL.",
            "B011 Column orders.shelf is NOT NULL without a default: new rows could not be written.\n"
            "     Way out: ALTER TABLE orders ALTER COLUMN shelf SET DEFAULT a value, or DROP NOT NULL.",
        ],
    ),
    "no_role_is_customer": (
        "ALTER TYPE user_role_simple RENAME VALUE 'customer' TO 'shopper'",
        [
            "B012 Type user_role_simple of users.role has no label 'customer', only super_admin, tenant_admin,"
            " store_manager, staff, shopper.\n     Way out: ALTER TYPE user_role_simple ADD VALUE 'customer'."
        ],
    ),
    "values_are_too_long": (
        "ALTER TABLE customers ALTER COLUMN city TYPE text;"
        " INSERT INTO customers (id, email, city) VALUES ('11111111-1111-4111-8111-111111111111', 'a@x.io', repeat('é', 100)),"
        " ('22222222-2222-4222-8222-222222222222', 'b@x.io', repeat('x', 101))",
        [
            "B013 Values of customers.city are longer than 100 characters: 22222222-2222-4222-8222-222222222222.\n"
            "     Way out: Shorten them, or move the rest to customers.notes."
        ],
    ),
    "addresses_and_keys_are_too_long": (
        "ALTER TABLE customers ALTER COLUMN email TYPE text;"
        " ALTER TABLE customer_profiles ALTER COLUMN customer_id TYPE text;"
        " INSERT INTO customers (id, email) VALUES ('22222222-2222-4222-8222-222222222222', repeat('x', 256));"
        " INSERT INTO customer_profiles (customer_id) VALUES (repeat('c', 100)), (repeat('d', 101))",
        [
            "B013 Values of customers.email are longer than 255 characters: 22222222-2222-4222-8222-222222222222.\n"
            "     Way out: Shorten them, or move the rest to customers.notes.",
            f"B013 Values of customer_profiles.customer_id are longer than 100 characters: {'d' * 101}.\n"
            "     Way out: Shorten them, or move the rest to customers.notes.",
        ],
    ),
    "money_outgrows_its_column": (
        "ALTER TABLE customers ALTER COLUMN total_spent TYPE numeric;"
        " INSERT INTO customers (email, total_spent) VALUES ('rich@x.io', 600000000000), (' Rich@x.io', 400000000000),"
        " ('poor@x.io', 999999999999.99)",
        [
            "B014 The customers with the address 'rich@x.io' have spent more than 999,999,999,999.99 together.\n"
            "     Way out: Correct total_spent of these rows."
        ],
    ),
}


def test_tables_made_of_several_stop_it(undone: None) -> None:
    run("CREATE TABLE archive () INHERITS (customers); DROP TABLE user_profiles CASCADE;")
    run(
        "CREATE TABLE user_profiles (id uuid PRIMARY KEY, session_id varchar(255), email varchar(255), phone varchar(50),"
        " age_verified boolean, customer_type varchar(50), preferences jsonb, needs jsonb, experience_level varchar(50),"
        " medical_conditions jsonb, preferred_categories jsonb, preferred_effects jsonb, price_range jsonb,"
        " purchase_history jsonb, interaction_count integer, language varchar(10), timezone varchar(50),"
        " created_at timestamp, updated_at timestamp) PARTITION BY HASH (id)"
    )
    assert found() == [
        "B015 Table customers is part of an inheritance tree.\n"
        "     Way out: Copy its rows into a plain table, and give that the name customers.",
        "B015 Table user_profiles is partitioned.\n"
        "     Way out: Copy its rows into a plain table, and give that the name user_profiles.",
    ]


def test_rows_that_the_role_may_not_see_stop_it(role: str, undone: None) -> None:
    run(
        f"GRANT CREATE ON SCHEMA public TO {role}; ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    )
    for table in LEGACY_TABLES:
        run(f"ALTER TABLE {table} OWNER TO {role}")
    run(f"SET LOCAL ROLE {role}")
    assert found() == [
        f"B016 Row level security of table orders applies to role {role}, which may not see every row.\n"
        "     Way out: ALTER TABLE orders NO FORCE ROW LEVEL SECURITY, or connect as a role with BYPASSRLS."
    ]


@pytest.mark.parametrize("name", BLOCKERS)
def test_it_is_stopped_when(undone: None, name: str) -> None:
    statement, expected = BLOCKERS[name]
    run(statement)
    assert found() == expected


def test_a_role_that_owns_nothing_is_stopped_and_told_what_it_lacks(role: str, undone: None) -> None:
    database = rows("SELECT current_database()")[0][0]
    owner = rows("SELECT current_user")[0][0]
    run(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
    run(f"REVOKE CREATE ON SCHEMA public FROM PUBLIC; ALTER TABLE customers OWNER TO {role}")
    run(f"SET LOCAL ROLE {role}")
    assert found() == [
        *(
            f"B006 Role {role} does not own table {table}; {owner} does.\n"
            f"     Way out: GRANT {owner} TO {role}, or connect as {owner}."
            for table in sorted(set(LEGACY_TABLES) - {"customers"})
        ),
        f"B007 Role {role} may not create tables in schema public.\n"
        f"     Way out: GRANT CREATE ON SCHEMA public TO {role}.",
        f"B008 Role {role} may not make temporary tables in database {database}.\n"
        f"     Way out: GRANT TEMPORARY ON DATABASE {database} TO {role}.",
    ]


def test_all_reasons_are_told_at_once_and_nothing_is_written(empty_database: str) -> None:
    run(schema())
    run("DROP TABLE user_profiles")
    run(BLOCKERS["a_column_is_missing"][0])
    run(BLOCKERS["keys_are_missing"][0])
    run(BLOCKERS["no_role_is_customer"][0])
    before = relations()
    with pytest.raises(DoesNotFit) as refusal:
        call_command("migrate", verbosity=0)
    reasons = [
        *BLOCKERS["a_table_is_missing"][1],
        *BLOCKERS["a_column_is_missing"][1],
        *BLOCKERS["keys_are_missing"][1],
        *BLOCKERS["no_role_is_customer"][1],
    ]
    # In the order of the tables and columns, then of the codes.
    assert sorted(str(blocker) for blocker in refusal.value.blockers) == sorted(reasons)
    assert str(refusal.value).startswith("This database does not fit yet; nothing was written. 5 reason(s):\n  B004 ")
    assert all(f"  {reason}\n" in str(refusal.value) for reason in reasons)
    assert str(refusal.value).endswith("\nPut these right, then run `manage.py migrate` again.")
    assert refusal.value.returncode == 1
    assert relations() == before


def test_the_ways_out_lead_out(empty_database: str) -> None:
    run(schema())
    for name in ("a_column_is_missing", "json_is_not_jsonb", "a_text_is_a_number", "keys_are_missing"):
        run(BLOCKERS[name][0])
    for blocker in preflight.preflight(connection):
        run(blocker.way_out.removeprefix("Remove duplicates, then ").removesuffix("."))
    assert found() == []
    call_command("migrate", verbosity=0)
    assert verify(connection).passed


def test_tables_and_views_of_the_shops_own_do_not_stop_it(empty_database: str) -> None:
    run(schema())
    run(extra_tables())
    run(
        "CREATE MATERIALIZED VIEW logins AS SELECT u.email, c.email AS other FROM users u JOIN customers c ON c.user_id"
        " = u.id; CREATE TABLE profile_pictures (user_email varchar(255) REFERENCES users (email), "
        " customer_id varchar(100) REFERENCES customer_profiles)"
    )
    assert found() == []
    call_command("migrate", verbosity=0)
    assert verify(connection).passed
    run("REFRESH MATERIALIZED VIEW logins")


def test_a_role_without_superuser_rights_migrates_verifies_and_rolls_back(role: str, empty_database: str) -> None:
    run(f"GRANT CREATE ON SCHEMA public TO {role}")
    with connected_as(role):
        load_story(connection, "shop")
        before = [(table, rows(f"SELECT t::text FROM {table} AS t ORDER BY 1")) for table in LEGACY_TABLES]
        call_command("migrate", verbosity=0)
        assert rows("SELECT current_user, current_setting('is_superuser')") == [(role, "off")]
        report = verify(connection)
        assert {name: seen.samples for name, seen in report.checks.items() if not seen.passed} == {}
        call_command("migrate", "legacy_customers", "zero", verbosity=0)
        assert [(table, rows(f"SELECT t::text FROM {table} AS t ORDER BY 1")) for table in LEGACY_TABLES] == before
    connection.close()


def test_a_role_that_may_not_see_when_transactions_began_is_told(role: str, empty_database: str) -> None:
    run(f"GRANT CREATE ON SCHEMA public TO {role}")
    with another_session() as other:
        other.execute("SELECT 1")
        with connected_as(role):
            run(schema())
            told = [str(caution) for caution in preflight.assess(connection).cautions if caution.code == "W001"]
    connection.close()
    assert told == [
        f"W001 Of 1 sessions of other roles, role {role} may not see how long they have been in a transaction.\n"
        f"     Way out: GRANT pg_read_all_stats TO {role}, and run this again."
    ]


def test_a_role_that_does_not_own_the_tables_is_refused_and_nothing_is_written(role: str, empty_database: str) -> None:
    load_story(connection, "seed")
    run(f"GRANT ALL ON SCHEMA public TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    before, owner = relations(), rows("SELECT current_user")[0][0]
    with connected_as(role), pytest.raises(DoesNotFit) as refusal:
        call_command("migrate", verbosity=0)
    assert [blocker.problem for blocker in refusal.value.blockers] == [
        f"Role {role} does not own table {table}; {owner} does." for table in sorted(LEGACY_TABLES)
    ]
    assert relations() == before


def test_a_member_of_the_owning_role_is_accepted(role: str, undone: None) -> None:
    run(f"GRANT CREATE ON SCHEMA public TO {role}; CREATE ROLE {role}_member IN ROLE {role}")
    for table in LEGACY_TABLES:
        run(f"ALTER TABLE {table} OWNER TO {role}")
    run(f"SET LOCAL ROLE {role}_member")
    assert found() == []
