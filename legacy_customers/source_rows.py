"""What the rows of the old tables said that values came from: as backed up, or, of rows that came since, as they are."""

from dataclasses import replace

from django.db import connection
from psycopg import sql

from profiles.sources import add_lookup

from .unification.consolidate import BLOCK, said, source_value
from .unification.field_map import Table
from .unification.sources import BACKUP_KEYS, CURRENT, Sources, columns_of, existing_tables


def lookups() -> list[sql.Composable]:
    """A SELECT over `wanted` for each legacy table that is there still."""
    tables = existing_tables(connection)
    if "customers" not in tables:
        return []
    sources = replace(CURRENT, json_address=columns_of(connection, "customers")["address"] == "jsonb")
    return [_lookup(sources, table) for table in Table if {str(table), f"backup_{table}"} <= tables]


def _lookup(sources: Sources, table: Table) -> sql.Composed:
    columns = ["created_at", "updated_at"]
    address: sql.Composable = sql.SQL("NULL::jsonb")
    if table is Table.CUSTOMERS:
        columns += [field.column for field in BLOCK]
        address = sql.SQL("jsonb_build_object({})").format(
            sql.SQL(", ").join(
                sql.SQL("{}, {}").format(sql.Literal(field.column), said(field, source_value(sources, field, "r")))
                for field in BLOCK
            )
        )
    key = sql.SQL("w.row" if table is Table.CUSTOMER_PROFILES else "unification_uuid(w.row)")
    return sql.SQL(
        """
SELECT w.source, w.row, coalesce(r.updated_at, r.created_at) AT TIME ZONE 'UTC', {address}
FROM wanted AS w CROSS JOIN LATERAL (
    SELECT {columns} FROM {backup} WHERE {id} = {key}
    UNION ALL
    SELECT {columns} FROM {live} WHERE {id} = {key} AND NOT EXISTS (SELECT FROM {backup} WHERE {id} = {key})
) AS r
WHERE w.source = {table}"""
    ).format(
        address=address,
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        backup=sources.backups().table(table),
        live=sources.table(table),
        id=sql.Identifier(BACKUP_KEYS[table]),
        key=key,
        table=sql.Literal(str(table)),
    )


add_lookup(lookups)
