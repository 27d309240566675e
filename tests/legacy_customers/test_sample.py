"""The sample stories: their exact rows, their refusal, and the schema they leave behind."""

import re
from collections import defaultdict
from io import StringIO
from typing import Any

import bcrypt
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from psycopg import sql
from psycopg.types.json import Jsonb

from legacy_customers.sample.logins import LOGINS, PASSWORD_HASH_2A, PLACEHOLDER_HASH
from legacy_customers.sample.persons import TABLES, row_id
from legacy_customers.sample.report import relations, report
from legacy_customers.sample.schema import schema
from legacy_customers.sample.stories import SHOP, load_story, named, people_of
from tests.databases import temporary_database

# Everything in the schema public that a catalogue knows, one line per thing.
SCHEMA_LINES = """
    SELECT format('column %s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                  a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
    UNION ALL
    SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ORDER BY 1
"""


def query(statement: str | sql.Composable, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        return list(cursor.fetchall())


def contents() -> dict[str, str]:
    """A digest of each table's rows, whatever their order."""
    digest = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} AS t"
    return {table: query(sql.SQL(digest).format(sql.Identifier(table)))[0][0] for table in TABLES}


def normalised(email: str) -> str:
    return email.strip().lower()


def test_seed_has_the_seed_documents_numbers(empty_database: str) -> None:
    load_story(connection, "seed")
    assert report(connection).counts == {
        "users": 8,
        "customers": 10,
        "customer_profiles": 1,
        "user_profiles": 0,
        "orders": 12,
    }
    assert query("SELECT email FROM customers WHERE user_id IS NULL ORDER BY 1") == [
        ("testuser1757646101@example.com",),
        ("verify1757646592@example.com",),
    ]
    assert relations(connection) == sorted(TABLES)


def test_shop_holds_every_row_of_every_person_and_no_other(empty_database: str) -> None:
    load_story(connection, "shop")
    types: dict[str, dict[str, str]] = defaultdict(dict)
    for table, column, kind in query(
        "SELECT attrelid::regclass::text, attname, format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = ANY(%s::regclass[]) AND attnum > 0",
        list(TABLES),
    ):
        types[table][column] = kind
    for person in people_of("shop"):
        for table in TABLES:
            for row in person.rows(table):
                # Bit by bit: jsonb compares as a value, everything else by its text.
                condition = sql.SQL(" AND ").join(
                    sql.SQL("{} IS NOT DISTINCT FROM CAST({} AS {})").format(
                        sql.Identifier(column), sql.Placeholder(), sql.SQL(types[table][column])
                    )
                    for column in row
                )
                values = [Jsonb(value) if isinstance(value, dict | list) else value for value in row.values()]
                statement = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(sql.Identifier(table), condition)
                assert query(statement, *values) == [(1,)], f"{person.key}: {table} {row}"
    expected = {table: sum(len(person.rows(table)) for person in people_of("shop")) for table in TABLES}
    assert report(connection).counts == expected


def test_shop_of_an_older_installation_has_its_types_and_its_dangling_keys(empty_database: str) -> None:
    load_story(connection, "shop", older=True)
    expected = {table: sum(len(p.rows(table)) for p in people_of("shop", older=True)) for table in TABLES}
    assert report(connection).counts == expected
    assert query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name IN ('role', 'tenant_id', 'address') ORDER BY 1"
    ) == [("customers", "address", "jsonb"), ("users", "role", "character varying")]
    assert query(
        "SELECT DISTINCT email FROM customers c WHERE user_id IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM users u WHERE u.id = c.user_id) ORDER BY 1"
    ) == [
        ("dangling.customer.of.unverified.user@example.com",),
        ("dangling.customer.of.verified.user@example.com",),
        ("dangling.customer@example.com",),
    ]
    address = "SELECT jsonb_typeof(address) FROM customers WHERE id = %s"
    for key, kind in (
        ("address_json", "object"),
        ("address_json_list", "array"),
        ("address_json_broken", "string"),
        ("address_text_null", "null"),
        ("addresses_disagree", "string"),
    ):
        assert query(address, row_id(key, "customers")) == [(kind,)]
    assert query("SELECT role, count(*) > 200 FROM users WHERE role IN ('user', 'customer') GROUP BY role") == [
        ("user", True)
    ]


def test_shop_has_tables_a_view_and_columns_of_its_own(empty_database: str) -> None:
    load_story(connection, "shop")
    assert relations(connection) == sorted([*TABLES, "active_customers", "carts", "reviews", "sessions"])
    for relation in ("active_customers", "carts", "reviews", "sessions"):
        assert query(sql.SQL("SELECT count(*) > 0 FROM {}").format(sql.Identifier(relation))) == [(True,)]
    assert query("SELECT loyalty_tier FROM customers WHERE loyalty_tier IS NOT NULL ORDER BY 1") == [
        ("gold",),
        ("silver",),
    ]
    assert query("SELECT referral_code FROM users WHERE referral_code IS NOT NULL") == [("FRIEND-7",)]


def test_every_person_has_a_name_and_a_reason_of_their_own() -> None:
    keys = [person.key for person in SHOP]
    assert len(keys) == len(set(keys))
    assert all(re.fullmatch(r"[a-z0-9_]+", key) for key in keys)
    assert all(person.why.endswith(".") for person in SHOP)
    assert named("guest_of_verified_user").users[0]["email"] == "guest.of.verified.user@example.com"


