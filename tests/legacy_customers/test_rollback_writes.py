"""The way back after many writes through both shapes, held against a plain record of what was written."""

import json
import random
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from config.locks import StillInUse
from legacy_customers.models import LegacyCustomer
from legacy_customers.sample.stories import load_story
from legacy_customers.unification import rollback
from legacy_customers.unification.sources import BACKUP_KEYS, find_sources
from legacy_customers.unification.verify import verify
from profiles.models import Profile
from tests.databases import another_session, eventually, one, rows, run

Cell = tuple[str, str, str]

# Persons whose legacy rows are one of each kind at most: what is written to one cell stands in no other by a rule.
ALONE = """
SELECT c.id, c.user_id FROM customers AS c
WHERE c.user_id IS NOT NULL
    AND (SELECT count(*) FROM legacy_identities AS i WHERE i.user_id = c.user_id) = 1
    AND NOT EXISTS (SELECT FROM legacy_attachments AS a WHERE a.user_id = c.user_id)
ORDER BY c.id
"""


class Record:
    """What every cell is to hold, as text: the backup's, else what was written last."""

    def __init__(self) -> None:
        self.cells: dict[Cell, str | None] = {}
        self.new: dict[str, set[str]] = {table: set() for table in BACKUP_KEYS}

    def customer(self, customer: Any, user: Any, column: str, value: Any) -> None:
        self.cells["customers", str(customer), column] = value
        if column in ("first_name", "phone"):
            self.cells["users", str(user), column] = value

    def differences(self) -> list[str]:
        """Each cell that is not as the record has it; times of writing are not recorded."""
        found = []
        for table, key in BACKUP_KEYS.items():
            before, now = self.before[table], texts(table, key)
            for name in before.keys() - now.keys():
                found.append(f"{table} {name} is gone")
            for name in now.keys() - before.keys() - self.new[table]:
                if (table, name) not in {(t, k) for t, k, _ in self.cells}:
                    found.append(f"{table} {name} came from nowhere")
            for name in before.keys() & now.keys():
                for column, was in before[name].items():
                    expected = self.cells.get((table, name, column), was)
                    if column != "updated_at" and now[name][column] != expected:
                        found.append(f"{table} {name} {column}: {now[name][column]!r}, not {expected!r}")
        for (table, name, column), expected in self.cells.items():
            if name in self.new[table]:
                got = texts(table, BACKUP_KEYS[table])[name][column]
                if got != expected:
                    found.append(f"new {table} {name} {column}: {got!r}, not {expected!r}")
        return found

    def remember(self) -> None:
        self.before = {table: texts(f"backup_{table}", key) for table, key in BACKUP_KEYS.items()}


def texts(table: str, key: str) -> dict[str, dict[str, str | None]]:
    """Key → column → the cell as PostgreSQL writes it."""
    found = rows(
        f"SELECT t.{key}::text, (SELECT jsonb_object_agg(c.key, c.value) FROM jsonb_each_text(to_jsonb(t)) AS c)::text"
        f" FROM {table} AS t"
    )
    return {name: json.loads(cells) for name, cells in found}


