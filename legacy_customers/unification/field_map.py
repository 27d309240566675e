"""The field map: for each column of a profile its legacy sources and the rule that decides between them.

This table is the single source of truth. The consolidation, the conflict records, customers_view, the verification,
the way back and docs/field-map.md are derived from it. The rules are UNIFICATION's; where a rule asks its
sources in order, that order is always: the linked customers row, the users row, guest rows newest first,
customer_profiles and user_profiles newest first.
"""

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_COUNTRY = "USA"
DEFAULT_CUSTOMER_TYPE = "regular"


class Table(StrEnum):
    """The legacy tables that describe a person."""

    USERS = "users"
    CUSTOMERS = "customers"
    CUSTOMER_PROFILES = "customer_profiles"
    USER_PROFILES = "user_profiles"


class Rule(StrEnum):
    """How one value comes out of several."""

    FIRST = "first"  # the first source that is not blank
    BLOCK = "block"  # the whole address from the first source that has one
    SUM = "sum"  # over all rows; an unknown amount counts as 0
    GREATEST = "greatest"
    LEAST = "least"
    MERGE = "merge"  # objects merged key by key, the newest source wins, a blank never
    UNION = "union"  # list entries in order, each once
    NOTES = "notes"  # distinct texts, oldest row first, joined by a blank line
    CONSENT = "consent"  # true only if every copy says true
    VERIFIED = "verified"  # the linked row's; all guest rows'; else the login's


class Kind(StrEnum):
    """What a column holds, as far as blankness and comparison are concerned."""

    TEXT = "text"
    ADDRESS = "address"  # text that may be a JSON object
    DATE = "date"
    INTEGER = "integer"
    MONEY = "money"
    TIME = "time"
    BOOLEAN = "boolean"
    OBJECT = "object"
    LIST = "list"


U, C, CP, UP = Table.USERS, Table.CUSTOMERS, Table.CUSTOMER_PROFILES, Table.USER_PROFILES


@dataclass(frozen=True)
class Field:
    """One column of `profiles`. `width` is the text column's limit in characters; `default` a value that may lose unrecorded."""

    column: str
    kind: Kind
    rule: Rule
    sources: tuple[Table, ...]
    width: int | None = None
    default: str | None = None


def _text(column: str, width: int | None, *sources: Table, default: str | None = None) -> Field:
    return Field(column, Kind.TEXT, Rule.FIRST, sources, width, default)


def _block(column: str, width: int, default: str | None = None) -> Field:
    return Field(column, Kind.TEXT, Rule.BLOCK, (C,), width, default)


FIELD_MAP: tuple[Field, ...] = (
    _text("first_name", 100, C, U),
    _text("last_name", 100, C, U),
    _text("phone", 50, C, U),
    Field("date_of_birth", Kind.DATE, Rule.FIRST, (C, U)),
    Field("address", Kind.ADDRESS, Rule.BLOCK, (C,)),
    _block("city", 100),
    _block("state", 50),
    _block("postal_code", 20),
    _block("country", 100, default=DEFAULT_COUNTRY),
    Field("loyalty_points", Kind.INTEGER, Rule.SUM, (C,)),
    _text("customer_type", 50, C, UP, default=DEFAULT_CUSTOMER_TYPE),
    _text("preferred_payment_method", 50, C),
    Field("total_spent", Kind.MONEY, Rule.SUM, (C,)),
    Field("order_count", Kind.INTEGER, Rule.SUM, (C,)),
    Field("last_order_date", Kind.TIME, Rule.GREATEST, (C,)),
    Field("preferences", Kind.OBJECT, Rule.MERGE, (CP, UP)),
    Field("needs", Kind.LIST, Rule.UNION, (UP,)),
    _text("experience_level", 50, UP),
    Field("medical_conditions", Kind.LIST, Rule.UNION, (UP,)),
    Field("preferred_categories", Kind.LIST, Rule.UNION, (UP,)),
    Field("preferred_effects", Kind.LIST, Rule.UNION, (UP,)),
    Field("price_range", Kind.OBJECT, Rule.FIRST, (UP,)),
    Field("purchase_history", Kind.LIST, Rule.UNION, (CP, UP)),
    Field("interaction_count", Kind.INTEGER, Rule.SUM, (CP, UP)),
    _text("language", 10, UP),
    _text("timezone", 50, UP),
    Field("marketing_consent", Kind.BOOLEAN, Rule.CONSENT, (C, U)),
    Field("sms_consent", Kind.BOOLEAN, Rule.CONSENT, (C,)),
    Field("tags", Kind.LIST, Rule.UNION, (C,)),
    Field("notes", Kind.TEXT, Rule.NOTES, (C,)),
    Field("is_verified", Kind.BOOLEAN, Rule.VERIFIED, (C,)),
    Field("created_at", Kind.TIME, Rule.LEAST, (C, U, CP, UP)),
    Field("updated_at", Kind.TIME, Rule.GREATEST, (C, U, CP, UP)),
)

# Columns that decide who a person is, or that stay where they are: carried, but not by a rule between sources.
IDENTITY_COLUMNS: dict[Table, tuple[str, ...]] = {
    U: ("id", "email"),
    C: ("id", "user_id", "email", "is_active"),
    CP: ("customer_id",),
    UP: ("id",),
}
AUTH_COLUMNS = (
    "password_hash",
    "role",
    "active",
    "email_verified",
    "phone_verified",
    "age_verified",
    "terms_accepted",
    "tenant_id",
    "profile_id",
    "session_id",
    "last_login",
)
# Cells of attached rows that have no column to go to: they stay in the backup, and are counted by name.
ARCHIVED_COLUMNS: dict[Table, tuple[str, ...]] = {UP: ("session_id", "email", "phone", "age_verified")}

# JSON keys that an address text may hold, and the block's column that each fills where that is blank.
ADDRESS_KEYS: dict[str, str] = {
    "city": "city",
    "state": "province",
    "postal_code": "postal_code",
    "country": "country",
}


def fields_of(table: Table) -> tuple[Field, ...]:
    """The fields that `table` is a source of."""
    return tuple(field for field in FIELD_MAP if table in field.sources)


def fields_by(*rules: Rule) -> tuple[Field, ...]:
    """The fields decided by one of `rules`."""
    return tuple(field for field in FIELD_MAP if field.rule in rules)
