"""Random small legacy databases, unified and held against the model of the rules."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from config import protection
from legacy_customers.sample.schema import Variant, schema
from legacy_customers.unification import (
    backup,
    capture,
    conflicts,
    consolidate,
    identity,
    orders,
    phases,
    protect,
    sync,
    workers,
)
from legacy_customers.unification.sources import columns_of, find_sources
from legacy_customers.unification.verify import verify
from tests.databases import temporary_database
from tests.legacy_customers.model import KEYS, Legacy, database_lower, expect, read_legacy, read_outcome

WRITTEN = ("profiles", "profile_aliases", "profile_history", "field_conflicts", "merge_suggestions")
DECIDED = ("legacy_identities", "legacy_attachments", "legacy_writes")
PHASES = (
    *(module.PHASE for module in (backup, identity, consolidate, conflicts, orders, sync)),
    *(f"{conflicts.PHASE}:{table}" for table in ("users", "customers", "customer_profiles", "user_profiles")),
)
JSON_NULL = "json null"  # stands for jsonb null, where None is SQL's NULL

# --- what is in the rows ------------------------------------------------------------------------------------------

# Most rows share an address, so that most persons have several rows.
ANN = ("ann@x.io", "ANN@x.io", " ann@x.io", "ann@X.io\u00a0", "\tann@x.io\n")
BOB = ("bob@y.io", "Bob@y.io", "bob@y.io\u3000")
OTHERS = (
    *("cy@z.io", "cy@z.io ", "ΟΔΟΣ@z.io", "οδοσ@z.io", "m" * 249 + "@x.io", "m" * 250 + "@x.io", "a@b..io"),
    *("", "   ", "none", "a@b@x.io", "x@localhost", "two words@x.io", "@x.io", "a@.io", "a@b."),
)
EMAILS = (*ANN * 3, *BOB * 3, *OTHERS)
LOGINS = (*ANN[:1] * 20, *BOB[:1] * 20, *EMAILS)
TEXTS = (None, "", " ", "\u3000", "A", "a", "B ", "null", "\u200b")
DATES = (*[None] * 9, "1980-01-01", "1980-01-01", "1980-01-01", "1990-02-02", "infinity", "0044-03-15 BC")
TIMES = (
    *(None, "infinity", "-infinity", "0044-03-15 12:00:00 BC", "12345-06-07 00:00:00"),
    *("2024-01-01 00:00:00", "2024-01-01 00:00:00.5", "2024-02-01 00:00:00", "2024-03-01 00:00:00"),
)
NUMBERS = (None, 0, 1, -3, 2147483647)
MONEY = (None, "0", "1.10", "-2.50", "9999999999.99")
ADDRESSES = (
    *(None, None, "", " \u00a0", "null", " {} ", "[]", '""', "1 Elm St", "2 Oak St", '["1 List Lane"]'),
    '{"street": "5 Quay", "city": "Oslo", "province": "ON", "postal_code": 98101, "country": "Canada"}',
    ' {"city": " ", "postal_code": 1.50, "country": "USA"}\n',
    '{"city": ["Oslo"], "province": "' + "t" * 51 + '", "postal_code": true, "country": ""}',
    '{"city": "Oslo", "province": "' + "t" * 50 + '", "postal_code": null}',
    '{"city": "Oslo", "country": ',
)
NOT_JSONB = ('{"city": "\\u0000", "country": "Peru"}', '{"city": "\\ud800", "country": "Peru"}')
BOOLEANS = (None, True, False)
MOSTLY_YES = (True, True, True, False, None)
ENTRIES = (1, 1.0, True, "1", "a", "b", None, "", [1], {"x": 1, "y": [2]}, {"y": [2.0], "x": 1.0})
PREFERENCES = (
    {"a": 1, "b": {"a": "x", "b": [1], "~1": {"c": 1}}},
    {"a": 2, "b": {"a": "", "b": [1.0, 2], "~1": {"c": None, "d": 4}}},
    {"a": {"b": 1}, "b": {"a": "y", "b": {}}, "a/b": True},
    {"a": None, "b": "x", "a/b": 1, "~": 0},
    {"a": "  ", "b": {}, "a/b": 1.0, "~": False},
)
ODD_JSON = (None, JSON_NULL, "", " ", "dark", 0, 7, False, True)


def one_of(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


lists = st.lists(one_of(ENTRIES), max_size=4)
leaves = one_of((None, "", " ", 0, 1, 1.0, True, False, "x", "y", [], {}, [1], [1.0, "a"]))
objects = st.recursive(
    st.dictionaries(one_of((*"aaabbb", "a/b", "~", "", "a.b", "0")), leaves, max_size=3),
    lambda inner: st.dictionaries(one_of((*"aaabbb", "~1")), inner | leaves, max_size=3),
    max_leaves=6,
)
json_lists = lists | lists | one_of(ODD_JSON) | objects
json_objects = one_of(PREFERENCES) | one_of(PREFERENCES) | objects | objects | one_of(ODD_JSON) | lists


def row_of(columns: dict[str, st.SearchStrategy[Any] | tuple[Any, ...]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {name: one_of(found) if isinstance(found, tuple) else found for name, found in columns.items()}
    )


SEEN = {"created_at": TIMES, "updated_at": TIMES}
NAMES = {"first_name": TEXTS, "last_name": TEXTS, "phone": TEXTS, "date_of_birth": DATES}
users_rows = row_of(
    NAMES
    | SEEN
    | {
        "email": LOGINS,
        "marketing_consent": MOSTLY_YES,
        "active": BOOLEANS,
        "email_verified": (*[True] * 6, False, None),
        "phone_verified": BOOLEANS,
        "session_id": (None, "s1", "s2", "s3", "", "  "),
    }
)
customers_rows = row_of(
    NAMES
    | SEEN
    | {
        "email": EMAILS,
        "address": (*ADDRESSES, *NOT_JSONB),
        "city": (None, None, "", "Oslo", "Rome"),
        "state": (None, None, " ", "ON"),
        "postal_code": (None, "", "98101", "1.50"),
        "country": (None, "", "USA", "USA", "Canada", "Peru"),
        "loyalty_points": NUMBERS,
        "total_spent": MONEY,
        "order_count": NUMBERS,
        "last_order_date": TIMES,
        "customer_type": (None, "", "regular", "regular", "vip", "medical"),
        "preferred_payment_method": TEXTS,
        "marketing_consent": MOSTLY_YES,
        "sms_consent": MOSTLY_YES,
        "tags": json_lists,
        "notes": (None, "", " \n", "First.", "Second.", "Second. "),
        "is_active": BOOLEANS,
        "is_verified": MOSTLY_YES,
    }
)
customer_profiles_rows = row_of(
    SEEN | {"preferences": json_objects, "purchase_history": json_lists, "interaction_count": NUMBERS}
)
user_profiles_rows = row_of(
    SEEN
    | {
        "session_id": ("s1", "s2", "s3", "", "  "),
        "email": (*LOGINS, None),
        "customer_type": (None, "", "regular", "vip", "medical"),
        "preferences": json_objects,
        "needs": json_lists,
        "experience_level": TEXTS,
        "medical_conditions": json_lists,
        "preferred_categories": json_lists,
        "preferred_effects": json_lists,
        "price_range": json_objects,
        "purchase_history": json_lists,
        "interaction_count": NUMBERS,
        "language": (None, "", "en", "fr"),
        "timezone": TEXTS,
    }
)
SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda key: key,
    lambda key: key.upper(),
    lambda key: key.replace("-", ""),
    lambda key: f"{{{key}}}",
    lambda key: "-".join(key.replace("-", "")[at : at + 4] for at in range(0, 32, 4)),
)
NO_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda key: f" {key}",
    lambda key: key[:-1],
    lambda key: f"{{{key}",
    lambda key: key.replace("-", "--", 1),
    lambda key: f"{key[:2]}-{key[2:]}",
    lambda key: f"{key}-",
)


def keys(kind: int) -> list[str]:
    return [f"{kind}abcdef0-0000-4000-8000-0000000000{number:02}" for number in range(12)]


@st.composite
def legacies(draw: st.DrawFn) -> Legacy:
    """A few users and guests who share addresses, birth dates and sessions, with whatever hangs on them."""

    def keyed(rows: list[dict[str, Any]], kind: int) -> list[dict[str, Any]]:
        ids = draw(st.permutations(keys(kind)))
        return [row | {"id": key} for row, key in zip(rows, ids, strict=False)]

    def rows_of(
        strategy: st.SearchStrategy[Any], least: int, most: int, unique: str | None = None
    ) -> list[dict[str, Any]]:
        by = (lambda row: row[unique]) if unique else None
        return draw(st.lists(strategy, min_size=least, max_size=most, unique_by=by))

    users = keyed(rows_of(users_rows, 1, 3, "email"), 1)
    for user in users:
        user["password_hash"] = "$2b$10$dummy.hash.for.orphaned.customers"
    customers = keyed(rows_of(customers_rows, 3, 9), 2)
    linked = draw(st.permutations([*(user["id"] for user in users), *keys(3)[:2], *[None] * 4]))
    customers = [row | {"user_id": user} for row, user in zip(customers, linked, strict=False)]
    profiles = []
    for row in rows_of(customer_profiles_rows, 1, 5):
        target = draw(one_of((*[c["id"] for c in customers] * 2, *keys(2)[:1], *keys(1)[:1], "")))
        key = draw(one_of(SPELLINGS * 5 + NO_SPELLINGS))(target)
        if key not in {other["customer_id"] for other in profiles}:
            profiles.append(row | {"customer_id": key})
    bought = draw(
        st.lists(
            st.tuples(
                one_of((None, *(u["id"] for u in users), keys(3)[0])),
                one_of((None, *(c["id"] for c in customers))),
            ),
            max_size=6,
        )
    )
    return {
        "users": users,
        "customers": customers,
        "customer_profiles": profiles,
        "user_profiles": keyed(rows_of(user_profiles_rows, 1, 5, "session_id"), 4),
        "orders": [
            {"id": key, "order_number": key, "user_id": user, "customer_id": customer, "total_amount": "9.99"}
            for key, (user, customer) in zip(keys(5), bought, strict=False)
        ],
    }


# --- into the database and out of it ------------------------------------------------------------------------------


def fitting(legacy: Legacy, variant: Variant) -> Legacy:
    """The rows as this kind of installation can hold them."""
    users = {row["id"] for row in legacy["users"]} | {None}
    fitted = {table: [dict(row) for row in rows] for table, rows in legacy.items()}
    if variant == "current":  # its foreign keys see to that
        for row in fitted["customers"] + fitted["orders"]:
            row["user_id"] = row["user_id"] if row["user_id"] in users else None
        return fitted
    for row in fitted["customers"]:
        if row["address"] is not None and row["address"] not in NOT_JSONB:
            with suppress(ValueError):
                parsed = json.loads(row["address"])
                row["address"] = JSON_NULL if parsed is None else parsed
    return fitted


def insert(cursor: Any, table: str, rows: list[dict[str, Any]]) -> None:
    """All rows by one statement; jsonb columns tell NULL from null."""
    types = columns_of(connection, table)
    for row in rows:
        names = [name for name in types if name in row]
        cells = [
            sql.SQL("CASE WHEN r.{0} = {1} THEN 'null' ELSE r.{0} END").format(
                sql.Identifier(name), sql.Literal(json.dumps(JSON_NULL))
            )
            if types[name] == "jsonb"
            else sql.Identifier("r", name)
            for name in names
        ]
        cursor.execute(
            sql.SQL(
                "INSERT INTO {table} ({names}) SELECT {cells} FROM jsonb_populate_record(NULL::{table}, %s) AS r"
            ).format(
                table=sql.Identifier(table),
                names=sql.SQL(", ").join(map(sql.Identifier, names)),
                cells=sql.SQL(", ").join(cells),
            ),
            [json.dumps(row)],
        )


def refill(legacy: Legacy) -> None:
    """Take the last unification back to before its first step, and put these rows in."""
    with transaction.atomic(), connection.cursor() as cursor:
        protection.release(cursor, "the next example")
        backup.drop_backups(connection)
        phases.forget(connection, *PHASES)
        sync.drop_triggers(cursor)
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("ALTER TABLE orders DROP CONSTRAINT IF EXISTS unification_orders_user_id_fkey")
        tables = sql.SQL(", ").join(map(sql.Identifier, (*KEYS, *WRITTEN, *DECIDED)))
        cursor.execute(sql.SQL("TRUNCATE {} CASCADE").format(tables))
        for table, rows in legacy.items():
            insert(cursor, table, rows)


def unify() -> None:
    """The steps of `migrate` that move rows."""
    sources = find_sources(connection)
    assert sources
    capture.start(connection)
    backup.back_up(connection)
    with workers.beside(connection, backup.complete):
        identity.identify(connection, sources)
    consolidate.consolidate(connection, sources)
    conflicts.record(connection, sources)
    orders.repoint(connection, sources)
    sync.turn_on(connection, sources)
    protection.install(connection, protect.ALL)


@pytest.fixture(scope="module", params=["current", "older"])
def variant(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[Variant]:
    """An installation without rows, migrated, under Django's default connection."""
    with django_db_blocker.unblock(), temporary_database():
        with connection.cursor() as cursor:
            cursor.execute(schema(request.param))
        call_command("migrate", verbosity=0)
        yield request.param


@given(legacy=legacies())
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],  # a failure says what differs; to shrink it takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
def test_unification_follows_the_rules_whatever_the_rows(variant: Variant, legacy: Legacy) -> None:
    refill(fitting(legacy, variant))
    unify()
    found = read_legacy(connection)
    differences = expect(found, database_lower(connection, found)).differences(read_outcome(connection))
    note("\n".join(differences))
    assert differences == []
    failed = {name: check.samples for name, check in verify(connection).checks.items() if not check.passed}
    assert failed == {}
