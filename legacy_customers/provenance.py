"""Where each value of a person came from: the cells of their legacy rows, as they were backed up, next to the rule."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection
from psycopg import sql

from profiles.widgets import in_words

from .unification.field_map import FIELD_MAP, Field, Kind, Rule, Table
from .unification.sources import existing_tables

# Rows of one table that are looked at of one person.
MOST = 50

RULES = {
    Rule.FIRST: "the first that says something",
    Rule.BLOCK: "the whole address of the first row that has one",
    Rule.SUM: "the sum of all rows",
    Rule.GREATEST: "the latest",
    Rule.LEAST: "the earliest",
    Rule.MERGE: "key by key, the newest row wins",
    Rule.UNION: "all entries, each once",
    Rule.NOTES: "all texts, the oldest first",
    Rule.CONSENT: "yes only where every row says yes",
    Rule.VERIFIED: "the linked row's; of guests, where all rows say so",
}

# A person's rows in the order in which the rules ask them: the linked customers row, the login, guests' rows newest first,
# then what was attached, newest first.
ROWS = sql.SQL(
    """
SELECT * FROM (
    (SELECT 'customers' AS source, c.id::text AS key, to_jsonb(c)::text AS cells,
        CASE i."case" WHEN 'linked' THEN 0 ELSE 2 END AS place, i.position
    FROM legacy_identities AS i JOIN backup_customers AS c ON c.id = i.customer_id
    WHERE i.user_id = ANY(%(users)s) ORDER BY i.position LIMIT {most})
    UNION ALL
    (SELECT 'users', u.id::text, to_jsonb(u)::text, 1, 0 FROM backup_users AS u WHERE u.id = ANY(%(users)s))
    UNION ALL
    (SELECT 'customer_profiles', a.key, to_jsonb(s)::text, 3, a.position
    FROM legacy_attachments AS a JOIN backup_customer_profiles AS s ON s.customer_id = a.key
    WHERE a.source = 'customer_profiles' AND a.user_id = ANY(%(users)s) ORDER BY a.position LIMIT {most})
    UNION ALL
    (SELECT 'user_profiles', a.key, to_jsonb(s)::text, 3, a.position
    FROM legacy_attachments AS a JOIN backup_user_profiles AS s ON s.id = a.key::uuid
    WHERE a.source = 'user_profiles' AND a.user_id = ANY(%(users)s) ORDER BY a.position LIMIT {most})
) AS rows ORDER BY place, position, key
"""
).format(most=sql.Literal(MOST))
NEEDED = {"backup_customers", "backup_users", "backup_customer_profiles", "backup_user_profiles"}


@dataclass(frozen=True)
class Cell:
    """What one legacy row said, in words; `won` where the value is this row's, alone or with others."""

    table: str
    key: str
    said: str
    won: bool


@dataclass(frozen=True)
class Origin:
    """A column, what it holds now, the rule, and the cells that were asked."""

    column: str
    now: str
    rule: str
    cells: list[Cell]
    changed: bool


def origins(
    user_ids: list[uuid.UUID], now: dict[str, Any], changed: Iterable[str], hidden: Iterable[str]
) -> list[Origin] | None:
    """The mapped columns in the map's order, without `hidden`; `now` is the profile's row, `changed` what changed since.

    None where the backups are gone, or where the person had no row in them. Two queries.
    """
    if not existing_tables(connection) >= NEEDED:
        return None
    with connection.cursor() as cursor:
        cursor.execute(ROWS, {"users": user_ids})
        rows = [(Table(source), key, orjson.loads(cells)) for source, key, cells, *_ in cursor.fetchall()]
    if not rows:
        return None
    block = _block(rows)
    touched, unseen = set(changed), set(hidden)
    return [
        Origin(
            field.column.replace("_", " "),
            _said(field, now.get(field.column)),
            RULES[field.rule],
            _cells(field, rows, block),
            field.column in touched,
        )
        for field in FIELD_MAP
        if field.column not in unseen
    ]


Row = tuple[Table, str, dict[str, Any]]


def _cells(field: Field, rows: list[Row], block: str | None) -> list[Cell]:
    """The rows that say something. Of a rule that chooses, those that say what the chosen one does; else all but the beaten."""
    said = [
        (table, key, cells.get(field.column))
        for table, key, cells in rows
        if table in field.sources and not _is_blank(field, cells.get(field.column))
    ]
    values: list[Any] = [value for _, _, value in said]
    wins: Any
    if field.rule is Rule.FIRST:
        wins = next((value for value in values if value != field.default), field.default)
    elif field.rule is Rule.BLOCK:
        wins = next((value for _, key, value in said if key == block), field.default)
    elif field.rule in (Rule.GREATEST, Rule.LEAST) and values:
        # PostgreSQL writes the times of a column alike: texts order as they do, but for odd ones.
        wins = max(values) if field.rule is Rule.GREATEST else min(values)
    else:
        return [Cell(table.value, key, _said(field, value), True) for table, key, value in said]
    return [Cell(table.value, key, _said(field, value), value == wins) for table, key, value in said]


def _said(field: Field, value: Any) -> str:
    if field.kind is Kind.TIME and isinstance(value, str):
        return value.replace("T", " ")[:19]
    return in_words(value)


def _block(rows: list[Row]) -> str | None:
    """The key of the customers row that gave the address."""
    for table, key, cells in rows:
        if table is Table.CUSTOMERS and any(
            not _is_blank(field, cells.get(field.column)) and cells.get(field.column) != field.default
            for field in FIELD_MAP
            if field.rule is Rule.BLOCK
        ):
            return key
    return None


def _is_blank(field: Field, value: Any) -> bool:
    """NULL, white space alone, and nothing in JSON."""
    if value is None:
        return True
    if isinstance(value, str):
        nothing = {"", "null", "{}", "[]", '""'} if field.kind is Kind.ADDRESS else {""}
        return value.strip() in nothing
    return value in ({}, []) and field.kind in (Kind.OBJECT, Kind.LIST, Kind.ADDRESS)
