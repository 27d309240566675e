"""Backups: whole, keyed, hashed by their very cells, and closed to writers."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import DatabaseError
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from legacy_customers.sample.schema import schema
from legacy_customers.unification.backup import count_and_hash
from legacy_customers.unification.phases import detail_of
from legacy_customers.unification.sources import BACKUP_KEYS, LEGACY_TABLES, columns_of
from legacy_customers.unification.verify import verify
from tests.databases import rows, temporary_database


@pytest.fixture(scope="module")
def backed_up(shop_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A shop whose backups all tests of this module read."""
    with django_db_blocker.unblock():
        connection.close()
        with temporary_database(template=shop_template) as name:
            yield name


@pytest.fixture
def undone(backed_up: str) -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def hash_of(table: str) -> tuple[int, str]:
    with connection.cursor() as cursor:
        return count_and_hash(connection, cursor, table)


every_table = pytest.mark.parametrize("table", LEGACY_TABLES)


@every_table
def test_a_backup_holds_every_row_under_its_key(undone: None, table: str) -> None:
    columns = columns_of(connection, f"backup_{table}")
    cells = sql.SQL(", ").join(map(sql.Identifier, columns))
    if table == "orders":
        # The live ones have been pointed at users since.
        cells = sql.SQL(", ").join(sql.Identifier(name) for name in columns if name != "user_id")
    [(missing, more)] = rows(
        sql.SQL(
            "SELECT (SELECT count(*) FROM (SELECT {c} FROM {t} EXCEPT ALL SELECT {c} FROM {b}) AS x),"
            " (SELECT count(*) FROM (SELECT {c} FROM {b} EXCEPT ALL SELECT {c} FROM {t}) AS y)"
        ).format(c=cells, t=sql.Identifier(table), b=sql.Identifier(f"backup_{table}"))
    )
    made = rows("SELECT count(DISTINCT user_id) FROM legacy_identities WHERE \"case\" IN ('new_user', 'separate')")
    assert (missing, more) == (made[0][0] if table == "users" else 0, 0)
    assert rows(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype <> 'n'",  # PostgreSQL 18 lists NOT NULL too
        f"backup_{table}",
    ) == [(f"backup_{table}_pkey", f"PRIMARY KEY ({BACKUP_KEYS[table]})")]


@every_table
def test_count_and_hash_are_recorded_and_still_hold(undone: None, table: str) -> None:
    known = detail_of(connection, "backup")["tables"][table]
    assert hash_of(f"backup_{table}") == (known["rows"], known["hash"])
    assert known["rows"] > 0
    assert known["columns"] == list(columns_of(connection, f"backup_{table}"))


def test_columns_that_came_with_adoption_are_in_no_backup(undone: None) -> None:
    assert columns_of(connection, "orders").keys() - columns_of(connection, "backup_orders").keys() == {
        "order_source",
        "order_status",
        "receipt_number",
        "cashier_id",
        "payment_details",
        "tenant_id",
        "store_code",
        "cashier_code",
        "customer_code",
        "refunded_amount",
        "counted_amount",
        "counted_points",
        "content_digest",
    }
    assert columns_of(connection, "backup_users") == columns_of(connection, "users")
    assert columns_of(connection, "backup_customers") == columns_of(connection, "customers")


def test_an_older_installations_backup_has_no_tenant(older_shop: str) -> None:
    assert columns_of(connection, "users").keys() - columns_of(connection, "backup_users").keys() == {"tenant_id"}
    assert columns_of(connection, "backup_customers")["address"] == "jsonb"


