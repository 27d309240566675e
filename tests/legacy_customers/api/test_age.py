"""Who is old enough."""

import datetime
from typing import Any

import pytest
from django.utils import timezone

from config.postgresql.odd_dates import OddDate
from legacy_customers.api import age


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "localdate", lambda: datetime.date(2026, 3, 1))


@pytest.mark.parametrize(
    ("born", "years"),
    [
        (datetime.date(2007, 3, 1), 19),
        (datetime.date(2007, 3, 2), 18),
        (datetime.date(2008, 2, 29), 18),
        (datetime.date(2026, 3, 1), 0),
        (datetime.date(1, 1, 1), 2025),
    ],
)
def test_age_is_in_whole_years(born: datetime.date, years: int) -> None:
    assert age.age(born) == years


def test_who_was_born_on_a_leap_day_is_older_on_the_first_of_march(monkeypatch: pytest.MonkeyPatch) -> None:
    assert age.age(datetime.date(2004, 2, 29)) == 22
    monkeypatch.setattr(timezone, "localdate", lambda: datetime.date(2026, 2, 28))
    assert age.age(datetime.date(2004, 2, 29)) == 21


@pytest.mark.parametrize("province", ["QC", "qc", " Quebec ", "Québec", "QUÉBEC", "Que\u0301bec"])
def test_legal_age_of_a_province_in_any_spelling(province: str) -> None:
    assert age.legal_age(province) == 21


@pytest.mark.parametrize("province", [None, "", "ON", "QCC"])
def test_legal_age_elsewhere(province: str | None, settings: Any) -> None:
    assert age.legal_age(province) == 19
    settings.LEGAL_AGE = 18
    assert age.legal_age(province) == 18


def test_old_enough_depends_on_the_province() -> None:
    born = datetime.date(2006, 1, 1)  # 20
    assert age.old_enough(born)
    assert age.old_enough(born, "ON")
    assert not age.old_enough(born, "QC")


@pytest.mark.parametrize("born", [None, OddDate("infinity"), OddDate("-infinity"), OddDate("0044-03-15 BC")], ids=str)
def test_a_date_that_is_unknown_or_beyond_the_calendar_proves_nothing(born: datetime.date | None) -> None:
    assert not age.old_enough(born)
