"""Two profiles made one: what that would do, the merge itself, and the way back.

The other profile stays as a shell that leads to the survivor; its login is closed. Everything that counts goes over to the
survivor by ordinary updates, so that history and ledger explain it. Locks: orders, then profiles, then users, each by id.
"""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from psycopg import sql

from accounts.authorship import sign
from accounts.models import User
from accounts.roles import STAFF_ROLES
from config.api.problems import Problem, conflict, not_found
from profiles.merged_orders import KEEP_DATES
from profiles.models import FieldConflict, MergeSuggestion, ProfileMerge

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

JSON_NOT_NULL = frozenset(
    {
        "preferences",
        "needs",
        "medical_conditions",
        "preferred_categories",
        "preferred_effects",
        "purchase_history",
        "tags",
    }
)
# Suggestions of a pair that was merged, and those that became another pair's, are decided by the merge.
MERGED = MergeSuggestion.Status.MERGED
PATIENCE = "5s"  # for whoever writes to one of the two at the moment


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


@dataclass(frozen=True)
class _Side:
    profile: dict[str, Any]
    login: dict[str, Any]
    text: str

    @property
    def id(self) -> str:
        return str(self.profile["id"])


ROWS = """
SELECT p.id, (to_jsonb(p) - 'search_text')::text, jsonb_build_object('id', u.id, 'email', u.email, 'role', u.role::text,
    'active', u.active, 'tenant_id', u.tenant_id, 'can_log_in', u.email IS NOT NULL AND u.password_hash NOT LIKE '!%%')::text
FROM profiles AS p JOIN users AS u ON u.id = p.user_id WHERE p.id = ANY(%s)
"""
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
    survivor, other = _sides(survivor_id, other_id)
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
    with one_at_a_time(survivor_id, other_id), transaction.atomic():
        _lock(survivor_id, other_id)
        survivor, other = _sides(survivor_id, other_id)
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


def unmerge(merge_id: int, *, by: User | None, via: str) -> ProfileMerge:
    """Give back what a merge moved; what was written since stays.

    A column that the merge wrote gets its old value where nobody has changed it since, sums are given back as the amounts
    that went over, and rows go back that are still where the merge put them.

    Problem 404: no such merge; 409: it was taken back already, one of the two was erased or merged again since.
    """
    done = ProfileMerge.objects.filter(pk=merge_id).first()
    if done is None:
        raise not_found("merge", merge_id)
    with one_at_a_time(done.survivor_id, done.other_id), transaction.atomic():
        _lock(done.survivor_id, done.other_id, orders_of=done.survivor_id)
        done = ProfileMerge.objects.select_for_update().get(pk=merge_id)
        survivor, other = _sides(done.survivor_id, done.other_id)
        _refuse_unmerge(done, survivor, other)
        sign(using="default", by=by.pk if by else None, via=via)
        return _unmerge(done, survivor, other, by)


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


def _sides(survivor_id: uuid.UUID, other_id: uuid.UUID) -> tuple[_Side, _Side]:
    with connection.cursor() as cursor:
        cursor.execute(ROWS, [[survivor_id, other_id]])
        found = {row[0]: _Side(loads(row[1]), loads(row[2]), row[1] + row[2]) for row in cursor.fetchall()}
    for wanted in (survivor_id, other_id):
        if wanted not in found:
            raise not_found("profile", wanted)
    return found[survivor_id], found[other_id]


def _preview(survivor: _Side, other: _Side, choices: Mapping[str, str], confirm: bool) -> Preview:
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


def _moves(other: _Side) -> dict[str, Any]:
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
            [MERGED, other.id],
        )
        names = ("orders", "aliases", "conflicts", "suggestions", "merged_profiles")
        rows: dict[str, Any] = dict(zip(names, cursor.fetchone(), strict=True))
    return rows | {name: other.profile[name] for name in SUMS}


def _blockers(survivor: _Side, other: _Side, confirm: bool) -> Iterator[Finding]:
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


