"""A generated legacy database of any size, made set-based inside PostgreSQL.

Every value is a function of the row's number, so two runs are equal whatever plan the server chooses.
Row n's key is an md5 of n: as with random uuids, the order on disk says nothing about the order of the keys.
"""

from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from legacy_customers.sample import schema
from legacy_customers.sample.logins import LOGINS, PASSWORD_HASH

_STATEMENTS = Path(__file__).with_name("people.sql")

_STREET = sql.SQL(
    "1 + (h >> 21 & 1023) || (ARRAY[' Maple Street', ' Queen Street West', ' rue Sainte-Catherine'])[1 + mod(n, 3)]"
)
_GUEST_STREET = sql.SQL("1 + mod(g, 900) || ' King Street East, Unit ' || mod(g, 40)")
_JSON_ADDRESS = sql.SQL(
    "jsonb_build_object('street', n || ' Harbour Road', 'city', 'Vancouver', 'province', 'BC',"
    " 'postal_code', 'V6B 1A1', 'country', 'Canada')"
)


def generate(connection: BaseDatabaseWrapper, n: int, older: bool = False) -> None:
    """Build the legacy schema in an empty database and fill it for `n` users, in one transaction.

    n users, 0.99·n linked and 0.2·n guest customers, 0.36·n customer_profiles, 0.03·n user_profiles,
    3.57·n orders; exact where n is a multiple of 100.
    """
    variant: schema.Variant = "older" if older else "current"
    customer_role = "user" if older else "customer"
    values: dict[str, Any] = {
        "people": n,
        "guests": n // 5,
        "orders": n * 357 // 100,
        "password_hash": PASSWORD_HASH,
        "customer_role": customer_role,
        "login_emails": [login.email for login in LOGINS],
        "login_roles": [customer_role if login.role == "customer" else login.role for login in LOGINS],
    }
    parts = {
        "role_type": sql.SQL("varchar") if older else sql.SQL("user_role_simple"),
        # The older address is jsonb, where free text is a string.
        "address_text": sql.SQL("to_jsonb({})").format(_STREET) if older else _STREET,
        "address_json": _JSON_ADDRESS if older else sql.SQL("{}::text").format(_JSON_ADDRESS),
        "guest_address": sql.SQL("to_jsonb({})").format(_GUEST_STREET) if older else _GUEST_STREET,
    }
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        # For the index builds and sorts below; a server's defaults are made for many small sessions.
        cursor.execute("SET LOCAL maintenance_work_mem = '256MB'; SET LOCAL work_mem = '128MB'")
        cursor.execute(schema.tables(variant))
        for statement in _STATEMENTS.read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                cursor.execute(sql.SQL(statement).format(**parts), values)
        cursor.execute(schema.constraints(variant))
        cursor.execute("ANALYZE users, customers, customer_profiles, user_profiles, orders")
