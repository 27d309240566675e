"""The two stories: the seed's own numbers, and a shop with a person for every case."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql
from psycopg.types.json import Jsonb

from legacy_customers.sample import schema
from legacy_customers.sample.crowd import CROWD
from legacy_customers.sample.logins import LOGINS as LOGINS
from legacy_customers.sample.persons import TABLES, Person, Row
from legacy_customers.sample.seed import SEED
from legacy_customers.sample.shop_attached import ATTACHED_OR_NOT
from legacy_customers.sample.shop_identity import IDENTITY
from legacy_customers.sample.shop_lists import LISTS
from legacy_customers.sample.shop_odd import ODD
from legacy_customers.sample.shop_standing import PEOPLE_AND_ORDERS
from legacy_customers.sample.shop_values import VALUES

Story = Literal["seed", "shop"]

# The named persons; `people_of` adds the ordinary ones.
SHOP: tuple[Person, ...] = IDENTITY + ATTACHED_OR_NOT + VALUES + LISTS + PEOPLE_AND_ORDERS + ODD


def people_of(story: Story, older: bool = False) -> tuple[Person, ...]:
    """Everybody that `load_story` loads."""
    everybody = SEED if story == "seed" else SHOP + CROWD
    return tuple(person for person in everybody if older or not person.older_only)


def named(key: str) -> Person:
    """The person of the shop, or of the seed, with this key."""
    return next(person for person in SHOP + SEED + CROWD if person.key == key)


def load_story(connection: BaseDatabaseWrapper, story: Story, older: bool = False) -> None:
    """Build the legacy schema in an empty database and fill it with a story, in one transaction.

    The rows go in before the keys and triggers exist: no trigger makes a row of its own or touches a time.
    """
    variant: schema.Variant = "older" if older else "current"
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(schema.tables(variant))
        if story == "shop":
            cursor.execute(schema.extra_columns())
        for table in TABLES:
            _fill(
                cursor,
                table,
                [row for person in people_of(story, older) for row in person.rows(table)],
                older,
            )
        cursor.execute(schema.constraints(variant))
        if story == "shop":
            cursor.execute(schema.extra_tables())
        cursor.execute("ANALYZE users, customers, customer_profiles, user_profiles, orders")


def _fill(cursor: CursorWrapper, table: str, rows: Sequence[Row], older: bool) -> None:
    for row in rows:
        stored = _as_older(table, row) if older else row
        cursor.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, stored)),
                sql.SQL(", ").join([sql.Placeholder()] * len(stored)),
            ),
            tuple(map(_adapted, stored.values())),
        )


def _adapted(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict | list) else value


def _as_older(table: str, row: Row) -> Row:
    """The row as an older installation held it."""
    older = dict(row)
    if table == "users":
        older.pop("tenant_id", None)
        if older.get("role") == "customer":
            older["role"] = "user"
    if table == "customers" and older.get("address") is not None:
        older["address"] = Jsonb(_as_json(older["address"]))
    return older


def _as_json(text: str) -> Any:
    """What an application that stores addresses as jsonb made of a text: itself parsed, or a JSON string."""
    try:
        return json.loads(text)
    except ValueError:
        return text
