"""Writes at random through both shapes, next to a plain model of one person per address: all copies say what the model says."""

import json
from typing import Any

from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from legacy_customers.sample.persons import row_id
from legacy_customers.unification.verify import verify
from tests.databases import one, rows, run
from tests.legacy_customers.test_sync import shared
from tests.legacy_customers.test_verify import failed

__all__ = ["shared"]

PEOPLE = ("linked", "guest_of_verified_user")
SECOND_ROW = row_id("guest_of_verified_user", "customers", 2)
TEXTS = st.sampled_from(["Ann", "Bob", "", "Élan", "null"])
BLOCK = ("address", "city", "state", "postal_code", "country")
TAGS = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3)
PREFERENCES = st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from([1, "two", True]), max_size=2)


class Person:
    """What is known of somebody: values, a sum with its parts by row, a list, an object."""

    def __init__(self, profile_id: Any) -> None:
        self.id = profile_id
        [(self.user_id,)] = rows("SELECT user_id FROM profiles WHERE id = %s", profile_id)
        names = ("first_name", "last_name", "phone", "marketing_consent", "sms_consent", *BLOCK, "loyalty_points")
        [found] = rows(f"SELECT {', '.join(names)} FROM profiles WHERE id = %s", profile_id)
        self.values: dict[str, Any] = dict(zip(names, found, strict=True))
        self.points: int = self.values.pop("loyalty_points")
        self.tags: list[str] = json.loads(one("SELECT tags FROM profiles WHERE id = %s", profile_id))
        self.preferences: dict[str, Any] = json.loads(one("SELECT preferences FROM profiles WHERE id = %s", profile_id))
        # In step from the first write of a column on: a copy that lost in the take-over says something else until then.
        self.written: set[str] = set()

    def row(self) -> Any:
        """The customers row that stands for them."""
        return one(
            "SELECT id FROM customers WHERE user_id = %s OR id = %s ORDER BY user_id IS NULL", self.user_id, self.id
        )