def _warnings(survivor: _Side, other: _Side) -> Iterator[Finding]:
    if other.login["can_log_in"] and not survivor.login["can_log_in"]:
        yield Finding(
            "login_closes",
            f"Profile {other.id} has a login, {survivor.id} has none: the person could not log in any more. "
            "Merge the other way round to keep it.",
        )
    if survivor.login["active"] is not True and other.login["active"] is True:
        yield Finding("survivor_inactive", f"The login of profile {survivor.id} is not active, that of {other.id} is.")


# --- locks --------------------------------------------------------------------------------------------------------


@contextmanager
def one_at_a_time(*profile_ids: uuid.UUID) -> Iterator[None]:
    """Whoever meets a writer that waits for them gives way, and says so."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.DeadlockDetected | psycopg.errors.LockNotAvailable):
            raise conflict(
                "busy",
                f"Somebody is writing to profile {' or '.join(map(str, profile_ids))} at this moment. "
                "Nothing was written; try again.",
            ) from error
        raise


def _lock(survivor_id: uuid.UUID, other_id: uuid.UUID, orders_of: uuid.UUID | None = None) -> None:
    """The orders that will move, then both profiles, so that no sale falls between, then both logins."""
    orders = sql.SQL(
        "SELECT o.id FROM orders AS o WHERE o.user_id = (SELECT user_id FROM profiles WHERE id = %s)"
        " ORDER BY o.id FOR NO KEY UPDATE"
    )
    moving = [orders_of or other_id]
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [PATIENCE])
        cursor.execute(orders, moving)
        cursor.execute(
            "SELECT id FROM profiles WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [sorted([survivor_id, other_id])]
        )
        # Orders that came meanwhile: their writer has them, and may want the profile next. Nobody waits for them here.
        cursor.execute(sql.SQL("{} NOWAIT").format(orders), moving)
        cursor.execute(
            "SELECT u.id FROM users AS u JOIN profiles AS p ON p.user_id = u.id WHERE p.id = ANY(%s)"
            " ORDER BY u.id FOR NO KEY UPDATE OF u",
            [[survivor_id, other_id]],
        )


# --- merging ------------------------------------------------------------------------------------------------------


def _merge(
    survivor: _Side, other: _Side, decisions: list[Decision], choices: dict[str, str], by: User | None, via: str
) -> ProfileMerge:
    actor = by.pk if by else None
    written = {
        found.field: found.chosen for found in decisions if not same(found.chosen, survivor.profile[found.field])
    }
    moved: dict[str, Any] = {"sums": {name: other.profile[name] for name in SUMS}, "active": other.login["active"]}
    with connection.cursor() as cursor:
        # The other first, so that nobody sees the sums twice.
        _reason(cursor, f"merged into {survivor.id}")
        cursor.execute(
            "UPDATE profiles SET loyalty_points = 0, total_spent = 0, order_count = 0, interaction_count = 0,"
            " merged_into_id = %s WHERE id = %s",
            [survivor.id, other.id],
        )
        _reason(cursor, f"merged from {other.id}")
        _write(cursor, survivor.id, written, other.id)
        _reason(cursor, "")
        moved["shells"] = _ids(
            cursor,
            "UPDATE profiles SET merged_into_id = %s WHERE merged_into_id = %s RETURNING id",
            [survivor.id, other.id],
        )
        cursor.execute(
            "UPDATE users SET active = false WHERE id = %s AND active IS DISTINCT FROM false", [other.login["id"]]
        )
        moved["orders"] = _move_orders(cursor, "user_id = %s", [other.login["id"]], survivor.login["id"])
        moved["counted"] = _counted(cursor, moved["orders"])
        moved["aliases"] = _ids(
            cursor,
            "UPDATE profile_aliases SET profile_id = %s WHERE profile_id = %s RETURNING id",
            [survivor.id, other.id],
        )
        moved["conflicts"] = _ids(
            cursor,
            "UPDATE field_conflicts SET profile_id = %s WHERE profile_id = %s RETURNING id",
            [survivor.id, other.id],
        )
        moved["suggestions"] = _decide_suggestions(survivor, other, actor)
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


def _reason(cursor: Any, reason: str) -> None:
    """What the ledger's entries of the next statement say."""
    cursor.execute("SELECT set_config('unified.reason', %s, true), set_config('unified.order', '', true)", [reason])


