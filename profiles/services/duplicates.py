"""Pairs that may be one person: found by what they share, scored, and decided by staff."""

import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from accounts.models import User
from config.api.problems import conflict
from profiles.matching import KEYS, MOST_PER_KEY, SUGGESTED_FROM, scored
from profiles.models import MergeSuggestion

BATCH = 1000
ONE_AT_A_TIME = 7_213_640_119_004_267  # one search at a time; the number only has to be the same everywhere


@dataclass
class Found:
    """`looked_at` profiles were new or had changed; `left`: there are more, and the next search goes on with them."""

    looked_at: int = 0
    compared: int = 0
    suggested: int = 0
    scored: int = 0
    left: bool = False


# Profiles that were written since their keys were made, whoever wrote them and however: their row has another version.
PENDING = """
SELECT p.id FROM profiles AS p LEFT JOIN duplicate_keys AS k ON k.profile_id = p.id
WHERE k.version IS DISTINCT FROM p.xmin::text::bigint AND p.id > %s ORDER BY p.id LIMIT %s
"""

MAKE_KEYS = sql.SQL(
    """
INSERT INTO duplicate_keys (profile_id, version, {names})
SELECT p.id, p.xmin::text::bigint, {hashes} FROM profiles AS p
WHERE p.id = ANY(%(ids)s)
ON CONFLICT (profile_id) DO UPDATE SET version = EXCLUDED.version, {assigned}
"""
).format(
    names=sql.SQL(", ").join(map(sql.Identifier, KEYS)),
    hashes=sql.SQL(", ").join(
        sql.SQL("CASE WHEN p.merged_into_id IS NULL AND p.erased_at IS NULL THEN hashtextextended({}, 0) END").format(
            key
        )
        for key in KEYS.values()
    ),
    assigned=sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in KEYS),
)

# Everybody who shares a key with one of the batch.
CANDIDATES = sql.SQL(
    """
SELECT DISTINCT least(k.profile_id, o.id) AS one_id, greatest(k.profile_id, o.id) AS other_id, false AS linked
FROM duplicate_keys AS k CROSS JOIN LATERAL (
    {blocks}
) AS block (ids) CROSS JOIN LATERAL unnest(block.ids) AS o (id)
WHERE k.profile_id = ANY(%(ids)s) AND cardinality(block.ids) <= {most} AND o.id <> k.profile_id"""
).format(
    most=sql.Literal(MOST_PER_KEY),
    blocks=sql.SQL("\n    UNION ALL ").join(
        sql.SQL(
            "SELECT array_agg(same.profile_id) FROM ("
            "SELECT profile_id FROM duplicate_keys WHERE {0} = k.{0} LIMIT {1}) AS same"
        ).format(sql.Identifier(name), sql.Literal(MOST_PER_KEY + 1))
        for name in KEYS
    ),
)

# A pair that is open, or that was dismissed, also when one of the two was another profile then, is not suggested again.
SUGGEST = sql.SQL(
    """
WITH candidates AS MATERIALIZED ({candidates}), weighed AS MATERIALIZED ({scored}), made AS (
    INSERT INTO merge_suggestions (profile_id, other_profile_id, reason, score, evidence)
    SELECT merged_id, survivor_id, CASE
        WHEN evidence ? 'phone' THEN 'same_phone'
        WHEN evidence ?| ARRAY['birth_date', 'birth_date_slip'] THEN 'name_birth_date'
        ELSE 'name_address' END, score, evidence
    FROM weighed AS w
    WHERE score >= {from_score} AND NOT EXISTS (
        SELECT FROM merge_suggestions AS s
        WHERE s.status IN ('open', 'dismissed') AND (
            s.profile_id IN ({one}) AND s.other_profile_id IN ({other})
            OR s.profile_id IN ({other}) AND s.other_profile_id IN ({one})))
    ON CONFLICT (profile_id, other_profile_id) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM candidates), (SELECT count(*) FROM made)
"""
).format(
    candidates=CANDIDATES,
    scored=scored(sql.SQL("SELECT * FROM candidates")),
    from_score=sql.Literal(SUGGESTED_FROM),
    **{
        side: sql.SQL("SELECT w.{0} UNION ALL SELECT id FROM profiles WHERE merged_into_id = w.{0}").format(
            sql.Identifier(f"{side}_id")
        )
        for side in ("one", "other")
    },
)

# What is known by now of pairs that are open, the take-over's too. Computed once, whatever the plan makes of the join.
SCORE = sql.SQL(
    """
WITH weighed AS MATERIALIZED ({scored})
UPDATE merge_suggestions AS s SET score = w.score, evidence = w.evidence
FROM weighed AS w
WHERE s.status = 'open' AND (s.profile_id, s.other_profile_id) = (w.one_id, w.other_id)
    AND (s.score, s.evidence) IS DISTINCT FROM (w.score, w.evidence)
"""
).format(
    scored=scored(
        sql.SQL(
            """SELECT s.profile_id AS one_id, s.other_profile_id AS other_id, s.reason = 'linked' AS linked
            FROM merge_suggestions AS s
            WHERE s.status = 'open' AND (s.profile_id = ANY(%(ids)s) OR s.other_profile_id = ANY(%(ids)s))"""
        )
    )
)


def find(
    *, seconds: float | None = None, batch: int = BATCH, tell: Callable[[Found], None] = lambda found: None
) -> Found:
    """Look at every profile that was written since it was looked at last, and suggest the pairs that score enough.

    Each batch commits. After `seconds` no other one begins. Problem 409: another search is at work (busy).
    """
    found, last = Found(), uuid.UUID(int=0)
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
            if not cursor.fetchone()[0]:
                raise conflict("busy", "Another search for duplicates is at work. Wait for its end.")
            cursor.execute(PENDING, [last, batch])
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return found
            if end is not None and time.monotonic() > end:
                found.left = True
                return found
            cursor.execute(MAKE_KEYS, {"ids": ids})
            cursor.execute(SUGGEST, {"ids": ids})
            compared, suggested = cursor.fetchone()
            cursor.execute(SCORE, {"ids": ids})
            found.scored += cursor.rowcount
        found.looked_at, last = found.looked_at + len(ids), ids[-1]
        found.compared, found.suggested = found.compared + compared, found.suggested + suggested
        tell(found)


def dismiss(suggestion_ids: Collection[int], *, by: User) -> int:
    """Two people each: how many pairs were open, and are dismissed now. They are never suggested again."""
    return _decide(suggestion_ids, MergeSuggestion.Status.OPEN, MergeSuggestion.Status.DISMISSED, by)


def reopen(suggestion_ids: Collection[int], *, by: User) -> int:
    """Undo a dismissal: how many pairs are open again."""
    return _decide(suggestion_ids, MergeSuggestion.Status.DISMISSED, MergeSuggestion.Status.OPEN, by)


def _decide(suggestion_ids: Collection[int], before: str, after: str, by: User) -> int:
    """Of the tenant of who decides; each pair once, also where two do it at the same time."""
    rows = MergeSuggestion.objects.filter(pk__in=suggestion_ids)
    if not by.is_superuser:
        rows = rows.filter(profile__user__tenant_id=by.tenant_id)
    decided = after == MergeSuggestion.Status.DISMISSED
    return MergeSuggestion.objects.filter(pk__in=rows.values("pk"), status=before).update(
        status=after, decided_by=by if decided else None, decided_at=timezone.now() if decided else None
    )
