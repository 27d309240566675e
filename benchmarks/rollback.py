"""How long the way back takes after many writes, and what the old application's writers notice: for several sizes and counts.

    python benchmarks/rollback.py [--people N ...] [--writes W ...] [--rate R]

Takes over a generated legacy database of N people (default 20,000, 60,000 and 300,000) on the configured server. On a copy for
each W (default 1,000 and 10,000) it makes W random writes through both shapes, then goes the way back while two connections go on
writing as the old application does, together R statements a second (default 200; 0: nobody writes). Prints the seconds of each
part, the waits of those writers, and how many of the written cells are not in the legacy tables as they were last written.

Who writes is locked out in the window alone, whose work is what the writes have left; the goal is that it follows W, not N.
Before it all rows are read once, while both applications go on; after it the take-over's own rows are taken back in ranges,
while the old application goes on.
"""

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
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

from benchmarks import live_migration  # noqa: E402
from legacy_customers.sample import people  # noqa: E402
from legacy_customers.unification import rollback  # noqa: E402
from tests.databases import rows, temporary_database  # noqa: E402

# What is printed of it, in order: the label, and the migrations whose backward half it is.
LOOK, WINDOW, ALONE, TOTAL = "look: every row", "window: writers wait", "until the old one is alone", "in all"
PARTS = {
    "begin, but for the window": ("legacy_customers.0011_sync",),
    "orders point back": ("legacy_customers.0008_orders",),
    "guests' accounts": ("legacy_customers.0005_identity",),
    "profiles emptied": ("legacy_customers.0006_profiles",),
    "proof: what was written": ("legacy_customers.0003_backup",),
    "users and orders given back": ("accounts.0001_initial", "orders.0001_initial"),
}
BY_TABLE = (LOOK, "begin, but for the window", "orders point back", "guests' accounts")
Cells = dict[tuple[str, str, str], str]


def prepare(count: int) -> None:
    """Fill Django's database and take it over."""
    with transaction.atomic():
        people.generate(connection, count)
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    connection.close()


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
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
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


class OldApplication(live_migration.Writer):
    """One connection of the old application, which writes to rows that it knows and that nobody else has written to."""

    def __init__(self, dsn: dict[str, Any], seed: int) -> None:
        super().__init__(dsn, seed)
        for table in ("users", "customers"):
            known = self.connection.execute(
                f"SELECT b.id FROM backup_{table} AS b WHERE b.id = ANY(%s) AND NOT EXISTS ("
                f" SELECT FROM legacy_writes AS w WHERE w.source = '{table}' AND w.key = b.id::text)",
                [self.ids[table]],
            )
            self.ids[table] = [id_ for (id_,) in known]


class Writers:
    """Two processes that write as the old application does, for as long as the block runs; then what they noticed."""

    def __init__(self, rate: float) -> None:
        self.rate, self.cells = rate, Cells()
        self.waits: list[float] = []
        self.errors: list[str] = []

    def __enter__(self) -> "Writers":
        params = connection.get_connection_params()
        dsn = {key: params[key] for key in ("host", "port", "user", "password", "dbname") if params.get(key)}
        self.stop, self.results = multiprocessing.Event(), multiprocessing.Queue()
        self.processes = [
            multiprocessing.Process(
                target=live_migration.write, args=(dsn, seed, self.rate / 2, self.stop, self.results, OldApplication)
            )
            for seed in ((1, 2) if self.rate else ())
        ]
        for process in self.processes:
            process.start()
        if self.processes:
            time.sleep(3)
        self.began = time.monotonic()
        return self

    def __exit__(self, *raised: object) -> None:
        ended = time.monotonic()
        self.stop.set()
        for _ in self.processes:
            waits, errors, _, last, _, made = self.results.get()
            self.waits += [ms for at, ms in waits if self.began <= at < ended]
            self.errors += errors
            self.cells |= last
            self.cells |= {(table, key, "id"): key for table, keys in made.items() for key in keys}
        for process in self.processes:
            process.join()


def timed(steps: dict[str, float], name: Callable[..., str], work: Callable[..., Any]) -> Callable[..., Any]:
    """`work`, whose last run's seconds are kept under its name."""

    def run(*args: Any, **options: Any) -> Any:
        began = time.monotonic()
        result = work(*args, **options)
        steps[name(*args)] = time.monotonic() - began
        return result

    return run


