"""What the field map and the rules render, as files to be read. A test keeps them equal to the code."""

from collections.abc import Iterable
from pathlib import Path

from psycopg import sql

from . import conflicts, consolidate, identity, orders, sync, view
from .field_map import ARCHIVED_COLUMNS, FIELD_MAP, Field, Rule, Table
from .ranges import WHOLE
from .sources import CURRENT

COMMAND = "manage.py render_sql"
ROOT = Path(__file__).resolve().parents[2]
SQL = Path("legacy_customers") / "sql"

# The rows that the take-over reads.
BACKUPS = CURRENT.backups()

# What stands for the range of one commit in the statements that work in ranges.
EVERYTHING = sql.SQL("true")

RULES = {
    Rule.FIRST: "first that is not blank",
    Rule.BLOCK: "one address, from the first source that has one",
    Rule.SUM: "sum over all rows",
    Rule.GREATEST: "greatest over all rows",
    Rule.LEAST: "least over all rows",
    Rule.MERGE: "merged key by key, newest source wins, a blank never",
    Rule.UNION: "union without duplicates, order kept",
    Rule.NOTES: "distinct texts, oldest first, joined by a blank line",
    Rule.CONSENT: "true only if every copy says true",
    Rule.VERIFIED: "the linked row's; of guests only if all say so; without rows, email or phone verified",
}


def rendered() -> dict[Path, str]:
    """Path below the repository → text."""
    return {
        SQL / "identity.sql": _file(
            "Whose row is whose (unification/identity.py).",
            ((name, statement) for name, statement in identity.statements(BACKUPS)),
        ),
        SQL / "consolidate.sql": _file(
            "One profile per person (unification/consolidate.py). INSERT runs once per range of users.",
            (
                *(
                    (f"{name}, a work table", query)
                    for profiles in (consolidate.ALONE, consolidate.OTHERS)
                    for name, query in consolidate.work_tables(BACKUPS, profiles).items()
                ),
                ("INSERT", consolidate.insert_profiles(EVERYTHING)),
                ("ALIASES", sql.SQL(consolidate.ALIASES)),
            ),
        ),
        SQL / "conflicts.sql": _file(
            "Every value that lost (unification/conflicts.py). INSERT runs once per range of each source.",
            (
                *(
                    (f"{name} of {table}, a work table", query)
                    for table in Table
                    for name, query in conflicts.work_tables(BACKUPS, table, EVERYTHING).items()
                ),
                ("INSERT", conflicts.insert_conflicts(EVERYTHING)),
                ("SPELLINGS, a work table", conflicts.SPELLINGS.format(users=CURRENT.table("users"))),
                ("SUGGEST_GUESTS", conflicts.SUGGEST_GUESTS.format(users=CURRENT.table("users"))),
                ("SUGGEST_LOGINS", conflicts.SUGGEST_LOGINS.format(users=CURRENT.table("users"))),
            ),
        ),
        SQL / "orders.sql": _file(
            "Orders point at users (unification/orders.py). REPOINT_TURN runs once per batch of pages and turn.",
            (
                ("KEEP_DATE", sql.SQL(orders.KEEP_DATE)),
                ("FIND, a work table", orders.with_turns(orders.FIND)),
                ("REPOINT_TURN", orders.repoint_turn(WHOLE, 1)),
                ("LEFT_OVER, a work table", sql.SQL(orders.LEFT_OVER)),
                ("DANGLING, a work table, where there is no foreign key", sql.SQL(orders.DANGLING)),
                ("REPOINT_SOME, in batches", sql.SQL(orders.REPOINT_SOME)),
                ("DISAGREEING, a work table", orders.DISAGREEING.format(orders=BACKUPS.table("orders"))),
                ("RECORD_DISAGREEING", sql.SQL(orders.RECORD_DISAGREEING)),
                ("ADD_FOREIGN_KEY, where there is none", sql.SQL(orders.ADD_FOREIGN_KEY)),
                ("VALIDATE", sql.SQL(orders.VALIDATE)),
                ("STOP_KEEPING", sql.SQL(orders.STOP_KEEPING)),
            ),
        ),
        SQL / "customers_view.sql": _file(
            "customers_view, readable and writable (unification/view.py).",
            ((None, statement) for statement in view.statements(CURRENT)),
        ),
        SQL / "sync.sql": _file(
            "Two-way sync (unification/sync/): its functions, and the triggers that turn it on.",
            (
                *((None, statement) for statement in sync.functions(CURRENT)),
                *((None, trigger.definition) for trigger in sync.TRIGGERS),
            ),
        ),
        Path("docs") / "field-map.md": _field_map(),
    }


def _file(title: str, statements: Iterable[tuple[str | None, sql.Composable]]) -> str:
    parts = [f"-- {title}\n-- Rendered by `{COMMAND}` for a current installation. To be read, not run.\n"]
    for name, statement in statements:
        text = statement.as_string(None).strip().removesuffix(";")
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        parts.append((f"-- {name}\n" if name else "") + lines + ";\n")
    return "\n".join(parts)


def _field_map() -> str:
    lines = [
        "# Field map",
        "",
        f"Rendered by `{COMMAND}` from `legacy_customers/unification/field_map.py`, which alone decides.",
        "",
        "Where a rule asks its sources in order, the order is: the linked customers row, the users row, guest rows",
        "newest first, customer_profiles and user_profiles newest first.",
        "",
        "| column | sources | rule | default, which loses unrecorded |",
        "|---|---|---|---|",
        *(_line(field) for field in FIELD_MAP),
        "",
        "Cells with no column to go to stay in their backup and are counted by name: "
        + "; ".join(f"{', '.join(columns)} of {table}" for table, columns in ARCHIVED_COLUMNS.items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def _line(field: Field) -> str:
    default = f"`{field.default}`" if field.default is not None else ""
    rule = RULES[field.rule]
    if field.rule is Rule.FIRST and field.default is not None:
        rule += " or the default; else the default"
    return f"| `{field.column}` | {', '.join(_sources(field))} | {rule} | {default} |"


def _sources(field: Field) -> Iterable[str]:
    """The sources in the order in which they are asked: guests come after the users row."""
    asks_in_order = field.rule is Rule.FIRST and Table.USERS in field.sources
    for table in field.sources:
        if table is Table.CUSTOMERS and asks_in_order:
            yield "linked customers"
        elif table is Table.USERS and asks_in_order:
            yield "users, guest customers"
        else:
            yield str(table)
