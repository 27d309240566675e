"""The legacy schema as SQL text: of a current installation, or of an older one.

An older installation has users.role as varchar(50) with the default 'user', no users.tenant_id,
customers.address as jsonb, and no foreign keys to users.
"""

from pathlib import Path
from typing import Literal

Variant = Literal["current", "older"]

_HERE = Path(__file__).parent
_OTHER: dict[Variant, str] = {"current": "-- older", "older": "-- current"}


def tables(variant: Variant = "current") -> str:
    """The bare tables, to be filled before `constraints`."""
    return _read("tables.sql", variant)


def constraints(variant: Variant = "current") -> str:
    """Keys, indexes, functions and triggers."""
    return _read("constraints.sql", variant)


def schema(variant: Variant = "current") -> str:
    """The whole legacy schema; several statements, no placeholders."""
    return tables(variant) + constraints(variant)


def _read(name: str, variant: Variant) -> str:
    lines = (_HERE / name).read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.rstrip().endswith(_OTHER[variant]))


def extra_columns() -> str:
    """Columns of a shop's own; to be added before the rows."""
    return _read("extra_columns.sql", "current")


def extra_tables() -> str:
    """Tables and a view of a shop's own; they need rows and keys."""
    return _read("extra_tables.sql", "current")
