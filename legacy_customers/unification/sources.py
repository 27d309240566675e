"""Where legacy rows are read from, and what the found tables look like: installs differ in a few columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from .field_map import Table

LEGACY_TABLES: tuple[str, ...] = (*Table, "orders")
BACKUP_KEYS: dict[str, str] = {
    "users": "id",
    "customers": "id",
    "customer_profiles": "customer_id",
    "user_profiles": "id",
    "orders": "id",
}


@dataclass(frozen=True)
class Sources:
    """The legacy tables, or their backups (`prefix`), and the types that differ between installs.

    `columns` are the found ones, table → column → type; empty where nobody looked.
    """

    role_type: str
    has_tenant: bool
    json_address: bool
    prefix: str = ""
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def table(self, name: str) -> sql.Identifier:
        return sql.Identifier(self.prefix + name)

    def backups(self) -> "Sources":
        """The same rows as they were when they were backed up."""
        return replace(self, prefix="backup_")

    def address(self, alias: str) -> sql.Composable:
        """The address of a customers row as text; older installs have jsonb, where a string is a plain address."""
        column = sql.Identifier(alias, "address")
        if not self.json_address:
            return column
        return sql.SQL("CASE jsonb_typeof({0}) WHEN 'string' THEN {0} #>> '{{}}' ELSE {0}::text END").format(column)


CURRENT = Sources(role_type="user_role_simple", has_tenant=True, json_address=False)


def existing_tables(connection: BaseDatabaseWrapper) -> set[str]:
    """The names of the tables, partitioned ones too, that the search path leads to."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid)"
            " AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
        )
        return {name for (name,) in cursor.fetchall()}


def columns_of(connection: BaseDatabaseWrapper, table: str) -> dict[str, str]:
    """Column name → type as PostgreSQL writes it, in the table's order; empty where there is no such relation."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [f'"{table}"'],
        )
        return dict(cursor.fetchall())


def find_sources(connection: BaseDatabaseWrapper, prefix: str = "") -> Sources | None:
    """The legacy tables of this database; None where there are none, and every legacy step is a no-op.

    The legacy world is there as long as its `customers` table is. With the prefix of the backups they tell what it was.
    """
    if not (customers := columns_of(connection, f"{prefix}customers")):
        return None
    columns = {table: columns_of(connection, f"{prefix}{table}") for table in LEGACY_TABLES}
    return Sources(
        role_type=columns["users"]["role"],
        has_tenant="tenant_id" in columns["users"],
        json_address=customers["address"] == "jsonb",
        columns=columns,
    )
