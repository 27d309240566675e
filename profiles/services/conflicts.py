"""Values that lost, decided: the profile's is kept, or the other taken after all. Each decision can be undone.

What is taken is written by ordinary updates of the profile, so that history, ledger and sync see it as any other change.
"""

import datetime
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import connection, transaction
from psycopg import sql

from accounts.authorship import sign
from accounts.models import User
from config.api.problems import conflict, not_found
from profiles.models import ConflictDecision, FieldConflict
from profiles.selectors import VIEW_MEDICAL, visible
from profiles.sources import Key, Written, written

from .conflict_statements import (
    GIVE_BACK,
    KEEP_THEM,
    MARK_UNDONE,
    OPEN_AGAIN,
    REFUSALS,
    RESOLVE,
    TAKE_THEM,
    TAKEABLE,
    WRITE,
)
from .merge_rules import ADDRESS
from .pairs import PATIENCE, one_at_a_time

T = TypeVar("T")

KEEP, TAKE = ConflictDecision.Verdict.KEEP, ConflictDecision.Verdict.TAKE
NEWER = "newer"  # whichever of the two rows was written later
MOST = 2000  # conflicts in one go
LONG_AGO = datetime.datetime.min.replace(tzinfo=datetime.UTC)

RULES = FieldConflict.Rule
UNTAKEABLE: dict[str, str] = {
    RULES.CONSENT: "A consent is never widened. Set it on the person's page when they give it.",
    RULES.SHAPE: "The value is JSON of another shape than the column's. Edit the profile instead.",
    RULES.LOGIN: "It is about the login. Activate or deactivate that instead.",
    RULES.ORDER: "It is about an order's person. Change the order instead.",
    RULES.WIDTH: "One side cannot hold the value. Shorten it in the profile, and the sync carries it over.",
}


@dataclass(frozen=True)
class Which:
    """Open conflicts: these, or all that fit what is given."""

    ids: Collection[int] | None = None
    profile_id: uuid.UUID | None = None
    field: str = ""
    rule: str = ""
    other_table: str = ""


@dataclass
class Outcome:
    """What was done; `refused` is why not, with how many. `left`: more conflicts fit than are decided in one go."""

    batch: uuid.UUID
    kept: int = 0
    taken: int = 0
    undone: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    left: bool = False


@dataclass(frozen=True)
class _Conflict:
    id: int
    profile_id: uuid.UUID
    field: str
    path: str
    rule: str
    chosen: Key
    other: Key

    @property
    def cell(self) -> tuple[uuid.UUID, str, str]:
        """What is decided as one: an address is."""
        return self.profile_id, "address" if self.field in ADDRESS else self.field, self.path


def untakeable(rule: str, field: str) -> str:
    """Why the other value cannot be taken; '' where it can."""
    if reason := UNTAKEABLE.get(rule):
        return reason
    return "" if field in TAKEABLE else f"{field} cannot be chosen. Edit the profile instead."


def decide(which: Which, verdict: str, *, by: User, via: str) -> Outcome:
    """Decide open conflicts of people whom `by` sees: KEEP, TAKE, or NEWER, by when the two rows were written.

    An address is taken as a whole. Of several values for one cell the one written last is taken, the others are kept out.
    What cannot be taken stays open. Problem 409: somebody is writing to one of the profiles (busy).
    """
    outcome = Outcome(uuid.uuid4())
    found = _open(which, by)
    outcome.left, found = len(found) > MOST, found[:MOST]
    with one_at_a_time(*{c.profile_id for c in found[:3]}), transaction.atomic(), connection.cursor() as cursor:
        _lock_profiles(cursor, {c.profile_id for c in found})
        found = _still_open(cursor, found, with_siblings=verdict != KEEP)
        sources = written([key for c in found for key in (c.chosen, c.other)] if verdict != KEEP else [])
        takes, keeps = _sorted_out(found, verdict, sources, outcome)
        sign(using="default", by=by.pk, via=via)
        actor: dict[str, Any] = {"batch": outcome.batch, "by": by.pk, "via": via}
        for turn in in_turns(takes, lambda cell: cell[0].profile_id):
            _take(cursor, turn, sources, actor, outcome)
        cursor.execute(KEEP_THEM, {**actor, "ids": [c.id for c in keeps]})
        outcome.kept = len(keeps)
    return outcome


