"""What writers notice while their database is taken over, and later while the old shapes are dropped: their waits.

    python benchmarks/live_migration.py [--people N] [--rate N] [--seconds N] [--contract]

Makes a legacy database of N people (default 1,000,000) on the configured server, and takes a copy of it over that nobody writes
to. Then two connections write to it as the old application does, small UPDATEs and INSERTs on users, customers and orders,
together --rate a second (default 200): for --seconds (default 30) by themselves, then during `migrate`, then through the sync.
Prints how long their statements took, in milliseconds, at which step they waited long, how much longer `migrate` took than on the
copy, and whether every last value that they wrote is in the legacy row and in the profile; then verifies. After that the same
for two writers of the new application on users, profiles and orders, during each step of the contract phase, which is done as
`contract_unification --step` does it; but the judge is asked before the first and after the last alone, on lines of their own:
what each step costs the writers is not lost in the minutes of a verification that locks nothing. With --contract nobody writes
before that, and there is no copy.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

django.setup()

import psycopg  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from legacy_customers.sample import people  # noqa: E402
from legacy_customers.unification import progress, verify  # noqa: E402
from legacy_customers.unification.contract import STEPS, measured, refusals, state  # noqa: E402
from tests.databases import temporary_database  # noqa: E402

# Errors that an application tries again on.
RETRYABLE = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
SAMPLE = 20_000
# Seconds for which a step's writers are watched after its end.
AFTER = 3


class Writer:
    """One connection of the old application, and what it last wrote to which cell."""

    def __init__(self, dsn: dict[str, Any], seed: int) -> None:
        self.random = random.Random(seed)
        self.connection = psycopg.connect(**dsn, autocommit=True)
        # Each writer has rows of its own, so that what it wrote last is what must be there.
        pick = (
            "SELECT id FROM {} TABLESAMPLE SYSTEM (5) REPEATABLE (%s) WHERE abs(hashtext(id::text)) %% 2 = %s LIMIT %s"
        )
        self.ids = {
            table: [row[0] for row in self.connection.execute(pick.format(table), [seed, seed % 2, SAMPLE])]
            for table in ("users", "orders")
        }
        self.ids["customers"] = [
            row[0]
            for row in self.connection.execute(
                # One row per person: a write to one of several is a write to all that stand for the person.
                "SELECT id FROM customers TABLESAMPLE SYSTEM (5) REPEATABLE (%s)"
                " WHERE user_id IS NOT NULL AND abs(hashtext(user_id::text)) %% 2 = %s LIMIT %s",
                [seed, seed % 2, SAMPLE],
            )
        ]
        self.last: dict[tuple[str, str, str], Any] = {}
        self.made: dict[str, list[str]] = {"users": [], "customers": [], "orders": []}
        self.points: dict[str, int] = {}
        self.operations: list[Callable[[], None]] = [
            *[self.change_phone] * 20,
            *[self.change_city] * 20,
            *[self.add_points] * 20,
            *[self.move_order] * 15,
            *[self.order] * 15,
            *[self.register] * 5,
            *[self.check_out] * 5,
        ]

    def change_phone(self) -> None:
        key, value = self.random.choice(self.ids["users"]), f"555-{self.random.random():.8f}"
        self.connection.execute("UPDATE users SET phone = %s WHERE id = %s", [value, key])
        self.last["users", str(key), "phone"] = value

    def change_city(self) -> None:
        key, value = self.random.choice(self.ids["customers"]), f"City {self.random.random():.8f}"
        self.connection.execute("UPDATE customers SET city = %s WHERE id = %s", [value, key])
        self.last["customers", str(key), "city"] = value

    def add_points(self) -> None:
        key = self.random.choice(self.ids["customers"])
        self.connection.execute("UPDATE customers SET loyalty_points = loyalty_points + 1 WHERE id = %s", [key])
        self.points[str(key)] = self.points.get(str(key), 0) + 1

    def move_order(self) -> None:
        key = self.random.choice(self.ids["orders"])
        self.connection.execute("UPDATE orders SET payment_status = 'completed' WHERE id = %s", [key])

    def order(self) -> None:
        key = uuid.uuid4()
        self.connection.execute(
            "INSERT INTO orders (id, order_number, customer_id, items, total_amount, payment_status)"
            " VALUES (%s, %s, %s, '[]', 12.5, 'paid')",
            [key, f"LIVE-{key}", self.random.choice(self.ids["customers"])],
        )
        self.made["orders"].append(str(key))

    def register(self) -> None:
        key = uuid.uuid4()
        self.connection.execute(
            "INSERT INTO users (id, email, password_hash, first_name, phone) VALUES (%s, %s, '$2b$10$x', 'Live', '1')",
            [key, f"{key}@live.example"],
        )
        self.made["users"].append(str(key))

    def check_out(self) -> None:
        key = uuid.uuid4()
        self.connection.execute(
            "INSERT INTO customers (id, email, first_name, loyalty_points) VALUES (%s, %s, 'Guest', 3)",
            [key, f"{key}@guest.example"],
        )
        self.made["customers"].append(str(key))


class Seller(Writer):
    """One connection of the new application, on the tables that stay."""

    def __init__(self, dsn: dict[str, Any], seed: int) -> None:
        self.random = random.Random(seed)
        self.connection = psycopg.connect(**dsn, autocommit=True, options="-c TimeZone=UTC")
        pick = "SELECT {} FROM {} TABLESAMPLE SYSTEM (5) REPEATABLE (%s) LIMIT %s"
        self.ids = {
            table: [row[0] for row in self.connection.execute(pick.format(column, table), [seed, SAMPLE])]
            for table, column in (("users", "id"), ("orders", "id"), ("profiles", "user_id"))
        }
        self.last, self.points = {}, {}
        self.made = {"orders": []}
        self.operations = [self.change_city, self.log_in, self.move_order, self.order]

    def change_city(self) -> None:
        key, value = self.random.choice(self.ids["profiles"]), f"City {self.random.random():.8f}"
        self.connection.execute("UPDATE profiles SET city = %s WHERE user_id = %s", [value, key])

    def log_in(self) -> None:
        self.connection.execute(
            "UPDATE users SET last_login = now() WHERE id = %s", [self.random.choice(self.ids["users"])]
        )

    def order(self) -> None:
        key = uuid.uuid4()
        self.connection.execute(
            "INSERT INTO orders (id, order_number, user_id, items, total_amount) VALUES (%s, %s, %s, '[]', 12.5)",
            [key, f"NEW-{key}", self.random.choice(self.ids["profiles"])],
        )


def write(dsn: dict[str, Any], seed: int, rate: float, stop: Any, results: Any, kind: type[Writer] = Writer) -> None:
    """Write at `rate` statements a second until `stop`; answers with waits per section, errors and last values.

    A statement that is late starts at once, so a stall is one long wait and not a gap: waits count from when it was due.
    """
    writer = kind(dsn, seed)
    waits: list[tuple[float, float]] = []
    errors: list[str] = []
    retried = 0
    due = time.monotonic()
    while not stop.is_set():
        due += 1 / rate
        if (pause := due - time.monotonic()) > 0:
            time.sleep(pause)
        operation = writer.random.choice(writer.operations)
        started = time.monotonic()
        try:
            operation()
        except RETRYABLE:
            retried += 1
        except psycopg.Error as error:
            errors.append(f"{operation.__name__}: {type(error).__name__}: {error}")
        ended = time.monotonic()
        waits.append((started, (ended - started) * 1000))
        due = max(due, ended - 1)
    results.put((waits, errors, retried, writer.last, writer.points, writer.made))


def figures(waits: list[float]) -> str:
    ordered = sorted(waits)
    over = sum(wait > 50 for wait in ordered) / len(ordered)
    return (
        f"{len(ordered):9,} {statistics.median(ordered):8.2f} {ordered[int(len(ordered) * 0.99)]:8.2f}"
        f" {ordered[int(len(ordered) * 0.999)]:8.2f} {ordered[-1]:8.1f} {over:9.3%}"
    )


def lost(last: dict[tuple[str, str, str], Any], points: dict[str, int], made: dict[str, list[str]]) -> dict[str, int]:
    """How much of what was written last is not in the legacy rows, or not in the profiles."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE wrote (source text, key uuid, field text, value text)")
        with cursor.copy("COPY wrote FROM STDIN") as copy:
            for (table, key, name), value in last.items():
                copy.write_row((table, key, name, value))
            for key, more in points.items():
                copy.write_row(("points", key, "loyalty_points", str(more)))
            for table, keys in made.items():
                for key in keys:
                    copy.write_row((f"made {table}", key, "", ""))
        asked = {
            "phone of users": "SELECT count(*) FROM wrote AS w LEFT JOIN users AS u ON u.id = w.key"
            " WHERE w.source = 'users' AND u.phone IS DISTINCT FROM w.value",
            "phone in profiles": "SELECT count(*) FROM wrote AS w LEFT JOIN profiles AS p ON p.user_id = w.key"
            " WHERE w.source = 'users' AND p.phone IS DISTINCT FROM w.value",
            "city of customers": "SELECT count(*) FROM wrote AS w LEFT JOIN customers AS c ON c.id = w.key"
            " WHERE w.source = 'customers' AND c.city IS DISTINCT FROM w.value",
            "points of customers": "SELECT count(*) FROM wrote AS w LEFT JOIN customers AS c ON c.id = w.key"
            " LEFT JOIN backup_customers AS b ON b.id = w.key WHERE w.source = 'points'"
            " AND coalesce(c.loyalty_points, 0) < w.value::int",
            "registered, without a profile": "SELECT count(*) FROM wrote AS w"
            " LEFT JOIN profiles AS p ON p.user_id = w.key WHERE w.source = 'made users' AND p.id IS NULL",
            "guests, without a profile": "SELECT count(*) FROM wrote AS w LEFT JOIN profiles AS p ON p.id = w.key"
            " WHERE w.source = 'made customers' AND p.id IS NULL",
            "orders without a user": "SELECT count(*) FROM wrote AS w LEFT JOIN orders AS o ON o.id = w.key"
            " WHERE w.source = 'made orders' AND o.user_id IS NULL",
        }
        answers = {}
        for name, question in asked.items():
            cursor.execute(question)
            answers[name] = cursor.fetchone()[0]
        return answers


