"""Corrections of many people by a file: a dry run that shows every difference, then all of them or none."""

import datetime
import uuid
from collections import Counter
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from accounts.authorship import sign
from accounts.models import User
from config.api.problems import conflict, not_found
from profiles.models import Correction, CorrectionLine
from profiles.selectors import PEOPLE, visible
from profiles.sheets import columns, upload
from profiles.sheets.comparison import compare

VIA = "import"
# Each person is locked for the sync, in a table of locks that all sessions share.
MOST_PEOPLE = 2_000
MOST_REFUSED = 500  # lines with a problem that are told; nobody repairs more in one go
OPEN_HOURS = 24  # a dry run holds personal data, and the world goes on


def dry_run(content: bytes, *, file_name: str, by: User) -> Correction:
    """Compare a file with what is there, and keep what it would change; no profile is written.

    Problem 400 (too_large). Other problems are in the result, which then cannot be applied.
    """
    discard_old()
    known = columns.for_viewer(by)
    sheet = upload.read(content, known=known)
    found = Correction(by=by.pk, file_name=file_name[:255], read=len(sheet.lines), problems=sheet.problems)
    found.ignored = [name for name in sheet.columns if name not in columns.CORRECTABLE]
    cells: Counter[str] = Counter()
    kept = []
    for difference in compare(sheet, by=by):
        found.refused += bool(difference.problems)
        found.people += bool(difference.after)
        cells.update(difference.after.keys())
        if found.refused <= MOST_REFUSED if difference.problems else found.people <= MOST_PEOPLE:
            kept.append(difference)
    found.cells = dict(cells)
    if found.people > MOST_PEOPLE:
        found.problems.append(
            f"The file changes {found.people:,} people; {MOST_PEOPLE:,} are the most in one go. Split it."
        )
    with transaction.atomic():
        found.save()
        erased = _erased_meanwhile([difference.profile_id for difference in kept if difference.after])
        CorrectionLine.objects.bulk_create(
            [
                CorrectionLine(
                    correction=found,
                    line=difference.line,
                    profile_id=difference.profile_id,
                    before=difference.before,
                    after=difference.after,
                    problems=difference.problems,
                )
                for difference in kept
                if difference.profile_id not in erased
            ],
            batch_size=1_000,
        )
    return found


def _erased_meanwhile(people: list[uuid.UUID | None]) -> set[uuid.UUID | None]:
    """Who of them was erased while they were compared. An erasure of the others waits for this transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, erased_at IS NOT NULL FROM profiles WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE", [people]
        )
        return {profile_id for profile_id, erased in cursor.fetchall() if erased}


def get(correction_id: int, *, by: User) -> Correction:
    """A dry run, for who made it: it shows what they may see. Problem 404."""
    found = Correction.objects.filter(pk=correction_id, by=by.pk).first()
    if found is None:
        raise not_found("correction", correction_id)
    return found


def _locked(correction_id: int, by: User) -> Correction:
    found = Correction.objects.select_for_update().filter(pk=correction_id, by=by.pk).first()
    if found is None:
        raise not_found("correction", correction_id)
    return found


# People before the correction, in the order of their ids: an erasure locks them so, too. What the rows are now, of those columns that are to change, is what the dry run saw.
LOCK = """
SELECT p.id FROM profiles AS p JOIN correction_lines AS l ON l.profile_id = p.id
WHERE l.correction_id = %(correction)s ORDER BY p.id FOR NO KEY UPDATE OF p
"""
CHANGED = sql.SQL(
    """
SELECT l.line, l.profile_id, coalesce(string_agg(b.key, ', ' ORDER BY b.key)
    FILTER (WHERE p.id IS NOT NULL AND to_jsonb(p) -> b.key IS DISTINCT FROM b.value), '')
FROM correction_lines AS l
LEFT JOIN ({people}) ON p.id = l.profile_id AND p.erased_at IS NULL AND {visible}
LEFT JOIN LATERAL jsonb_each(l.before) AS b ON true
WHERE l.correction_id = %(correction)s
GROUP BY l.line, l.profile_id, p.id
HAVING p.id IS NULL OR bool_or(to_jsonb(p) -> b.key IS DISTINCT FROM b.value)
ORDER BY l.line LIMIT 1"""
)
APPLY = sql.SQL(
    """
UPDATE profiles AS p SET ({columns}) = (SELECT {values} FROM jsonb_populate_record(p, l.after) AS n), updated_at = now()
FROM correction_lines AS l WHERE l.correction_id = %(correction)s AND l.profile_id = p.id"""
)


def apply(correction_id: int, *, by: User) -> Correction:
    """Write every difference of a dry run in one transaction, signed; nothing where a single one does not hold any more.

    Problem 404; 409: it has problems (has_problems), was decided (decided), changes nobody (nothing_to_do), or somebody
    was changed since (changed_since).
    """
    params: dict[str, Any] = {"correction": correction_id}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(LOCK, params)
        found = _locked(correction_id, by)
        _refuse(found)
        cursor.execute(CHANGED.format(people=PEOPLE, visible=visible(by, params)), params)
        if changed := cursor.fetchone():
            line, profile_id, changed_columns = changed
            raise conflict(
                "changed_since",
                f"Line {line}: {changed_columns or 'the person'} of {profile_id} was changed since the dry run. Nothing was written. "
                "Hand the file in again to see what it would change now.",
            )
        sign(using=connection.alias, by=by.pk, via=VIA)
        names = [sql.Identifier(name) for name in columns.CORRECTABLE]
        cursor.execute(
            APPLY.format(
                columns=sql.SQL(", ").join(names),
                values=sql.SQL(", ").join(sql.SQL("n.{}").format(name) for name in names),
            ),
            params,
        )
        assert cursor.rowcount == found.people, (cursor.rowcount, found.people)
        _decide(found, Correction.Status.APPLIED)
    return found


def discard(correction_id: int, *, by: User) -> Correction:
    """Forget what a dry run would change. Problem 404; 409 (decided)."""
    with transaction.atomic():
        found = _locked(correction_id, by)
        _refuse_decided(found)
        _decide(found, Correction.Status.DISCARDED)
    return found


def discard_old() -> None:
    """Forget dry runs that nobody decided in OPEN_HOURS."""
    before = timezone.now() - datetime.timedelta(hours=OPEN_HOURS)
    for found in Correction.objects.filter(status=Correction.Status.OPEN, uploaded_at__lt=before):
        _decide(found, Correction.Status.DISCARDED)


def _refuse(found: Correction) -> None:
    _refuse_decided(found)
    if found.problems or found.refused:
        raise conflict(
            "has_problems",
            f"{found.refused:,} lines have a problem{' and so has the file' if found.problems else ''}. Nothing was "
            "written: repair the file, and hand it in again.",
        )
    if not found.people:
        raise conflict("nothing_to_do", "The file says what is there already. Nobody would change.")


def _refuse_decided(found: Correction) -> None:
    if found.status != Correction.Status.OPEN:
        raise conflict(
            "decided", f"It was {found.status} at {found.decided_at:%Y-%m-%d %H:%M} UTC. Hand the file in again."
        )


def _decide(found: Correction, status: str) -> None:
    """The lines go: what was changed is in the history."""
    CorrectionLine.objects.filter(correction=found).delete()
    found.status, found.decided_at = status, timezone.now()
    found.save(update_fields=["status", "decided_at"])
