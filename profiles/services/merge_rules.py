"""Which value stands when two profiles become one: the field map's rules, with the survivor's value first.

Works on rows as PostgreSQL writes them in JSON, so that nothing is lost on the way: numbers keep their digits, and dates
that Python does not know stay text.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

Row = Mapping[str, Any]


class Rule(StrEnum):
    """How one value comes out of two."""

    FIRST = "first"  # the survivor's, unless it says nothing
    BLOCK = "block"  # the whole address of the first who has one
    SUM = "sum"
    GREATEST = "greatest"
    LEAST = "least"
    MERGE = "merge"  # objects key by key, the survivor's first, a blank never wins
    UNION = "union"  # list entries in order, each once
    NOTES = "notes"  # both texts, the older profile's first
    CONSENT = "consent"  # true only if both say true
    VERIFIED = "verified"  # the survivor's


ADDRESS = ("address", "city", "state", "postal_code", "country")
SUMS = ("loyalty_points", "total_spent", "order_count", "interaction_count")
FIELDS: Mapping[str, Rule] = {
    **dict.fromkeys(("contact_email", "first_name", "last_name", "phone", "date_of_birth"), Rule.FIRST),
    **dict.fromkeys(ADDRESS, Rule.BLOCK),
    "loyalty_points": Rule.SUM,
    **dict.fromkeys(("customer_type", "preferred_payment_method"), Rule.FIRST),
    "total_spent": Rule.SUM,
    "order_count": Rule.SUM,
    "last_order_date": Rule.GREATEST,
    "preferences": Rule.MERGE,
    "needs": Rule.UNION,
    "experience_level": Rule.FIRST,
    **dict.fromkeys(("medical_conditions", "preferred_categories", "preferred_effects"), Rule.UNION),
    "price_range": Rule.FIRST,
    "purchase_history": Rule.UNION,
    "interaction_count": Rule.SUM,
    **dict.fromkeys(("language", "timezone"), Rule.FIRST),
    **dict.fromkeys(("marketing_consent", "sms_consent"), Rule.CONSENT),
    "tags": Rule.UNION,
    "notes": Rule.NOTES,
    "is_verified": Rule.VERIFIED,
    "created_at": Rule.LEAST,
}
# Values that any other one beats, and that are no loss.
DEFAULTS = {"customer_type": "regular", "country": "USA"}
# What a caller may decide; an address only as a whole, by its first column.
CHOOSABLE = frozenset(
    name
    for name, rule in FIELDS.items()
    if rule in (Rule.FIRST, Rule.MERGE, Rule.UNION, Rule.NOTES) or name == "address"
)
SURVIVOR, OTHER, BOTH = "survivor", "other", "both"
BLANK_JSON: tuple[Any, ...] = (None, {}, [], "")
MERGED_WHOLE_BELOW = 64


@dataclass(frozen=True)
class Lost:
    """A value that does not stand. `side` is whose it was, `path` an RFC 6901 pointer into a JSON column."""

    field: str
    path: str
    rule: str
    chosen: Any
    value: Any
    side: str


@dataclass(frozen=True)
class Decision:
    """One column: both values, the one that stands, whose it is, and what is lost by it."""

    field: str
    rule: Rule
    survivor: Any
    other: Any
    chosen: Any
    source: str
    by_choice: bool = False
    lost: tuple[Lost, ...] = ()


@dataclass(frozen=True)
class Pair:
    """Both rows, their logins' addresses, and what PostgreSQL says of their times."""

    survivor: Row
    other: Row
    survivor_login: str | None
    other_login: str | None
    times: Row  # the greatest or least of both, by column
    other_is_older: bool


def decide(pair: Pair, choices: Mapping[str, str]) -> list[Decision]:
    """Every column that merging decides, in the field map's order. `choices`: a column of CHOOSABLE -> whose value."""
    block = choices.get("address")
    home = block or (OTHER if not _has_address(pair.survivor) and _has_address(pair.other) else SURVIVOR)
    return [_decision(pair, name, rule, choices, home) for name, rule in FIELDS.items()]


