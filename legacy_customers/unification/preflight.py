"""Does this database fit? Reads the catalogue and, where a column is wider than ours, its values; writes nothing.

All that does not fit is found in one run, each with a code, what was found and the way out. `migrate` runs this before
its first statement that writes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from .field_map import FIELD_MAP, Table
from .sources import BACKUP_KEYS, LEGACY_TABLES, columns_of, existing_tables

MINIMUM_VERSION = 140000


@dataclass(frozen=True)
class Blocker:
    """A reason why the take-over must not start."""

    code: str
    problem: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.code} {self.problem}\n     Way out: {self.way_out}"


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
    "unification_verifications",
    *(f"backup_{table}" for table in LEGACY_TABLES),
    *("api_keys", "api_usage", "loyalty_entries", "profile_merges", "privacy_events"),
    *("order_events", "refunds", "idempotency_keys"),
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

    def rows(self, statement: str | sql.Composable, *parameters: str | list[str]) -> list[tuple[str, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, list(parameters) or None)
            return list(cursor.fetchall())


def server(found: Found) -> Iterator[Blocker]:
    """Version and encoding."""
    [(version, number, encoding, database)] = found.rows(
        "SELECT current_setting('server_version'), current_setting('server_version_num'),"
        " current_setting('server_encoding'), current_database()"
    )
    if int(number) < MINIMUM_VERSION:
        yield Blocker("B001", f"PostgreSQL is {version}; 14 or later is needed.", "Upgrade the server first.")
    if encoding != "UTF8":
        yield Blocker(
            "B002",
            f"Database {database} has the encoding {encoding}; UTF8 is needed.",
            "Dump it and restore it into a database made with ENCODING 'UTF8'.",
        )


def _suggested(accepted: tuple[str, ...]) -> str:
    """The type to name in a way out: the first that can be written down, and that cuts nothing off."""
    return next(kind for kind in accepted if kind != "enum")


def missing(found: Found) -> Iterator[Blocker]:
    """Tables and columns that are not there."""
    for table, columns in COLUMNS.items():
        if table not in found.tables:
            yield Blocker(
                "B003",
                f"Table {table} is missing; of the legacy tables there are {', '.join(found.tables)}.",
                f"Point DATABASE_URL at the whole legacy database, or create {table} with no rows.",
            )
            continue
        for name in columns:
            if name not in found.tables[table]:
                yield Blocker(
                    "B004",
                    f"Column {table}.{name} is missing.",
                    f"ALTER TABLE {table} ADD COLUMN {name} {_suggested(columns[name])}.",
                )


def types(found: Found) -> Iterator[Blocker]:
    """Columns of a type that the rules cannot read."""
    enums = {name for (name,) in found.rows("SELECT format_type(oid, NULL) FROM pg_type WHERE typtype = 'e'")}
    for table, columns in COLUMNS.items():
        for name, accepted in columns.items():
            kind = found.tables.get(table, {}).get(name)
            plain = kind.split("(")[0] if kind else None
            if kind and plain not in accepted and not ("enum" in accepted and kind in enums):
                yield Blocker(
                    "B005",
                    f"Column {table}.{name} is {kind}; {' or '.join(accepted)} is needed.",
                    f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {_suggested(accepted)} USING {name}::{_suggested(accepted)}.",
                )


def rights(found: Found) -> Iterator[Blocker]:
    """What the role must be allowed to do."""
    for table, owner, role in found.rows(
        "SELECT c.relname, pg_get_userbyid(c.relowner), current_user FROM pg_class c"
        " WHERE c.oid = ANY(%s::regclass[]) AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1",
        [f'"{table}"' for table in found.tables],
    ):
        yield Blocker(
            "B006",
            f"Role {role} does not own table {table}; {owner} does.",
            f"GRANT {owner} TO {role}, or connect as {owner}.",
        )
    for schema, role in found.rows(
        "SELECT s.name, current_user FROM (SELECT current_schema()::text AS name) AS s"
        " WHERE s.name IS NULL OR NOT has_schema_privilege(s.name, 'CREATE')"
    ):
        yield Blocker(
            "B007",
            f"Role {role} may not create tables in schema {schema}.",
            f"GRANT CREATE ON SCHEMA {schema} TO {role}.",
        )
    for database, role in found.rows(
        "SELECT current_database(), current_user WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')"
    ):
        yield Blocker(
            "B008",
            f"Role {role} may not make temporary tables in database {database}.",
            f"GRANT TEMPORARY ON DATABASE {database} TO {role}.",
        )


def names(found: Found) -> Iterator[Blocker]:
    """Relations that stand where ours will."""
    for name, kind in found.rows(
        "SELECT relname, CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'"
        " WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' WHEN 'r' THEN 'table' WHEN 'p' THEN 'table'"
        " ELSE 'index' END FROM pg_class"
        " WHERE relname = ANY(%s) AND pg_table_is_visible(oid) ORDER BY 1",
        list(CREATED),
    ):
        yield Blocker(
            "B009",
            f"A {kind} named {name} exists already, and the unification creates one.",
            f"If it is of no use, drop it; else ALTER {kind.upper()} {name} RENAME TO another name.",
        )


def keys(found: Found) -> Iterator[Blocker]:
    """Keys that identify rows and logins."""
    wanted = [(table, key) for table, key in BACKUP_KEYS.items()] + [("users", "email")]
    for table, column in wanted:
        if column not in found.tables.get(table, {}):
            continue
        unique = found.rows(
            "SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
            " WHERE i.indrelid = %s::regclass AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1"
            " AND i.indpred IS NULL AND i.indexprs IS NULL AND a.attname = %s",
            f'"{table}"',
            column,
        )
        if not unique:
            yield Blocker(
                "B010",
                f"Column {table}.{column} has no primary or unique key.",
                f"Remove duplicates, then CREATE UNIQUE INDEX CONCURRENTLY ON {table} ({column}).",
            )


def unknown_required_columns(found: Found) -> Iterator[Blocker]:
    """Columns that we do not know and that every INSERT would have to name."""
    for table, known in INSERTED.items():
        if table not in found.tables:
            continue
        for (name,) in found.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attnotnull AND NOT atthasdef AND attidentity = '' AND NOT attname = ANY(%s) ORDER BY attnum",
            f'"{table}"',
            list(known),
        ):
            yield Blocker(
                "B011",
                f"Column {table}.{name} is NOT NULL without a default: new rows could not be written.",
                f"ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT a value, or DROP NOT NULL.",
            )


def roles(found: Found) -> Iterator[Blocker]:
    """Guests' accounts need the role customer."""
    kind = found.tables.get("users", {}).get("role")
    if kind is None or kind.split("(")[0] in TEXT:
        return
    labels = [
        label
        for (label,) in found.rows(
            "SELECT enumlabel FROM pg_enum WHERE enumtypid = (SELECT atttypid FROM pg_attribute"
            " WHERE attrelid = '\"users\"'::regclass AND attname = 'role') ORDER BY enumsortorder"
        )
    ]
    if labels and "customer" not in labels:
        yield Blocker(
            "B012",
            f"Type {kind} of users.role has no label 'customer', only {', '.join(labels)}.",
            f"ALTER TYPE {kind} ADD VALUE 'customer'.",
        )


