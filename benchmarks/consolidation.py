"""How long the take-over takes, by one worker and by two, next to a straightforward script and to the floor, in one run.

    python benchmarks/consolidation.py [--people N] [--runs N]

Makes a legacy database of N people (default 1,000,000) on the configured server, and for each figure a fresh copy of it.
Prints seconds and ratios; the goals are in the last column. The client's peak memory is this process's.
"""

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

django.setup()

import psycopg  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from legacy_customers.sample import people  # noqa: E402
from legacy_customers.unification import verify  # noqa: E402
from profiles import search  # noqa: E402
from tests.databases import temporary_database  # noqa: E402

MEMORY = "SET LOCAL work_mem = '256MB'; SET LOCAL maintenance_work_mem = '256MB';"


@contextmanager
def legacy_database(count: int) -> Iterator[str]:
    """A database of `count` people, to be copied."""
    with temporary_database() as name:
        with transaction.atomic():
            people.generate(connection, count)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
        connection.close()
        yield name


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run_script(name: str, *before: str) -> None:
    """One transaction, with the memory that the unification takes too; the statements of `before` come first."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(MEMORY)
        for statement in before:
            cursor.execute(statement)
        cursor.execute((HERE / name).read_text(encoding="utf-8"))


def prepare_search() -> None:
    """What the search column and its index need, where the server has it."""
    search.install(connection)
    with connection.cursor() as cursor:
        if any("gin_trgm_ops" in index for index in PROFILES.indexes):
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")


def measure_floor() -> dict[str, float]:
    """The joined rows, then every index that `migrate` builds on them."""
    prepare_search()

    def work() -> None:
        run_script("floor.sql")
        for index in PROFILES.indexes:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(MEMORY)
                cursor.execute(index)

    return {"floor": timed(work)}


def measure_naive() -> dict[str, float]:
    """The script finds the target table with its indexes, as Django's own migrations would leave it.

    Those of `users` and `orders` that the new application asks by it builds too, for their rows are there.
    """
    prepare_search()
    with connection.cursor() as cursor:
        for statement in (PROFILES.table, *PROFILES.indexes, PROFILES.foreign_key):
            cursor.execute(statement)
    return {"naive": timed(lambda: run_script("naive.sql", *PROFILES.indexes_of_others))}


def measure_two_workers() -> dict[str, float]:
    return {"migrate, two workers": timed(lambda: call_command("migrate", workers=2, verbosity=1))}


def measure_ours() -> dict[str, float]:
    """One worker, and then the verification."""
    figures = {"migrate": timed(lambda: call_command("migrate", workers=1, verbosity=1))}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, extract(epoch FROM finished_at - started_at)::float FROM unification_phases"
            " WHERE finished_at IS NOT NULL ORDER BY started_at"
        )
        figures |= {f"  {name}": seconds for name, seconds in cursor.fetchall()}
    report = []
    figures["verify"] = timed(lambda: report.append(verify.verify(connection)))
    if not report[0].passed:
        raise SystemExit(f"verification failed: {report[0].as_json()['checks']}")
    return figures


@dataclass(frozen=True)
class TargetTable:
    """The target table, as statements, and the indexes that `users` and `orders` get."""

    table: str = ""
    indexes: tuple[str, ...] = ()
    indexes_of_others: tuple[str, ...] = ()
    foreign_key: str = "ALTER TABLE profiles ADD FOREIGN KEY (user_id) REFERENCES users (id)"


PROFILES = TargetTable()
# Of legacy columns: those that `migrate` adds come after them.
INDEXES_OF_OTHERS = """
SELECT pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid IN ('users'::regclass, 'orders'::regclass) AND indexrelid::regclass::text NOT LIKE '%unification%'
    AND NOT EXISTS (
        SELECT FROM pg_depend JOIN legacy_columns AS l ON l.id = refobjid
        WHERE objid = indexrelid AND refobjsubid > l.columns)
"""
LEGACY_COLUMNS = """
CREATE TEMP TABLE legacy_columns AS SELECT attrelid AS id, max(attnum) AS columns FROM pg_attribute
WHERE attrelid IN ('users'::regclass, 'orders'::regclass) GROUP BY attrelid
"""


def target_table() -> TargetTable:
    """As `migrate` makes it of a small shop. What comes after the take-over (merges), and the sync's own, is left out."""
    with temporary_database(), connection.cursor() as cursor:
        with transaction.atomic():
            people.generate(connection, 10)
        cursor.execute(LEGACY_COLUMNS)
        cursor.execute(INDEXES_OF_OTHERS)
        before = set(cursor.fetchall())
        call_command("migrate", verbosity=0)
        cursor.execute(INDEXES_OF_OTHERS)
        of_others = tuple(definition for (definition,) in set(cursor.fetchall()) - before)
        cursor.execute(
            "SELECT string_agg(format('%I %s%s%s', attname, format_type(atttypid, atttypmod),"
            " CASE WHEN attnotnull THEN ' NOT NULL' END, CASE WHEN attgenerated = 's' THEN ' GENERATED ALWAYS AS ('"
            " || pg_get_expr(adbin, adrelid) || ') STORED' ELSE ' DEFAULT ' || pg_get_expr(adbin, adrelid) END),"
            " ', ' ORDER BY attnum)"
            " FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
            " WHERE attrelid = 'profiles'::regclass AND attnum > 0 AND NOT attisdropped"
        )
        table = f"CREATE TABLE profiles ({cursor.fetchone()[0]})"
        cursor.execute(
            "SELECT indexdef FROM pg_indexes WHERE tablename = 'profiles' AND indexdef NOT LIKE '%merged_into%'"
        )
        return TargetTable(table, tuple(row[0] for row in cursor.fetchall()), of_others)


def main() -> None:
    global PROFILES
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    PROFILES = target_table()
    figures: dict[str, list[float]] = {}
    with legacy_database(options.people) as template:
        for _ in range(options.runs):
            for measure in (measure_floor, measure_naive, measure_ours, measure_two_workers):
                with temporary_database(template=template):
                    with connection.cursor() as cursor:
                        cursor.execute("CHECKPOINT")
                    for name, seconds in measure().items():
                        figures.setdefault(name, []).append(seconds)
    median = {name: statistics.median(values) for name, values in figures.items()}
    with psycopg.connect(**_server()) as server:
        version = server.info.server_version
    print(
        f"\n{options.people:,} people, PostgreSQL {version // 10000}, {os.cpu_count()} cores, median of {options.runs}"
    )
    print(f"{'what':24}{'seconds':>9}{'× floor':>9}{'× naive':>9}")
    for name, seconds in median.items():
        print(f"{name:24}{seconds:9.1f}{seconds / median['floor']:9.2f}{seconds / median['naive']:9.2f}")
    copy = median["  consolidate"] / median["floor"]
    total, judged = median["migrate"] / median["naive"], median["verify"] / median["migrate"]
    print(f"copy and indexes / floor   {copy:5.2f}   goal ≤ 1.3")
    print(f"migrate / naive script     {total:5.2f}   goal ≤ 0.6")
    print(f"verification / migrate     {judged:5.2f}   goal ≤ 0.5")
    print(f"one worker / two workers   {median['migrate'] / median['migrate, two workers']:5.2f}   goal ≥ 1.6")
    print(f"client memory, peak        {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:5.0f} MB")


def _server() -> dict[str, str]:
    params = connection.get_connection_params()
    return {key: params[key] for key in ("host", "port", "user", "password") if params.get(key)} | {
        "dbname": "postgres"
    }


if __name__ == "__main__":
    main()
