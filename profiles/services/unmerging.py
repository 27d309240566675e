"""A merge taken back: what it moved goes back, what was written since stays."""

import uuid

from django.db import connection, transaction
from django.utils import timezone

from accounts.authorship import sign
from accounts.models import User
from config.api.problems import Problem, conflict, not_found
from profiles.models import FieldConflict, ProfileMerge

from . import merged_suggestions, pairs
from .merge_reversal import given_back
from .merge_rules import SURVIVOR, loads
from .pairs import Side


def unmerge(merge_id: int, *, by: User | None, via: str) -> ProfileMerge:
    """Give back what a merge moved; what was written since stays.

    A value that the merge brought goes where nobody has changed it since, of a list, an object or the notes the part that it
    brought; an address goes as a whole. Sums go back as the amounts that came, less what refunds took since. Rows go back
    that are still where the merge put them. The survivor's `updated_at` is now: whoever reads what changed has to see it.

    Problem 404: no such merge; 409: what `refusal` says, or somebody is writing to one of the two (busy).
    """
    done = ProfileMerge.objects.filter(pk=merge_id).first()
    if done is None:
        raise not_found("merge", merge_id)
    with pairs.one_at_a_time(done.survivor_id, done.other_id), transaction.atomic():
        pairs.lock(done.survivor_id, done.other_id, orders_of=done.survivor_id)
        done = ProfileMerge.objects.select_for_update().get(pk=merge_id)
        survivor, other = pairs.sides(done.survivor_id, done.other_id)
        if refused := refusal(done, survivor, other):
            raise refused
        sign(using="default", by=by.pk if by else None, via=via)
        return _unmerge(done, survivor, other, by)


def refusal(done: ProfileMerge, survivor: Side, other: Side) -> Problem | None:
    """Why a merge cannot be taken back: it was already, one was erased, the survivor was merged itself, or another one was
    merged into the survivor after it: what each of them brought can be told apart in that order alone."""
    if done.unmerged_at is not None:
        return conflict("already_unmerged", f"Merge {done.pk} was taken back at {done.unmerged_at:%Y-%m-%d %H:%M} UTC.")
    for side in (survivor, other):
        if side.profile["erased_at"]:
            return conflict("erased", f"Profile {side.id} was erased: merge {done.pk} cannot be taken back.")
    if survivor.profile["merged_into_id"] or other.profile["merged_into_id"] != survivor.id:
        return conflict(
            "merged_again",
            f"Profile {survivor.id} was merged into {survivor.profile['merged_into_id']} since. "
            "Take that merge back first.",
        )
    later = (
        ProfileMerge.objects.filter(survivor=done.survivor_id, unmerged_at=None, pk__gt=done.pk).order_by("-pk").first()
    )
    if later is not None:
        return conflict(
            "merged_since",
            f"Profile {later.other_id} was merged into {survivor.id} after that (merge {later.pk}). "
            "Take that merge back first.",
        )
    return None


def _unmerge(done: ProfileMerge, survivor: Side, other: Side, by: User | None) -> ProfileMerge:
    with connection.cursor() as cursor:
        cursor.execute("SELECT before::text, after::text, moved::text FROM profile_merges WHERE id = %s", [done.pk])
        before, after, moved = (loads(text) for text in cursor.fetchone())
        counted = pairs.counted(cursor, moved["orders"])
        # What refunds took since from the orders that go back goes back with them.
        sums = {
            name: amount + counted.get(name, 0) - moved["counted"].get(name, 0)
            for name, amount in moved["sums"].items()
        }
        written = given_back(before[SURVIVOR], after[SURVIVOR], survivor.profile)
        written |= {name: survivor.profile[name] - amount for name, amount in sums.items() if amount}
        pairs.reason(cursor, f"merge of {other.id} taken back")
        pairs.write(cursor, survivor.id, written)
        pairs.reason(cursor, f"merge into {survivor.id} taken back")
        cursor.execute("UPDATE profiles SET merged_into_id = NULL WHERE id = %s", [other.id])
        pairs.set_sums(
            cursor, other.id, {name: other.profile[name] + amount for name, amount in sums.items() if amount}
        )
        pairs.reason(cursor, "")
        cursor.execute(
            "UPDATE users SET active = %s WHERE id = %s AND active IS false AND active IS DISTINCT FROM %s",
            [moved["active"], other.login["id"], moved["active"]],
        )
        cursor.execute(
            "UPDATE profiles SET merged_into_id = %s WHERE id = ANY(%s::uuid[]) AND merged_into_id = %s",
            [other.id, moved["shells"], survivor.id],
        )
        condition = "id = ANY(%s::uuid[]) AND user_id = %s"
        pairs.move_orders(cursor, condition, [moved["orders"], survivor.login["id"]], other.login["id"])
        cursor.execute(
            "UPDATE profile_aliases SET profile_id = %s WHERE id = ANY(%s::uuid[]) AND profile_id = %s",
            [other.id, moved["aliases"], survivor.id],
        )
        cursor.execute(
            "UPDATE field_conflicts SET profile_id = %s WHERE id = ANY(%s) AND profile_id = %s",
            [other.id, moved["conflicts"], survivor.id],
        )
    FieldConflict.objects.filter(pk__in=moved["new_conflicts"]).delete()
    merged_suggestions.give_back(done.pk, moved["suggestions"], uuid.UUID(survivor.id), uuid.UUID(other.id))
    done.unmerged_by = by.pk if by else None
    done.unmerged_at = timezone.now()
    done.save(update_fields=["unmerged_by", "unmerged_at"])
    return done
