"""Figures of the dashboard. Each costs the same however many people there are: what would grow is estimated or capped."""

import datetime
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg import sql

from accounts.models import User
from config.postgresql.counts import COUNTED, Count, capped, of_table
from profiles.keyset import TRUE
from profiles.models import Profile
from profiles.selectors import PEOPLE, VIEW_MEDICAL, query, visible

# So many are counted, then it is "and more". Whose each one is takes longer to find out.
MOST, MOST_OF_TENANT = 1_000, 50


@dataclass(frozen=True)
class OfField:
    """Conflicts of one column that nobody has decided."""

    field: str
    count: Count


def people(viewer: User) -> Count | None:
    """Whom the viewer sees; None for a tenant's staff where people are too many to count the tenant's among them."""
    everybody = of_table(connection, Profile._meta.db_table)
    if viewer.is_superuser and everybody.estimated:
        return everybody
    if everybody.estimated:
        return None
    params: dict[str, Any] = {}
    source = sql.SQL("profiles AS p") if viewer.is_superuser else PEOPLE  # whose condition asks nothing of a login
    statement = sql.SQL("SELECT FROM {} WHERE {}").format(source, visible(viewer, params))
    return capped(connection, statement, params, most=COUNTED)


def new_people(viewer: User, first: datetime.date, last: datetime.date) -> dict[datetime.date, int]:
    """Who came on each of the days, which are the shop's; a day without anybody is 0. It reads those who came."""
    params: dict[str, Any] = {"zone": settings.TIME_ZONE, "first": first, "last": last}
    statement = sql.SQL(
        """
        SELECT timezone(%(zone)s, p.created_at)::date AS day, count(*) FROM {people}
        WHERE p.created_at >= timezone(%(zone)s, %(first)s::date::timestamp)
            AND p.created_at < timezone(%(zone)s, (%(last)s::date + 1)::timestamp) AND {visible}
        GROUP BY day"""
    ).format(people=PEOPLE, visible=visible(viewer, params))
    came = dict(query(statement, params))
    days = [first + datetime.timedelta(days=n) for n in range((last - first).days + 1)]
    return {day: came.get(day, 0) for day in days}


# The newest MOST of each column, then those of them whom the viewer sees: less than all there is where there are more.
OPEN_CONFLICTS = sql.SQL(
    """
SELECT f.field, newest.seen, newest.looked_at > {most}
FROM unnest(%(fields)s::text[]) AS f (field)
CROSS JOIN LATERAL (
    SELECT count(*) AS looked_at, count(*) FILTER (WHERE {seen}) AS seen
    FROM (
        -- As rows: equality alone would leave the planner to read all columns' conflicts by their ids.
        SELECT c.profile_id FROM field_conflicts AS c WHERE c.resolved_at IS NULL
            AND (c.field, c.id) > (f.field, 0) AND (c.field, c.id) <= (f.field, 9223372036854775807)
        ORDER BY c.field DESC, c.id DESC LIMIT {most} + 1
    ) AS c {join}
) AS newest
WHERE newest.seen > 0
ORDER BY newest.seen DESC, f.field"""
)
JOIN = sql.SQL("JOIN profiles AS p ON p.id = c.profile_id JOIN users AS u ON u.id = p.user_id")


def open_conflicts(viewer: User) -> list[OfField]:
    """Conflicts that nobody has decided, by column; without medical conditions for who may not see them."""
    params: dict[str, Any] = {"fields": _fields(viewer)}
    everybody = viewer.is_superuser
    statement = OPEN_CONFLICTS.format(
        most=sql.Literal(most := MOST if everybody else MOST_OF_TENANT),
        join=sql.SQL("") if everybody else JOIN,
        seen=TRUE if everybody else visible(viewer, params),
    )
    return [OfField(field, Count(min(seen, most), more=more)) for field, seen, more in query(statement, params)]


def _fields(viewer: User) -> list[str]:
    """Every column that a conflict can be about."""
    fields = {field.name for field in Profile._meta.concrete_fields} | {"users.active", "orders.user_id"}
    return sorted(fields if viewer.has_perm(VIEW_MEDICAL) else fields - {"medical_conditions"})


def open_suggestions(viewer: User) -> Count:
    """Pairs that may be one person, and that nobody has decided."""
    params: dict[str, Any] = {}
    some = sql.SQL("SELECT s.profile_id FROM merge_suggestions AS s WHERE s.status = 'open'")
    looked_at = capped(connection, some, most=MOST if viewer.is_superuser else MOST_OF_TENANT)
    if viewer.is_superuser:
        return looked_at
    statement = sql.SQL("SELECT FROM ({} LIMIT {}) AS c {} WHERE {}").format(
        some, sql.Literal(MOST_OF_TENANT), JOIN, visible(viewer, params)
    )
    return Count(capped(connection, statement, params, most=MOST_OF_TENANT).rows, more=looked_at.more)
