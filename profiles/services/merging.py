"""Two profiles made one: what that would do, and the merge itself.

The other profile stays as a shell that leads to the survivor; its login is closed. Everything that counts goes over to the
survivor by ordinary updates, so that history and ledger explain it. Locks: orders, then profiles, then users, each by id.
"""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from accounts.authorship import sign
from accounts.models import User
from accounts.roles import STAFF_ROLES
from config.api.problems import Problem, conflict
from profiles.models import MergeSuggestion, ProfileMerge

from . import merged_suggestions, pairs
from .merge_rules import (
    CHOOSABLE,
    FIELDS,
    OTHER,
    SUMS,
    SURVIVOR,
    Decision,
    Lost,
    Pair,
    Rule,
    decide,
    dumps,
    loads,
    same,
)
from .pairs import Side


@dataclass(frozen=True)
class Finding:
    """Something that stands in the way of a merge, or that whoever merges should know."""

    code: str
    detail: str


@dataclass(frozen=True)
class Preview:
    """What merging `other_id` into `survivor_id` would do. `token` stands for both profiles as they are, and the choices."""

    survivor_id: uuid.UUID
    other_id: uuid.UUID
    decisions: list[Decision]
    moves: dict[str, Any]
    blockers: list[Finding]
    warnings: list[Finding]
    token: str


TIMES = """
SELECT jsonb_build_object('last_order_date', greatest(s.last_order_date, o.last_order_date),
    'created_at', least(s.created_at, o.created_at), 'other_is_older', coalesce(o.created_at < s.created_at, false))::text
FROM profiles AS s, profiles AS o WHERE s.id = %s AND o.id = %s
"""


def preview(
    survivor_id: uuid.UUID, other_id: uuid.UUID, *, choices: Mapping[str, str] | None = None, confirm: bool = False
) -> Preview:
    """What the merge would do, without doing it. Problem 404: there is no such profile; 400: no such choice."""
    choices = _checked(choices)
    survivor, other = pairs.sides(survivor_id, other_id)
    return _preview(survivor, other, choices, confirm)


def merge(
    survivor_id: uuid.UUID,
    other_id: uuid.UUID,
    *,
    token: str,
    choices: Mapping[str, str] | None = None,
    confirm: bool = False,
    by: User | None,
    via: str,
) -> ProfileMerge:
    """Make one profile of two, as `preview` with the same choices said.

    Problem 409: something stands in the way (merge_blocked, with each blocker in `errors`), one of the two or the choices
    have changed since the preview (preview_outdated), or somebody else is writing to them (busy).
    """
    choices = _checked(choices)
    with pairs.one_at_a_time(survivor_id, other_id), transaction.atomic():
        pairs.lock(survivor_id, other_id)
        survivor, other = pairs.sides(survivor_id, other_id)
        planned = _preview(survivor, other, choices, confirm)
        if planned.blockers:
            raise Problem(
                "merge_blocked",
                f"Profile {other_id} cannot be merged into {survivor_id}: "
                + " ".join(finding.detail for finding in planned.blockers),
                status=409,
                errors=[{"field": "", "code": found.code, "detail": found.detail} for found in planned.blockers],
            )
        if planned.token != token:
            raise conflict(
                "preview_outdated",
                f"Profile {survivor_id}, profile {other_id} or the choices are not those of the preview. Preview again, "
                "and merge with its token.",
            )
        sign(using="default", by=by.pk if by else None, via=via)
        return _merge(survivor, other, planned.decisions, choices, by, via)


# --- reading ------------------------------------------------------------------------------------------------------


def _checked(choices: Mapping[str, str] | None) -> dict[str, str]:
    choices = dict(choices or {})
    for name, side in choices.items():
        if name not in CHOOSABLE:
            rule = FIELDS.get(name)
            if rule is None:
                detail = f"A merge decides nothing called {name!r}. What can be chosen: {', '.join(sorted(CHOOSABLE))}."
            elif rule is Rule.BLOCK:
                detail = f"{name} goes with the address as a whole. Choose address instead."
            else:
                detail = f"{name} is decided by its rule ({rule}), not by choice. Leave it out."
        elif side not in (SURVIVOR, OTHER):
            detail = f"{side!r} is neither survivor nor other."
        else:
            continue
        found = {"field": f"choices.{name}", "code": "invalid_choice", "detail": detail}
        raise Problem("invalid", f"choices.{name}: {detail}", errors=[found])
    return choices


