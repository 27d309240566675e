"""Fixtures that every test may use. Each database is a real PostgreSQL one."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from pytest_django.plugin import DjangoDbBlocker

from tests.databases import temporary_database


@pytest.fixture(autouse=True)
def no_counts() -> None:
    """Throttles and lock-outs count in the cache: no test is to count for another."""
    cache.clear()


@pytest.fixture
def empty_database(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """An empty database under Django's default connection; gives its name."""
    with django_db_blocker.unblock(), temporary_database() as name:
        yield name
