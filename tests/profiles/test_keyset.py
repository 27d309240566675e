"""Pages by keyset: every row once, both ways, in every order; what is no cursor is refused."""

import base64
from typing import Any

import orjson
import pytest
from django.db import connection

from config.api.problems import Problem
from config.postgresql.prepared import THRESHOLD
from profiles import keyset, pages
from profiles.keyset import Cursor, Page
from tests.databases import rows, run
from tests.factories import person
from tests.profiles.test_search import crowd

pytestmark = pytest.mark.django_db

ID = "5f0c1a52-9d0e-4b6e-8f4b-2f8f6d9a1c11"


def page(cursor: Cursor | None, ordering: str, limit: int = 7, text: str = "") -> Page:
    asked = pages.asked(viewer=None, ordering=ordering, limit=limit, cursor=cursor, text=text)
    return keyset.read(pages.LISTING, asked, {"id": "p.id"}, as_json=False)


@pytest.fixture
def people() -> None:
    """Forty, with ties, unknown values and infinity in every column that is ordered by."""
    for number in range(40):
        person(f"p{number}@example.com")
    run(
        """
        UPDATE profiles SET
            created_at = CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN 'infinity' ELSE timestamptz '2026-01-01' + n / 9 * interval '1 us' END,
            updated_at = CASE n % 4 WHEN 0 THEN NULL ELSE timestamptz '2026-01-01' + n / 9 * interval '1 day' END,
            last_order_date = CASE n % 3 WHEN 0 THEN '-infinity' WHEN 1 THEN NULL ELSE timestamptz '0044-03-15 BC' END,
            last_name = CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'É' || n / 9 ELSE E'a\\n' || n / 9 END,
            loyalty_points = (n / 9 - 2) * 7, order_count = n / 9 * 7, total_spent = (n / 9) * 7.10
        FROM (SELECT id, row_number() OVER (ORDER BY id)::int AS n FROM profiles) AS numbered WHERE numbered.id = profiles.id
        """
    )


@pytest.mark.parametrize("text", ["", "p"])
@pytest.mark.parametrize("ordering", [sign + name for name in pages.LISTING.orders for sign in ("", "-")])
def test_every_row_comes_once_forwards_and_backwards(people: None, ordering: str, text: str) -> None:
    name, direction = ordering.removeprefix("-"), "DESC" if ordering.startswith("-") else "ASC"
    wanted = rows(f"SELECT id FROM profiles ORDER BY {name} {direction} NULLS LAST, id {direction}")
    forwards: list[Any] = []
    cursor, turns = None, []
    while True:
        found = page(cursor, ordering, text=text)
        assert (found.previous is None) == (cursor is None)
        forwards += found.rows
        turns.append(found)
        if found.next is None:
            break
        cursor = Cursor.read(str(found.next), pages.LISTING, ordering)
    assert forwards == wanted
    assert [len(turn.rows) for turn in turns] == [7, 7, 7, 7, 7, 5]
    for before in reversed(turns[:-1]):
        assert found.previous is not None
        found = page(Cursor.read(str(found.previous), pages.LISTING, ordering), ordering, text=text)
        assert found.rows == before.rows
        assert found.next is not None
    assert found.previous is None


def test_rows_that_come_and_go_between_pages_move_nothing(people: None) -> None:
    first = page(None, "-created_at")
    for profile_id in (first.rows[0], first.rows[-1]):
        run("UPDATE profiles SET created_at = '2020-01-01' WHERE id = %s", profile_id[0])
    second = page(first.next, "-created_at")
    assert not set(first.rows) & set(second.rows)


def coded(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "%%%",
        "é",
        "a",
        "=",
        "\0",
        coded("-created_at"),
        coded(1, 2, 3, 4),
        coded("-created_at", "2026-01-01", ID, 1),
        coded("-created_at", 5, ID, False),
        coded("-created_at", "2026-01-01", 5, False),
        coded("created_at", "2026-01-01", ID, False),
        coded("-total_spent", "1", ID, False),
        coded("-created_at", "2026\0", ID, False),
        base64.urlsafe_b64encode(b"[" * 5000).decode(),
        "A" * 10_000,
    ],
)
def test_what_is_no_cursor_of_this_list_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        Cursor.read(text, pages.LISTING, "-created_at")
    assert (caught.value.status_code, caught.value.code) == (400, "bad_cursor")


@pytest.mark.parametrize(("key", "at"), [("nonsense", ID), ("2026-01-01", "x"), ("99999999999-01-01", "x")])
def test_place_that_no_column_can_hold_is_refused(key: str, at: str) -> None:
    cursor = Cursor.read(coded("-created_at", key, at, False), pages.LISTING, "-created_at")
    with pytest.raises(Problem) as caught:
        page(cursor, "-created_at")
    assert caught.value.code == "bad_cursor"


def test_null_key_is_refused_where_no_row_has_none() -> None:
    with pytest.raises(Problem):
        Cursor.read(coded("-total_spent", None, ID, False), pages.LISTING, "-total_spent")


def test_deep_page_is_read_from_the_index() -> None:
    """What it costs does not depend on how deep it is: the index gives its rows alone."""
    crowd(20_000)
    at = rows(
        "SELECT created_at::text, id::text FROM profiles WHERE created_at IS NOT NULL ORDER BY 1 OFFSET 500 LIMIT 1"
    )
    asked = pages.asked(viewer=None, cursor=Cursor("-created_at", *at[0]))
    statement, params = keyset.compose(pages.LISTING, asked, {"id": "p.id"}, as_json=False)
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, TIMING off) " + statement, params)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Index Cond: ((created_at IS NOT NULL)" not in plan
    assert "ROW(created_at, id) <" in plan
    assert "Seq Scan on profiles" not in plan
    assert "Rows Removed by Filter" not in plan
    # The rows without a date wait behind: a full page does not look at them.
    assert "(never executed)" in plan


def test_only_pages_that_all_values_suit_are_planned_once(people: None) -> None:
    """What is searched for decides the plan: one word is rare, another in every row."""
    start = page(None, "-created_at").next
    for _ in range(2 * THRESHOLD):
        page(start, "-created_at")
        page(None, "-created_at", text="p1")
    planned = rows("SELECT statement FROM pg_prepared_statements WHERE statement LIKE 'WITH first_rows%'")
    assert len(planned) == 1
    assert "search_text" not in planned[0][0]
