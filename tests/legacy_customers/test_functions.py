"""The helper functions, where the database's own settings could change what they say."""

import uuid
from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from legacy_customers.unification import functions
from tests.databases import one, run


@pytest.fixture
def c_database(empty_database: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A database of the locale C under Django's connection: its lower() knows ASCII alone."""
    provider = "LOCALE_PROVIDER libc" if one("SHOW server_version_num") >= "150000" else ""
    name = f"test_{uuid.uuid4().hex[:16]}"
    run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {provider} LC_COLLATE 'C' LC_CTYPE 'C'")
    connection.close()
    before, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], name
    yield name
    connection.close()
    connection.settings_dict["NAME"] = before
    run(f"DROP DATABASE {name}")


def test_addresses_beyond_ascii_are_compared_without_case_in_a_database_of_the_locale_c(c_database: str) -> None:
    assert one("SELECT lower('Ä')") == "Ä"
    functions.install(connection)
    assert one("SELECT unification_email(' ÄNN@Bücher.Example ')") == "änn@bücher.example"