def widths(found: Found) -> Iterator[Blocker]:
    """Values that do not fit where they go; only columns wider than that are read."""
    mapped = [
        (table, field.column, field.width) for field in FIELD_MAP for table in field.sources if field.width is not None
    ]
    for table, column, width in (*mapped, *OTHER_WIDTHS):
        kind = found.tables.get(table, {}).get(column)
        if kind is None or kind.split("(")[0] not in TEXT or BACKUP_KEYS[table] not in found.tables[table]:
            continue
        limit = int(kind.split("(")[1].rstrip(")")) if "(" in kind else None
        if limit is not None and limit <= width:
            continue
        too_long = found.rows(
            sql.SQL("SELECT {}::text FROM {} WHERE char_length({}) > {} ORDER BY 1 LIMIT 5").format(
                sql.Identifier(BACKUP_KEYS[table]),
                sql.Identifier(table),
                sql.Identifier(column),
                sql.Literal(width),
            )
        )
        if too_long:
            ids = ", ".join(row[0] for row in too_long)
            yield Blocker(
                "B013",
                f"Values of {table}.{column} are longer than {width} characters: {ids}.",
                "Shorten them, or move the rest to customers.notes.",
            )


def sums(found: Found) -> Iterator[Blocker]:
    """Money that outgrows numeric(14,2) when a person's rows are added up."""
    customers = found.tables.get("customers", {})
    if "email" not in customers or customers.get("total_spent", "").split("(")[0] not in MONEY:
        return
    for (address,) in found.rows(
        "SELECT lower(btrim(email::text)) FROM customers GROUP BY 1"
        " HAVING sum(abs(total_spent)) >= 1000000000000 ORDER BY 1 LIMIT 5"
    ):
        yield Blocker(
            "B014",
            f"The customers with the address {address!r} have spent more than 999,999,999,999.99 together.",
            "Correct total_spent of these rows.",
        )


CHECKS: tuple[Callable[[Found], Iterator[Blocker]], ...] = (
    server,
    missing,
    types,
    rights,
    names,
    keys,
    unknown_required_columns,
    roles,
    widths,
    sums,
)


def preflight(connection: BaseDatabaseWrapper) -> list[Blocker]:
    """Every reason why this database cannot be taken over; none where it fits, or where there is nothing legacy."""
    there = existing_tables(connection)
    tables = {table: columns_of(connection, table) for table in LEGACY_TABLES if table in there}
    found = Found(connection, tables)
    if not tables:
        return list(server(found))
    return [blocker for check in CHECKS for blocker in check(found)]


class DoesNotFit(CommandError):
    """The database cannot be taken over as it is; nothing was written."""

    def __init__(self, blockers: list[Blocker]) -> None:
        self.blockers = blockers
        reasons = "\n".join(f"  {blocker}" for blocker in blockers)
        super().__init__(
            f"This database does not fit yet; nothing was written. {len(blockers)} reason(s):\n{reasons}\n"
            "Put these right, then run `manage.py migrate` again."
        )


def refuse_what_does_not_fit(connection: BaseDatabaseWrapper) -> None:
    """Errors: DoesNotFit with all reasons at once."""
    if blockers := preflight(connection):
        raise DoesNotFit(blockers)
