"""Pages by keyset, as SQL: page 1,000 costs what page 1 does. One statement a page, JSON made by PostgreSQL.

Rows whose key is NULL come last, both ways. A search has several conditions, each with an index of its own: every one
is read in order and cut at the page's length before they meet.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from django.db import DataError, connection
from psycopg import sql

from config.api.problems import Problem
from config.postgresql.prepared import fetch_all

TRUE: sql.Composable = sql.SQL("true")
LONGEST = 2000


@dataclass(frozen=True)
class Order:
    """A column to order by, then the id."""

    column: str
    type: str
    nullable: bool = True


@dataclass(frozen=True, eq=False)
class Listing:
    """What is listed: a FROM clause, the column that tells rows apart, and the orders that may be asked for."""

    source: sql.Composable
    id: str
    id_type: str
    orders: Mapping[str, Order]


@dataclass(frozen=True)
class Cursor:
    """Where a page begins: after the row with this key and id or, `backwards`, before it. Clients hold it as text."""

    ordering: str
    key: str | None
    id: str
    backwards: bool = False

    def __str__(self) -> str:
        parts = [self.ordering, self.key, self.id, self.backwards]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, listing: Listing, ordering: str) -> "Cursor":
        """Problem 400 for what is no cursor of ours, or of another ordering."""
        try:
            raw = base64.b64decode(text[:LONGEST] + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            named, key, at, backwards = orjson.loads(raw)
        except (ValueError, TypeError, binascii.Error) as error:
            raise bad_cursor(text) from error
        keyed = isinstance(key, str) or (key is None and listing.orders[ordering.removeprefix("-")].nullable)
        if named != ordering or not keyed or not isinstance(at, str) or not isinstance(backwards, bool):
            raise bad_cursor(text)
        if "\0" in f"{key}{at}":
            raise bad_cursor(text)
        return cls(named, key, at, backwards)


def bad_cursor(text: str) -> Problem:
    return Problem("bad_cursor", f"The cursor {text[:80]!r} is none of ours for this list. Begin again without one.")


@dataclass(frozen=True)
class Asked:
    """Which rows: conditions that all hold, alternatives of which each row meets one at most, values, order, place."""

    ordering: str
    conditions: Sequence[sql.Composable] = ()
    alternatives: Sequence[sql.Composable] = (TRUE,)
    params: Mapping[str, Any] = field(default_factory=dict)
    narrow: sql.Composable | None = None  # a smaller FROM that the conditions make do with
    few: bool = False  # each alternative by an index of its own, then in order: never by reading in the order
    cursor: Cursor | None = None
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True)
class Page:
    """Rows as asked, as JSON texts or tuples, and the cursors of the pages around them."""

    rows: list[Any]
    next: Cursor | None
    previous: Cursor | None


def read(listing: Listing, asked: Asked, columns: Mapping[str, str], *, as_json: bool = True) -> Page:
    """One query. Problem 400 where the cursor's place is none that the columns can hold."""
    statement, params = compose(listing, asked, columns, as_json=as_json)
    try:
        found = _rows(asked, statement, params)
    except DataError as error:
        if asked.cursor is None:
            raise
        raise bad_cursor(str(asked.cursor)) from error
    backwards = asked.cursor is not None and asked.cursor.backwards
    more, found = len(found) > asked.limit, found[: asked.limit]
    if backwards:
        found.reverse()
    rows = [row[0] if as_json else row[:-2] for row in found]
    if not found:
        return Page(rows, None, None)
    first, last = (Cursor(asked.ordering, row[-2], row[-1]) for row in (found[0], found[-1]))
    before = Cursor(first.ordering, first.key, first.id, backwards=True)
    if backwards:
        return Page(rows, last, before if more else None)
    return Page(rows, last if more else None, before if asked.cursor else None)


def _rows(asked: Asked, statement: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    if not asked.params and not asked.offset:
        return fetch_all(statement, params)
    # How many rows there are depends on the values: planned for them.
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall())


def compose(
    listing: Listing, asked: Asked, columns: Mapping[str, str], *, as_json: bool = True
) -> tuple[str, dict[str, Any]]:
    """The statement and its values; one row more than the page shows whether there is a next one."""
    cursor, params = asked.cursor, dict(asked.params)
    if cursor is not None:
        params["page_key"], params["page_id"] = cursor.key, cursor.id
    statement = _text(
        listing,
        asked.ordering,
        None if cursor is None else (cursor.key is None, cursor.backwards),
        tuple(condition.as_string(None) for condition in asked.conditions),
        tuple(sql.SQL("({})").format(alternative).as_string(None) for alternative in asked.alternatives),
        (asked.narrow or listing.source).as_string(None),
        asked.few,
        (asked.limit + 1, asked.offset),
        tuple(columns.items()),
        as_json,
    )
    return statement, params


