"""Lists of people: everybody, who is searched for, who fits the filters. Never a shell of somebody who was merged."""

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from accounts.models import User
from config.api.json import Made
from profiles import keyset, search
from profiles.keyset import Asked, Cursor, Listing, Order
from profiles.models import Profile
from profiles.selectors import CUSTOMER, PEOPLE, as_dict, as_uuid, columns_for, visible

LISTING = Listing(
    source=PEOPLE,
    id="p.id",
    id_type="uuid",
    orders={
        "created_at": Order("p.created_at", "timestamptz"),
        "updated_at": Order("p.updated_at", "timestamptz"),
        "last_name": Order("p.last_name", "text"),
        "last_order_date": Order("p.last_order_date", "timestamptz"),
        "loyalty_points": Order("p.loyalty_points", "bigint", nullable=False),
        "order_count": Order("p.order_count", "bigint", nullable=False),
        "total_spent": Order("p.total_spent", "numeric", nullable=False),
    },
)
NEWEST = "-created_at"

# Filters by name: what they ask of profiles AS p and users AS u, and, in %(…)s, the value.
FILTERS = {
    "customer_type": "p.customer_type = %(customer_type)s",
    "is_active": "coalesce(u.active, false) = %(is_active)s",
    "is_verified": "p.is_verified = %(is_verified)s",
    "marketing_consent": "p.marketing_consent = %(marketing_consent)s",
    "tag": "p.tags @> jsonb_build_array(%(tag)s::text)",
    "min_points": "p.loyalty_points >= %(min_points)s",
    "max_points": "p.loyalty_points <= %(max_points)s",
    "min_spent": "p.total_spent >= %(min_spent)s",
    "max_spent": "p.total_spent <= %(max_spent)s",
    "created_after": "p.created_at >= %(created_after)s",
    "created_before": "p.created_at < %(created_before)s",
    "last_order_after": "p.last_order_date >= %(last_order_after)s",
    "last_order_before": "p.last_order_date < %(last_order_before)s",
    "tenant_id": "u.tenant_id = %(tenant_id)s",
    "has_conflicts": "EXISTS (SELECT FROM field_conflicts AS c WHERE c.profile_id = p.id AND c.resolved_at IS NULL)"
    " = %(has_conflicts)s",
}

OF_LOGIN = {"is_active", "tenant_id"}


def asked(
    *,
    viewer: User | None,
    ordering: str = NEWEST,
    text: str = "",
    limit: int = 50,
    offset: int = 0,
    cursor: Cursor | None = None,
    filters: Mapping[str, Any] | None = None,
) -> Asked:
    """People whom the viewer may see, who fit the filters (None: not asked) and are found by the text."""
    wanted = {name: value for name, value in (filters or {}).items() if name in FILTERS and value is not None}
    params: dict[str, Any] = dict(wanted)
    needs_login = (
        bool(text.strip())
        or not OF_LOGIN.isdisjoint(wanted)
        or (viewer is not None and not viewer.is_superuser and viewer.has_perm("profiles.view_profile"))
    )
    return Asked(
        ordering=ordering,
        conditions=[visible(viewer, params), *(sql.SQL(FILTERS[name]) for name in wanted)],
        alternatives=search.conditions(text, params),
        params=params,
        narrow=None if needs_login else sql.SQL("profiles AS p"),
        cursor=cursor,
        limit=limit,
        offset=offset,
    )


def customers(
    *,
    limit: int,
    offset: int = 0,
    text: str = "",
    viewer: User | None = None,
    tenant_id: object = None,
    is_active: bool | None = None,
) -> list[dict[str, Any]]:
    """Customers as dicts, newest first, for code and for the old calls, which count rows from the start."""
    filters: dict[str, Any] = {"is_active": is_active}
    if tenant_id is not None:
        filters["tenant_id"] = as_uuid(tenant_id)
        if filters["tenant_id"] is None:  # a text that is no uuid is nobody's tenant
            return []
    columns = columns_for(viewer, CUSTOMER)
    wanted = asked(viewer=viewer, text=text, limit=limit, offset=offset, filters=filters)
    return [as_dict(columns, row) for row in keyset.read(LISTING, wanted, columns, as_json=False).rows]


def customers_json(*, viewer: User | None, **kwargs: Any) -> Made:
    """The same as a JSON list made by PostgreSQL; takes what `asked` takes."""
    page = keyset.read(LISTING, asked(viewer=viewer, **kwargs), columns_for(viewer, CUSTOMER))
    return Made(("[" + ",".join(page.rows) + "]").encode())


def search_profiles(text: str, *, limit: int, viewer: User | None, customer_type: str | None) -> list[Profile]:
    """Two queries, whatever the length."""
    wanted = asked(viewer=viewer, text=text, limit=limit, filters={"customer_type": customer_type})
    ids = [row[0] for row in keyset.read(LISTING, wanted, {"id": "p.id"}, as_json=False).rows]
    found = Profile.objects.select_related("user").in_bulk(ids)
    return [found[profile_id] for profile_id in ids if profile_id in found]
