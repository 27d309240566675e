"""What preflight looks at: the connection, the legacy tables' columns, and what the unification expects of them."""

from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from .. import fingerprint
from ..field_map import Table
from ..fingerprint import Fingerprint
from ..sources import LEGACY_TABLES, columns_of, existing_tables

SAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """Something found, with its names or up to SAMPLES of its ids, and what to do about it."""

    code: str
    problem: str
    way_out: str
    samples: tuple[str, ...] = ()

    def __str__(self) -> str:
        seen = f"\n     Seen: {', '.join(self.samples)}" if self.samples else ""
        return f"{self.code} {self.problem}{seen}\n     Way out: {self.way_out}"


class Blocker(Finding):
    """A reason why the take-over must not start."""


class Caution(Finding):
    """What the operator should know before it starts; it does not stop it."""


TEXT, TIMESTAMP, BOOLEAN, JSONB, UUID = (
    ("character varying", "text", "character"),
    ("timestamp without time zone",),
    ("boolean",),
    ("jsonb",),
    ("uuid",),
)
INTEGER, MONEY, DATE = ("integer", "bigint", "smallint"), ("numeric",), ("date",)

# The columns that the unification reads or writes, and the types that it can. Others stay as they are.
COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "users": {
        "id": UUID,
        "email": TEXT,
        "password_hash": TEXT,
        "first_name": TEXT,
        "last_name": TEXT,
        "phone": TEXT,
        "date_of_birth": DATE,
        "marketing_consent": BOOLEAN,
        "role": ("enum", *TEXT),
        "active": BOOLEAN,
        "email_verified": BOOLEAN,
        "phone_verified": BOOLEAN,
        "age_verified": BOOLEAN,
        "terms_accepted": BOOLEAN,
        "session_id": TEXT,
        "last_login": TIMESTAMP,
        "created_at": TIMESTAMP,
        "updated_at": TIMESTAMP,
    },
    "customers": {
        "id": UUID,
        "user_id": UUID,
        "email": TEXT,
        "first_name": TEXT,
        "last_name": TEXT,
        "phone": TEXT,
        "date_of_birth": DATE,
        "address": (*TEXT, "jsonb"),
        "city": TEXT,
        "state": TEXT,
        "postal_code": TEXT,
        "country": TEXT,
        "loyalty_points": INTEGER,
        "total_spent": MONEY,
        "order_count": INTEGER,
        "last_order_date": TIMESTAMP,
        "customer_type": TEXT,
        "preferred_payment_method": TEXT,
        "marketing_consent": BOOLEAN,
        "sms_consent": BOOLEAN,
        "tags": JSONB,
        "notes": TEXT,
        "is_active": BOOLEAN,
        "is_verified": BOOLEAN,
        "created_at": TIMESTAMP,
        "updated_at": TIMESTAMP,
    },
    "customer_profiles": {
        "customer_id": TEXT,
        "preferences": JSONB,
        "purchase_history": JSONB,
        "interaction_count": INTEGER,
        "created_at": TIMESTAMP,
        "updated_at": TIMESTAMP,
    },
    "user_profiles": {
        "id": UUID,
        "session_id": TEXT,
        "email": TEXT,
        "phone": TEXT,
        "age_verified": BOOLEAN,
        "customer_type": TEXT,
        "preferences": JSONB,
        "needs": JSONB,
        "experience_level": TEXT,
        "medical_conditions": JSONB,
        "preferred_categories": JSONB,
        "preferred_effects": JSONB,
        "price_range": JSONB,
        "purchase_history": JSONB,
        "interaction_count": INTEGER,
        "language": TEXT,
        "timezone": TEXT,
        "created_at": TIMESTAMP,
        "updated_at": TIMESTAMP,
    },
    "orders": {
        "id": UUID,
        "order_number": TEXT,
        "user_id": UUID,
        "customer_id": UUID,
        "items": JSONB,
        "total_amount": MONEY,
        "created_at": TIMESTAMP,
        "updated_at": TIMESTAMP,
    },
}
# Columns that go elsewhere than the field map says, with the width that they find there.
OTHER_WIDTHS = ((Table.CUSTOMERS, "email", 255), (Table.CUSTOMER_PROFILES, "customer_id", 100))
# Names that the unification creates.
CREATED = (
    "adopted_tables",
    "profiles",
    "profile_aliases",
    "field_conflicts",
    "merge_suggestions",
    "profile_history",
    "customers_view",
    "legacy_identities",
    "legacy_attachments",
    "unification_phases",
    "unification_ranges",
    "unification_runs",
    "unification_changes",
    "unification_known",
    *("legacy_writes", "legacy_deletions", "legacy_handovers", "legacy_moved_logins"),
    "unification_verifications",
    *(f"backup_{table}" for table in LEGACY_TABLES),
    *(
        "api_keys",
        "api_usage",
        "loyalty_entries",
        "profile_merges",
        "privacy_events",
        "conflict_decisions",
        "duplicate_keys",
    ),
    *("list_exports", "corrections", "correction_lines"),
    *("order_events", "refunds", "idempotency_keys", "protected_tables", "protection_releases"),
    *("legacy_usage", "legacy_usage_counters", "unification_uses"),
    *("sales_dirty", "sales_rolled", "sales_days", "sales_products", "sales_day_products", "sales_month_products"),
)
# Who writes into users and orders afterwards names these columns; any other must have a default.
INSERTED: dict[str, set[str]] = {
    "users": set(COLUMNS["users"]) | {"tenant_id"},
    "orders": set(COLUMNS["orders"])
    | {"cart_session_id", "user_profile_id", "store_id", "subtotal", "tax_amount", "discount_amount"}
    | {"delivery_fee", "payment_method", "payment_status", "delivery_address", "delivery_status"}
    | {"special_instructions"},
    "customers": set(COLUMNS["customers"]),
}


@dataclass(frozen=True)
class Found:
    """The database as the checks see it: the connection and each legacy table's columns with their types."""

    connection: BaseDatabaseWrapper
    tables: dict[str, dict[str, str]]
    # The legacy schema as it was before the first change, where a take-over has begun; else empty.
    before: Fingerprint

    @property
    def regclasses(self) -> list[str]:
        return [f'"{table}"' for table in self.tables]

    def rows(self, statement: str | sql.Composable, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, list(parameters) or None)
            return list(cursor.fetchall())


def look(connection: BaseDatabaseWrapper) -> Found:
    """The database as it is now."""
    there = existing_tables(connection)
    begun = ("legacy_customers", "0001_initial") in MigrationRecorder(connection).applied_migrations()
    return Found(
        connection,
        {table: columns_of(connection, table) for table in LEGACY_TABLES if table in there},
        fingerprint.recorded(connection) if begun else {},
    )