def _preview(survivor: Side, other: Side, choices: Mapping[str, str], confirm: bool) -> Preview:
    with connection.cursor() as cursor:
        cursor.execute(TIMES, [survivor.id, other.id])
        times = loads(cursor.fetchone()[0])
    pair = Pair(
        survivor.profile, other.profile, survivor.login["email"], other.login["email"], times, times["other_is_older"]
    )
    parts = (survivor.text, other.text, dumps(dict(sorted(choices.items()))))
    return Preview(
        survivor_id=uuid.UUID(survivor.id),
        other_id=uuid.UUID(other.id),
        decisions=decide(pair, choices),
        moves=_moves(other),
        blockers=list(_blockers(survivor, other, confirm)),
        warnings=list(_warnings(survivor, other)),
        token=hashlib.sha256("\0".join(parts).encode()).hexdigest(),
    )


def _moves(other: Side) -> dict[str, Any]:
    """How many rows go over, and the sums."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT count(*) FROM orders WHERE user_id = p.user_id),
                (SELECT count(*) FROM profile_aliases WHERE profile_id = p.id),
                (SELECT count(*) FROM field_conflicts WHERE profile_id = p.id),
                (SELECT count(*) FROM merge_suggestions WHERE p.id IN (profile_id, other_profile_id) AND status <> %s),
                (SELECT count(*) FROM profiles AS shell WHERE shell.merged_into_id = p.id)
            FROM profiles AS p WHERE p.id = %s""",
            [MergeSuggestion.Status.MERGED, other.id],
        )
        names = ("orders", "aliases", "conflicts", "suggestions", "merged_profiles")
        rows: dict[str, Any] = dict(zip(names, cursor.fetchone(), strict=True))
    return rows | {name: other.profile[name] for name in SUMS}


def _blockers(survivor: Side, other: Side, confirm: bool) -> Iterator[Finding]:
    if survivor.id == other.id:
        yield Finding("same_profile", f"Profile {survivor.id} cannot be merged into itself.")
        return
    for side in (survivor, other):
        if side.profile["merged_into_id"]:
            yield Finding(
                "already_merged",
                f"Profile {side.id} was merged into {side.profile['merged_into_id']} already. Use that one.",
            )
        if side.profile["erased_at"]:
            yield Finding("erased", f"Profile {side.id} was erased: there is nobody to merge.")
    if survivor.login["tenant_id"] != other.login["tenant_id"]:
        yield Finding("other_tenant", "The two belong to different tenants.")
    if other.login["role"] in STAFF_ROLES:
        yield Finding(
            "staff_account",
            f"Profile {other.id} is a {other.login['role']}'s, whose login would be closed. Merge the other way round, "
            "or make the account a customer's first.",
        )
    born = survivor.profile["date_of_birth"], other.profile["date_of_birth"]
    if None not in born and born[0] != born[1] and not confirm:
        yield Finding(
            "birth_date", "The birth dates contradict each other. If it is one person all the same, confirm it."
        )


def _warnings(survivor: Side, other: Side) -> Iterator[Finding]:
    if other.login["can_log_in"] and not survivor.login["can_log_in"]:
        yield Finding(
            "login_closes",
            f"Profile {other.id} has a login, {survivor.id} has none: the person could not log in any more. "
            "Merge the other way round to keep it.",
        )
    if survivor.login["active"] is not True and other.login["active"] is True:
        yield Finding("survivor_inactive", f"The login of profile {survivor.id} is not active, that of {other.id} is.")


# --- merging ------------------------------------------------------------------------------------------------------


