"""How long the way back takes after many writes, on two databases side by side: it should not grow with the tables.

    python benchmarks/rollback.py [--people N] [--writes W]

Takes over two generated legacy databases, of N / 3 and of N people (default 300,000), on the configured server, makes the same
W random writes through both shapes (default 10,000) on each, and goes the way back. Prints the seconds of each step on both and
their ratio, and how many of the written cells are not in the legacy tables as they were last written.

Four steps read tables once whatever was written, or undo what the take-over did to rows of its own: the look before (keys of
legacy tables and backups), the orders that were repointed, the guests' accounts, and the proof (all rows of both).
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402

from legacy_customers.sample import people  # noqa: E402
from legacy_customers.unification import rollback  # noqa: E402
from tests.databases import rows, temporary_database  # noqa: E402

# Steps whose work is a table's by their nature.
BY_TABLE = {"look", "legacy_customers.0008_orders", "legacy_customers.0005_identity", "legacy_customers.0003_backup"}
Cells = dict[tuple[str, str, str], str]


def write(count: int) -> Cells:
    """The random writes; gives each cell as it was last written."""
    chance, cells = random.Random(count), Cells()
    persons = rows(
        "SELECT c.id::text, c.user_id::text FROM customers AS c WHERE c.user_id IS NOT NULL AND NOT EXISTS ("
        " SELECT FROM legacy_identities AS i WHERE i.user_id = c.user_id AND i.position > 1) ORDER BY c.id LIMIT 20000"
    )
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        for number in range(count):
            customer, user = chance.choice(persons)
            match chance.randrange(6):
                case 0:
                    cursor.execute("UPDATE customers SET city = %s WHERE id = %s", [f"C{number}", customer])
                    cells["customers", customer, "city"] = f"C{number}"
                case 1:
                    cursor.execute("UPDATE users SET phone = %s WHERE id = %s", [f"{number}", user])
                    cells["users", user, "phone"] = cells["customers", customer, "phone"] = f"{number}"
                case 2:
                    cursor.execute("UPDATE profiles SET phone = %s WHERE id = %s", [f"{number}", customer])
                    cells["users", user, "phone"] = cells["customers", customer, "phone"] = f"{number}"
                case 3:
                    cursor.execute("UPDATE customers_view SET city = %s WHERE id = %s", [f"V{number}", customer])
                    cells["customers", customer, "city"] = f"V{number}"
                case 4:
                    cursor.execute(
                        "INSERT INTO orders (order_number, customer_id, total_amount) VALUES (%s, %s, 5) RETURNING id::text",
                        [f"B-{number}", customer],
                    )
                    cells["orders", cursor.fetchone()[0], "customer_id"] = customer
                case _:
                    cursor.execute(
                        "INSERT INTO customers (email, first_name) VALUES (%s, 'Gus') RETURNING id::text",
                        [f"b{number}@example.com"],
                    )
                    cells["customers", cursor.fetchone()[0], "email"] = f"b{number}@example.com"
    return cells


def lost(cells: Cells) -> int:
    """Cells that are not as they were last written."""
    missing = 0
    for table, column in {(table, column) for table, _, column in cells}:
        wanted = [(key, value) for (t, key, c), value in cells.items() if (t, c) == (table, column)]
        missing += rows(
            f"SELECT count(*) FROM unnest(%s::uuid[], %s::text[]) AS w (id, value)"
            f" LEFT JOIN {table} AS r USING (id) WHERE r.{column}::text IS DISTINCT FROM w.value",
            [key for key, _ in wanted],
            [value for _, value in wanted],
        )[0][0]
    return missing


def measure(count: int, writes: int) -> tuple[dict[str, float], int]:
    """Step → seconds, and the cells that were lost."""
    with temporary_database():
        with transaction.atomic():
            people.generate(connection, count)
        call_command("migrate", verbosity=0)
        cells = write(writes)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
        steps: dict[str, float] = {}
        plan = MigrationExecutor(connection).migration_plan([("legacy_customers", None)])
        began = time.monotonic()
        rollback.refuse(connection, plan)
        steps["look"] = time.monotonic() - began
        original = MigrationExecutor.unapply_migration

        def timed(self: Any, state: Any, migration: Any, **options: Any) -> Any:
            began = time.monotonic()
            result = original(self, state, migration, **options)
            steps[str(migration)] = time.monotonic() - began
            return result

        MigrationExecutor.unapply_migration = timed  # type: ignore[method-assign]
        began = time.monotonic()
        try:
            call_command("migrate", "legacy_customers", "zero", verbosity=0)
        finally:
            MigrationExecutor.unapply_migration = original  # type: ignore[method-assign]
        steps["in all"] = time.monotonic() - began
        return steps, lost(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=300_000)
    parser.add_argument("--writes", type=int, default=10_000)
    options = parser.parse_args()
    small, large = options.people // 3, options.people
    few, few_lost = measure(small, options.writes)
    many, many_lost = measure(large, options.writes)
    print(f"{options.writes:,} writes\n{'seconds':44}{small:>10,}{large:>10,}{'ratio':>8}")
    for step in sorted(many, key=lambda step: -many[step]):
        if max(few[step], many[step]) >= 0.05:
            note = "  reads or undoes tables" if step.replace("'", "") in BY_TABLE else ""
            print(f"{step:44}{few[step]:10.2f}{many[step]:10.2f}{many[step] / few[step]:8.2f}{note}")

    def rest(steps: dict[str, float]) -> float:
        return steps["in all"] - sum(steps[step] for step in BY_TABLE if step != "look") - steps["look"]

    print(
        f"{'all but those that read or undo tables':44}{rest(few):10.2f}{rest(many):10.2f}{rest(many) / rest(few):8.2f}"
    )
    print(f"{'cells lost':44}{few_lost:10,}{many_lost:10,}")
    if few_lost or many_lost:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
