"""Migrated sample shops: each story is loaded and migrated once per worker, and every test gets a copy of its own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from legacy_customers.sample.stories import Story, load_story
from tests.databases import temporary_database


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
