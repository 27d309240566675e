"""What becomes of suggestions when one of the two is merged, and when that is taken back."""

import uuid
from typing import Any

from django.utils import timezone

from profiles.models import MergeSuggestion

MERGED, DISMISSED, OPEN = (MergeSuggestion.Status[name] for name in ("MERGED", "DISMISSED", "OPEN"))


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


def give_back(moved: list[dict[str, Any]], survivor_id: uuid.UUID, other_id: uuid.UUID) -> None:
    """Undo what `follow` did. What somebody decided since about the survivor stays, for both."""
    for entry in reversed(moved):
        found = MergeSuggestion.objects.select_for_update().filter(pk=entry["id"]).first()
        if found is None:
            continue
        side = entry["side"]
        decided_since = found.status != entry["status"]
        copy = None
        if side and getattr(found, f"{side}_id") == survivor_id:
            if decided_since and found.status == DISMISSED:
                copy = {
                    field.attname: getattr(found, field.attname)
                    for field in MergeSuggestion._meta.concrete_fields
                    if not field.primary_key
                }
            setattr(found, f"{side}_id", other_id)
        if not decided_since:
            _decide(found, **entry["before"])
        found.save()
        if copy:
            MergeSuggestion.objects.bulk_create([MergeSuggestion(**copy)], ignore_conflicts=True)


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
