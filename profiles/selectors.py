"""Reads of people: rows as dicts for code, and as JSON made by PostgreSQL for the calls that are asked most."""

import datetime
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg import sql

from accounts.models import User
from config.api.json import Made
from config.api.problems import not_found
from config.postgresql.prepared import fetch_one
from profiles.keyset import rendered, select_list
from profiles.search import WHITE_SPACE, escaped, resolved

VIEW_MEDICAL = "profiles.view_medical_conditions"

# A customer as the old clients know it: the row of customers_view, then the two names that tills use.
CUSTOMER: Mapping[str, str] = {
    "id": "p.id",
    "user_id": "p.user_id",
    "email": "coalesce(p.contact_email, u.email)",
    "first_name": "p.first_name",
    "last_name": "p.last_name",
    "phone": "p.phone",
    "date_of_birth": "p.date_of_birth",
    "address": "p.address",
    "city": "p.city",
    "state": "p.state",
    "postal_code": "p.postal_code",
    "country": "p.country",
    "loyalty_points": "p.loyalty_points",
    "total_spent": "p.total_spent",
    "order_count": "p.order_count",
    "last_order_date": "p.last_order_date",
    "customer_type": "p.customer_type",
    "preferred_payment_method": "p.preferred_payment_method",
    "marketing_consent": "p.marketing_consent",
    "sms_consent": "p.sms_consent",
    "tags": "p.tags",
    "notes": "p.notes",
    "is_active": "u.active",
    "is_verified": "p.is_verified",
    "created_at": "p.created_at",
    "updated_at": "p.updated_at",
    "tenant_id": "u.tenant_id",
    "name": "btrim(concat_ws(' ', p.first_name, p.last_name))",
    "birth_date": "p.date_of_birth",
}

# A profile of the new resources: all of it.
PROFILE: Mapping[str, str] = {
    **{name: value for name, value in CUSTOMER.items() if name != "birth_date"},
    "contact_email": "p.contact_email",
    "preferences": "p.preferences",
    "needs": "p.needs",
    "experience_level": "p.experience_level",
    "medical_conditions": "p.medical_conditions",
    "preferred_categories": "p.preferred_categories",
    "preferred_effects": "p.preferred_effects",
    "price_range": "p.price_range",
    "purchase_history": "p.purchase_history",
    "interaction_count": "p.interaction_count",
    "language": "p.language",
    "timezone": "p.timezone",
}
STAFF_ONLY = frozenset({"notes", "tags"})

LISTS = frozenset(
    {"needs", "medical_conditions", "preferred_categories", "preferred_effects", "purchase_history", "tags"}
)
OBJECTS = frozenset({"preferences"})
JSON_COLUMNS = LISTS | OBJECTS | {"price_range", "items", "by_month", "by_channel"}

PEOPLE = sql.SQL("profiles AS p JOIN users AS u ON u.id = p.user_id")


def version(profile: str, user: str) -> sql.Composed:
    """What tells two states of a profile apart: its row's transaction, and the columns of its login that it shows."""
    return sql.SQL(
        "{p}.xmin::text || '-' || left(md5(concat_ws(' ', {u}.email, {u}.active, {u}.tenant_id)), 8)"
    ).format(p=sql.Identifier(profile), u=sql.Identifier(user))


VERSION = rendered(version("p", "u"))
# The person whom %(id)s leads to.
RESOLVED = rendered(resolved("id"))
# The person of the user %(id)s.
OF_USER = sql.SQL("p.id = (SELECT coalesce(merged_into_id, id) FROM profiles WHERE user_id = %(id)s)")


def columns_for(viewer: User | None, columns: Mapping[str, str]) -> dict[str, str]:
    """The columns that `viewer` may see; all of them where code asks (None)."""
    if viewer is None:
        return dict(columns)
    hidden: set[str] = set()
    if not viewer.has_perm("profiles.view_profile"):
        hidden |= STAFF_ONLY
    if not viewer.has_perm(VIEW_MEDICAL):
        hidden.add("medical_conditions")
    return {name: value for name, value in columns.items() if name not in hidden}


