"""Statements that are asked often are planned once per connection, and only there."""

from typing import Any

import pytest
from django.db import connection, transaction

from config.postgresql.prepared import THRESHOLD, fetch_all, fetch_one
from tests.databases import one

STATEMENT = "SELECT %(number)s::int + n FROM generate_series(1, 2) AS n"
PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::int + n %%' AND %s"


@pytest.mark.django_db(transaction=True)
def test_statement_is_prepared_after_some_runs_and_other_cursors_never_do() -> None:
    for number in range(2 * THRESHOLD):
        assert fetch_one(STATEMENT, {"number": number}) == (number + 1,)
        assert fetch_all(STATEMENT, {"number": number}) == [(number + 1,), (number + 2,)]
        assert one(PREPARED, True) == int(2 * number + 1 >= THRESHOLD)
    assert one("SELECT count(*) FROM pg_prepared_statements") == 1


@pytest.mark.django_db
def test_rollback_leaves_the_statement_usable() -> None:
    for number in range(2 * THRESHOLD):
        fetch_one(STATEMENT, {"number": number})
    with transaction.atomic():
        fetch_one(STATEMENT, {"number": 1})
        transaction.set_rollback(True)
    assert fetch_one(STATEMENT, {"number": 1}) == (2,)


@pytest.mark.django_db
def test_queries_that_are_counted_are_seen(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        fetch_one(STATEMENT, {"number": 1})
        fetch_all(STATEMENT, {"number": 1})
    assert connection.connection.prepare_threshold == THRESHOLD