def measure(cells: Cells, rate: float) -> tuple[dict[str, float], Writers, int]:
    """Part → seconds, the writers, and the cells that were lost."""
    steps: dict[str, float] = {}
    begin, refuse, turn_off = MigrationExecutor.unapply_migration, rollback.refuse, rollback._turn_off
    begun = rollback.begin
    with Writers(rate) as writers:
        began = time.monotonic()

        def alone(*args: Any) -> None:
            begun(*args)
            steps[ALONE] = time.monotonic() - began

        MigrationExecutor.unapply_migration = timed(steps, lambda *args: f"{args[2].app_label}.{args[2].name}", begin)  # type: ignore[method-assign]
        rollback.refuse = timed(steps, lambda *args: LOOK, refuse)
        rollback._turn_off = timed(steps, lambda *args: WINDOW, turn_off)
        rollback.begin = alone
        try:
            call_command("rollback_unification", interactive=False, verbosity=0)
        finally:
            MigrationExecutor.unapply_migration = begin  # type: ignore[method-assign]
            rollback.refuse, rollback._turn_off, rollback.begin = refuse, turn_off, begun
        steps[TOTAL] = time.monotonic() - began
    steps["legacy_customers.0011_sync"] -= steps[WINDOW]
    # Who wrote last to a cell is who wrote to it during the way back.
    return steps, writers, lost(cells | writers.cells)


def report(results: dict[tuple[int, int], tuple[dict[str, float], Writers, int]]) -> bool:
    """Print it all; gives whether nothing was lost and nobody refused."""
    sizes = list(results)

    def line(label: str, values: list[str], note: str = "") -> None:
        print(f"{label:28}" + "".join(f"{value:>11}" for value in values) + (f"   {note}" if note else ""))

    line("people", [f"{count:,}" for count, _ in sizes])
    line("writes", [f"{writes:,}" for _, writes in sizes])
    done: dict[tuple[int, int], dict[str, float]] = {}
    for size, (steps, _, _) in results.items():
        done[size] = {label: sum(steps[name] for name in names) for label, names in PARTS.items()}
        known = {name for names in PARTS.values() for name in names}
        others = sum(seconds for name, seconds in steps.items() if name not in known and "." in name)
        done[size] |= {LOOK: steps[LOOK], WINDOW: steps[WINDOW], ALONE: steps[ALONE], TOTAL: steps[TOTAL]}
        done[size] |= {"the other tables dropped": others}
    notes = {
        LOOK: "reads all rows, everybody goes on",
        WINDOW: "goal: follows the writes",
        ALONE: "the look and all up to the window's end",
        "orders point back": "as many as were repointed, in ranges",
        "guests' accounts": "as many as were made, in ranges",
    }
    for label in (LOOK, WINDOW, *PARTS, "the other tables dropped", ALONE, TOTAL):
        line(label, [f"{done[size][label]:.2f}" for size in sizes], notes.get(label, ""))
    line(
        "all but those of tables",
        [f"{done[size][TOTAL] - sum(done[size][label] for label in BY_TABLE):.2f}" for size in sizes],
        "goal: follows the writes",
    )
    waits = [sorted(writers.waits) or [0.0] for _, writers, _ in results.values()]
    line("old application: p99, ms", [f"{each[int(len(each) * 0.99)]:.1f}" for each in waits])
    line("longest wait, ms", [f"{each[-1]:.1f}" for each in waits], "goal: 100")
    line("statements", [f"{len(writers.waits):,}" for _, writers, _ in results.values()])
    line("errors", [f"{len(writers.errors):,}" for _, writers, _ in results.values()])
    line("cells lost", [f"{missing:,}" for _, _, missing in results.values()])
    for _, writers, _ in results.values():
        for error in writers.errors[:3]:
            print("  ", error)
    return not any(writers.errors or missing for _, writers, missing in results.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, nargs="+", default=[20_000, 60_000, 300_000])
    parser.add_argument("--writes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rate", type=float, default=200)
    options = parser.parse_args()
    results = {}
    for count in options.people:
        with temporary_database() as template:
            prepare(count)
            for writes in options.writes:
                with temporary_database(template):
                    results[count, writes] = measure(write(writes), options.rate)
    if not report(results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