class Shapes(RuleBasedStateMachine):
    people = Bundle("people")

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.known: list[Person] = [Person(row_id(key, "customers")) for key in PEOPLE]
        self.number = 0

    def teardown(self) -> None:
        run("SET CONSTRAINTS ALL IMMEDIATE")
        found = failed(verify(connection))
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)
        assert found == {}

    @rule(target=people)
    def known_people(self) -> Any:
        return multiple(*self.known[: len(PEOPLE)])

    # --- the old application ---

    @rule(person=people, name=st.sampled_from(["first_name", "last_name", "phone"]), value=TEXTS | st.none())
    def writes_customers(self, person: Person, name: str, value: str | None) -> None:
        before = one(f"SELECT {name} FROM customers WHERE id = %s", person.row())
        run(f"UPDATE customers SET {name} = %s WHERE id = %s", value, person.row())
        if before != value:
            person.values[name] = value
            person.written.add(name)

    @rule(person=people, name=st.sampled_from(["first_name", "last_name", "phone"]), value=TEXTS | st.none())
    def writes_users(self, person: Person, name: str, value: str | None) -> None:
        before = one(f"SELECT {name} FROM users WHERE id = %s", person.user_id)
        run(f"UPDATE users SET {name} = %s WHERE id = %s", value, person.user_id)
        if value is not None and before != value:
            person.values[name] = value
            person.written.add(name)

    @rule(person=people, name=st.sampled_from(["marketing_consent", "sms_consent"]), value=st.booleans())
    def writes_a_consent(self, person: Person, name: str, value: bool) -> None:
        before = one(f"SELECT {name} FROM customers WHERE id = %s", person.row())
        run(f"UPDATE customers SET {name} = %s WHERE id = %s", value, person.row())
        if before != value:
            person.values[name] = value
            person.written.add(name)

    @rule(person=people, city=TEXTS, country=st.sampled_from(["USA", "Norway"]))
    def moves(self, person: Person, city: str, country: str) -> None:
        run("UPDATE customers SET city = %s, country = %s WHERE id = %s", city, country, person.row())
        block = rows(f"SELECT {', '.join(BLOCK)} FROM customers WHERE id = %s", person.row())[0]
        changed = rows(f"SELECT {', '.join(BLOCK)} FROM profiles WHERE id = %s", person.id)[0]
        assert block == changed or not person.written & set(BLOCK)
        person.values.update(zip(BLOCK, changed, strict=True))
        if block == changed:
            person.written.update(BLOCK)

    @rule(person=people, points=st.integers(-50, 50))
    def earns(self, person: Person, points: int) -> None:
        run(
            "UPDATE customers SET loyalty_points = coalesce(loyalty_points, 0) + %s WHERE id = %s", points, person.row()
        )
        person.points += points

    @rule(points=st.integers(-50, 50))
    def earns_on_a_merged_row(self, points: int) -> None:
        run("UPDATE customers SET loyalty_points = loyalty_points + %s WHERE id = %s", points, SECOND_ROW)
        self.known[1].points += points

    @rule(person=people, tags=TAGS)
    def tags_customers(self, person: Person, tags: list[str]) -> None:
        before = json.loads(one("SELECT coalesce(tags, '[]') FROM customers WHERE id = %s", person.row()))
        run("UPDATE customers SET tags = %s WHERE id = %s", json.dumps(tags), person.row())
        kept = [tag for tag in person.tags if tag in tags or tag not in before]
        added = [tag for tag in tags if tag not in before and tag not in kept]
        person.tags = tags if person.tags == before else kept + added

    @rule(person=people, preferences=PREFERENCES)
    def recommends(self, person: Person, preferences: dict[str, Any]) -> None:
        found = rows("SELECT preferences FROM customer_profiles WHERE customer_id = %s", str(person.id))
        before = json.loads(found[0][0]) if found else {}
        run(
            "INSERT INTO customer_profiles (customer_id, preferences) VALUES (%s, %s)"
            " ON CONFLICT (customer_id) DO UPDATE SET preferences = EXCLUDED.preferences",
            str(person.id),
            json.dumps(preferences),
        )
        for name in before.keys() | preferences.keys():
            if name not in preferences:
                person.preferences.pop(name, None)
            elif before.get(name) != preferences[name] or type(before.get(name)) is not type(preferences[name]):
                person.preferences[name] = preferences[name]

    @rule(target=people, name=TEXTS)
    def registers(self, name: str) -> Person:
        self.number += 1
        user = one(
            "INSERT INTO users (email, password_hash, first_name) VALUES (%s, '$2b$x', %s) RETURNING id",
            f"model{self.number}@example.com",
            name,
        )
        person = Person(one("SELECT id FROM profiles WHERE user_id = %s", user))
        assert person.values["first_name"] == (name or None)
        self.known.append(person)
        return person

    @rule(target=people, points=st.integers(0, 9))
    def checks_out_as_a_guest(self, points: int) -> Person:
        self.number += 1
        id_ = one(
            "INSERT INTO customers (email, loyalty_points) VALUES (%s, %s) RETURNING id",
            f"model{self.number}@example.com",
            points,
        )
        person = Person(id_)
        assert person.points == points
        self.known.append(person)
        return person

    # --- the new one ---

    @rule(person=people, name=st.sampled_from(["first_name", "phone", "city"]), value=TEXTS | st.none())
    def writes_profiles(self, person: Person, name: str, value: str | None) -> None:
        if person.values[name] != value:
            run(f"UPDATE profiles SET {name} = %s WHERE id = %s", value, person.id)
            person.values[name] = value
            person.written.add(name)

    @rule(person=people, points=st.integers(-50, 50), tags=TAGS)
    def sells(self, person: Person, points: int, tags: list[str]) -> None:
        run(
            "UPDATE profiles SET loyalty_points = loyalty_points + %s, tags = %s WHERE id = %s",
            points,
            json.dumps(tags),
            person.id,
        )
        person.points += points
        person.tags = tags

    # --- what must hold ---

    @invariant()
    def every_copy_says_so(self) -> None:
        for person in self.known:
            names = list(person.values)
            [ours] = rows(f"SELECT {', '.join(names)} FROM profiles WHERE id = %s", person.id)
            assert dict(zip(names, ours, strict=True)) == person.values
            [theirs] = rows(f"SELECT {', '.join(names)} FROM customers WHERE id = %s", person.row())
            legacy = dict(zip(names, theirs, strict=True))
            assert {name: legacy[name] for name in person.written} == {n: person.values[n] for n in person.written}
            assert one("SELECT loyalty_points FROM profiles WHERE id = %s", person.id) == person.points
            assert person.points == one(
                "SELECT sum(coalesce(c.loyalty_points, 0))::int FROM customers AS c"
                " JOIN legacy_identities AS i ON i.customer_id = c.id WHERE i.user_id = %s",
                person.user_id,
            )
            assert json.loads(one("SELECT tags FROM profiles WHERE id = %s", person.id)) == person.tags
            found = json.loads(one("SELECT preferences FROM profiles WHERE id = %s", person.id))
            assert found == person.preferences

    @invariant()
    def nothing_waits(self) -> None:
        assert one("SELECT count(*) FROM legacy_handovers") == 0


def test_all_copies_follow_the_model_whatever_is_written(shared: str) -> None:
    run_state_machine_as_test(
        Shapes,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # a failure says which steps led to it; to shrink them takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
