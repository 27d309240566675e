"""The generated legacy database: its counts, its shape, and that nothing in it is left to chance."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from legacy_customers.sample.logins import LOGINS
from legacy_customers.sample.people import generate
from legacy_customers.sample.report import report
from legacy_customers.sample.schema import schema
from tests.databases import temporary_database
from tests.legacy_customers.test_sample import SCHEMA_LINES, contents, query


@pytest.mark.parametrize("older", [False, True])
def test_a_thousand_people_have_the_promised_rows(empty_database: str, older: bool) -> None:
    generate(connection, 1000, older=older)
    loaded = report(connection)
    assert loaded.counts == {
        "users": 1000,
        "customers": 1190,
        "customer_profiles": 360,
        "user_profiles": 30,
        "orders": 3570,
    }
    assert [login.email for login in loaded.logins] == [login.email for login in LOGINS]
    assert query("SELECT count(*) FROM customers WHERE user_id IS NULL") == [(200,)]
    assert query(
        "SELECT count(*) FILTER (WHERE user_id IS NULL), count(*) FILTER (WHERE customer_id IS NULL),"
        " count(*) FILTER (WHERE num_nulls(user_id, customer_id) = 0) FROM orders"
    ) == [(1190, 1190, 1190)]


@pytest.mark.parametrize("people", [1, 7, 101])
def test_any_number_of_people_can_be_made(empty_database: str, people: int) -> None:
    generate(connection, people)
    assert report(connection).counts["users"] == people
    assert report(connection).counts["orders"] == people * 357 // 100


def test_the_people_meet_the_cases_of_the_rules(empty_database: str) -> None:
    generate(connection, 5000)
    found = query(
        """
        WITH guests AS (
            SELECT lower(btrim(email)) AS e, date_of_birth FROM customers WHERE user_id IS NULL
        ), matches AS (
            SELECT users.email_verified, guests.date_of_birth <> users.date_of_birth AS contradicts
            FROM guests JOIN users ON lower(users.email) = e
        )
        SELECT (SELECT count(*) FROM matches WHERE email_verified) > 250,
               (SELECT count(*) FROM matches WHERE NOT email_verified) > 25,
               (SELECT count(*) FROM matches WHERE contradicts) BETWEEN 10 AND 40,
               (SELECT count(*) FROM (SELECT e FROM guests GROUP BY e HAVING count(*) > 1) AS shared) > 50,
               (SELECT count(*) FROM guests WHERE e = '') > 0,
               (SELECT count(*) FROM users GROUP BY lower(email) HAVING count(*) > 1) = 2,
               (SELECT count(*) FROM customer_profiles
                WHERE customer_id <> lower(customer_id)) BETWEEN 100 AND 200,
               (SELECT count(*) FROM customer_profiles WHERE customer_id LIKE 'chat-%') = 100,
               (SELECT count(*) FROM user_profiles JOIN users USING (session_id)) = 50,
               (SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer_id
                WHERE c.user_id <> o.user_id) BETWEEN 30 AND 70
        """
    )
    assert found == [(True,) * 10]


def test_two_runs_are_equal_whatever_the_plan(empty_database: str) -> None:
    generate(connection, 1000)
    first = contents()
    with temporary_database():
        with connection.cursor() as cursor:
            cursor.execute("SET enable_hashjoin = off; SET enable_mergejoin = off; SET TimeZone = 'Asia/Tokyo'")
        generate(connection, 1000)
        assert contents() == first


@pytest.mark.parametrize("older", [False, True])
def test_the_schema_is_that_of_the_stories(empty_database: str, older: bool) -> None:
    generate(connection, 10, older=older)
    generated = query(SCHEMA_LINES)
    with temporary_database(), connection.cursor() as cursor:
        cursor.execute(schema("older" if older else "current"))
        assert query(SCHEMA_LINES) == generated


def test_the_command_counts_what_it_made(empty_database: str) -> None:
    out = StringIO()
    call_command("load_legacy_sample", "--people", "1000", stdout=out)
    assert [line.split() for line in out.getvalue().splitlines()[:5]] == [
        ["users", "1,000"],
        ["customers", "1,190"],
        ["customer_profiles", "360"],
        ["user_profiles", "30"],
        ["orders", "3,570"],
    ]