def _decision(pair: Pair, name: str, rule: Rule, choices: Mapping[str, str], home: str) -> Decision:
    own, theirs = pair.survivor[name], pair.other[name]
    if name == "contact_email":
        return _contact(pair, choices.get(name))
    choice = choices.get("address" if rule is Rule.BLOCK else name)
    match rule:
        case Rule.SUM:
            return Decision(name, rule, own, theirs, own + theirs, BOTH)
        case Rule.GREATEST | Rule.LEAST:
            chosen = pair.times[name]
            return Decision(name, rule, own, theirs, chosen, SURVIVOR if same(chosen, own) else OTHER)
        case Rule.CONSENT:
            chosen = own and theirs
            lost = [_lost(name, rule, chosen, True, side) for side, value in sides(own, theirs) if value and not chosen]
            return Decision(name, rule, own, theirs, chosen, BOTH, False, tuple(lost))
        case Rule.VERIFIED:
            lost = [_lost(name, Rule.CONSENT, own, True, OTHER)] if theirs and not own else []
            return Decision(name, rule, own, theirs, own, SURVIVOR, False, tuple(lost))
        case Rule.BLOCK:
            return _one_of(name, rule, own, theirs, home, choice)
    if choice is not None:
        return _one_of(name, rule, own, theirs, choice, choice)
    match rule:
        case Rule.FIRST:
            return _one_of(name, rule, own, theirs, SURVIVOR if says(name, own) or not says(name, theirs) else OTHER)
        case Rule.NOTES:
            return _notes(pair, name, own, theirs)
    return _json(name, rule, own, theirs)


def _one_of(name: str, rule: Rule, own: Any, theirs: Any, side: str, choice: str | None = None) -> Decision:
    """One side's value as a whole; the other side's is lost where it said something else."""
    chosen, left, loser = (own, theirs, OTHER) if side == SURVIVOR else (theirs, own, SURVIVOR)
    covered = isinstance(left, list) and isinstance(chosen, list) and {key(e) for e in left} <= {key(e) for e in chosen}
    lost: list[Lost] = []
    if says(name, left) and not same(left, chosen) and not covered:
        lost = [_lost(name, "choice" if choice else rule, chosen, left, loser)]
    return Decision(name, rule, own, theirs, chosen, side, choice is not None, tuple(lost))


def _contact(pair: Pair, choice: str | None) -> Decision:
    """Where to write: a profile's own address, else its login's. The column stays empty where that is the login."""
    name, rule = "contact_email", Rule.FIRST
    own, theirs = pair.survivor[name], pair.other[name]
    own_address, their_address = (
        value if says(name, value) else login
        for value, login in ((own, pair.survivor_login), (theirs, pair.other_login))
    )
    side = choice or (SURVIVOR if says(name, own_address) or not says(name, their_address) else OTHER)
    if side == SURVIVOR:
        chosen, address, left, loser = own, own_address, their_address, OTHER
    else:
        chosen, address = (None if their_address == pair.survivor_login else their_address), their_address
        left, loser = own_address, SURVIVOR
    lost: tuple[Lost, ...] = ()
    # The survivor's login is not lost: it stays the login.
    if says(name, left) and not _same_address(left, address) and not (loser == SURVIVOR and not says(name, own)):
        lost = (_lost(name, "choice" if choice else rule, address, left, loser),)
    return Decision(name, rule, own_address, their_address, chosen, side, choice is not None, lost)


def _notes(pair: Pair, name: str, own: Any, theirs: Any) -> Decision:
    if not says(name, theirs) or (own is not None and theirs in own):
        return Decision(name, Rule.NOTES, own, theirs, own, SURVIVOR)
    if not says(name, own) or own in theirs:
        return Decision(name, Rule.NOTES, own, theirs, theirs, OTHER)
    first, second = (theirs, own) if pair.other_is_older else (own, theirs)
    return Decision(name, Rule.NOTES, own, theirs, f"{first}\n\n{second}", BOTH)


def _json(name: str, rule: Rule, own: Any, theirs: Any) -> Decision:
    """Lists and objects of both. JSON of another shape says nothing here, and is kept as lost where it does elsewhere."""
    shape: type = list if rule is Rule.UNION else dict
    fits: list[Any] = [value for value in (own, theirs) if isinstance(value, shape) and value]
    lost = [
        _lost(name, "shape", None, value, side)
        for side, value in sides(own, theirs)
        if not isinstance(value, shape) and value not in BLANK_JSON
    ]
    if not fits:
        lost = [entry for entry in lost if entry.side == OTHER]
        return Decision(name, rule, own, theirs, own, SURVIVOR, False, tuple(lost))
    if rule is Rule.UNION:
        chosen: Any = union(*fits) if len(fits) == 2 else fits[0]
    else:
        chosen = merged(*fits) if len(fits) == 2 else fits[0]
        if isinstance(theirs, dict):
            lost += [Lost(name, path, "merge", kept, value, OTHER) for path, kept, value in lost_paths(theirs, chosen)]
    source = SURVIVOR if same(chosen, own) else OTHER if same(chosen, theirs) else BOTH
    lost = [Lost(e.field, e.path, e.rule, chosen if e.rule == "shape" else e.chosen, e.value, e.side) for e in lost]
    return Decision(name, rule, own, theirs, chosen, source, False, tuple(lost))