def test_hundreds_of_random_writes_through_both_shapes_are_all_there_afterwards(shop: str) -> None:
    record, chance = Record(), random.Random(20261127)
    record.remember()
    people = rows(ALONE)
    points = {
        customer: one("SELECT coalesce(loyalty_points, 0) FROM customers WHERE id = %s", customer)
        for customer, _ in people
    }

    def legacy_row(customer: Any, user: Any, number: int) -> None:
        run("UPDATE customers SET city = %s, phone = %s WHERE id = %s", f"City {number}", f"+1416{number:07}", customer)
        record.customer(customer, user, "city", f"City {number}")
        record.customer(customer, user, "phone", f"+1416{number:07}")

    def login(customer: Any, user: Any, number: int) -> None:
        run("UPDATE users SET first_name = %s WHERE id = %s", f"Name {number}", user)
        record.customer(customer, user, "first_name", f"Name {number}")

    def view(customer: Any, user: Any, number: int) -> None:
        LegacyCustomer.objects.filter(pk=customer).update(city=f"View {number}", notes=f"note {number}")
        record.customer(customer, user, "city", f"View {number}")
        record.customer(customer, user, "notes", f"note {number}")

    def profile(customer: Any, user: Any, number: int) -> None:
        Profile.objects.filter(pk=customer).update(phone=f"+1647{number:07}", customer_type="vip")
        record.customer(customer, user, "phone", f"+1647{number:07}")
        record.customer(customer, user, "customer_type", "vip")

    def sum_of(customer: Any, user: Any, number: int) -> None:
        if number % 2:
            run("UPDATE customers SET loyalty_points = coalesce(loyalty_points, 0) + 3 WHERE id = %s", customer)
        else:
            run("UPDATE profiles SET loyalty_points = loyalty_points + 3 WHERE id = %s", customer)
        points[customer] += 3
        record.customer(customer, user, "loyalty_points", str(points[customer]))

    def order(customer: Any, user: Any, number: int) -> None:
        by_customer = number % 2
        made = one(
            "INSERT INTO orders (order_number, customer_id, user_id, total_amount) VALUES (%s, %s, %s, 5) RETURNING id::text",
            f"R-{number}",
            customer if by_customer else None,
            None if by_customer else user,
        )
        record.new["orders"].add(made)
        record.cells["orders", made, "customer_id"] = str(customer)
        record.cells["orders", made, "total_amount"] = "5.00"

    def guest(customer: Any, user: Any, number: int) -> None:
        made = one(
            "INSERT INTO customers (email, first_name) VALUES (%s, 'Gus') RETURNING id::text", f"r{number}@example.com"
        )
        record.new["customers"].add(made)
        record.cells["customers", made, "email"] = f"r{number}@example.com"
        record.cells["customers", made, "user_id"] = None

    writes: list[Callable[[Any, Any, int], None]] = [legacy_row, login, view, profile, sum_of, order, guest]
    for number in range(350):
        chance.choice(writes)(*chance.choice(people), number)
    call_command("rollback_unification", interactive=False, verbosity=0)
    assert record.differences() == []
    call_command("migrate", verbosity=0)
    report = verify(connection)
    assert {name: seen.samples for name, seen in report.checks.items() if not seen.passed} == {}


def test_the_old_application_writes_on_and_the_new_one_is_refused_with_nothing_lost(shop: str) -> None:
    record = Record()
    record.remember()
    people = rows(ALONE)
    begun, stop = threading.Barrier(4), threading.Event()
    errors: list[Exception] = []
    refusals: list[Exception] = []

    def old_application(session: Any, customer: Any, user: Any, number: int) -> None:
        session.execute("UPDATE customers SET city = %s WHERE id = %s", (f"While {number}", customer))
        record.customer(customer, user, "city", f"While {number}")
        made = session.execute(
            "INSERT INTO orders (order_number, customer_id) VALUES (%s, %s) RETURNING id::text",
            (uuid.uuid4().hex, customer),
        ).fetchone()
        record.new["orders"].add(made[0])

    def new_application(session: Any, customer: Any, user: Any, number: int) -> None:
        session.execute("UPDATE profiles SET notes = %s WHERE id = %s", (f"While {number}", customer))
        record.customer(customer, user, "notes", f"While {number}")

    def write(
        writes: Callable[[Any, Any, Any, int], None], mine: list[tuple[Any, Any]], failed: list[Exception]
    ) -> None:
        with another_session(autocommit=True) as session:
            number = 0
            try:
                while not stop.is_set():
                    writes(session, *mine[number % len(mine)], number)
                    number += 1
                    if number == 1:
                        begun.wait(60)
            except Exception as error:
                failed.append(error)

    threads = [
        *(threading.Thread(target=write, args=(old_application, people[turn::2], errors)) for turn in range(2)),
        threading.Thread(target=write, args=(new_application, people, refusals)),
    ]
    for thread in threads:
        thread.start()
    try:
        begun.wait(60)
        call_command("rollback_unification", interactive=False, verbosity=0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert [str(error).splitlines()[0] for error in refusals] == [
        "UPDATE of profiles refused: the way back has begun, the legacy tables stand alone again"
    ]
    assert record.differences() == []


# --- guests' accounts -----------------------------------------------------------------------------------------------

ACCOUNT = """
SELECT user_id, customer_id FROM legacy_identities WHERE "case" = 'new_user' AND position = 1 ORDER BY customer_id LIMIT 1
"""


WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def test_an_account_that_is_claimed_as_it_is_about_to_go_stays(shop: str) -> None:
    [(account, customer)] = rows(ACCOUNT)
    call_command("migrate", "legacy_customers", "0005_identity", verbosity=0)
    claimer = another_session()
    # Without a row that the old trigger would make, and that would name the account.
    claimer.execute("SELECT set_config('unification.making_guests', 'on', true)")
    claimer.execute("UPDATE users SET password_hash = '$2b$claimed' WHERE id = %s", (account,))

    def claim() -> None:
        with another_session(autocommit=True) as looking:
            eventually(
                lambda: looking.execute(WAITING).fetchone() != (0,),
                "somebody waits for the claim",
            )
        claimer.commit()
        claimer.close()

    thread = threading.Thread(target=claim)
    thread.start()
    call_command("rollback_unification", interactive=False, verbosity=0)
    thread.join()
    assert one("SELECT password_hash FROM users WHERE id = %s", account) == "$2b$claimed"
    assert one("SELECT user_id FROM customers WHERE id = %s", customer) == account


def test_an_account_that_the_old_application_wrote_to_stays_with_the_row_that_its_trigger_made(shop: str) -> None:
    [(account, customer)] = rows(ACCOUNT)
    call_command("migrate", "legacy_customers", "0010_api_usage", verbosity=0)
    run("UPDATE users SET phone = '+1' WHERE id = %s", account)
    [(made,)] = rows("SELECT id FROM customers WHERE user_id = %s", account)
    assert made != customer
    call_command("rollback_unification", interactive=False, verbosity=0)
    assert rows("SELECT id FROM customers WHERE user_id = %s", account) == [(made,)]
    assert one("SELECT user_id FROM customers WHERE id = %s", customer) is None
    assert one("SELECT phone FROM users WHERE id = %s", account) == "+1"


# --- killed half-way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        ("legacy_customers", "0010_api_usage"),
        ("profiles", "0003_search"),
        ("legacy_customers", "0008_orders"),
        ("legacy_customers", "0006_profiles"),
        ("legacy_customers", "0004_old_trigger"),
        ("legacy_customers", "0002_functions"),
    ],
    ids=lambda step: ".".join(step),
)
def test_it_is_finished_by_running_it_again_wherever_it_stopped(shop: str, step: tuple[str, str]) -> None:
    record = Record()
    record.remember()
    customer, user = rows(ALONE)[0]
    run("UPDATE profiles SET city = 'Before' WHERE id = %s", customer)
    record.customer(customer, user, "city", "Before")
    call_command("migrate", *step, verbosity=0)
    # The old application goes on.
    run("UPDATE customers SET notes = 'between' WHERE id = %s", customer)
    record.customer(customer, user, "notes", "between")
    call_command("rollback_unification", interactive=False, verbosity=0)
    assert record.differences() == []


