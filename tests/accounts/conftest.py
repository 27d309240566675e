"""Fixtures of the accounts' tests."""

import pytest
from django.core.cache import cache

from accounts.hashers import LegacyBcryptHasher


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap password hashes, and throttles that have seen no call yet."""
    monkeypatch.setattr(LegacyBcryptHasher, "rounds", 4)
    cache.clear()
