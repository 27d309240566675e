"""How the people of a story are written down: a name, the reason they are here, and their legacy rows.

Keys are uuid5 of the person's name, table and position, so a test can say which row it means without asking.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from legacy_customers.sample.logins import PASSWORD_HASH

Row = dict[str, Any]
TABLES = ("users", "customers", "customer_profiles", "user_profiles", "orders")

_NAMESPACE = uuid.UUID("6f1d8c52-3a0b-5e7f-9c41-2b8e4d7a9f10")


def row_id(key: str, table: str, position: int = 1) -> uuid.UUID:
    """The key of a person's n-th row (from 1) in a table."""
    return uuid.uuid5(_NAMESPACE, f"{key}/{table}/{position}")


@dataclass(frozen=True)
class Ref:
    """Stands for the key of a row: of the person it is written in, or of the person named `of`."""

    table: str
    position: int = 1
    of: str | None = None
    spelling: Callable[[uuid.UUID], str] | None = None

    def resolve(self, owner: "Sequence[Row]", key: str) -> uuid.UUID | str:
        """The key itself, spelled as asked; `owner` are the person's rows in that table."""
        if self.of is None and self.position <= len(owner):
            found = uuid.UUID(str(owner[self.position - 1]["id"]))
        else:
            found = row_id(self.of or key, self.table, self.position)
        return self.spelling(found) if self.spelling else found


def user(position: int = 1, of: str | None = None) -> Ref:
    """The key of a users row."""
    return Ref("users", position, of)


def customer(position: int = 1, of: str | None = None, spelling: Callable[[uuid.UUID], str] | None = None) -> Ref:
    """The key of a customers row; customer_profiles hold it as text, in many spellings."""
    return Ref("customers", position, of, spelling)


@dataclass(frozen=True)
class Person:
    """One person, or one small scene of several, of a story."""

    key: str
    why: str
    users: tuple[Row, ...] = ()
    customers: tuple[Row, ...] = ()
    customer_profiles: tuple[Row, ...] = ()
    user_profiles: tuple[Row, ...] = ()
    orders: tuple[Row, ...] = ()
    # Rows that a foreign key of the current schema would refuse.
    older_only: bool = field(default=False, kw_only=True)

    def rows(self, table: str) -> tuple[Row, ...]:
        """The person's rows in one of TABLES."""
        rows: tuple[Row, ...] = getattr(self, table)
        return rows


def person(
    key: str,
    why: str,
    *,
    users: Sequence[Mapping[str, Any]] = (),
    customers: Sequence[Mapping[str, Any]] = (),
    customer_profiles: Sequence[Mapping[str, Any]] = (),
    user_profiles: Sequence[Mapping[str, Any]] = (),
    orders: Sequence[Mapping[str, Any]] = (),
    older_only: bool = False,
) -> Person:
    """A Person from the columns that matter to them; the rest is filled in, without clock or chance."""
    mail = key.replace("_", ".") + "@example.com"
    given = {
        "users": users,
        "customers": customers,
        "customer_profiles": customer_profiles,
        "user_profiles": user_profiles,
        "orders": orders,
    }
    rows = {
        table: [
            _defaults(table, key, mail, position) | dict(columns) for position, columns in enumerate(given[table], 1)
        ]
        for table in TABLES
    }
    for table_rows in rows.values():
        for row in table_rows:
            for column, value in row.items():
                if isinstance(value, Ref):
                    row[column] = value.resolve(rows[value.table], key)
    return Person(key, why, **{table: tuple(rows[table]) for table in TABLES}, older_only=older_only)


def seen(created: str | None, updated: str | None = None) -> Row:
    """When a row was made and last changed (UTC); with one time, both."""
    return {"created_at": created, "updated_at": updated or created}


def _defaults(table: str, key: str, mail: str, position: int) -> Row:
    times = seen("2024-03-01 09:00:00", "2025-03-01 09:00:00")
    match table:
        case "users":
            return {"id": row_id(key, table, position), "email": mail, "password_hash": PASSWORD_HASH} | times
        case "customers":
            return {"id": row_id(key, table, position), "email": mail} | times
        case "customer_profiles":
            return {"customer_id": customer()} | times
        case "user_profiles":
            return {"id": row_id(key, table, position), "session_id": f"session-{key}-{position}"} | times
        case _:
            return {
                "id": row_id(key, table, position),
                "order_number": f"SHOP-{key}-{position}",
                "items": [{"sku": "SKU-1", "name": "House blend", "quantity": position, "price": 10}],
                "subtotal": f"{position * 10}.00",
                "tax_amount": f"{position}.30",
                "total_amount": f"{position * 11}.30",
                "payment_method": "cash",
                "payment_status": "completed",
                "delivery_status": "delivered",
            } | times