def url_of(name: str) -> str:
    """The address of a database on the configured server, for a process of its own."""
    params = connection.get_connection_params()
    login = f"{params.get('user', '')}:{params.get('password') or ''}"
    # A socket's directory stands in the URL's path.
    host = params.get("host") or ""
    server = f"/{host}" if host.startswith("/") else f"{host}:{params.get('port', '')}"
    return f"postgres://{login}@{server}/{name}"


def migrate(name: str) -> float:
    """`manage.py migrate` on the database, in a process of its own; gives its seconds."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, str(HERE.parent / "manage.py"), "migrate"],
        env={**os.environ, "DATABASE_URL": url_of(name)},
        check=False,
    )
    if ended.returncode:
        raise SystemExit(f"migrate ended with {ended.returncode}")
    return time.monotonic() - began


def step_at(began: float, at: float) -> str:
    """The step of the take-over that ran at second `at`, or the one before it; `began` is a time since the epoch."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM unification_phases WHERE started_at <= to_timestamp(%s) ORDER BY started_at DESC LIMIT 1",
            [began + at],
        )
        found = cursor.fetchone()
    return str(found[0]) if found else "preflight"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--contract", action="store_true", help="the contract phase alone")
    options = parser.parse_args()
    with temporary_database() as name:
        with transaction.atomic():
            people.generate(connection, options.people)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
        connection.close()
        params = connection.get_connection_params()
        dsn = {key: params[key] for key in ("host", "port", "user", "password") if params.get(key)} | {"dbname": name}
        if options.contract:
            migrate(name)
            contract(dsn, options)
            return
        with temporary_database(name) as copy:
            undisturbed = migrate(copy)
        with connection.cursor() as cursor:
            cursor.execute("CHECKPOINT")
        stop, results = multiprocessing.Event(), multiprocessing.Queue()
        writers = [
            multiprocessing.Process(target=write, args=(dsn, seed, options.rate / 2, stop, results)) for seed in (1, 2)
        ]
        for writer in writers:
            writer.start()
        time.sleep(options.seconds)
        began, since = time.monotonic(), time.time()
        disturbed = migrate(name)
        done = time.monotonic()
        time.sleep(options.seconds)
        stop.set()
        answers = [results.get() for _ in writers]
        for writer in writers:
            writer.join()
        waits = [wait for answer in answers for wait in answer[0]]
        sections = {
            "alone": [ms for at, ms in waits if at < began],
            "during migrate": [ms for at, ms in waits if began <= at < done],
            "through the sync": [ms for at, ms in waits if at >= done],
        }
        print(f"\n{options.people:,} people, {options.rate:g} writes a second")
        print(
            f"migrate took {disturbed:.1f} s, {undisturbed:.1f} s on the copy: {disturbed / undisturbed:.2f} ×, goal 1.5"
        )
        print(f"{'writers, ms':18}{'writes':>9} {'p50':>8} {'p99':>8} {'p99.9':>8} {'longest':>8} {'> 50 ms':>9}")
        for section, times in sections.items():
            if times:
                print(f"{section:18}{figures(times)}")
        worst = sorted((at - began, ms) for at, ms in waits if began <= at < done and ms > 50)
        told = ", ".join(f"{at:.1f} ({step_at(since, at)}): {ms:.0f}" for at, ms in worst[:40])
        print("waits over 50 ms, at which second and step:", told or "none")
        errors = [error for answer in answers for error in answer[1]]
        print(f"errors {len(errors)}, tried again {sum(answer[2] for answer in answers)}")
        for error in errors[:10]:
            print("  ", error)
        last: dict[tuple[str, str, str], Any] = {}
        points: dict[str, int] = {}
        made: dict[str, list[str]] = {"users": [], "customers": [], "orders": []}
        for answer in answers:
            last |= answer[3]
            points |= answer[4]
            for table, keys in answer[5].items():
                made[table] += keys
        print("lost:", ", ".join(f"{name} {count}" for name, count in lost(last, points, made).items()))
        report = verify.verify(connection)
        failed = {check: outcome.samples for check, outcome in report.checks.items() if not outcome.passed}
        print("verification:", failed or "passed")
        contract(dsn, options)