@pytest.mark.parametrize(
    ("operation", "statement"),
    [
        ("INSERT", "INSERT INTO {} DEFAULT VALUES"),
        ("UPDATE", "UPDATE {} SET created_at = NULL"),
        ("UPDATE", "UPDATE {} SET created_at = NULL WHERE false"),
        ("DELETE", "DELETE FROM {}"),
        ("TRUNCATE", "TRUNCATE {}"),
    ],
    ids=["insert", "update", "update_of_no_row", "delete", "truncate"],
)
@every_table
def test_a_write_is_refused_with_the_way_out(undone: None, table: str, operation: str, statement: str) -> None:
    with pytest.raises(DatabaseError) as refusal, transaction.atomic():
        rows(statement.format(f"backup_{table}"))
    cause: Any = refusal.value.__cause__
    assert cause.diag.message_primary == f"{operation} of backup_{table} refused: backups are never written again"
    assert cause.diag.message_hint == (
        "Drop trigger unification_never_written first if you mean it; verification will report it."
    )
    known = detail_of(connection, "backup")["tables"][table]
    assert hash_of(f"backup_{table}") == (known["rows"], known["hash"])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ("NULL", "''", "' '", "'1'", "'null'")),
        ("varchar(9)", ("NULL", "''", "'a'", "'A'", "'á'")),
        ("integer", ("NULL", "0", "1", "-1")),
        ("numeric(12,2)", ("NULL", "0", "0.01", "-0.01", "'NaN'")),
        ("double precision", ("NULL", "0", "0.01", "-0.01")),
        ("boolean", ("NULL", "false", "true")),
        ("timestamp", ("NULL", "'-infinity'", "'2024-01-01'", "'2024-01-01 00:00:00.000001'")),
        ("numeric[]", ("NULL", "'{}'", "'{1}'", "'{-1}'")),
        ("jsonb", ("NULL", "'null'", "'\"\"'", "'{}'", "'[]'", "'1'", "'1.0'", "'\"1\"'")),
        ("uuid", ("NULL", "'00000000-0000-0000-0000-000000000000'")),
        ("json", ("NULL", "'null'", "'{}'", "'{ }'")),
        ("point", ("NULL", "'(0,0)'", "'(0,1)'")),
        ("polygon", ("NULL", "'((0,0),(1,1))'", "'((0,0),(1,2))'")),
        ("text[]", ("NULL", "'{}'", "'{NULL}'", "'{a}'", "'{a,b}'")),
        ("varchar(9)[]", ("NULL", "'{}'", "'{a,b}'", "'{{a},{b}}'")),
        ("timestamp(3)", ("NULL", "'2024-01-01'", "'2024-01-01 00:00:00.001'")),
        ("json[]", ("NULL", "'{}'", "ARRAY['{}'::json]")),
        ("bytea", ("NULL", "''", "'\\x00'")),
        ("int4range", ("NULL", "'empty'", "'[1,2)'")),
        ("tsvector", ("NULL", "''", "'a'")),
        ("bit(2)", ("NULL", "B'00'", "B'01'")),
        ("money", ("NULL", "'0'", "'1'")),
        ("character(3)", ("NULL", "''", "'a'")),
        ("mood", ("NULL", "'glad'", "'sad'")),
        ("yard", ("NULL", "0", "1")),
        ("pair", ("NULL", "ROW(1, NULL)", "ROW(1, '{}')")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_different_cells_hash_differently(undone: None, kind: str, values: tuple[str, ...]) -> None:
    rows("CREATE TYPE mood AS ENUM ('glad', 'sad')")
    rows("CREATE DOMAIN yard AS integer CHECK (VALUE >= 0)")
    rows("CREATE TYPE pair AS (a integer, b json)")
    found = {}
    for value in values:
        rows("DROP TABLE IF EXISTS one_cell")
        rows(f"CREATE TABLE one_cell (id integer, cell {kind})")
        rows(f"INSERT INTO one_cell VALUES (1, {value})")
        found[value] = hash_of("one_cell")
    assert len(set(found.values())) == len(values), found


def test_a_value_in_another_column_hashes_differently(undone: None) -> None:
    rows("CREATE TABLE two_cells (a text, b text)")
    rows("INSERT INTO two_cells VALUES ('x', '')")
    before = hash_of("two_cells")
    rows("UPDATE two_cells SET a = '', b = 'x'")
    assert hash_of("two_cells") != before


def test_the_order_of_rows_does_not_matter_and_their_number_does(undone: None) -> None:
    rows("CREATE TABLE some_rows (a integer)")
    assert hash_of("some_rows") == (0, "0")
    rows("INSERT INTO some_rows VALUES (1), (2), (2)")
    before = hash_of("some_rows")
    rows("TRUNCATE some_rows")
    rows("INSERT INTO some_rows VALUES (2), (1), (2)")
    assert hash_of("some_rows") == before
    rows("TRUNCATE some_rows")
    rows("INSERT INTO some_rows VALUES (1), (1), (2)")
    assert hash_of("some_rows") != before


def test_extra_columns_of_any_type_and_any_name_are_backed_up(empty_database: str) -> None:
    rows(schema())
    rows("CREATE TYPE pair AS (a integer, b json)")
    rows(
        """
        ALTER TABLE users ADD COLUMN "Odd näme {}" json, ADD COLUMN place point, ADD COLUMN pairs pair[],
            ADD COLUMN "select" polygon, ADD COLUMN shout text GENERATED ALWAYS AS (upper(email)) STORED,
            ADD COLUMN number integer GENERATED ALWAYS AS IDENTITY
        """
    )
    rows("""
        INSERT INTO users (email, password_hash, "Odd näme {}", place, pairs, "select")
        VALUES ('ann@example.com', 'x', '{"a": 1}', '(1,2)', ARRAY[ROW(1, '{}')::pair], '((0,0),(1,1))')""")
    call_command("migrate", verbosity=0)
    assert rows('SELECT "Odd näme {}"::text, place::text, "select"::text, shout, number FROM backup_users') == [
        ('{"a": 1}', "(1,2)", "((0,0),(1,1))", "ANN@EXAMPLE.COM", 1)
    ]
    assert verify(connection).passed
    rows("ALTER TABLE backup_users DISABLE TRIGGER unification_never_written")
    rows("UPDATE backup_users SET place = '(1,3)'")
    rows("ALTER TABLE backup_users ENABLE TRIGGER unification_never_written")
    assert not verify(connection).checks["backups_untouched"].passed