def decide_one(profile_id: uuid.UUID, conflict_id: int, verdict: str, *, by: User, via: str) -> ConflictDecision:
    """Decide one conflict. Problem 404: this profile has no such one; 409: it is decided already (resolved), or its value
    cannot be taken (not_takeable)."""
    outcome = decide(Which(ids=[conflict_id], profile_id=profile_id), verdict, by=by, via=via)
    if outcome.refused:
        raise conflict("not_takeable", next(iter(outcome.refused)))
    decided = ConflictDecision.objects.filter(batch=outcome.batch).first()
    if decided is None:
        known = _visible(FieldConflict.objects.filter(pk=conflict_id, profile=profile_id), by).first()
        if known is None:
            raise not_found("conflict", conflict_id)
        raise conflict("resolved", f"Conflict {conflict_id} was decided already. Undo that first.")
    return decided


def undo(decision_ids: Iterable[int], *, by: User, via: str) -> Outcome:
    """Give back what decisions wrote, the last one first, and open their conflicts again.

    Refused, with the reason, where the cell was edited since, the profile was merged or erased, or it is undone already.
    """
    outcome = Outcome(uuid.uuid4())
    people = ConflictDecision.objects.filter(pk__in=decision_ids)
    if not by.is_superuser:
        people = people.filter(profile__user__tenant_id=by.tenant_id)
    if not by.has_perm(VIEW_MEDICAL):
        people = people.exclude(field="medical_conditions")
    decisions = list(people.order_by("-pk").values_list("pk", "profile_id"))
    with one_at_a_time(*{p for _, p in decisions[:3]}), transaction.atomic(), connection.cursor() as cursor:
        _lock_profiles(cursor, {profile_id for _, profile_id in decisions})
        sign(using="default", by=by.pk, via=via)
        for pairs in in_turns(decisions, lambda decision: decision[1]):
            turn = [pk for pk, _ in pairs]
            cursor.execute(REFUSALS, {"ids": turn})
            refused = dict(cursor.fetchall())
            outcome.refused.update(refused.values())
            ids = [pk for pk in turn if pk not in refused]
            for statement in (GIVE_BACK, MARK_UNDONE, OPEN_AGAIN):
                cursor.execute(statement, {"ids": ids, "by": by.pk})
            outcome.undone += len(ids)
    return outcome


def undo_one(decision_id: int, *, by: User, via: str) -> None:
    """Undo one decision. Problem 404; 409 with the reason (not_undoable)."""
    outcome = undo([decision_id], by=by, via=via)
    if outcome.refused:
        raise conflict("not_undoable", next(iter(outcome.refused)))
    if not outcome.undone:
        raise not_found("decision", decision_id)


def undo_conflict(profile_id: uuid.UUID, conflict_id: int, *, by: User, via: str) -> None:
    """Undo the decision on one conflict. Problem 404: the profile has no such one; 409: nobody decided it (not_decided), or
    with the reason (not_undoable)."""
    found = _visible(FieldConflict.objects.filter(pk=conflict_id, profile=profile_id), by).first()
    if found is None:
        raise not_found("conflict", conflict_id)
    if found.decision_id is None:
        raise conflict("not_decided", f"Nobody has decided conflict {conflict_id}: there is nothing to undo.")
    undo_one(found.decision_id, by=by, via=via)


# --- finding ------------------------------------------------------------------------------------------------------

COLUMNS = sql.SQL(
    "f.id, f.profile_id, f.field, f.path, f.rule, f.chosen_table, f.chosen_row, f.other_table, f.other_row"
)


def _rows(cursor: Any) -> list[_Conflict]:
    return [
        _Conflict(pk, profile_id, name, path, rule, (chosen_table or "", chosen_row or ""), (other_table, other_row))
        for pk, profile_id, name, path, rule, chosen_table, chosen_row, other_table, other_row in cursor.fetchall()
    ]


def _visible(rows: Any, by: User) -> Any:
    if not by.is_superuser:
        rows = rows.filter(profile__user__tenant_id=by.tenant_id)
    return rows if by.has_perm(VIEW_MEDICAL) else rows.exclude(field="medical_conditions")


def _open(which: Which, by: User) -> list[_Conflict]:
    """One more than are decided at a time."""
    params: dict[str, Any] = {"most": MOST + 1}
    conditions = [visible(by, params), sql.SQL("f.resolved_at IS NULL")]
    if not by.has_perm(VIEW_MEDICAL):
        conditions.append(sql.SQL("f.field <> 'medical_conditions'"))
    if which.ids is not None:
        params["ids"] = list(which.ids)
        conditions.append(sql.SQL("f.id = ANY(%(ids)s)"))
    for name in ("profile_id", "field", "rule", "other_table"):
        if wanted := getattr(which, name):
            params[name] = wanted
            conditions.append(sql.SQL("f.{} = {}").format(sql.Identifier(name), sql.Placeholder(name)))
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT {} FROM field_conflicts AS f JOIN profiles AS p ON p.id = f.profile_id"
                " JOIN users AS u ON u.id = p.user_id WHERE {} ORDER BY f.id LIMIT %(most)s"
            ).format(COLUMNS, sql.SQL(" AND ").join(conditions)),
            params,
        )
        return _rows(cursor)


