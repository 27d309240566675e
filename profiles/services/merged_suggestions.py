"""What becomes of suggestions when one of the two is merged, and when that is taken back."""

import json
import uuid
from typing import Any

from django.db import connection
from django.utils import timezone

from profiles.models import MergeSuggestion

MERGED, DISMISSED, OPEN = (MergeSuggestion.Status[name] for name in ("MERGED", "DISMISSED", "OPEN"))


# What the next standing merge found a suggestion to be is by now what it was before the merge that is taken back.
HAND_ON = """
UPDATE profile_merges AS m SET moved = jsonb_set(m.moved, ARRAY['suggestions', next.place::text, 'before'], %(before)s::jsonb)
FROM (
    SELECT later.id, entries.place - 1 AS place
    FROM profile_merges AS later
    CROSS JOIN LATERAL jsonb_array_elements(later.moved -> 'suggestions') WITH ORDINALITY AS entries (entry, place)
    WHERE (later.survivor_id = ANY(%(pair)s) OR later.other_id = ANY(%(pair)s)) AND later.unmerged_at IS NULL
        AND later.id > %(merge)s AND entry -> 'id' = to_jsonb(%(suggestion)s::bigint)
        AND entry -> 'before' ->> 'status' = %(status)s
    ORDER BY later.id LIMIT 1
) AS next
WHERE next.id = m.id RETURNING m.id
"""
TAKE_BACK_TOO = """
UPDATE profile_merges SET moved = jsonb_set(moved, '{suggestions}', moved -> 'suggestions' || %s::jsonb) WHERE id = %s
"""


def follow(survivor_id: uuid.UUID, other_id: uuid.UUID, *, by: uuid.UUID | None) -> list[dict[str, Any]]:
    """Let the other's suggestions be the survivor's; gives what was done, for `give_back`.

    The pair's own are decided by the merge, and so are those with somebody whom the survivor has one with already. A pair
    that was dismissed stays so: two whom one half of the survivor is not are not the whole either.
    """
    rows = MergeSuggestion.objects.order_by("id").select_for_update()
    known = {found.other_profile_id: found for found in rows.filter(profile=survivor_id)}
    known |= {found.profile_id: found for found in rows.filter(other_profile=survivor_id)}
    now, done = timezone.now(), []
    others = rows.exclude(status=MERGED)
    for found in [*others.filter(profile=other_id), *others.filter(other_profile=other_id)]:
        side = "profile" if found.profile_id == other_id else "other_profile"
        third = found.other_profile_id if side == "profile" else found.profile_id
        entry = _entry(found)
        if third == survivor_id:
            _decide(found, MERGED, by, now)
        elif twin := known.get(third):
            if found.status == DISMISSED and twin.status == OPEN:
                dismissed = _entry(twin)
                _decide(twin, DISMISSED, found.decided_by_id, found.decided_at)
                twin.save()
                done.append({**dismissed, "status": twin.status})
            _decide(found, MERGED, by, now)
        else:
            setattr(found, f"{side}_id", survivor_id)
            entry["side"] = side
            known[third] = found
        found.save()
        done.append({**entry, "status": found.status})
    return done


def give_back(merge_id: int, moved: list[dict[str, Any]], survivor_id: uuid.UUID, other_id: uuid.UUID) -> None:
    """Undo what `follow` did. What somebody decided since about the survivor stays, for both; what a later merge did with a
    suggestion stays as long as that merge stands."""
    for entry in reversed(moved):
        if entry.get("made"):
            MergeSuggestion.objects.filter(pk=entry["id"], status=entry["status"]).delete()
            continue
        found = MergeSuggestion.objects.select_for_update().filter(pk=entry["id"]).first()
        if found is None:
            continue
        side = entry["side"]
        decided_since = found.status != entry["status"]
        later = _hand_on(merge_id, entry, found) if decided_since else None
        twin = None
        if side and getattr(found, f"{side}_id") == survivor_id:
            if decided_since and found.status == DISMISSED:
                twin = {
                    field.attname: getattr(found, field.attname)
                    for field in MergeSuggestion._meta.concrete_fields
                    if not field.primary_key
                }
            setattr(found, f"{side}_id", other_id)
        if not decided_since:
            _decide(found, **entry["before"])
        found.save()
        if twin:
            _make_twin(twin, later)


def _hand_on(merge_id: int, entry: dict[str, Any], found: MergeSuggestion) -> int | None:
    """Where a later merge decided it, that one is to give back what was there before this one; gives that merge's id."""
    with connection.cursor() as cursor:
        cursor.execute(
            HAND_ON,
            {
                "before": json.dumps(entry["before"]),
                "pair": [found.profile_id, found.other_profile_id],
                "merge": merge_id,
                "suggestion": found.pk,
                "status": entry["status"],
            },
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _make_twin(twin: dict[str, Any], later: int | None) -> None:
    """The dismissed suggestion for the survivor too; where the merge `later` dismissed it, it goes with that one."""
    pair = {name: twin.pop(name) for name in ("profile_id", "other_profile_id")}
    made, is_new = MergeSuggestion.objects.get_or_create(**pair, defaults=twin)
    if is_new and later:
        entry = json.dumps([{"id": made.pk, "made": True, "status": DISMISSED}])
        with connection.cursor() as cursor:
            cursor.execute(TAKE_BACK_TOO, [entry, later])


def _entry(found: MergeSuggestion) -> dict[str, Any]:
    """A suggestion as it is, in JSON."""
    before = {
        "status": found.status,
        "by": str(found.decided_by_id) if found.decided_by_id else None,
        "at": found.decided_at.isoformat() if found.decided_at else None,
    }
    return {"id": found.pk, "side": None, "before": before}


def _decide(found: MergeSuggestion, status: str, by: Any, at: Any) -> None:
    found.status, found.decided_by_id, found.decided_at = status, by, at
