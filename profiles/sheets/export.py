"""A list of people as CSV, sent while it is read: memory does not grow with the list, and no transaction waits for the client."""

import csv
import json
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import connections
from django.db.models import QuerySet
from django.db.models.functions import Now
from psycopg import sql

from accounts.models import User
from profiles.keyset import select_list
from profiles.models import ListExport, Profile
from profiles.selectors import PEOPLE, visible

from . import columns
from .cells import BOM, cell

CHUNK = 1_000  # people of one reading
ROWS = sql.SQL(
    "SELECT row_to_json(r)::text FROM {people}, LATERAL (SELECT {columns}) AS r"
    " WHERE p.id = ANY(%(ids)s) AND {visible} ORDER BY p.id"
)


class _Line:
    """What csv writes to: it gives the line instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def export(people: QuerySet[Profile], *, filters: Mapping[str, Any], by: User) -> Iterator[bytes]:
    """The CSV of those of `people` whom `by` sees, by id, in UTF-8; recorded with as many rows as were sent.

    `filters` says which list it is, and goes into the record: no name, no search.
    """
    chosen = columns.for_viewer(by)
    using = people.db
    record = ListExport.objects.using(using).create(by=by.pk, columns=list(chosen), filters=dict(filters))
    return _lines(people, chosen, record, by, using)


def _lines(
    people: QuerySet[Profile], chosen: Mapping[str, str], record: ListExport, by: User, using: str
) -> Iterator[bytes]:
    writer = csv.writer(_Line(), lineterminator="\r\n")
    sent, finished = 0, None
    try:
        yield (BOM + writer.writerow(chosen)).encode()
        for rows in _chunks(people, chosen, by, using):
            yield "".join(writer.writerow([cell(name, row[name]) for name in chosen]) for row in rows).encode()
            sent += len(rows)
        finished = Now()
    finally:
        # Also where the client went away: so many have left.
        ListExport.objects.using(using).filter(pk=record.pk).update(rows=sent, finished_at=finished)


def _chunks(
    people: QuerySet[Profile], chosen: Mapping[str, str], by: User, using: str
) -> Iterator[list[dict[str, Any]]]:
    params: dict[str, Any] = {}
    condition = visible(by, params)
    statement = ROWS.format(people=PEOPLE, columns=select_list(chosen), visible=condition)
    ids = people.order_by("pk").values_list("pk", flat=True)
    found = list(ids[:CHUNK])
    while found:
        with connections[using].cursor() as cursor:
            cursor.execute(statement, {**params, "ids": found})
            yield [json.loads(text) for (text,) in cursor.fetchall()]
        found = list(ids.filter(pk__gt=found[-1])[:CHUNK])
