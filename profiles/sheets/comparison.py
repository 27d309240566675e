"""What a file of corrections would change: every difference from what is there now, and every line that cannot be taken."""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from psycopg import sql

from accounts.models import User
from profiles.keyset import select_list
from profiles.selectors import PEOPLE, visible
from profiles.services import details

from . import columns
from .cells import cell, read, same
from .upload import Line, Sheet

CHUNK = 1_000  # lines of one reading


@dataclass(frozen=True)
class Difference:
    """What a line asks for: JSON values by column, as they are and as they shall be, and what is wrong with it."""

    line: int
    profile_id: uuid.UUID | None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Now:
    """Somebody as they are: values by column, and the last change of each column since the line's version."""

    leads_to: uuid.UUID
    is_erased: bool
    values: Mapping[str, Any]
    since: Mapping[str, Mapping[str, Any]]


# Whom each id leads to, for whom the reader sees.
PEOPLE_NOW = sql.SQL(
    """
SELECT given.id::text, p.id, p.erased_at IS NOT NULL,
    (SELECT row_to_json(r)::text FROM (SELECT {columns}) AS r)
FROM unnest(%(ids)s::uuid[]) AS given (id)
JOIN ({people}) ON p.id = coalesce(
    (SELECT coalesce(merged_into_id, id) FROM profiles WHERE id = given.id),
    (SELECT coalesce(q.merged_into_id, q.id) FROM profile_aliases AS a JOIN profiles AS q ON q.id = a.profile_id
        WHERE a.id = given.id))
WHERE {visible}"""
)
# The last change of each column after a version, and who made it.
SINCE = """
SELECT DISTINCT ON (h.profile_id, c.key) h.profile_id, c.key,
    json_build_object('old', c.value -> 'old', 'new', c.value -> 'new',
        'at', to_char(h.changed_at, 'YYYY-MM-DD HH24:MI'), 'by', coalesce(u.email, h.via))::text
FROM unnest(%(ids)s::uuid[], %(versions)s::bigint[]) AS given (id, version)
JOIN profile_history AS h ON h.profile_id = given.id AND h.id > given.version
CROSS JOIN LATERAL jsonb_each(h.changes) AS c
LEFT JOIN users AS u ON u.id = h.changed_by
ORDER BY h.profile_id, c.key, h.id DESC
"""


def compare(sheet: Sheet, *, by: User) -> Iterator[Difference]:
    """Lines that change something or have a problem, in the file's order; two queries per CHUNK lines."""
    seen: dict[uuid.UUID, int] = {}
    lines = iter(sheet.lines)
    while chunk := list(islice(lines, CHUNK)):
        now = _now(chunk, by)
        for line in chunk:
            found = _difference(line, now, seen, sheet.has_version)
            if found.after or found.problems:
                yield found


def _now(lines: list[Line], by: User) -> dict[uuid.UUID, _Now]:
    versions = {line.profile_id: line.version for line in lines if line.profile_id and not line.problem}
    params: dict[str, Any] = {"ids": list(versions)}
    statement = PEOPLE_NOW.format(
        columns=select_list(columns.for_viewer(by)), people=PEOPLE, visible=visible(by, params)
    )
    since: dict[uuid.UUID, dict[str, Any]] = {}
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        people = cursor.fetchall()
        dated = {person: version for person, version in versions.items() if version is not None}
        cursor.execute(SINCE, {"ids": list(dated), "versions": list(dated.values())})
        for profile_id, column, told in cursor.fetchall():
            since.setdefault(profile_id, {})[column] = json.loads(told)
    return {
        uuid.UUID(given): _Now(leads_to, erased, json.loads(values), since.get(leads_to, {}))
        for given, leads_to, erased, values in people
    }


def _difference(line: Line, now: Mapping[uuid.UUID, _Now], seen: dict[uuid.UUID, int], has_version: bool) -> Difference:
    person = now.get(line.profile_id) if line.profile_id else None
    if refusal := _refusal(line, person, seen, has_version):
        return Difference(line.number, line.profile_id if person else None, problems=[refusal])
    assert line.profile_id is not None
    assert person is not None
    seen[line.profile_id] = line.number
    asked = {name: text for name, text in line.cells.items() if not same(text, cell(name, person.values[name]))}
    found = Difference(line.number, line.profile_id)
    for name, text in asked.items():
        try:
            value = _asked_for(name, text, person)
        except ValueError as error:
            found.problems.append(_problem(name, text, str(error)))
        except ValidationError as error:
            found.problems.append(_problem(name, text, " ".join(error.messages)))
        else:
            if value is not UNCHANGED:
                found.before[name], found.after[name] = person.values[name], value
    return found


UNCHANGED = object()


def _asked_for(name: str, text: str, person: _Now) -> Any:
    """The JSON value that a cell wants instead of what is there. Errors: ValueError, ValidationError."""
    before = person.values[name]
    changed = person.since.get(name)
    if name not in columns.CORRECTABLE:
        if changed or _is_number(text, before):
            return UNCHANGED  # others count it meanwhile, or a spreadsheet wrote it shorter
        raise ValueError(f"{name} is there to be read. Leave it as it was ({cell(name, before)!r}), or leave it out.")
    wanted = read(name, text, before)
    column = details.checked({name: wanted})[name]
    value = json.loads(json.dumps(column, cls=DjangoJSONEncoder))
    if json.dumps(value, sort_keys=True) == json.dumps(before, sort_keys=True):
        return UNCHANGED
    details.refuse_slips(name, column)
    if changed:
        raise ValueError(
            f"{name} was changed since the export, by {changed['by']} at {changed['at']} UTC, from "
            f"{cell(name, changed['old'])!r} to {cell(name, changed['new'])!r}. Export again, and repeat the change on that."
        )
    return value


def _is_number(text: str, before: Any) -> bool:
    try:
        return isinstance(before, int | float) and float(text) == float(before)
    except ValueError:
        return False


def _refusal(
    line: Line, person: _Now | None, seen: Mapping[uuid.UUID, int], has_version: bool
) -> dict[str, str] | None:
    """Why the line as a whole cannot be taken."""
    if line.problem:
        return _problem("id", "", line.problem)
    text = str(line.profile_id)
    if person is None:
        return _problem("id", text, f"There is no person {text}. Copy the id from an export, or leave the line out.")
    if person.leads_to != line.profile_id:
        return _problem("id", text, f"The id leads to {person.leads_to} by now: they are one person. Export again.")
    if person.is_erased:
        return _problem("id", text, "The person's data was erased. Leave the line out.")
    if line.profile_id in seen:
        return _problem("id", text, f"Line {seen[line.profile_id]} is about the same person. Leave one of them.")
    if has_version and line.version is None:
        return _problem("version", "", "The line has no version. Leave the cell as the export has it.")
    return None


def _problem(column: str, text: str, detail: str) -> dict[str, str]:
    return {"column": column, "value": text, "detail": detail}
