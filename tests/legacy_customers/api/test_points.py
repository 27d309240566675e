"""A till's adjustment of points: never refused, never below zero, whoever adjusts at the same time."""

import threading

import pytest
from django.db import connections
from django.db.models import Sum

from legacy_customers.api import points
from profiles.models import LoyaltyEntry
from tests.factories import UserFactory, person


@pytest.mark.django_db(transaction=True)
def test_what_fifty_tills_take_at_once_adds_up() -> None:
    staff = UserFactory(role="staff")
    guest = person(loyalty_points=100)
    together = threading.Barrier(50)
    failed: list[BaseException] = []

    def take(number: int) -> None:
        try:
            together.wait()
            for turn in range(4):
                points.add(guest.user_id, -7 if turn % 2 else 3, by=staff, via="api")
        except BaseException as error:
            failed.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    guest.refresh_from_db()
    entries = LoyaltyEntry.objects.filter(profile=guest)
    assert entries.aggregate(sum=Sum("delta"))["sum"] == guest.loyalty_points == entries.latest("id").balance
    assert min(entries.values_list("balance", flat=True)) >= 0