def _write(cursor: Any, profile_id: str, values: Mapping[str, Any], other_id: str | None = None) -> None:
    """Write columns of a profile from their JSON; it was updated now or, if that is later, when either was."""
    columns = [sql.Identifier(name) for name in values]
    given = [
        sql.SQL("coalesce({}, 'null')" if name in JSON_NOT_NULL else "{}").format(sql.Identifier("r", name))
        for name in values
    ]
    cursor.execute(
        sql.SQL(
            "UPDATE profiles AS p SET ({}, updated_at) = (SELECT {}, greatest(now(), p.updated_at, o.updated_at)"
            " FROM jsonb_populate_record(NULL::profiles, %s::jsonb) AS r LEFT JOIN profiles AS o ON o.id = %s::uuid) WHERE p.id = %s"
        ).format(sql.SQL(", ").join(columns), sql.SQL(", ").join(given))
        if values
        else "UPDATE profiles SET updated_at = greatest(now(), updated_at) WHERE id = %s",
        [dumps(values), other_id, profile_id] if values else [profile_id],
    )


def _ids(cursor: Any, statement: str, params: list[Any]) -> list[Any]:
    cursor.execute(statement, params)
    return [str(row[0]) if isinstance(row[0], uuid.UUID) else row[0] for row in cursor.fetchall()]


def _move_orders(cursor: Any, condition: str, params: list[Any], user_id: str) -> list[str]:
    """Repoint orders without dating them as changed."""
    cursor.execute(KEEP_DATES, ["on"])
    found: list[str] = _ids(
        cursor,
        f"UPDATE orders SET user_id = %s WHERE {condition} RETURNING id",  # noqa: S608  (a constant)
        [user_id, *params],
    )
    cursor.execute(KEEP_DATES, ["off"])
    return found


def _counted(cursor: Any, orders: list[str]) -> dict[str, Any]:
    """What the orders add to their person's totals."""
    cursor.execute(
        "SELECT jsonb_build_object('total_spent', coalesce(sum(counted_amount), 0),"
        " 'loyalty_points', coalesce(sum(counted_points), 0))::text FROM orders WHERE id = ANY(%s::uuid[])",
        [orders],
    )
    found: dict[str, Any] = loads(cursor.fetchone()[0])
    return found


def _decide_suggestions(survivor: _Side, other: _Side, actor: uuid.UUID | None) -> list[dict[str, Any]]:
    """The pair's are merged. The other's with somebody else become the survivor's, unless it has that one already."""
    moved = []
    survivor_id, other_id = uuid.UUID(survivor.id), uuid.UUID(other.id)
    every = MergeSuggestion.objects.order_by("id")
    about_survivor = set(every.filter(profile=survivor_id).values_list("other_profile_id", flat=True))
    about_survivor |= set(every.filter(other_profile=survivor_id).values_list("profile_id", flat=True))
    rows = every.select_for_update().exclude(status=MERGED)
    for found in [*rows.filter(profile=other_id), *rows.filter(other_profile=other_id)]:
        before = {
            "profile_id": str(found.profile_id),
            "other_profile_id": str(found.other_profile_id),
            "status": found.status,
            "decided_by_id": str(found.decided_by_id) if found.decided_by_id else None,
            "decided_at": found.decided_at.isoformat() if found.decided_at else None,
        }
        third = found.other_profile_id if found.profile_id == other_id else found.profile_id
        if third == survivor_id or third in about_survivor:
            found.status, found.decided_by_id, found.decided_at = MERGED, actor, timezone.now()
        elif found.profile_id == other_id:
            found.profile_id = survivor_id
        else:
            found.other_profile_id = survivor_id
        about_survivor.add(third)
        found.save()
        moved.append({"id": found.pk, "before": before, "status": found.status})
    return moved


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
    cursor: Any, survivor: _Side, other: _Side, lost: list[Lost], merge_id: int, actor: uuid.UUID | None
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