@lru_cache
def _text(
    listing: Listing,
    ordering: str,
    cursor: tuple[bool, bool] | None,  # whether it is at a row without a key, whether it leads backwards
    conditions: tuple[str, ...],
    alternatives: tuple[str, ...],
    narrow: str,
    few: bool,
    stretch: tuple[int, int],  # numbers in the statement: a plan must know how few rows are wanted
    columns: tuple[tuple[str, str], ...],
    as_json: bool,
) -> str:
    """Written once for all pages alike: to put it together costs as much as to ask it."""
    order = listing.orders[ordering.removeprefix("-")]
    descending = ordering.startswith("-") != (cursor is not None and cursor[1])
    limit, offset = stretch
    parts: dict[str, sql.Composable] = {
        "key": sql.SQL(order.column),
        "id": sql.SQL(listing.id),
        "narrow": sql.SQL(narrow),
        "direction": sql.SQL("DESC" if descending else "ASC"),
        "depth": sql.Literal(limit + offset),
    }
    unless_full = [part.format(**parts) for part in _UNLESS_FULL]
    sections = _sections(listing, order, cursor, descending)
    found = [
        sql.SQL("{} AS MATERIALIZED ({})").format(
            _SECTIONS[number],
            sql.SQL(" UNION ALL ").join(
                (_FEW if few else _BRANCH).format(
                    **parts,
                    section=sql.Literal(number),
                    conditions=sql.SQL(" AND ").join(
                        [*map(sql.SQL, (*conditions, alternative)), reach, *unless_full[:number]]
                    ),
                )
                for alternative in alternatives
            ),
        )
        for number, reach in enumerate(sections)
    ]
    row = sql.SQL("(SELECT row_to_json(r)::text FROM (SELECT {}) AS r)") if as_json else sql.SQL("{}")
    values = dict(columns)
    statement = _PAGE.format(
        **parts,
        limit=sql.Literal(limit),
        offset=sql.Literal(offset),
        found=sql.SQL(", ").join(found),
        sections=sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT * FROM {}").format(name) for name in _SECTIONS[: len(sections)]
        ),
        source=listing.source,
        row=row.format(select_list(values) if as_json else _values(values)),
    )
    return statement.as_string(None)


# Keys and ids first, from the indexes; whole rows only of the page.
_BRANCH = sql.SQL(
    "(SELECT {section} AS section, {key} AS page_key, {id} AS page_id FROM {narrow} WHERE {conditions}"
    " ORDER BY {key} {direction}, {id} {direction} LIMIT {depth})"
)
# The same of rows that are few: OFFSET 0 keeps the order and the limit from the planner, which would take them for many.
_FEW = sql.SQL(
    "(SELECT {section} AS section, page_key, page_id FROM"
    " (SELECT {key} AS page_key, {id} AS page_id FROM {narrow} WHERE {conditions} OFFSET 0) AS few"
    " ORDER BY page_key {direction}, page_id {direction} LIMIT {depth})"
)
_PAGE = sql.SQL(
    "WITH {found}, page AS MATERIALIZED (SELECT * FROM ({sections}) AS sections"
    " ORDER BY section, page_key {direction}, page_id {direction} LIMIT {limit} OFFSET {offset})"
    " SELECT {row}, page.page_key::text, page.page_id::text FROM page JOIN {source} ON {id} = page.page_id"
    " ORDER BY page.section, page.page_key {direction}, page.page_id {direction}"
)
# The rows without a key are read only where those with one do not fill the page, or the other way round.
_SECTIONS = (sql.SQL("first_rows"), sql.SQL("last_rows"))
_UNLESS_FULL = (sql.SQL("(SELECT count(*) FROM first_rows) < {depth}"),)


def _values(columns: Mapping[str, str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(value) for value in columns.values())


def select_list(columns: Mapping[str, str]) -> sql.SQL:
    return _select_list(tuple(columns.items()))


@lru_cache
def _select_list(columns: tuple[tuple[str, str], ...]) -> sql.SQL:
    """Written once: to put forty columns together costs as much as to read them."""
    names = (sql.SQL("{} AS {}").format(sql.SQL(value), sql.Identifier(name)) for name, value in columns)
    return rendered(sql.SQL(", ").join(names))


def rendered(statement: sql.Composable) -> sql.SQL:
    """A constant part of statements, as one text."""
    return sql.SQL(statement.as_string(None))


def _sections(
    listing: Listing, order: Order, cursor: tuple[bool, bool] | None, descending: bool
) -> list[sql.Composable]:
    """Conditions of the rows that have a key and of those that have none, as far as the page reaches them, in its order."""
    parts = {
        "key": sql.SQL(order.column),
        "id": sql.SQL(listing.id),
        "than": sql.SQL("<" if descending else ">"),
        "type": sql.SQL(order.type),
        "id_type": sql.SQL(listing.id_type),
    }

    def render(text: str) -> sql.Composable:
        return sql.SQL(text).format(**parts)

    beyond = render("({key}, {id}) {than} (%(page_key)s::{type}, %(page_id)s::{id_type})")
    if not order.nullable:
        return [TRUE if cursor is None else beyond]
    keyed, keyless = render("{key} IS NOT NULL"), render("{key} IS NULL")
    if cursor is None:
        return [keyed, keyless]
    at_keyless, backwards = cursor
    if not at_keyless:
        return [beyond] if backwards else [beyond, keyless]
    beyond_none = render("{key} IS NULL AND {id} {than} %(page_id)s::{id_type}")
    return [beyond_none, keyed] if backwards else [beyond_none]
