"""Lists of people: everybody, who is searched for, who fits the filters. Never a shell of somebody who was merged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from accounts.models import User
from config.api.json import Made
from profiles import keyset, search
from profiles.keyset import Asked, Cursor, Listing, Order, Page
from profiles.models import Profile
from profiles.selectors import CUSTOMER, PEOPLE, as_dict, as_uuid, columns_for, query, visible

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
    "sms_consent": "p.sms_consent = %(sms_consent)s",
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
    # A guest's account has no address, or a password that nobody can type.
    "is_guest": "(u.email IS NULL OR u.password_hash LIKE '!%%') = %(is_guest)s",
}
# Filters by what not everybody is shown, and the permission that they ask for.
NEEDED = {"has_conflicts": "profiles.view_fieldconflict", "tag": "profiles.view_profile"}
OF_LOGIN = {"is_active", "tenant_id", "is_guest"}
# What no index answers: sums that every sale changes, and what is true of most or of nobody.
BY_READING = FILTERS.keys() - {"customer_type", "tag", "created_after", "created_before"}
# So many people are read for one page of the workplace, then it asks whether to go on.
MOST_READ = 20_000
# A text that so many have is looked for among so many of the newest.
MANY = 2_000
NEWEST_READ = 20_000


def asked(
    *,
    viewer: User | None,
    ordering: str = NEWEST,
    text: str = "",
    limit: int = 50,
    offset: int = 0,
    cursor: Cursor | None = None,
    filters: Mapping[str, Any] | None = None,
    numbers: Sequence[sql.Composable] = (),
) -> Asked:
    """People whom the viewer may see, who fit the filters (None: not asked) and are found by the text.

    `numbers` are conditions of whom the number %(number)s leads to, which the text may be.
    """
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
        alternatives=search.conditions(text, params, numbers),
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


@dataclass(frozen=True)
class Found:
    """A page of people for the workplace. `stopped`: MOST_READ were read and may be not all; `older` goes on from there."""

    people: list[Profile]
    older: Cursor | None
    newer: Cursor | None
    stopped: bool


def find(
    *,
    viewer: User,
    text: str,
    filters: Mapping[str, Any],
    cursor: Cursor | None = None,
    limit: int = 50,
    numbers: Sequence[sql.Composable] = (),
) -> Found:
    """Newest first. Five queries at most, and a bounded number of rows, however many people there are."""
    wanted = asked(viewer=viewer, text=text, limit=limit, cursor=cursor, filters=filters, numbers=numbers)
    page, end = None, None
    if text.strip():
        page = _of_the_newest(wanted)
    elif any(filters.get(name) is not None for name in BY_READING):
        end = _end_of_reading(cursor, MOST_READ)
    if end is not None:
        wanted = _within(wanted, end)
    page = page or keyset.read(LISTING, wanted, {"id": "p.id"}, as_json=False)
    ids = [row[0] for row in page.rows]
    found = Profile.objects.select_related("user").in_bulk(ids)
    older, newer = page.next, page.previous
    if end is not None and end.backwards:
        newer = newer or end
    elif end is not None:
        older, newer = older or end, newer or (cursor and replace(cursor, backwards=True))
    stopped = end is not None and (newer if end.backwards else older) is end
    return Found([found[profile_id] for profile_id in ids if profile_id in found], older, newer, stopped)


def _of_the_newest(wanted: Asked) -> Page | None:
    """A full page of a text that many have, found among the newest; None where few have it, or where it is not full.

    The index of texts gives all who have it, before the newest of them are known.
    """
    if not _many_have(wanted):
        return None
    end = _end_of_reading(wanted.cursor, NEWEST_READ)
    if end is None:
        return None
    either = sql.SQL(" OR ").join(sql.SQL("({})").format(one) for one in wanted.alternatives)
    page = keyset.read(LISTING, replace(_within(wanted, end), alternatives=[either]), {"id": "p.id"}, as_json=False)
    full = page.previous if end.backwards else page.next
    return page if full else None


def _many_have(wanted: Asked) -> bool:
    """Whether the alternatives together give MANY; so many rows of each are read at most, by its index."""
    counts = sql.SQL(" + ").join(
        sql.SQL("(SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT {}) AS few)").format(
            PEOPLE, one, sql.Literal(MANY)
        )
        for one in wanted.alternatives
    )
    return bool(query(sql.SQL("SELECT {} >= {}").format(counts, sql.Literal(MANY)), wanted.params)[0][0])


def _within(wanted: Asked, end: Cursor) -> Asked:
    """The same, as far as `end`."""
    than = sql.SQL("<=" if end.backwards else ">=")
    within = sql.SQL("(p.created_at, p.id) {} (%(end_key)s::timestamptz, %(end_id)s::uuid)").format(than)
    params = {**wanted.params, "end_key": end.key, "end_id": end.id}
    return replace(wanted, conditions=[*wanted.conditions, within], params=params)


def _end_of_reading(cursor: Cursor | None, most: int) -> Cursor | None:
    """Where `most` people from the cursor on have been read, by the index alone; None where there are fewer."""
    backwards = cursor is not None and cursor.backwards
    reach: sql.Composable = sql.SQL("p.created_at IS NOT NULL")
    if cursor is not None:
        if cursor.key is None:  # those whose beginning nobody knows come last
            return None
        than = sql.SQL(">" if backwards else "<")
        reach = sql.SQL("(p.created_at, p.id) {} (%(key)s::timestamptz, %(id)s::uuid)").format(than)
    statement = sql.SQL(
        "SELECT p.created_at::text, p.id::text FROM profiles AS p WHERE {reach}"
        " ORDER BY p.created_at {direction}, p.id {direction} LIMIT 1 OFFSET {most}"
    ).format(reach=reach, direction=sql.SQL("ASC" if backwards else "DESC"), most=sql.Literal(most))
    found = query(statement, {"key": cursor and cursor.key, "id": cursor and cursor.id})
    return Cursor(NEWEST, found[0][0], found[0][1], backwards) if found else None


def everybody(
    *, viewer: User, text: str, filters: Mapping[str, Any], numbers: Sequence[sql.Composable] = ()
) -> tuple[sql.Composed, dict[str, Any]]:
    """A statement that gives the ids of all whom `find` would show on its pages, and its values."""
    wanted = asked(viewer=viewer, text=text, filters=filters, numbers=numbers)
    branches = [
        sql.SQL("SELECT p.id FROM {} WHERE {}").format(PEOPLE, sql.SQL(" AND ").join([*wanted.conditions, one]))
        for one in wanted.alternatives
    ]
    return sql.SQL(" UNION ALL ").join(branches), dict(wanted.params)
