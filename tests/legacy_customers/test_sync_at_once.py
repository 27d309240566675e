"""Many writers to the same few people through both shapes: none fails, nothing is lost, and all copies agree at the end."""

import json
import random
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connection

from legacy_customers.models import Handover
from legacy_customers.sample.persons import row_id
from legacy_customers.unification import sync
from legacy_customers.unification.verify import verify
from tests.databases import another_session, one, until
from tests.legacy_customers.test_verify import failed

Session = psycopg.Connection[tuple[Any, ...]]
WRITERS, WRITES = 8, 120
PEOPLE = ("linked", "guest_of_verified_user", "names_disagree")
PROFILES = [row_id(key, "customers") for key in PEOPLE]
USERS = [row_id(key, "users") for key in PEOPLE]
SECOND_ROW = row_id("guest_of_verified_user", "customers", 2)


def phone(chance: random.Random) -> str:
    return f"+{chance.randrange(10**6)}"


def customers(session: Session, chance: random.Random) -> int:
    session.execute(
        "UPDATE customers SET phone = %s, loyalty_points = coalesce(loyalty_points, 0) + 1 WHERE id = %s",
        (phone(chance), chance.choice([*PROFILES, SECOND_ROW])),
    )
    return 1


def users(session: Session, chance: random.Random) -> int:
    session.execute("UPDATE users SET phone = %s WHERE id = %s", (phone(chance), chance.choice(USERS)))
    return 0


def profiles(session: Session, chance: random.Random) -> int:
    session.execute(
        "UPDATE profiles SET phone = %s, loyalty_points = loyalty_points + 1, updated_at = now() WHERE id = %s",
        (phone(chance), chance.choice(PROFILES)),
    )
    return 1


# Two statements that lock the same rows in two orders block each other, with or without a sync: so these keep an order.
MANY = (
    "UPDATE {0} SET city = %s, loyalty_points = coalesce(loyalty_points, 0) + 1"
    " FROM (SELECT id FROM {0} WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE) AS locked WHERE locked.id = {0}.id"
)


def many_customers(session: Session, chance: random.Random) -> int:
    return session.execute(MANY.format("customers"), (phone(chance), PROFILES)).rowcount


def many_profiles(session: Session, chance: random.Random) -> int:
    return session.execute(MANY.format("profiles"), (phone(chance), PROFILES)).rowcount


def recommender(session: Session, chance: random.Random) -> int:
    session.execute(
        "INSERT INTO customer_profiles (customer_id, preferences, interaction_count) VALUES (%s, %s, 1)"
        " ON CONFLICT (customer_id) DO UPDATE SET preferences = EXCLUDED.preferences,"
        " interaction_count = customer_profiles.interaction_count + 1",
        (str(chance.choice(PROFILES)), f'{{"seen": {chance.randrange(9)}}}'),
    )
    return 0


WRITES_OF: tuple[Callable[[Session, random.Random], int], ...] = (
    *(customers, customers, users, profiles, profiles, many_customers, many_profiles, recommender),
)


def hammer(writer: Callable[[Session, random.Random, int], int]) -> tuple[int, list[BaseException]]:
    """What the writers added to points, and what went wrong."""
    params = connection.get_connection_params()
    keep = {key: params[key] for key in ("host", "port", "user", "password", "dbname") if params.get(key)}
    connection.close()
    ready, lock = threading.Barrier(WRITERS), threading.Lock()
    errors: list[BaseException] = []
    added = [0]

    def work(number: int) -> None:
        chance, own = random.Random(number), 0
        try:
            with psycopg.connect(autocommit=True, **keep) as session:
                ready.wait()
                for _ in range(WRITES):
                    own += writer(session, chance, number)
        except BaseException as error:
            errors.append(error)
        with lock:
            added[0] += own

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return added[0], errors


def points() -> int:
    found: int = one("SELECT sum(loyalty_points)::int FROM profiles WHERE id = ANY(%s)", PROFILES)
    return found


