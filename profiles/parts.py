"""Pages of what hangs on one profile: its ledger, orders, history and conflicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from psycopg import sql

from accounts.models import User
from profiles import keyset
from profiles.keyset import Asked, Cursor, Listing, Order, Page
from profiles.selectors import ORDER, VIEW_MEDICAL, Person


@dataclass(frozen=True)
class Part:
    """A listing, the one order that it has, and its columns."""

    listing: Listing
    ordering: str
    columns: Mapping[str, str]


def _by_id(table: str, columns: Mapping[str, str], ordering: str) -> Part:
    order = Order("t.id", "bigint", nullable=False)
    source = sql.SQL("{} AS t").format(sql.Identifier(table))
    return Part(Listing(source, "t.id", "bigint", {"id": order}), ordering, columns)


ENTRY = ("id", "delta", "balance", "reason", "source", "order_id", "created_at", "created_by")
LEDGER = _by_id("loyalty_entries", {name: f"t.{name}" for name in ENTRY}, "-id")
HISTORY = _by_id(
    "profile_history",
    {name: f"t.{name}" for name in ("id", "changed_at", "changed_by", "via", "changes")},
    "-id",
)
CONFLICTS = _by_id(
    "field_conflicts",
    {
        **{name: f"t.{name}" for name in ("id", "field", "path", "rule", "chosen_value", "chosen_table", "chosen_row")},
        **{name: f"t.{name}" for name in ("other_value", "other_table", "other_row", "created_at")},
        "resolved_by": "t.resolved_by_id",
        "resolved_at": "t.resolved_at",
    },
    "id",
)
ORDERS = Part(
    Listing(
        sql.SQL("orders AS o JOIN users AS u ON u.id = o.user_id"),
        "o.id",
        "uuid",
        {"created_at": Order("o.created_at", "timestamp")},
    ),
    "-created_at",
    ORDER,
)
# A password has no values in the history; what was health data has none for who may not see it.
WITHOUT_MEDICAL = """CASE WHEN t.changes ? 'medical_conditions'
    THEN t.changes || '{"medical_conditions": {}}' ELSE t.changes END"""


def _read(
    part: Part,
    conditions: list[sql.Composable],
    params: dict[str, Any],
    columns: Mapping[str, str],
    limit: int,
    cursor: Cursor | None,
) -> Page:
    asked = Asked(part.ordering, conditions=conditions, params=params, limit=limit, cursor=cursor)
    return keyset.read(part.listing, asked, columns)


def ledger(person: Person, viewer: User, *, limit: int, cursor: Cursor | None) -> Page:
    """The entries, newest first. A balance that never changed is shown as the opening entry that it will become.

    Customers are not told who of the staff it was.
    """
    columns = dict(LEDGER.columns)
    if not viewer.has_perm("profiles.view_profile"):
        del columns["created_by"]
    page = _read(LEDGER, [_OF_PROFILE], {"profile": person.id}, columns, limit, cursor)
    if page.rows or cursor is not None or person.loyalty_points == 0:
        return page
    opening: dict[str, Any] = dict.fromkeys(columns)
    opening |= {"delta": person.loyalty_points, "balance": person.loyalty_points}
    opening |= {"reason": "opening balance", "source": "opening"}
    return Page([orjson.dumps(opening).decode()], None, None)


def orders(person: Person, viewer: User, *, limit: int, cursor: Cursor | None) -> Page:
    """What a person bought, as far as the viewer sees it: staff the orders of their tenant."""
    params: dict[str, Any] = {"user": person.user_id}
    conditions = [sql.SQL("o.user_id = %(user)s")]
    if not viewer.is_superuser and viewer.has_perm("orders.view_order"):
        params["tenant"] = viewer.tenant_id
        conditions.append(sql.SQL("coalesce(o.tenant_id, u.tenant_id) IS NOT DISTINCT FROM %(tenant)s"))
    return _read(ORDERS, list(conditions), params, ORDER, limit, cursor)


def history(person: Person, viewer: User, *, limit: int, cursor: Cursor | None) -> Page:
    columns = dict(HISTORY.columns)
    if not viewer.has_perm(VIEW_MEDICAL):
        columns["changes"] = WITHOUT_MEDICAL
    return _read(HISTORY, [_OF_PROFILE], {"profile": person.id}, columns, limit, cursor)


def conflicts(person: Person, viewer: User, *, resolved: bool | None, limit: int, cursor: Cursor | None) -> Page:
    conditions: list[sql.Composable] = [_OF_PROFILE]
    if not viewer.has_perm(VIEW_MEDICAL):
        conditions.append(sql.SQL("t.field <> 'medical_conditions'"))
    if resolved is not None:
        conditions.append(sql.SQL("t.resolved_at IS NOT NULL" if resolved else "t.resolved_at IS NULL"))
    return _read(CONFLICTS, conditions, {"profile": person.id}, CONFLICTS.columns, limit, cursor)


_OF_PROFILE = sql.SQL("t.profile_id = %(profile)s")