# --- the way back -------------------------------------------------------------------------------------------------


def _refuse_unmerge(done: ProfileMerge, survivor: _Side, other: _Side) -> None:
    if done.unmerged_at is not None:
        raise conflict("already_unmerged", f"Merge {done.pk} was taken back at {done.unmerged_at:%Y-%m-%d %H:%M} UTC.")
    for side in (survivor, other):
        if side.profile["erased_at"]:
            raise conflict("erased", f"Profile {side.id} was erased: merge {done.pk} cannot be taken back.")
    if survivor.profile["merged_into_id"] or other.profile["merged_into_id"] != survivor.id:
        raise conflict(
            "merged_again",
            f"Profile {survivor.id} was merged into {survivor.profile['merged_into_id']} since. "
            "Take that merge back first.",
        )


def _unmerge(done: ProfileMerge, survivor: _Side, other: _Side, by: User | None) -> ProfileMerge:
    actor = by.pk if by else None
    with connection.cursor() as cursor:
        cursor.execute("SELECT before::text, after::text, moved::text FROM profile_merges WHERE id = %s", [done.pk])
        before, after, moved = (loads(text) for text in cursor.fetchone())
        counted = _counted(cursor, moved["orders"])
        # What refunds took since from the orders that go back goes back with them.
        sums = {
            name: amount + counted.get(name, 0) - moved["counted"].get(name, 0)
            for name, amount in moved["sums"].items()
        }
        written = {
            name: before[SURVIVOR][name]
            for name, value in after[SURVIVOR].items()
            if name not in SUMS and same(value, survivor.profile[name])
        }
        written |= {name: survivor.profile[name] - amount for name, amount in sums.items() if amount}
        _reason(cursor, f"merge of {other.id} taken back")
        _write(cursor, survivor.id, written)
        _reason(cursor, f"merge into {survivor.id} taken back")
        cursor.execute("UPDATE profiles SET merged_into_id = NULL WHERE id = %s", [other.id])
        given = {name: other.profile[name] + amount for name, amount in sums.items() if amount}
        if given:
            _set_sums(cursor, other.id, given)
        _reason(cursor, "")
        cursor.execute(
            "UPDATE users SET active = %s WHERE id = %s AND active IS false AND active IS DISTINCT FROM %s",
            [moved["active"], other.login["id"], moved["active"]],
        )
        cursor.execute(
            "UPDATE profiles SET merged_into_id = %s WHERE id = ANY(%s::uuid[]) AND merged_into_id = %s",
            [other.id, moved["shells"], survivor.id],
        )
        condition = "id = ANY(%s::uuid[]) AND user_id = %s"
        _move_orders(cursor, condition, [moved["orders"], survivor.login["id"]], other.login["id"])
        cursor.execute(
            "UPDATE profile_aliases SET profile_id = %s WHERE id = ANY(%s::uuid[]) AND profile_id = %s",
            [other.id, moved["aliases"], survivor.id],
        )
        cursor.execute(
            "UPDATE field_conflicts SET profile_id = %s WHERE id = ANY(%s) AND profile_id = %s",
            [other.id, moved["conflicts"], survivor.id],
        )
    FieldConflict.objects.filter(pk__in=moved["new_conflicts"]).delete()
    for entry in moved["suggestions"]:
        # One that somebody decided otherwise since stays decided.
        MergeSuggestion.objects.filter(pk=entry["id"], status=entry["status"]).update(**entry["before"])
    done.unmerged_by = actor
    done.unmerged_at = timezone.now()
    done.save(update_fields=["unmerged_by", "unmerged_at"])
    return done


def _set_sums(cursor: Any, profile_id: str, values: Mapping[str, Any]) -> None:
    """Sums alone: the profile's own dates stay as they were."""
    cursor.execute(
        sql.SQL("UPDATE profiles SET {} WHERE id = %s").format(
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)
        ),
        [*values.values(), profile_id],
    )
