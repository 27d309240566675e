"""Fixtures of the old API's tests."""

import math

import pytest

from legacy_customers.api import usage


@pytest.fixture(autouse=True)
def counter(monkeypatch: pytest.MonkeyPatch) -> usage.Counter:
    """A counter of the test's own, which writes a client's first call and then only when it is told to."""
    fresh = usage.Counter(seconds=math.inf)
    monkeypatch.setattr(usage.atexit, "register", lambda flush: None)  # the test's database is not there at the end
    monkeypatch.setattr(usage, "counter", fresh)
    return fresh
