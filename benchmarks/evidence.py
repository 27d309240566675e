"""What the usage evidence costs those whom it watches, next to the same database without it, in one run.

    python benchmarks/evidence.py [--people N] [--statements S] [--workload NAME …]

Makes a legacy database of N people (default 20,000) on the configured server, takes it over, and copies it; in one copy nothing
watches. Each of S statements (6,000) is sent to both in turn. Prints of 60 rounds the medians, and the median of the ratios within
a round, which others disturb in both: how long the client waited for an answer, and what the server's process needed of a
processor, which neither disk nor network can hide. Every ten rounds are in sessions of their own: where the system puts a
session's process makes half as much again of a short answer. A statement is one that its driver has prepared, unless it is planned
anew. The goal is that nobody waits more than 1.03 times as long.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path
from statistics import median
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
from legacy_customers.unification import evidence  # noqa: E402
from tests.databases import rows, temporary_database  # noqa: E402

GOAL = 1.03
ROUNDS = 60
# Rounds of one session; one more before them warms it up.
OF_A_SESSION = 10
# Statement -> whose id it takes.
WORKLOADS: dict[str, tuple[str, str]] = {
    "read the view by id": ("SELECT * FROM customers_view WHERE id = %(id)s", "profiles"),
    "read it, planned anew": ("SELECT * FROM customers_view WHERE id = %(id)s", "profiles"),
    "read the view's list": ("SELECT * FROM customers_view WHERE id >= %(id)s ORDER BY id LIMIT 50", "profiles"),
    "count the view": ("SELECT count(*), sum(total_spent) FROM customers_view WHERE id <> %(id)s", "profiles"),
    "update the view": ("UPDATE customers_view SET phone = %(text)s WHERE id = %(id)s", "profiles"),
    "update users": ("UPDATE users SET phone = %(text)s WHERE id = %(id)s", "users"),
    "log in": ("UPDATE users SET last_login = now() WHERE id = %(id)s", "users"),
    "insert orders": (
        "INSERT INTO orders (order_number, customer_id, total_amount) VALUES (%(text)s, %(id)s, 10)",
        "customers",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--statements", type=int, default=6_000)
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS))
    options = parser.parse_args()
    with temporary_database() as template:
        with transaction.atomic():
            people.generate(connection, options.people)
        call_command("migrate", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        ids = {
            table: [row for (row,) in rows(f"SELECT id FROM {table} ORDER BY random() LIMIT 20000")]
            for table in ("profiles", "users", "customers")
        }
        params = connection.get_connection_params()
        keep = {key: params[key] for key in ("host", "port", "user", "password") if params.get(key)}
        connection.close()
        with temporary_database(template) as plain:
            evidence.remove(connection)
            connection.close()
            with temporary_database(template) as watched:
                connection.close()
                compare(*({"dbname": name} | keep for name in (plain, watched)), ids, options)


def processor_time(session: "psycopg.Connection[Any]") -> int:
    """Nanoseconds that the session's process has had a processor; of Linux, on the server's machine."""
    return int(Path(f"/proc/{session.info.backend_pid}/schedstat").read_text().split()[0])


def compare(plain: Any, watched: Any, ids: dict[str, list[Any]], options: argparse.Namespace) -> None:
    """`plain` and `watched` are how to connect to either database."""
    print(
        f"{'microseconds':24}{'waits: watched':>16}{'plain':>8}{'ratio':>7}{'goal':>6}{'processor: watched':>21}{'plain':>8}{'ratio':>7}"
    )
    chance = random.Random(1)
    for name in options.workload or list(WORKLOADS):
        statement, table = WORKLOADS[name]
        number = (options.statements if "count" not in name else max(options.statements // 20, ROUNDS)) // ROUNDS
        used: tuple[list[float], ...] = ([], [])
        waited: tuple[list[float], ...] = ([], [])
        for _ in range(ROUNDS // OF_A_SESSION):
            sessions = [psycopg.connect(autocommit=True, **params) for params in (plain, watched)]
            for turn in range(OF_A_SESSION + 1):
                before = [processor_time(session) for session in sessions]
                waits = [0, 0]
                for n in range(number):
                    params = {"id": chance.choice(ids[table]), "text": f"{turn}-{n}-{chance.random()}"[:40]}
                    for which in (0, 1) if n % 2 else (1, 0):
                        began = time.perf_counter_ns()
                        sessions[which].execute(statement, params, prepare=False if "planned anew" in name else None)
                        waits[which] += time.perf_counter_ns() - began
                if turn:
                    for which, session in enumerate(sessions):
                        used[which].append((processor_time(session) - before[which]) / number / 1000)
                        waited[which].append(waits[which] / number / 1000)
            for session in sessions:
                session.close()
        (theirs, mine), (needed, needs) = (map(median, both) for both in (waited, used))
        waits_ratio, needs_ratio = (median(w / p for p, w in zip(*both, strict=True)) for both in (waited, used))
        print(
            f"{name:24}{mine:16,.1f}{theirs:8,.1f}{waits_ratio:7.3f}{GOAL:6.2f}{needs:21,.1f}{needed:8,.1f}{needs_ratio:7.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