def visible(viewer: User | None, params: dict[str, Any]) -> sql.Composable:
    """The condition of ProfileQuerySet.visible_to for SQL over profiles AS p, users AS u; None: everybody is seen.

    Nobody sees the shell of a merged profile.
    """
    if viewer is None or viewer.is_superuser:
        return sql.SQL("p.merged_into_id IS NULL")
    if not viewer.has_perm("profiles.view_profile"):
        params["viewer"] = viewer.pk
        return sql.SQL("p.merged_into_id IS NULL AND p.user_id = %(viewer)s")
    if viewer.tenant_id is None:
        return sql.SQL("p.merged_into_id IS NULL AND u.tenant_id IS NULL")
    params["viewer_tenant"] = viewer.tenant_id
    return sql.SQL("p.merged_into_id IS NULL AND u.tenant_id = %(viewer_tenant)s")


def as_uuid(value: object) -> uuid.UUID | None:
    """An id as clients write it; None for text that is no uuid."""
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(str(value))
    except ValueError:
        return None


def query(statement: sql.Composable, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall())


def dicts(statement: sql.Composable, params: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    return [as_dict(names, row) for row in query(statement, params)]


def customer(customer_id: object, *, viewer: User | None = None) -> dict[str, Any] | None:
    """The customer whom `customer_id` leads to (profile, alias or users.id), as a dict; None where nobody is."""
    return _by_id(customer_id, columns_for(viewer, CUSTOMER), viewer)


def customer_by_user_id(user_id: object, *, viewer: User | None = None) -> dict[str, Any] | None:
    columns = columns_for(viewer, CUSTOMER)
    return _one(columns, OF_USER, user_id, viewer)


def _by_id(customer_id: object, columns: Mapping[str, str], viewer: User | None) -> dict[str, Any] | None:
    return _one(columns, sql.SQL("p.id = {}").format(RESOLVED), customer_id, viewer)


def _one(
    columns: Mapping[str, str], condition: sql.Composable, wanted: object, viewer: User | None
) -> dict[str, Any] | None:
    params: dict[str, Any] = {"id": as_uuid(wanted)}
    if params["id"] is None:
        return None
    statement = sql.SQL("SELECT {} FROM {} WHERE {} AND {}").format(
        select_list(columns), PEOPLE, condition, visible(viewer, params)
    )
    found = dicts(statement, params, list(columns))
    return found[0] if found else None


def as_dict(names: Iterable[str], row: Sequence[Any]) -> dict[str, Any]:
    """Django leaves jsonb as text to its fields; here there are none."""
    return {
        name: json.loads(value) if name in JSON_COLUMNS and isinstance(value, str) else value
        for name, value in zip(names, row, strict=True)
    }


def customer_json(
    customer_id: object, *, viewer: User | None, columns: Mapping[str, str] = CUSTOMER
) -> tuple[Made, str] | None:
    """The same as JSON bytes, with the version of the row, in one query; None where nobody is or may be seen."""
    wanted = as_uuid(customer_id)
    if wanted is None:
        return None
    found = fetch_one(*json_statement(wanted, viewer, columns))
    return (Made(found[0].encode()), found[1]) if found else None


def json_statement(wanted: uuid.UUID, viewer: User | None, columns: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """What gives the JSON and the version of one whom `viewer` may see, and its values."""
    params: dict[str, Any] = {"id": wanted}
    condition = visible(viewer, params).as_string(None)
    return _json_text(condition, tuple(columns_for(viewer, columns).items())), params


@lru_cache
def _json_text(condition: str, columns: tuple[tuple[str, str], ...]) -> str:
    return (
        sql.SQL(
            "SELECT row_to_json(r)::text, {version} FROM {people}, LATERAL (SELECT {columns}) AS r"
            " WHERE p.id = {resolved} AND {visible}"
        )
        .format(
            people=PEOPLE,
            version=VERSION,
            columns=select_list(dict(columns)),
            resolved=RESOLVED,
            visible=sql.SQL(condition),  # as `visible` composed it
        )
        .as_string(None)
    )


@dataclass(frozen=True)
class Person:
    """Whom an id leads to, in short."""

    id: uuid.UUID
    user_id: uuid.UUID
    loyalty_points: int
    date_of_birth: datetime.date | None


def person(customer_id: object, *, viewer: User | None = None) -> Person | None:
    """Whom `customer_id` leads to; None where nobody is or, with a viewer, may be seen."""
    params: dict[str, Any] = {"id": as_uuid(customer_id)}
    if params["id"] is None:
        return None
    statement = sql.SQL(
        "SELECT p.id, p.user_id, p.loyalty_points, p.date_of_birth FROM {} WHERE p.id = {} AND {}"
    ).format(PEOPLE, RESOLVED, visible(viewer, params))
    found = query(statement, params)
    return Person(*found[0]) if found else None


def seen(customer_id: object, viewer: User) -> Person:
    """The same; Problem 404 where it is nobody."""
    found = person(customer_id, viewer=viewer)
    if found is None:
        raise not_found("profile", customer_id)
    return found


def user_id_of(customer_id: object, *, viewer: User | None = None) -> uuid.UUID | None:
    """The user of whom `customer_id` leads to; None where nobody is or, with a viewer, may be seen."""
    found = person(customer_id, viewer=viewer)
    return found.user_id if found else None


def profiles_with_login(email: str) -> list[tuple[uuid.UUID, bool | None]]:
    """Profiles whose login is `email` in any case and between any white space, and whether it is verified."""
    statement = sql.SQL(
        "SELECT p.id, u.email_verified FROM {} WHERE search_fold(u.email) LIKE search_fold(%(pattern)s)"
        " AND search_fold(btrim(u.email, %(blanks)s)) = search_fold(%(email)s) ORDER BY u.id"
    ).format(PEOPLE)
    return [
        (row[0], row[1])
        for row in query(statement, {"pattern": f"%{escaped(email)}%", "email": email, "blanks": WHITE_SPACE})
    ]


# An order of a person, for lists beside their profile.
ORDER: Mapping[str, str] = {
    "id": "o.id",
    "order_number": "o.order_number",
    "order_source": "o.order_source",
    "status": "coalesce(nullif(o.order_status, ''), nullif(o.delivery_status, ''), nullif(o.payment_status, ''), 'pending')",
    "order_status": "o.order_status",
    "payment_status": "o.payment_status",
    "delivery_status": "o.delivery_status",
    "payment_method": "o.payment_method",
    "receipt_number": "o.receipt_number",
    "items": "o.items",
    "subtotal": "o.subtotal",
    "tax_amount": "o.tax_amount",
    "discount_amount": "o.discount_amount",
    "delivery_fee": "o.delivery_fee",
    "total_amount": "o.total_amount",
    "refunded_amount": "o.refunded_amount",
    "created_at": "o.created_at::timestamptz",
    "updated_at": "o.updated_at::timestamptz",
}
# What counts as bought: neither held nor taken back. A partial refund is subtracted.
BOUGHT = sql.SQL(
    """coalesce(o.order_status, '') NOT IN ('cancelled', 'refunded', 'parked', 'resumed')
    AND coalesce(o.payment_status, '') NOT IN ('cancelled', 'refunded', 'failed')
    AND coalesce(o.delivery_status, '') <> 'cancelled'"""
)
SPENT = sql.SQL("coalesce(o.total_amount, 0) - o.refunded_amount")


def customer_orders(customer_id: object, *, limit: int = 50) -> list[dict[str, Any]]:
    """Their orders as dicts, newest first; [] where nobody is."""
    params: dict[str, Any] = {"id": as_uuid(customer_id), "limit": limit}
    if params["id"] is None:
        return []
    statement = sql.SQL(
        "SELECT {} FROM orders AS o WHERE o.user_id = (SELECT user_id FROM profiles WHERE id = {})"
        " ORDER BY o.created_at DESC NULLS LAST, o.id DESC LIMIT %(limit)s"
    ).format(select_list(ORDER), RESOLVED)
    return dicts(statement, params, list(ORDER))


def customer_stats(customer_id: object, *, viewer: User | None = None) -> dict[str, Any] | None:
    """Sums of a customer and of their last 30 days; None where nobody is."""
    params: dict[str, Any] = {"id": as_uuid(customer_id)}
    if params["id"] is None:
        return None
    names = ("loyalty_points", "total_spent", "total_orders", "recent_orders", "recent_spent", "member_since")
    statement = sql.SQL(
        "SELECT p.loyalty_points, p.total_spent, p.order_count, recent.orders, recent.spent, p.created_at FROM {people},"
        " LATERAL (SELECT count(*) AS orders, coalesce(sum({spent}), 0) AS spent FROM orders AS o"
        " WHERE o.user_id = p.user_id AND o.created_at >= timezone('UTC', now()) - interval '30 days' AND {bought}) AS recent"
        " WHERE p.id = {id} AND {visible}"
    ).format(people=PEOPLE, spent=SPENT, bought=BOUGHT, id=RESOLVED, visible=visible(viewer, params))
    found = dicts(statement, params, names)
    return found[0] if found else None


ANALYTICS = sql.SQL(
    """
SELECT p.id, p.user_id, p.loyalty_points, p.total_spent, p.order_count,
    CASE WHEN p.order_count > 0 THEN round(p.total_spent / p.order_count, 2) END,
    p.last_order_date, p.created_at,
    bought.orders, bought.spent, bought.first_at, bought.last_at,
    recent.orders, recent.spent,
    coalesce(months.list, '[]'), coalesce(channels.list, '{{}}')
FROM {people}
CROSS JOIN LATERAL (
    SELECT count(*) AS orders, coalesce(sum({spent}), 0) AS spent,
        min(o.created_at)::timestamptz AS first_at, max(o.created_at)::timestamptz AS last_at
    FROM orders AS o WHERE o.user_id = p.user_id AND {bought}
) AS bought
CROSS JOIN LATERAL (
    SELECT count(*) AS orders, coalesce(sum({spent}), 0) AS spent
    FROM orders AS o WHERE o.user_id = p.user_id AND {bought}
        AND o.created_at >= timezone('UTC', now()) - interval '30 days'
) AS recent
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('month', month, 'orders', orders, 'spent', spent) ORDER BY month) AS list
    FROM (
        SELECT to_char(o.created_at::timestamptz AT TIME ZONE %(zone)s, 'YYYY-MM') AS month,
            count(*) AS orders, sum({spent}) AS spent
        FROM orders AS o WHERE o.user_id = p.user_id AND {bought} AND isfinite(o.created_at)
            AND o.created_at >= timezone('UTC', now()) - interval '1 year'
        GROUP BY 1
    ) AS month
) AS months
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(order_source, orders) AS list
    FROM (
        SELECT o.order_source, count(*) AS orders FROM orders AS o WHERE o.user_id = p.user_id AND {bought} GROUP BY 1
    ) AS channel
) AS channels
WHERE {condition} AND {visible}
"""
)
ANALYTICS_NAMES = (
    *("profile_id", "user_id", "loyalty_points", "total_spent", "order_count", "average_order_value"),
    *("last_order_date", "member_since", "orders_found", "orders_total", "first_order_at", "last_order_at"),
    *("recent_orders", "recent_spent", "by_month", "by_channel"),
)


def analytics(wanted: object, *, viewer: User | None = None, by_user: bool = True) -> dict[str, Any] | None:
    """A person's purchases: the sums that the profile keeps, and what the orders themselves say, months in shop time."""
    params: dict[str, Any] = {"id": as_uuid(wanted), "zone": settings.TIME_ZONE}
    if params["id"] is None:
        return None
    condition = OF_USER if by_user else sql.SQL("p.id = {}").format(RESOLVED)
    statement = ANALYTICS.format(
        people=PEOPLE, spent=SPENT, bought=BOUGHT, condition=condition, visible=visible(viewer, params)
    )
    found = dicts(statement, params, ANALYTICS_NAMES)
    return found[0] if found else None
