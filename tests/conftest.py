"""Fixtures that every test may use. Each database is a real PostgreSQL one."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django.plugin import DjangoDbBlocker

from accounts.hashers import LegacyBcryptHasher
from config import protection
from config.postgresql.base import DatabaseOperations
from legacy_customers.sample.stories import Story, load_story
from tests.databases import another_session, temporary_database
from tests.servers import give_back_the_server, share_a_server

EMBEDDED = bool(settings.DATABASES["default"].get("EMBEDDED"))


def pytest_configure() -> None:
    if EMBEDDED:
        share_a_server()
    # A migration makes and drops hundreds of models, and so many objects are looked at each time that the usual threshold
    # costs a quarter of the run.
    gc.set_threshold(20_000)


def pytest_collection_finish() -> None:
    """What is imported by now stays."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    # Of several processes the one that started them is the last.
    if EMBEDDED and not hasattr(config, "workerinput"):
        give_back_the_server()


@pytest.fixture(autouse=True, scope="session")
def usual_rounds() -> Iterator[int]:
    """New hashes are as cheap as bcrypt can be; gives how many rounds they have elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        usual = LegacyBcryptHasher.rounds
        patch.setattr(LegacyBcryptHasher, "rounds", 4)
        yield usual


@pytest.fixture(autouse=True)
def no_counts() -> None:
    """Throttles and lock-outs count in the cache: no test is to count for another."""
    cache.clear()


@pytest.fixture(autouse=True, scope="session")
def tables_may_be_emptied() -> Iterator[None]:
    """Django empties every table after a test with transactions of its own: that is meant, and says so."""
    empty = DatabaseOperations.execute_sql_flush

    def released(operations: DatabaseOperations, statements: list[str]) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            protection.release(cursor, "the end of a test")
            empty(operations, statements)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", released)
        yield


@pytest.fixture
def empty_database(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """An empty database under Django's default connection; gives its name."""
    with django_db_blocker.unblock(), temporary_database() as name:
        yield name


@pytest.fixture
def background() -> Iterator[Callable[[str], "psycopg.Connection[Any]"]]:
    """Runs a statement in a session and a thread of its own; gives the session. The test's end waits for it."""
    with ExitStack() as stack:

        def start(statement: str) -> "psycopg.Connection[Any]":
            session = stack.enter_context(another_session(autocommit=True))
            thread = threading.Thread(target=session.execute, args=[statement])
            thread.start()
            stack.callback(thread.join)
            return session

        yield start


# Migrated sample shops: each story is loaded and migrated once per process, and every test gets a copy of its own.


@contextmanager
def _migrated(blocker: DjangoDbBlocker, story: Story, older: bool = False) -> Iterator[str]:
    """A database with the story, unified; no connection of ours is left in it, so that it can be copied."""
    with ExitStack() as databases:
        with blocker.unblock():
            before = connection.settings_dict["NAME"]
            name = databases.enter_context(temporary_database())
            load_story(connection, story, older=older)
            call_command("migrate", verbosity=0)
            connection.close()
            connection.settings_dict["NAME"] = before
        yield name
        before = connection.settings_dict["NAME"]
        databases.close()
        connection.settings_dict["NAME"] = before


@pytest.fixture(scope="session")
def seed_template(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Name of a database with the migrated seed; to be copied, not written."""
    with _migrated(django_db_blocker, "seed") as name:
        yield name


@pytest.fixture(scope="session")
def shop_template(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Name of a database with the migrated shop; to be copied, not written."""
    with _migrated(django_db_blocker, "shop") as name:
        yield name


@pytest.fixture(scope="session")
def older_shop_template(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Name of a database with the migrated shop of an older installation; to be copied, not written."""
    with _migrated(django_db_blocker, "shop", older=True) as name:
        yield name


@contextmanager
def _copy(blocker: DjangoDbBlocker, template: str) -> Iterator[str]:
    with blocker.unblock():
        connection.close()
        with temporary_database(template=template) as name:
            yield name


@pytest.fixture
def seed(seed_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The migrated seed under Django's default connection; gives the database's name."""
    with _copy(django_db_blocker, seed_template) as name:
        yield name


@pytest.fixture
def shop(shop_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The migrated shop under Django's default connection; gives the database's name."""
    with _copy(django_db_blocker, shop_template) as name:
        yield name


@pytest.fixture
def older_shop(older_shop_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The migrated shop of an older installation under Django's default connection; gives the database's name."""
    with _copy(django_db_blocker, older_shop_template) as name:
        yield name
