"""Where each value came from, held against what the consolidation made of all people of the sample shop."""

from typing import Any

import orjson
import pytest
from django.db import transaction

from legacy_customers.provenance import Origin, origins
from legacy_customers.sample.persons import row_id
from legacy_customers.unification.field_map import FIELD_MAP, Rule
from profiles.widgets import in_words
from tests.databases import one, rows, run

ONE_VALUE = {
    field.column.replace("_", " ")
    for field in FIELD_MAP
    if field.rule in (Rule.FIRST, Rule.GREATEST, Rule.LEAST, Rule.BLOCK)
}


def of(user_id: Any) -> dict[str, Origin] | None:
    now = orjson.loads(one("SELECT to_jsonb(p)::text FROM profiles AS p WHERE user_id = %s", user_id))
    found = origins([user_id], now, (), ())
    return None if found is None else {origin.column: origin for origin in found}


def test_of_everybody_what_won_is_what_the_profile_says(shop: str) -> None:
    seen = 0
    for (user_id,) in rows("SELECT user_id FROM profiles"):
        for column, origin in (of(user_id) or {}).items():
            if column not in ONE_VALUE or column == "address":
                continue
            won = {cell.said for cell in origin.cells if cell.won}
            # JSON of another shape, and parts that an address holds, come from elsewhere than from a cell of their name.
            if won and won != {origin.now} and not _odd(column, origin):
                raise AssertionError((user_id, origin))
            seen += len(won)
    assert seen > 1000


def _odd(column: str, origin: Origin) -> bool:
    return column == "price range" or (column == "country" and origin.now != "USA")


def test_rows_stand_in_the_order_of_the_rules_and_losers_are_named(shop: str) -> None:
    user = one("SELECT user_id FROM legacy_identities WHERE customer_id = %s", row_id("names_disagree", "customers"))
    found = of(user)
    assert found is not None
    name = found["first name"]
    assert (name.now, name.rule) == ("Bob", "the first that says something")
    assert [(cell.table, cell.said, cell.won) for cell in name.cells] == [
        ("customers", "Bob", True),
        ("users", "Robert", False),
        ("customers", "Robbie", False),
        ("customers", "Rob", False),
    ]
    assert name.cells[0].key == str(row_id("names_disagree", "customers"))


def test_hidden_columns_are_left_out_and_changed_ones_marked(shop: str) -> None:
    user = one("SELECT user_id FROM legacy_identities WHERE customer_id = %s", row_id("names_disagree", "customers"))
    found = origins([user], {"phone": "1"}, ["phone"], ["medical_conditions"])
    assert found is not None
    assert [origin.column for origin in found if origin.changed] == ["phone"]
    assert "medical conditions" not in {origin.column for origin in found}


def test_who_came_since_or_whose_backups_are_gone_has_none(shop: str) -> None:
    run("INSERT INTO users (email, password_hash) VALUES ('new@example.com', '!')")
    assert of(one("SELECT id FROM users WHERE email = 'new@example.com'")) is None
    with transaction.atomic():
        run("SELECT release_protection('a test')")
        run("ALTER TABLE backup_customers RENAME TO gone")
    assert of(one("SELECT user_id FROM legacy_identities LIMIT 1")) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, None, True]}, "a: 1, nothing, yes"),
        ([], "nothing"),
        ({}, "nothing"),
        (False, "no"),
        ("text", "text"),
    ],
)
def test_json_is_told_in_words(value: Any, words: str) -> None:
    assert in_words(value) == words
