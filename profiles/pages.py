"""Lists of people: everybody, who is searched for, who fits the filters. Never a shell of somebody who was merged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import DataError, connection, transaction
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
# Of those whose beginning is known: there is no row without a key.
KNOWN = replace(LISTING, orders={"created_at": Order("p.created_at", "timestamptz", nullable=False)})
ID = {"id": "p.id"}
# The same people: PostgreSQL leaves out an outer join where nothing is asked of the login.
LOOSELY = sql.SQL("profiles AS p LEFT JOIN users AS u ON u.id = p.user_id")

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
# A text that COMMON of the next SAMPLE people have is looked for among the next MOST_READ; a rarer one by its index.
COMMON, SAMPLE = 5, 1_000


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
    ids = [row[0] for row in keyset.read(LISTING, wanted, ID, as_json=False).rows]
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
    """Newest first. Seven queries at most, and a bounded number of rows, however many people there are. Problem 400 for a
    cursor whose place is none."""
    wanted = asked(viewer=viewer, text=text, limit=limit, cursor=cursor, filters=filters, numbers=numbers)
    by_text = bool(text.strip())
    try:
        common = by_text and _is_common(wanted)
        if common or (not by_text and any(filters.get(name) is not None for name in BY_READING)):
            page, end = _by_reading(wanted)
        elif by_text:
            page, end = _by_index(wanted), None
        else:
            page, end = keyset.read(LISTING, wanted, ID, as_json=False), None
    except DataError as error:
        if cursor is None:
            raise
        raise keyset.bad_cursor(str(cursor)) from error
    ids = [row[0] for row in page.rows]
    found = Profile.objects.select_related("user").in_bulk(ids)
    older, newer = page.next, page.previous
    if end is not None and end.backwards:
        newer = newer or end
    elif end is not None:
        older, newer = older or end, newer or (cursor and replace(cursor, backwards=True))
    stopped = end is not None and (newer if end.backwards else older) is end
    return Found([found[profile_id] for profile_id in ids if profile_id in found], older, newer, stopped)


def _by_reading(wanted: Asked) -> tuple[Page, Cursor | None]:
    """The page among the next MOST_READ people, in the list's order; and where they end, unless they fill it."""
    params = dict(wanted.params)
    people = sql.SQL("(SELECT * FROM profiles AS p WHERE {} LIMIT {}) AS p").format(
        _next_people(wanted.cursor, params),
        sql.Literal(MOST_READ + 1),  # with the one where reading ends
    )
    if wanted.narrow is None:
        people += sql.SQL(" JOIN users AS u ON u.id = p.user_id")
    either = [_either(wanted.alternatives)]
    near = replace(wanted, alternatives=either, narrow=people, params=params)
    page = keyset.read(KNOWN, near, ID, as_json=False)
    backwards = wanted.cursor is not None and wanted.cursor.backwards
    if page.previous if backwards else page.next:
        return page, None
    end = _end_of_reading(wanted.cursor, MOST_READ)
    # Where fewer are left, those whose beginning nobody knows come last.
    return (page, end) if end else (keyset.read(LISTING, wanted, ID, as_json=False), None)


def _by_index(wanted: Asked) -> Page:
    """The page of what few have. In one process: to start others takes longer."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('max_parallel_workers_per_gather', '0', true), set_config('jit', 'off', true)"
        )
        return keyset.read(LISTING, replace(wanted, few=True, narrow=LOOSELY), ID, as_json=False)


def _is_common(wanted: Asked) -> bool:
    """Whether COMMON of the next SAMPLE people have the text, whatever else is asked of them.

    An index of texts gives all who have one before the newest of them are known: of one that many have, too many.
    """
    if len(wanted.alternatives) == 1:  # an id
        return False
    statement = sql.SQL(
        "SELECT count(*) FROM (SELECT FROM (SELECT * FROM profiles AS p WHERE {reach} LIMIT {sample}) AS p"
        " JOIN users AS u ON u.id = p.user_id WHERE {has} LIMIT {common}) AS few"
    ).format(
        reach=_next_people(wanted.cursor, params := dict(wanted.params)),
        sample=sql.Literal(SAMPLE),
        has=_either(wanted.alternatives),
        common=sql.Literal(COMMON),
    )
    return bool(query(statement, params)[0][0] >= COMMON)


def _either(alternatives: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL("({})").format(sql.SQL(" OR ").join(sql.SQL("({})").format(one) for one in alternatives))


def _end_of_reading(cursor: Cursor | None, most: int) -> Cursor | None:
    """Where `most` people from the cursor on have been read, by the index alone; None where there are fewer."""
    params: dict[str, Any] = {}
    if cursor is not None and cursor.key is None:  # those whose beginning nobody knows come last
        return None
    statement = sql.SQL("SELECT p.created_at::text, p.id::text FROM profiles AS p WHERE {} LIMIT 1 OFFSET {}").format(
        _next_people(cursor, params), sql.Literal(most)
    )
    found = query(statement, params)
    backwards = cursor is not None and cursor.backwards
    return Cursor(NEWEST, found[0][0], found[0][1], backwards) if found else None


def _next_people(cursor: Cursor | None, params: dict[str, Any]) -> sql.Composed:
    """The condition of whom the list comes to after the cursor, in its order; of those whose beginning is known."""
    backwards = cursor is not None and cursor.backwards
    reach: sql.Composable = sql.SQL("p.created_at IS NOT NULL")
    if cursor is not None:
        params["after_key"], params["after_id"] = cursor.key, cursor.id
        than = sql.SQL(">" if backwards else "<")
        reach = sql.SQL("(p.created_at, p.id) {} (%(after_key)s::timestamptz, %(after_id)s::uuid)").format(than)
    direction = sql.SQL("ASC" if backwards else "DESC")
    return sql.SQL("{} ORDER BY p.created_at {}, p.id {}").format(reach, direction, direction)


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