def in_step() -> None:
    assert not Handover.objects.exists()
    assert failed(verify(connection)) == {}
    assert points() == one(
        "SELECT sum(c.loyalty_points)::int FROM customers AS c JOIN legacy_identities AS i ON i.customer_id = c.id"
        " WHERE i.user_id = ANY(%s)",
        USERS,
    )


def test_single_statements_of_both_applications(shop: str) -> None:
    before = points()
    added, errors = hammer(lambda session, chance, number: chance.choice(WRITES_OF)(session, chance))
    assert errors == []
    assert points() == before + added
    in_step()


def test_each_shape_against_the_other_on_one_row(shop: str) -> None:
    one_person = PROFILES[0]
    statements = (
        "UPDATE customers SET phone = %s, loyalty_points = loyalty_points + 1 WHERE id = %s",
        "UPDATE profiles SET phone = %s, loyalty_points = loyalty_points + 1 WHERE id = %s",
        "UPDATE users SET phone = %s WHERE id = (SELECT user_id FROM customers WHERE id = %s)",
    )
    before = points()

    def write(session: Session, chance: random.Random, number: int) -> int:
        session.execute(statements[number % 3], (phone(chance), one_person))
        return int(number % 3 < 2)

    added, errors = hammer(write)
    assert errors == []
    assert points() == before + added
    in_step()


@pytest.mark.parametrize("locker", ["customers", "profiles"])
def test_whoever_holds_a_row_without_writing_is_waited_for(shop: str, locker: str) -> None:
    params = connection.get_connection_params()
    keep = {key: params[key] for key in ("host", "port", "user", "password", "dbname") if params.get(key)}
    other = "profiles" if locker == "customers" else "customers"
    done = threading.Event()

    def write() -> None:
        with psycopg.connect(autocommit=True, **keep) as session:
            session.execute(f"UPDATE {other} SET phone = '+1' WHERE id = %s", (PROFILES[0],))
        done.set()

    with psycopg.connect(**keep) as holder:
        holder.execute(f"SELECT FROM {locker} WHERE id = %s FOR UPDATE", (PROFILES[0],))
        thread = threading.Thread(target=write)
        thread.start()
        while not one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            assert not done.is_set()
        holder.rollback()
        thread.join()
    assert one(f"SELECT phone FROM {locker} WHERE id = %s", PROFILES[0]) == "+1"
    assert sync.health(connection).handovers == 0


FIRST_ROW = (
    "UPDATE profiles SET preferences = '{\"ours\": 1}' WHERE id = %(person)s",
    "INSERT INTO customer_profiles (customer_id, preferences) VALUES (%(person)s::text, '{\"theirs\": 2}')",
)


WAITING = """
SELECT count(*) = %s FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
WHERE l.locktype = 'advisory' AND NOT l.granted
"""


def test_both_make_a_persons_first_row_at_once(shop: str) -> None:
    person = one(
        "SELECT p.id::text FROM profiles AS p WHERE p.preferences = '{}' AND NOT EXISTS ("
        " SELECT FROM legacy_attachments AS a WHERE a.user_id = p.user_id) ORDER BY 1 LIMIT 1"
    )
    errors: list[BaseException] = []

    def write(statement: str) -> None:
        try:
            with another_session(autocommit=True) as session:
                session.execute(statement, {"person": person})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(statement,)) for statement in FIRST_ROW]
    with another_session() as holder:
        holder.execute("SELECT pg_advisory_xact_lock(uuid_hash_extended(%s, 1))", (person,))
        for number, thread in enumerate(threads, start=1):  # whoever wants to make the row has the person's lock first
            thread.start()
            until(WAITING, number)
        holder.rollback()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sync.health(connection).handovers == 0
    assert failed(verify(connection)) == {}
    both = {"ours": 1, "theirs": 2}
    assert json.loads(one("SELECT preferences FROM profiles WHERE id = %s", person)) == both
    assert json.loads(one("SELECT preferences FROM customer_profiles WHERE customer_id = %s", person)) == both