def _merge(
    survivor: Side, other: Side, decisions: list[Decision], choices: dict[str, str], by: User | None, via: str
) -> ProfileMerge:
    actor = by.pk if by else None
    written = {
        found.field: found.chosen for found in decisions if not same(found.chosen, survivor.profile[found.field])
    }
    moved: dict[str, Any] = {"sums": {name: other.profile[name] for name in SUMS}, "active": other.login["active"]}
    with connection.cursor() as cursor:
        # The other first, so that nobody sees the sums twice.
        pairs.reason(cursor, f"merged into {survivor.id}")
        cursor.execute(
            "UPDATE profiles SET loyalty_points = 0, total_spent = 0, order_count = 0, interaction_count = 0,"
            " merged_into_id = %s WHERE id = %s",
            [survivor.id, other.id],
        )
        pairs.reason(cursor, f"merged from {other.id}")
        pairs.write(cursor, survivor.id, written, other.id)
        pairs.reason(cursor, "")
        moved["shells"] = pairs.ids(
            cursor,
            "UPDATE profiles SET merged_into_id = %s WHERE merged_into_id = %s RETURNING id",
            [survivor.id, other.id],
        )
        cursor.execute(
            "UPDATE users SET active = false WHERE id = %s AND active IS DISTINCT FROM false", [other.login["id"]]
        )
        moved["orders"] = pairs.move_orders(cursor, "user_id = %s", [other.login["id"]], survivor.login["id"])
        moved["counted"] = pairs.counted(cursor, moved["orders"])
        moved["aliases"] = pairs.ids(
            cursor,
            "UPDATE profile_aliases SET profile_id = %s WHERE profile_id = %s RETURNING id",
            [survivor.id, other.id],
        )
        moved["conflicts"] = pairs.ids(
            cursor,
            # What is recorded of a cell that the survivor has recorded too stays where it is.
            "UPDATE field_conflicts AS f SET profile_id = %s WHERE profile_id = %s AND NOT EXISTS ("
            "SELECT FROM field_conflicts AS own WHERE own.profile_id = %s AND (own.field, own.path, own.other_table,"
            " own.other_row) = (f.field, f.path, f.other_table, f.other_row)) RETURNING id",
            [survivor.id, other.id, survivor.id],
        )
        moved["suggestions"] = merged_suggestions.follow(uuid.UUID(survivor.id), uuid.UUID(other.id), by=actor)
        done = ProfileMerge.objects.create(
            survivor_id=survivor.id, other_id=other.id, choices=choices, merged_by=actor, via=via
        )
        lost = [entry for found in decisions for entry in found.lost]
        moved["new_conflicts"] = _record(cursor, survivor, other, lost, done.pk, actor)
        cursor.execute(
            "UPDATE profile_merges SET before = %s, after = %s, moved = %s WHERE id = %s",
            [
                dumps({SURVIVOR: survivor.profile, OTHER: other.profile}),
                dumps({SURVIVOR: written}),
                dumps(moved),
                done.pk,
            ],
        )
    done.refresh_from_db()
    return done


RECORD = """
INSERT INTO field_conflicts (profile_id, field, path, rule, chosen_value, chosen_table, chosen_row,
    other_value, other_table, other_row, resolved_by_id, resolved_at)
SELECT %(survivor)s, r.field, r.path, r.rule, r.chosen, 'profiles', CASE r.side WHEN 'other' THEN %(survivor)s ELSE %(other)s END,
    r.value, CASE r.side WHEN 'other' THEN 'profiles' ELSE 'profile_merges' END,
    CASE r.side WHEN 'other' THEN %(other)s ELSE %(merge)s END,
    CASE r.rule WHEN 'choice' THEN %(actor)s::uuid END, CASE r.rule WHEN 'choice' THEN now() END
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (field text, path text, rule text, chosen jsonb, value jsonb, side text)
RETURNING id
"""


def _record(
    cursor: Any, survivor: Side, other: Side, lost: list[Lost], merge_id: int, actor: uuid.UUID | None
) -> list[int]:
    """A conflict per value that lost; what somebody chose is decided already. The survivor's own are in the merge's row."""
    rows = [
        {"field": e.field, "path": e.path, "rule": e.rule, "chosen": e.chosen, "value": e.value, "side": e.side}
        for e in lost
    ]
    cursor.execute(
        RECORD,
        {
            "survivor": survivor.id,
            "other": other.id,
            "merge": str(merge_id),
            "actor": actor,
            "rows": dumps(rows),
        },
    )
    return [row[0] for row in cursor.fetchall()]