def union(first: list[Any], second: list[Any]) -> list[Any]:
    """The entries of both in order, each once; the first list as it is where the second adds nothing."""
    known = {key(entry) for entry in first}
    if all(key(entry) in known for entry in second):
        return first
    found: dict[Any, Any] = {}
    for entry in (*first, *second):
        found.setdefault(key(entry), entry)
    return list(found.values())


def merged(first: dict[str, Any], second: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """Both objects as one: `first` wins key by key at any depth (below 64 whole), but a blank never wins."""
    result = {**second, **first}
    for name in first.keys() & second.keys():
        own, theirs = first[name], second[name]
        if own in BLANK_JSON and theirs not in BLANK_JSON:
            result[name] = theirs
        elif isinstance(own, dict) and isinstance(theirs, dict) and depth < MERGED_WHOLE_BELOW:
            result[name] = merged(own, theirs, depth + 1)
    return result


def lost_paths(source: Any, result: Any, at: str = "", depth: int = 0) -> Iterator[tuple[str, Any, Any]]:
    """What of `source` is not in `result`: pointer, the value there, the value lost."""
    if isinstance(source, dict) and isinstance(result, dict) and depth <= MERGED_WHOLE_BELOW:
        for name, value in source.items():
            step = name.replace("~", "~0").replace("/", "~1")
            yield from lost_paths(value, result.get(name), f"{at}/{step}", depth + 1)
    elif source not in BLANK_JSON and not same(source, result):
        yield at, result, source


def says(name: str, value: Any) -> bool:
    """Whether a value says something: no blank, and not the default that any other value beats."""
    if isinstance(value, str):
        blank = value.strip() in (("", "null", "{}", "[]", '""') if name == "address" else ("",))
        return not blank and value != DEFAULTS.get(name)
    return value not in BLANK_JSON if not isinstance(value, bool) else value


def _has_address(row: Row) -> bool:
    return any(says(name, row[name]) for name in ADDRESS)


def _same_address(left: Any, right: Any) -> bool:
    return isinstance(left, str) and isinstance(right, str) and left.strip().lower() == right.strip().lower()


def sides(own: Any, theirs: Any) -> tuple[tuple[str, Any], tuple[str, Any]]:
    return (SURVIVOR, own), (OTHER, theirs)


def _lost(name: str, rule: str, chosen: Any, value: Any, side: str) -> Lost:
    return Lost(name, "", str(rule), chosen, value, side)


def same(left: Any, right: Any) -> bool:
    """Whether jsonb takes two values for equal: 1 is 1.0, but not true."""
    return key(left) == key(right)


def key(value: Any) -> Any:
    """A hashable stand-in for a JSON value, equal where jsonb is."""
    match value:
        case bool() | None | str():
            return (type(value).__name__, value)
        case dict():
            return ("object", frozenset((name, key(entry)) for name, entry in value.items()))
        case list() | tuple():
            return ("array", tuple(key(entry) for entry in value))
    return ("number", Decimal(value))


def loads(text: str) -> Any:
    """JSON with every digit of its numbers; what does not fit 64 bits is a Decimal."""
    return json.loads(
        text, parse_float=Decimal, parse_int=lambda digits: int(digits) if len(digits) < 19 else Decimal(digits)
    )


def dumps(value: Any) -> str:
    """The same JSON again."""
    match value:
        case dict():
            return "{" + ",".join(f"{dumps(str(name))}:{dumps(entry)}" for name, entry in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(dumps, value)) + "]"
        case Decimal():
            return str(value)
        case bool() | None | int() | str():
            return json.dumps(value, ensure_ascii=False)
    return json.dumps(str(value), ensure_ascii=False)