def _lock_profiles(cursor: Any, profile_ids: Collection[uuid.UUID]) -> None:
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [PATIENCE])
    cursor.execute("SELECT id FROM profiles WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [list(profile_ids)])


def _still_open(cursor: Any, found: list[_Conflict], *, with_siblings: bool) -> list[_Conflict]:
    """The same, locked, where nobody has decided or merged them meanwhile; with the other columns of an address."""
    cursor.execute(
        sql.SQL(
            """
            SELECT {columns} FROM field_conflicts AS f
            WHERE f.resolved_at IS NULL AND (f.id = ANY(%(ids)s) OR (
                %(siblings)s AND f.field = ANY(%(address)s) AND f.profile_id = ANY(%(profiles)s) AND EXISTS (
                    SELECT FROM field_conflicts AS s WHERE s.id = ANY(%(ids)s) AND s.field = ANY(%(address)s)
                        AND (s.profile_id, s.other_table, s.other_row) = (f.profile_id, f.other_table, f.other_row))))
            ORDER BY f.id FOR UPDATE"""
        ).format(columns=COLUMNS),
        {
            "ids": [c.id for c in found],
            "profiles": list({c.profile_id for c in found}),
            "siblings": with_siblings,
            "address": list(ADDRESS),
        },
    )
    locked = {c.profile_id for c in found}
    return [c for c in _rows(cursor) if c.profile_id in locked]


def _sorted_out(
    found: list[_Conflict], verdict: str, sources: dict[Key, Written], outcome: Outcome
) -> tuple[list[list[_Conflict]], list[_Conflict]]:
    """Which values are taken, the columns of an address together, and which kept out. What is neither is counted."""
    if verdict == KEEP:
        return [], found
    takes: dict[tuple[uuid.UUID, str, str], list[_Conflict]] = {}
    keeps = []
    for one in sorted(found, key=lambda c: (_at(sources, c.other) or LONG_AGO, c.id)):
        if verdict == NEWER:
            theirs, ours = _at(sources, one.other), _at(sources, one.chosen)
            if theirs is None or ours is None:
                outcome.refused["When the two values were written is not known."] += 1
                continue
            if theirs <= ours:
                keeps.append(one)
                continue
        if reason := untakeable(one.rule, one.field):
            outcome.refused[reason] += 1
        elif one.field in ADDRESS and (one.other not in sources or sources[one.other].address is None):
            outcome.refused["The rest of that address is not known any more. Edit the profile instead."] += 1
        else:
            before = takes.setdefault(one.cell, [])
            if before and (one.field not in ADDRESS or before[0].other != one.other):
                keeps += before
                before.clear()
            before.append(one)
    return list(takes.values()), keeps


def _at(sources: dict[Key, Written], key: Key) -> datetime.datetime | None:
    """When a row was written, where that is known and a time."""
    found = sources.get(key)
    return found.at if found and isinstance(found.at, datetime.datetime) else None


# --- writing ------------------------------------------------------------------------------------------------------


def _take(
    cursor: Any,
    turn: list[list[_Conflict]],
    sources: dict[Key, Written],
    actor: dict[str, Any],
    outcome: Outcome,
) -> None:
    """Take one value per profile. Each is a list of conflicts: the columns of an address, else one."""
    addresses = [sources[cell[0].other].address if cell[0].field in ADDRESS else None for cell in turn]
    cursor.execute(TAKE_THEM, {**actor, "ids": [cell[0].id for cell in turn], "addresses": addresses})
    made = {profile_id: decision_id for decision_id, profile_id in cursor.fetchall()}
    cursor.execute(WRITE, {"ids": list(made.values())})
    decided = [(c.id, made[c.profile_id]) for cell in turn for c in cell if c.profile_id in made]
    cursor.execute(
        RESOLVE,
        {"conflicts": [pk for pk, _ in decided], "decisions": [pk for _, pk in decided], "by": actor["by"]},
    )
    outcome.taken += len(decided)
    if gone := sum(len(cell) for cell in turn) - len(decided):
        outcome.refused["The object that held it is gone. Edit the profile instead."] += gone


def in_turns(entries: Iterable[T], profile_of: Callable[[T], uuid.UUID]) -> Iterator[list[T]]:
    """One per profile at a time, in order, so that each sees what the one before it left."""
    turns: list[list[T]] = []
    seen: Counter[uuid.UUID] = Counter()
    for entry in entries:
        number = seen[profile_of(entry)]
        if number == len(turns):
            turns.append([])
        turns[number].append(entry)
        seen[profile_of(entry)] += 1
    yield from turns
