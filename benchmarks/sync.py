"""What the two-way sync costs its writers, next to the old trigger and to no sync at all, in one run.

    python benchmarks/sync.py [--people N] [--seconds S] [--rounds R] [--connections C] [--workload NAME …]

Makes a legacy database of N people (default 100,000) on the configured server, takes it over, and copies it: one copy keeps
the sync, one has the old trigger back in its place, one has neither. The same small transactions, from C connections (2),
take turns on the copies for S seconds (3) a round. Prints transactions per second for each, and their ratios with the goals.
"""

import argparse
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

django.setup()

import psycopg  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from legacy_customers.sample import people  # noqa: E402
from legacy_customers.unification import old_trigger, sync  # noqa: E402
from tests.databases import rows, temporary_database  # noqa: E402

Session = psycopg.Connection[tuple[Any, ...]]
Write = Callable[[Session, random.Random], None]


class Ids:
    """Whom the writers write to."""

    customers: list[Any] = []
    users: list[Any] = []
    profiles: list[Any] = []


def update_customers(session: Session, chance: random.Random) -> None:
    session.execute(
        "UPDATE customers SET phone = %s, loyalty_points = loyalty_points + 1 WHERE id = %s",
        (f"+1416{chance.randrange(10**7):07}", chance.choice(Ids.customers)),
    )


def update_users(session: Session, chance: random.Random) -> None:
    session.execute(
        "UPDATE users SET phone = %s, updated_at = localtimestamp WHERE id = %s",
        (f"+1416{chance.randrange(10**7):07}", chance.choice(Ids.users)),
    )


def log_in(session: Session, chance: random.Random) -> None:
    session.execute("UPDATE users SET last_login = localtimestamp WHERE id = %s", (chance.choice(Ids.users),))


def insert_users(session: Session, chance: random.Random) -> None:
    session.execute(
        "INSERT INTO users (email, password_hash, first_name) VALUES (%s, '$2b$10$x', 'Ann')",
        (f"new.{uuid.uuid4().hex}@example.com",),
    )


def insert_guests(session: Session, chance: random.Random) -> None:
    session.execute(
        "INSERT INTO customers (email, first_name, loyalty_points) VALUES (%s, 'Ann', 3)",
        (f"guest.{uuid.uuid4().hex}@example.com",),
    )


def insert_orders(session: Session, chance: random.Random) -> None:
    session.execute(
        "INSERT INTO orders (order_number, customer_id, total_amount, payment_status) VALUES (%s, %s, 20, 'paid')",
        (f"B-{uuid.uuid4().hex}", chance.choice(Ids.customers)),
    )


def mixed(session: Session, chance: random.Random) -> None:
    """What a shop writes: its orders, its customers, its logins, and now and then somebody new."""
    dice = chance.random()
    for share, write in (
        (0.3, insert_orders),
        (0.6, update_customers),
        (0.8, update_users),
        (0.92, log_in),
        (0.96, insert_guests),
    ):
        if dice < share:
            return write(session, chance)
    return insert_users(session, chance)


def update_profiles(session: Session, chance: random.Random) -> None:
    session.execute(
        "UPDATE profiles SET phone = %s, loyalty_points = loyalty_points + 1, updated_at = now() WHERE id = %s",
        (f"+1416{chance.randrange(10**7):07}", chance.choice(Ids.profiles)),
    )


def update_city(session: Session, chance: random.Random) -> None:
    session.execute(
        "UPDATE profiles SET city = %s, updated_at = now() WHERE id = %s",
        (f"City {chance.randrange(10**5)}", chance.choice(Ids.profiles)),
    )


# Workload → the write, what it is compared with, and the goal for the ratio.
WORKLOADS: dict[str, tuple[Write, str, float]] = {
    "mixed": (mixed, "old trigger", 0.75),
    "update customers": (update_customers, "old trigger", 0.75),
    "update users": (update_users, "old trigger", 0.75),
    "log in": (log_in, "old trigger", 0.75),
    "insert users": (insert_users, "old trigger", 0.75),
    "insert guests": (insert_guests, "old trigger", 0.75),
    "insert orders": (insert_orders, "old trigger", 0.75),
    "update profiles": (update_profiles, "no sync", 0.6),
    "update profiles' city": (update_city, "no sync", 0.6),
}


@contextmanager
def databases(count: int) -> Iterator[dict[str, str]]:
    """Variant → database."""
    with temporary_database() as template:
        with transaction.atomic():
            people.generate(connection, count)
        call_command("migrate", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        Ids.customers = [row for (row,) in rows("SELECT id FROM customers ORDER BY random() LIMIT 20000")]
        Ids.users = [
            row for (row,) in rows("SELECT id FROM users WHERE email IS NOT NULL ORDER BY random() LIMIT 20000")
        ]
        Ids.profiles = [row for (row,) in rows("SELECT id FROM profiles ORDER BY random() LIMIT 20000")]
        connection.close()
        with temporary_database(template) as with_sync, temporary_database(template) as with_trigger:
            with transaction.atomic(), connection.cursor() as cursor:
                sync.drop_triggers(cursor)
                old_trigger.bring_back(cursor, connection)
            with temporary_database(template) as with_neither:
                with transaction.atomic(), connection.cursor() as cursor:
                    sync.drop_triggers(cursor)
                yield {"sync": with_sync, "old trigger": with_trigger, "no sync": with_neither}


def work(database: str, write: Write, seconds: float, connections: int, seed: int) -> int:
    """Transactions that the connections brought to an end."""
    params = {**connection.get_connection_params(), "dbname": database}
    keep = {key: params[key] for key in ("host", "port", "user", "password", "dbname") if params.get(key)}
    counts: list[int] = []
    errors: list[Exception] = []
    until = time.monotonic() + seconds

    def one(number: int) -> None:
        chance, done = random.Random(seed * 100 + number), 0
        with psycopg.connect(autocommit=True, **keep) as session:
            session.execute("SET timezone = 'UTC'")
            while time.monotonic() < until and not errors:
                try:
                    write(session, chance)
                except psycopg.Error as error:
                    errors.append(error)
                done += 1
        counts.append(done)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise SystemExit(f"{database}: {str(errors[0])[:400]}")
    return sum(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS))
    options = parser.parse_args()
    with databases(options.people) as found:
        print(f"{'transactions per second':24}{'sync':>9}{'other':>9}  {'compared with':14}{'ratio':>7}{'goal':>6}")
        for name in options.workload or list(WORKLOADS):
            write, other, goal = WORKLOADS[name]
            done = {"sync": 0, other: 0}
            for turn in range(options.rounds):
                for variant in done:
                    done[variant] += work(found[variant], write, options.seconds, options.connections, turn)
            total = options.seconds * options.rounds
            mine, theirs = done["sync"] / total, done[other] / total
            print(f"{name:24}{mine:9,.0f}{theirs:9,.0f}  {other:14}{mine / theirs:7.2f}{goal:6.2f}", flush=True)


if __name__ == "__main__":
    main()
