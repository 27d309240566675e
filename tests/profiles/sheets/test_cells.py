"""Cells: what goes out comes back as the same value, and no spreadsheet takes it for a formula."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.sheets.cells import FORMULA, cell, read, same

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(
    ["=1+1", "'=1+1", "''", "'", "'Neill", "+1 613", "-5", "@x", "\tx", "\rx", "\nx", "＝1", "; ", "[", "a; b", "1E+5"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=5,
)


@given(TEXTS)
def test_text_comes_back_as_it_was(text: str) -> None:
    assert read("notes", cell("notes", text), None) == text


@given(st.lists(VALUES))
def test_list_comes_back_as_it_was(value: list[Any]) -> None:
    assert read("tags", cell("tags", value), []) == value


@given(st.dictionaries(TEXTS, VALUES))
def test_object_comes_back_as_it_was(value: dict[str, Any]) -> None:
    assert read("preferences", cell("preferences", value), {}) == value


@given(TEXTS | st.lists(TEXTS))
def test_no_cell_of_text_begins_a_formula(value: Any) -> None:
    assert not cell("tags" if isinstance(value, list) else "notes", value).startswith(FORMULA)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("notes", None, ""),
        ("notes", "", ""),
        ("phone", "+1 613", "'+1 613"),
        ("last_name", "'Neill", "''Neill"),
        ("loyalty_points", -5, "-5"),
        ("total_spent", 12.5, "12.50"),
        ("is_verified", True, "true"),
        ("tags", [], ""),
        ("tags", ["a b", "c"], "a b; c"),
        ("tags", ["a;b"], '["a;b"]'),
        ("tags", ["=x", "y"], "'=x; y"),
        ("tags", [1, "x"], '[1, "x"]'),
        ("preferences", {"tea": "grün"}, '{"tea": "grün"}'),
    ],
)
def test_cells_are_these(name: str, value: Any, text: str) -> None:
    assert cell(name, value) == text


@pytest.mark.parametrize(
    ("name", "text", "before", "value"),
    [
        ("notes", "", "x", None),
        ("last_name", "'Neill", None, "'Neill"),  # typed in the spreadsheet, not escaped by us
        ("is_verified", "YES", False, True),
        ("is_verified", " 0 ", True, False),
        ("tags", " a ;; b;", [], ["a", "b"]),
        ("price_range", " ", {"min": 1}, None),
        ("preferences", "", {"a": 1}, {}),
    ],
)
def test_hand_written_cells_are_read(name: str, text: str, before: Any, value: Any) -> None:
    assert read(name, text, before) == value


@pytest.mark.parametrize(
    ("name", "text", "before", "told"),
    [
        ("is_verified", "perhaps", False, "'perhaps' is neither true nor false. Write one of them."),
        ("tags", '["a"', [], "tags is no JSON: "),
        ("preferences", "{", {}, "preferences is no JSON: "),
        ("phone", "6.14E+09", "6135550100", "'6.14E+09' is what a spreadsheet makes of '6135550100'."),
        ("postal_code", "4123", "04123", "'4123' has lost the zeros of '04123', as in a spreadsheet."),
    ],
)
def test_bad_cell_is_refused_with_the_way_out(name: str, text: str, before: Any, told: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as refusal:
        read(name, text, before)
    assert str(refusal.value).startswith(told)


def test_line_ends_and_truth_in_a_spreadsheets_hand_are_no_difference() -> None:
    assert same("a\nb", "a\r\nb")
    assert same("true", "TRUE")
    assert not same("true", "false")
    assert not same("a", "A")
