"""JSON columns as a person edits them: a list is rows of text, an object rows of a key and its value.

What is neither text nor a plain value (an object in a list, a list in an object) is shown in words, kept as it is, and can be
taken away. Inputs are called <field>-<row>-<part>; rows keep their order.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from django import forms
from unfold.widgets import BASE_INPUT_CLASSES

PARTS = ("text", "key", "value", "kind", "kept")
INPUT = " ".join(BASE_INPUT_CLASSES)
KINDS = {"text": "Text", "number": "Number", "yes": "Yes or no", "nothing": "Nothing"}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def in_words(value: Any) -> str:
    """JSON for reading: no brackets, no quotes."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {in_words(entry)}" for key, entry in value.items()) or "nothing"
    if isinstance(value, list):
        return ", ".join(map(in_words, value)) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None else str(value)


def kind_of(value: Any) -> str | None:
    """One of KINDS; None for what is kept as it is."""
    if isinstance(value, str):
        return "text"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes"
    return "number" if isinstance(value, int | float) else None


def _on_a_line(text: str) -> bool:
    """Whether a browser's input sends it back as it is."""
    return not {"\n", "\r", "\0"}.intersection(text)


def _keep(value: Any) -> dict[str, str]:
    return {"kept": json.dumps(value, ensure_ascii=False)}


def _kept(row: Mapping[str, str]) -> Any:
    try:
        return json.loads(row.get("kept", ""), parse_constant=_refuse)
    except ValueError:
        raise forms.ValidationError("A row that is kept as it is came back changed. Load the page again.") from None


def _described(row: Mapping[str, str]) -> dict[str, str]:
    """What is kept, in words, and what the button that removes the row says."""
    words = ""
    if "kept" in row:
        with suppress(ValueError):
            words = in_words(json.loads(row["kept"]))
    return {"words": words, "what": row.get("key") or words or row.get("text", "")}


def _refuse(name: str) -> None:
    raise ValueError(name)


class RowsWidget(forms.Widget):
    """Renders and reads rows; `rows` gives a row's parts for each entry of the column's value."""

    label = ""

    class Media:
        js = ("profiles/rows.js",)

    def rows(self, value: Any) -> Iterator[dict[str, str]]:
        raise NotImplementedError

    def format_value(self, value: Any) -> Any:
        return value

    def get_context(self, name: str, value: Any, attrs: Mapping[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, dict(attrs or {}))
        given = value if isinstance(value, Posted) else Posted(self.rows(value))
        context["widget"] |= {
            "rows": [{**row, **_described(row)} for row in given],
            "kinds": KINDS,
            "label": self.label,
            "input": INPUT,
        }
        return context

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> "Posted":
        found: dict[int, dict[str, str]] = {}
        for key in data:
            if match := re.fullmatch(rf"{re.escape(name)}-([0-9]{{1,6}})-([a-z]+)", key):
                row, part = int(match[1]), match[2]
                if part in PARTS:
                    found.setdefault(row, {})[part] = data[key]
        return Posted(found[row] for row in sorted(found))

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        """No rows are an empty value, told from no field by the field's own input."""
        return name not in data

    def as_posted(self, name: str, value: Any) -> dict[str, str]:
        """What a browser sends for a value that nobody touched."""
        posted = {name: "rows"}
        for number, row in enumerate(self.rows(value)):
            posted |= {f"{name}-{number}-{part}": text for part, text in row.items()}
        return posted

    def id_for_label(self, id_: str) -> str:
        return f"{id_}-add"


class Posted(list[dict[str, str]]):
    """Rows as they were typed."""


class ListWidget(RowsWidget):
    template_name = "profiles/widgets/list.html"

    def rows(self, value: Any) -> Iterator[dict[str, str]]:
        for entry in value if isinstance(value, list) else [value] if value else []:
            yield {"text": entry} if isinstance(entry, str) and _on_a_line(entry) else _keep(entry)


class ObjectWidget(RowsWidget):
    template_name = "profiles/widgets/object.html"

    def rows(self, value: Any) -> Iterator[dict[str, str]]:
        if value and not isinstance(value, dict):
            yield _keep(value)
            return
        for key, entry in (value or {}).items():
            kind = kind_of(entry)
            if not key or not _on_a_line(key):
                yield _keep({key: entry})
            elif kind is None:
                yield {"key": key, **_keep(entry)}
            else:
                text = "" if entry is None else "yes" if entry is True else "no" if entry is False else entry
                yield {"key": key, "kind": kind, "value": str(text)}


class RowsField(forms.Field):
    """What is typed in rows, as the column's JSON; `empty` is the column's value where there are none."""

    def __init__(self, *, empty: Any, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self.empty = empty
        self.widget.label = str(self.label)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Against what the rows of the stored value would send: types and numbers that nobody touched are no change."""
        return bool(data != Posted(self.widget.rows(initial)))

    def to_python(self, value: Any) -> Any:
        raise NotImplementedError


class ListField(RowsField):
    widget = ListWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(empty=[], **kwargs)

    def to_python(self, value: Any) -> list[Any]:
        """A row without text is no entry."""
        entries = [_kept(row) if "kept" in row else row.get("text", "") for row in value]
        return [entry for entry in entries if entry != ""]


class ObjectField(RowsField):
    widget = ObjectWidget

    def to_python(self, value: Any) -> Any:
        if len(value) == 1 and "key" not in value[0] and not isinstance(whole := _kept(value[0]), dict):
            return whole  # of another shape; the service says so where it is written
        found: dict[str, Any] = {}
        wrong = []
        for row in value:
            key = row.get("key", "")
            if not key and "kept" in row:
                found |= _pair(row)
            elif not key and not row.get("value", "").strip():
                continue
            elif not key:
                wrong.append(f"“{row.get('value', '')}” has no name. Name it, or remove the row.")
            elif key in found:
                wrong.append(f"“{key}” is there twice. Rename or remove one of them.")
            else:
                try:
                    found[key] = _kept(row) if "kept" in row else _plain(row)
                except ValueError as error:
                    wrong.append(f"{key}: {error}")
        if wrong:
            raise forms.ValidationError(wrong)
        return found or self.empty


def _pair(row: Mapping[str, str]) -> dict[str, Any]:
    """A key that no input can hold, or none can name, with its value."""
    kept = _kept(row)
    if not isinstance(kept, dict):
        raise forms.ValidationError("This is no list of names and values. Remove the row to begin a new one.")
    return kept


def _plain(row: Mapping[str, str]) -> Any:
    """ValueError with what to do where the value is not of its kind."""
    text = row.get("value", "")
    match row.get("kind", "text"):
        case "number":
            if not _NUMBER.fullmatch(text.strip()):
                raise ValueError(f"“{text}” is not a number. Write one like 12 or 12.5, or choose Text.")
            return json.loads(text)
        case "yes":
            if text.strip().lower() not in ("yes", "no"):
                raise ValueError(f"“{text}” is neither yes nor no. Write one of them, or choose Text.")
            return text.strip().lower() == "yes"
        case "nothing":
            if text.strip():
                raise ValueError(f"“{text}” is something. Empty it, or choose Text.")
            return None
    return text
