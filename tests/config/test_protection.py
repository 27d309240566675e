"""Protected tables: what is refused, by which means, and how whoever means it is let through."""

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from config import protection
from config.protection import Means
from tests.databases import one, rows, run

pytestmark = pytest.mark.usefixtures("empty_database")

MAKE = """
CREATE TABLE bottles (id integer PRIMARY KEY, label text, size integer);
CREATE TABLE crates (id integer PRIMARY KEY, bottle_id integer REFERENCES bottles (id));
INSERT INTO bottles VALUES (1, 'Wein', 75), (2, NULL, NULL);
"""


@pytest.fixture
def bottles(empty_database: str) -> None:
    run(MAKE)
    protection.install(connection, ["bottles", "no_such_table"])


LOSSES = {
    "DROP TABLE bottles CASCADE": "table bottles",
    "DROP SCHEMA public CASCADE": "this would take the list of protected tables, and those that are on it",
    "ALTER TABLE bottles DROP COLUMN label": "column bottles.label",
    "ALTER TABLE bottles RENAME TO flasks": "the name of table bottles",
    "ALTER INDEX bottles RENAME TO flasks": "the name of table bottles",
    "ALTER TABLE bottles RENAME label TO name": "the name of a column, now public.bottles.name",
    "ALTER SCHEMA public RENAME TO cellar": "this would move the list of protected tables, and those that are on it",
    "CREATE SCHEMA cellar; ALTER TABLE bottles SET SCHEMA cellar": "the name of table bottles",
    "TRUNCATE bottles CASCADE": "every row of bottles",
    "TRUNCATE crates, bottles": "every row of bottles",
}


@pytest.mark.usefixtures("bottles")
@pytest.mark.parametrize("statement", LOSSES)
def test_a_statement_that_loses_something_is_refused(statement: str) -> None:
    with pytest.raises(Exception, match="refused") as refused:
        run(statement)
    assert LOSSES[statement] in str(refused.value)
    assert rows("SELECT * FROM bottles ORDER BY id") == [(1, "Wein", 75), (2, None, None)]


@pytest.mark.usefixtures("bottles")
def test_everything_else_goes_on() -> None:
    run("ALTER TABLE bottles ADD COLUMN year integer")
    run("ALTER TABLE bottles ALTER COLUMN label SET DEFAULT 'x'; ALTER TABLE bottles ALTER COLUMN size TYPE bigint")
    run("COMMENT ON COLUMN bottles.size IS 'in cl'; CREATE INDEX ON bottles (label)")
    run("CREATE TEMP TABLE t (a integer); ALTER TABLE t RENAME a TO b; DROP TABLE t")
    run("DELETE FROM bottles; TRUNCATE crates; DROP TABLE crates")
