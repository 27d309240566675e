"""A value as a cell of a CSV file, and back: what goes out and comes in untouched is the same value.

Values are those that to_jsonb gives of a profile.
"""

import json
import re
from typing import Any

from profiles.selectors import LISTS, OBJECTS

BOM = "\ufeff"  # Excel takes a file without it for another encoding
# What makes a spreadsheet take a text for a formula, also in its full-width form.
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
MARK = "'"  # in front of such a text, and of one that begins with the mark itself
MONEY = {"total_spent"}
YES, NO = {"true", "yes", "1"}, {"false", "no", "0"}
SCIENTIFIC = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)


def cell(name: str, value: Any) -> str:
    """NULL and '' are both an empty cell; a list of plain words is `a; b`, other JSON stays JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.2f}" if name in MONEY else str(value)
    if name in LISTS and isinstance(value, list):
        return _escaped(_words(value) if _is_plain(value) else _json(value))
    return _escaped(value if isinstance(value, str) else _json(value))


def read(name: str, text: str, before: Any) -> Any:
    """The value that a cell asks for where there is `before` now. Errors: ValueError says what is wrong, and the way out."""
    text = _unescaped(text)
    if isinstance(before, bool):
        return _boolean(text)
    if name in LISTS:
        return _list(name, text)
    if name in OBJECTS or name == "price_range":
        return _object(name, text)
    if text == "":
        return None
    if isinstance(before, str) and (damage := _damage(before, text)):
        raise ValueError(damage)
    return text


def same(one: str, other: str) -> bool:
    """Whether two cells say the same: spreadsheets write line ends and truth values in their own way."""
    return one == other or _lines(one) == _lines(other) or {one.lower(), other.lower()} in ({"true"}, {"false"})


def _escaped(text: str) -> str:
    return MARK + text if text.startswith((*FORMULA, MARK)) else text


def _unescaped(text: str) -> str:
    return text[1:] if text.startswith(MARK) and text[1:].startswith((*FORMULA, MARK)) else text


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _is_plain(value: list[Any]) -> bool:
    """Whether `a; b` leads back to the list."""
    if not all(isinstance(word, str) for word in value):
        return False
    text = _words(value)
    return value == _split(text) and not text.startswith("[")


def _words(value: list[str]) -> str:
    return "; ".join(value)


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(";") if word.strip()]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in YES | NO:
        return word in YES
    raise ValueError(f"{text!r} is neither true nor false. Write one of them.")


def _list(name: str, text: str) -> list[Any]:
    if not text.strip().startswith("["):
        return _split(text)
    found = _parsed(name, text)
    if not isinstance(found, list):
        raise ValueError(f"{name} is a list. Write words with ; between them.")
    return found


def _object(name: str, text: str) -> Any:
    if not text.strip():
        return None if name == "price_range" else {}
    return _parsed(name, text)


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON: {error}. Write it as the export does, or leave it as it is.") from error


def _damage(before: str, text: str) -> str:
    """What a spreadsheet did to a text that it took for a number; '' where it did nothing."""
    if SCIENTIFIC.fullmatch(text) and any(letter.isdigit() for letter in before):
        return f"{text!r} is what a spreadsheet makes of {before!r}. Make the column text, and write it again."
    if before != text and text.isdecimal() and before.isdecimal() and before.lstrip("0") == text:
        return f"{text!r} has lost the zeros of {before!r}, as in a spreadsheet. Make the column text, or leave it out."
    return ""