def contract(dsn: dict[str, Any], options: argparse.Namespace) -> None:
    """Every step of the contract phase while two sellers write, the waits during each on a line of their own."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE merge_suggestions SET status = 'dismissed', decided_at = now()")
        cursor.execute(
            "UPDATE users AS u SET active = false FROM users AS o"
            " WHERE search_fold(o.email) = search_fold(u.email) AND o.id < u.id"
        )
        cursor.execute("CHECKPOINT")
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    sellers = [
        multiprocessing.Process(target=write, args=(dsn, seed, options.rate / 2, stop, results, Seller))
        for seed in (3, 4)
    ]
    connection.close()
    for seller in sellers:
        seller.start()
    progress.listen(True)
    sections: list[tuple[str, float]] = [("alone", time.monotonic())]
    time.sleep(options.seconds)
    with tempfile.TemporaryDirectory() as dumps:
        settings.UNIFICATION_DUMP_DIR = dumps
        sections.append(("verification", time.monotonic()))
        failed = list(verify.verify(connection).failed)
        for name, step in STEPS.items():
            sections.append((name, time.monotonic()))
            in_the_way = [refusal for refusal in refusals.find(connection, name, None) if not refusal.forceable]
            if in_the_way:
                print(f"{name} is refused: {', '.join(map(str, in_the_way))}")
                break
            state.begin(connection, name, "measuring")
            with measured(connection):
                step.do(connection)
            print(f"{name} is done", flush=True)
            time.sleep(AFTER)
    sections.append(("verification after", time.monotonic()))
    failed += verify.verify(connection).failed
    ended = time.monotonic()
    stop.set()
    answers = [results.get() for _ in sellers]
    for seller in sellers:
        seller.join()
    waits = [wait for answer in answers for wait in answer[0]]
    print(f"\n{'sellers, ms':18}{'writes':>9} {'p50':>8} {'p99':>8} {'p99.9':>8} {'longest':>8} {'> 50 ms':>9}")
    for (name, start), (_, end) in pairwise([*sections, ("", ended)]):
        times = [ms for at, ms in waits if start <= at < end]
        print(f"{name:18}{figures(times)}   {end - start:6.1f} s" if times else name)
    print("verification:", failed or "passed")
    errors = [error for answer in answers for error in answer[1]]
    print(f"errors {len(errors)}, tried again {sum(answer[2] for answer in answers)}")
    for error in errors[:10]:
        print("  ", error)


if __name__ == "__main__":
    main()
