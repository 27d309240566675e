"""Which value a column has when a merge is taken back: what the merge brought goes, what was written since stays."""

from collections.abc import Mapping
from typing import Any

from .merge_rules import ADDRESS, FIELDS, SUMS, Row, Rule, key, same


def given_back(before: Row, after: Row, now: Row) -> dict[str, Any]:
    """The survivor's columns that change. `before`: as they were; `after`: what the merge wrote; `now`: as they are.

    Sums are left out: they go back as amounts. An address goes back as a whole, or stays.
    """
    found = {}
    moved_in = all(same(after.get(name, before[name]), now[name]) for name in ADDRESS)
    for name, value in after.items():
        rule = FIELDS[name]
        if name in SUMS or (rule is Rule.BLOCK and not moved_in):
            continue
        wanted = _without(rule, before[name], value, now[name])
        if not same(wanted, now[name]):
            found[name] = wanted
    return found


def _without(rule: Rule, before: Any, after: Any, now: Any) -> Any:
    """`now` without the change from `before` to `after`."""
    if same(now, after):
        return before
    match rule:
        case Rule.UNION if isinstance(after, list) and isinstance(now, list):
            return _list(before if isinstance(before, list) else [], after, now)
        case Rule.MERGE if isinstance(after, dict) and isinstance(now, dict):
            return _object(before if isinstance(before, dict) else {}, after, now)
        case Rule.NOTES if after and now:
            return _text(before or "", after, now)
    return now


def _list(before: list[Any], after: list[Any], now: list[Any]) -> list[Any]:
    was, became, is_now = ({key(entry) for entry in entries} for entries in (before, after, now))
    back = [entry for entry in before if key(entry) not in became | is_now]
    return back + [entry for entry in now if key(entry) in was or key(entry) not in became]


def _object(before: Mapping[str, Any], after: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in before.items() if name not in after and name not in now}
    for name, value in now.items():
        if name not in after:
            found[name] = value
        elif same(value, after[name]):
            if name in before:
                found[name] = before[name]
        elif isinstance(value, dict) and isinstance(after[name], dict):
            was = before.get(name)
            found[name] = _object(was if isinstance(was, dict) else {}, after[name], value)
        else:
            found[name] = value
    return found


def _text(before: str, after: str, now: str) -> str | None:
    """Notes in which the merge's part is still to be seen; what was written around it stays."""
    brought = after
    if before and after.endswith(f"\n\n{before}"):
        brought = after.removesuffix(before)
    elif before and after.startswith(f"{before}\n\n"):
        brought = after.removeprefix(before)
    elif before:
        return now.replace(after, before, 1)
    left = now.replace(brought, "", 1)
    return (left if before else left.strip("\n")) or None