def test_no_two_persons_share_an_address() -> None:
    """Else one scene would change another's outcome."""
    owners = defaultdict(set)
    for person in people_of("shop", older=True):
        for row in (*person.users, *person.customers, *person.user_profiles):
            if "@" in (email := normalised(row.get("email") or "")):
                owners[email].add(person.key)
    assert {email: keys for email, keys in owners.items() if len(keys) > 1} == {}


@pytest.mark.parametrize(("story", "older"), [("seed", False), ("shop", False), ("shop", True)])
def test_two_loads_are_equal(empty_database: str, story: Any, older: bool) -> None:
    load_story(connection, story, older=older)
    first = contents()
    with temporary_database():
        load_story(connection, story, older=older)
        assert contents() == first


@pytest.mark.parametrize("older", [False, True])
def test_a_story_leaves_the_schema_as_written(empty_database: str, older: bool) -> None:
    load_story(connection, "seed", older=older)
    after_load = query(SCHEMA_LINES)
    with temporary_database(), connection.cursor() as cursor:
        cursor.execute(schema("older" if older else "current"))
        assert query(SCHEMA_LINES) == after_load


def test_the_triggers_work_afterwards(empty_database: str) -> None:
    load_story(connection, "seed")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (email, password_hash, first_name, phone_verified)"
            " VALUES ('new@example.com', 'x', 'Nell', true)"
        )
        cursor.execute("UPDATE customers SET last_name = 'Kept' WHERE email = 'new@example.com'")
        cursor.execute("UPDATE users SET email = 'renamed@example.com', first_name = NULL WHERE first_name = 'Nell'")
    assert query(
        "SELECT c.email, c.first_name, c.last_name, c.is_verified, c.updated_at > timestamp '2025-12-01'"
        " FROM customers c JOIN users u ON u.id = c.user_id WHERE u.email = 'renamed@example.com'"
    ) == [("renamed@example.com", "Nell", "Kept", True, True)]


def test_the_users_rows_of_the_seed_are_what_the_trigger_makes(empty_database: str) -> None:
    load_story(connection, "seed")
    linked = "SELECT user_id, email, first_name, last_name, marketing_consent, is_verified FROM customers"
    before = query(linked + " WHERE user_id IS NOT NULL ORDER BY 1")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orders SET customer_id = NULL; DELETE FROM customers WHERE user_id IS NOT NULL")
        cursor.execute("UPDATE users SET active = active")
    assert query(linked + " WHERE user_id IS NOT NULL ORDER BY 1") == before


def test_the_command_loads_the_shop_and_prints_logins_that_work(empty_database: str) -> None:
    out = StringIO()
    call_command("load_legacy_sample", stdout=out)
    printed = dict(re.findall(r"^  (\S+@\S+) +(\S+)  (?:\w+)$", out.getvalue(), flags=re.M))
    assert list(printed) == [login.email for login in LOGINS]
    for login in LOGINS:
        assert query("SELECT role::text FROM users WHERE email = %s", login.email) == [(login.role,)]
        ((stored,),) = query("SELECT password_hash FROM users WHERE email = %s", login.email)
        assert bcrypt.checkpw(printed[login.email].encode(), stored.encode())
    assert re.search(rf"^users +{report(connection).counts['users']}$", out.getvalue(), flags=re.M)


def test_the_older_hash_verifies() -> None:
    assert bcrypt.checkpw(LOGINS[0].password.encode(), PASSWORD_HASH_2A.encode())
    assert named("hash_placeholder").users[0]["password_hash"] == PLACEHOLDER_HASH


@pytest.mark.parametrize(
    ("present", "options"),
    [("django_migrations", {}), ("anything", {"people": 10}), ("users", {"story": "seed", "older": True})],
)
def test_the_command_refuses_a_database_that_is_not_empty(
    empty_database: str, present: str, options: dict[str, Any]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE TABLE {} (id integer)").format(sql.Identifier(present)))
    with pytest.raises(CommandError) as refusal:
        call_command("load_legacy_sample", **options)
    assert str(refusal.value).startswith(
        f"The database '{empty_database}' is not empty: the schema public holds {present}. "
        "Sample data goes into an empty database only."
    )
    assert "DATABASE_URL" in str(refusal.value)
    assert relations(connection) == [present]
    assert query(sql.SQL("SELECT * FROM {}").format(sql.Identifier(present))) == []
    assert query("SELECT count(*) FROM pg_type WHERE typname = 'user_role_simple'") == [(0,)]


def test_the_command_refuses_a_view_and_counts_what_it_does_not_name(empty_database: str) -> None:
    with connection.cursor() as cursor:
        for number in range(7):
            cursor.execute(sql.SQL("CREATE VIEW {} AS SELECT 1 AS one").format(sql.Identifier(f"view_{number}")))
    with pytest.raises(CommandError, match="holds view_0, view_1, view_2, view_3, view_4 and 2 more"):
        call_command("load_legacy_sample", "--story", "seed")


def test_the_command_refuses_a_story_with_people(empty_database: str) -> None:
    with pytest.raises(CommandError, match="not allowed with argument"):
        call_command("load_legacy_sample", "--story", "seed", "--people", "10")
    with pytest.raises(CommandError, match="--people 0: give the number of users to make, 1 or more"):
        call_command("load_legacy_sample", "--people", "0")
    assert relations(connection) == []
