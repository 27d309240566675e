"""`migrate` while the old application is at work: real writers on connections of their own, and nothing of theirs is lost."""

import random
import threading
import uuid
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import connection

from legacy_customers.sample.people import generate
from legacy_customers.unification.verify import verify
from tests.databases import one, rows


class Writer(threading.Thread):
    """Writes to rows of its own until it is stopped, and knows what it wrote last."""

    def __init__(self, dsn: dict[str, Any], seed: int, people: list[tuple[uuid.UUID, uuid.UUID]]) -> None:
        super().__init__()
        self.dsn, self.random, self.people = dsn, random.Random(seed), people
        self.stop, self.started_writing = threading.Event(), threading.Event()
        self.phones: dict[uuid.UUID, str] = {}
        self.points: dict[uuid.UUID, int] = {}
        self.users: list[uuid.UUID] = []
        self.guests: list[uuid.UUID] = []
        self.orders: list[uuid.UUID] = []
        self.errors: list[str] = []

    def run(self) -> None:
        with psycopg.connect(**self.dsn, autocommit=True) as session:
            # At the pace of a shop: whoever writes as fast as he can keeps the log from ever getting short.
            while not self.stop.wait(0.01):
                try:
                    self.random.choice(
                        [self.change_phone, self.add_points, self.register, self.check_out, self.buy, self.meet]
                    )(session)
                except psycopg.Error as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                    break
                self.started_writing.set()
        self.started_writing.set()

    def change_phone(self, session: Any) -> None:
        user, _ = self.random.choice(self.people)
        phone = str(self.random.random())
        session.execute("UPDATE users SET phone = %s WHERE id = %s", [phone, user])
        self.phones[user] = phone

    def add_points(self, session: Any) -> None:
        _, customer = self.random.choice(self.people)
        session.execute(
            "UPDATE customers SET loyalty_points = coalesce(loyalty_points, 0) + 1 WHERE id = %s", [customer]
        )
        self.points[customer] = self.points.get(customer, 0) + 1

    def register(self, session: Any) -> None:
        key = uuid.uuid4()
        session.execute(
            "INSERT INTO users (id, email, password_hash) VALUES (%s, %s, 'x')", [key, f"{key}@live.example"]
        )
        self.users.append(key)

    def check_out(self, session: Any) -> None:
        key, order = uuid.uuid4(), uuid.uuid4()
        with session.transaction():
            session.execute("INSERT INTO customers (id, email) VALUES (%s, %s)", [key, f"{key}@guest.example"])
            session.execute(
                "INSERT INTO orders (id, order_number, customer_id) VALUES (%s, %s, %s)", [order, str(order), key]
            )
        self.guests.append(key)
        self.orders.append(order)

    def buy(self, session: Any) -> None:
        order = uuid.uuid4()
        _, customer = self.random.choice(self.people)
        session.execute(
            "INSERT INTO orders (id, order_number, customer_id) VALUES (%s, %s, %s)", [order, str(order), customer]
        )
        self.orders.append(order)

    def meet(self, session: Any) -> None:
        _, customer = self.random.choice(self.people)
        session.execute(
            "INSERT INTO customer_profiles (customer_id, interaction_count) VALUES (%s, 1) ON CONFLICT (customer_id)"
            " DO UPDATE SET interaction_count = coalesce(customer_profiles.interaction_count, 0) + 1",
            [str(customer)],
        )


def test_nothing_is_lost_while_writers_are_at_work(empty_database: str) -> None:
    generate(connection, 400)
    before = dict(rows("SELECT id, coalesce(loyalty_points, 0) FROM customers"))
    people = rows("SELECT user_id, id FROM customers WHERE user_id IS NOT NULL ORDER BY id")
    params = connection.get_connection_params()
    dsn = {key: params[key] for key in ("host", "port", "user", "password", "dbname") if params.get(key)}
    writers = [Writer(dsn, seed, people[seed::3]) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        assert all(writer.started_writing.wait(60) for writer in writers)
        call_command("migrate", verbosity=0)
    finally:
        for writer in writers:
            writer.stop.set()
        for writer in writers:
            writer.join()
    assert [error for writer in writers for error in writer.errors] == []
    for writer in writers:
        profiles = dict(rows("SELECT user_id, phone FROM profiles"))
        assert {user: profiles[user] for user in writer.phones} == writer.phones
        assert dict(rows("SELECT id, phone FROM users WHERE id = ANY(%s)", list(writer.phones))) == writer.phones
        legacy = dict(rows("SELECT id, loyalty_points FROM customers WHERE id = ANY(%s)", list(writer.points)))
        assert legacy == {key: before[key] + more for key, more in writer.points.items()}
        assert one("SELECT count(*) FROM profiles WHERE user_id = ANY(%s)", writer.users) == len(writer.users)
        assert one("SELECT count(*) FROM profiles WHERE id = ANY(%s)", writer.guests) == len(writer.guests)
        assert one("SELECT count(*) FROM orders WHERE id = ANY(%s) AND user_id IS NOT NULL", writer.orders) == len(
            writer.orders
        )
        assert all((writer.phones, writer.points, writer.users, writer.guests, writer.orders))
    report = verify(connection)
    assert {name: seen.samples for name, seen in report.checks.items() if not seen.passed} == {}
    # The sums of all rows of a person, of those who wrote and of those who did not.
    assert (
        rows(
            "SELECT p.id FROM profiles AS p JOIN (SELECT i.user_id, sum(c.loyalty_points) AS points FROM legacy_identities AS i"
            " JOIN customers AS c ON c.id = i.customer_id GROUP BY i.user_id) AS s ON s.user_id = p.user_id"
            " WHERE p.loyalty_points <> coalesce(s.points, 0)"
        )
        == []
    )
