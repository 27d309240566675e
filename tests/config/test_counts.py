"""Counting without an end: exact where it is cheap, capped or estimated where it is not."""

import pytest
from django.db import connection
from psycopg import sql

from config.postgresql import counts
from config.postgresql.counts import Count, capped, of_table
from tests.databases import run
from tests.factories import person

pytestmark = pytest.mark.django_db


def test_query_is_counted_as_far_as_the_cap() -> None:
    numbers = sql.SQL("SELECT FROM generate_series(1, %(n)s)")
    assert capped(connection, numbers, {"n": 3}, most=3) == Count(3)
    assert capped(connection, numbers, {"n": 4}, most=3) == Count(3, more=True)
    assert capped(connection, numbers, {"n": 0}, most=3) == Count(0)


def test_large_table_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "COUNTED", 2)
    for _ in range(3):
        person()
    run("ANALYZE profiles")
    assert of_table(connection, "profiles") == Count(3, estimated=True)
    monkeypatch.setattr(counts, "COUNTED", 3)
    assert of_table(connection, "profiles") == Count(3)


def test_count_says_how_sure_it_is() -> None:
    assert [str(count) for count in (Count(1234), Count(1234, estimated=True), Count(10_000, more=True))] == [
        "1,234",
        "about 1,234",
        "10,000+",
    ]
