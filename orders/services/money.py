"""Sums as clients send them: unrounded floats, rounded here to cents, half up."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from rest_framework.exceptions import ValidationError

CENT = Decimal("0.01")
# The columns are numeric(12,2).
LIMIT = Decimal(10) ** 10


def invalid(field: str, detail: str, code: str = "invalid") -> ValidationError:
    """400, with one field to blame; `field` is a dotted path into the body."""
    return ValidationError({field: [detail]}, code)


def number(value: Any, field: str) -> Decimal:
    """A JSON number, or a numeral in a text, as it reads: 0.1 is 0.1, not its binary neighbour."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            # The length keeps a text of a million digits from being read at all.
            found = Decimal(value if not isinstance(value, float) else repr(value)) if len(str(value)) <= 40 else None
        except InvalidOperation:
            found = None
        if found is not None and found.is_finite() and found.copy_abs() < LIMIT:
            return found
    raise invalid(field, f"{_shown(value)} is no number below {LIMIT:,} in size.")


def cents(amount: Decimal) -> Decimal:
    """Rounded to cents, half up."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def amount_of(value: Any, field: str) -> Decimal:
    """A sum of money in cents, not negative."""
    found = cents(number(value, field))
    if found < 0:
        raise invalid(field, f"{_shown(value)} is negative; a sum is 0 or more.")
    if found >= LIMIT:
        raise invalid(field, f"{_shown(value)} is too large; a sum is below {LIMIT:,}.")
    return found


def optional_amount(body: Mapping[str, Any], name: str) -> Decimal | None:
    """The sum called `name`, None where it is missing or null."""
    value = body.get(name)
    return None if value is None else amount_of(value, name)


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
