"""Who is old enough to buy: the legal age is a setting, and another one in some provinces."""

import datetime
import unicodedata

from django.conf import settings
from django.utils import timezone

from config.postgresql.odd_dates import OddDate


def legal_age(province: str | None = None) -> int:
    """Years, by the province's or state's name or abbreviation as it is set, in any case, with accents or without."""
    by_province = {_folded(name): age for name, age in settings.LEGAL_AGE_BY_PROVINCE.items()}
    return int(by_province.get(_folded(province or ""), settings.LEGAL_AGE))


def age(born: datetime.date) -> int:
    """Whole years today, in the shop's time zone; who was born on 29 February is older on 1 March."""
    today = timezone.localdate()
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def old_enough(born: datetime.date | None, province: str | None = None) -> bool:
    """A date that is unknown, or beyond the calendar, proves nothing."""
    return born is not None and not isinstance(born, OddDate) and age(born) >= legal_age(province)


def _folded(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.strip().casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))
