"""The day that it is in these tests, and a roll-up that is empty before each."""

import datetime

import pytest

from orders.analytics import rollup, selectors
from tests.databases import run

TODAY = datetime.date(2026, 10, 14)
TABLES = ("sales_dirty", "sales_rolled", "sales_days", "sales_day_products", "sales_month_products", "sales_products")


@pytest.fixture
def nothing_rolled_up(db: None) -> None:
    """What a test that commits has left: Django empties the tables of models alone."""
    for table in TABLES:
        run(f"DELETE FROM {table}")


@pytest.fixture
def today(nothing_rolled_up: None, monkeypatch: pytest.MonkeyPatch) -> datetime.date:
    """Stops the calendar at TODAY."""
    monkeypatch.setattr(rollup, "today", lambda: TODAY)
    monkeypatch.setattr(selectors, "today", lambda: TODAY)
    return TODAY


def at(day: str, time: str = "12:00") -> datetime.datetime:
    """A moment in UTC."""
    return datetime.datetime.fromisoformat(f"{day}T{time}+00:00")