def test_once_begun_nobody_writes_to_profiles_nor_turns_round(seed: str) -> None:
    call_command("migrate", "legacy_customers", "0010_api_usage", verbosity=0)
    before = rows("SELECT * FROM profiles ORDER BY id")
    with pytest.raises(DatabaseError, match="UPDATE of profiles refused: the way back has begun"):
        run("UPDATE profiles SET city = 'Lost'")
    assert rows("SELECT * FROM profiles ORDER BY id") == before
    with pytest.raises(CommandError, match="The way back has begun"):
        call_command("migrate", verbosity=0)
    assert rollback.has_begun(connection)


def test_where_its_window_does_not_come_nothing_has_begun(seed: str, settings: Any) -> None:
    settings.UNIFICATION_LOCK_PATIENCE_S = 0
    sources = find_sources(connection)
    assert sources
    customer = one("SELECT min(id::text) FROM customers")
    with another_session() as holder:
        holder.execute("LOCK TABLE orders IN ROW EXCLUSIVE MODE")
        with pytest.raises(StillInUse):
            rollback.begin(connection, sources)
        holder.rollback()
    assert not rollback.has_begun(connection)
    run("UPDATE profiles SET city = 'Oslo' WHERE id = %s::uuid", customer)
    assert one("SELECT city FROM customers WHERE id = %s::uuid", customer) == "Oslo"
    call_command("rollback_unification", interactive=False, verbosity=0)
    assert one("SELECT city FROM customers WHERE id = %s::uuid", customer) == "Oslo"


def test_what_the_new_application_wrote_before_the_sync_came_is_written_back(empty_database: str) -> None:
    load_story(connection, "shop")
    call_command("migrate", "legacy_customers", "0009", verbosity=0)
    customer, _ = rows(ALONE)[0]
    points = one("SELECT coalesce(loyalty_points, 0) FROM customers WHERE id = %s", customer)
    run("UPDATE profiles SET loyalty_points = loyalty_points + 5, city = 'Early' WHERE id = %s", customer)
    call_command("migrate", verbosity=0)
    run("UPDATE customers SET loyalty_points = coalesce(loyalty_points, 0) + 2 WHERE id = %s", customer)
    call_command("rollback_unification", interactive=False, verbosity=0)
    assert rows("SELECT loyalty_points, city FROM customers WHERE id = %s", customer) == [(points + 7, "Early")]
