"""What an order adds to its person's totals, and takes back."""

import uuid
from decimal import Decimal

import pytest

from orders.models import Order
from orders.services import counting
from profiles.models import LoyaltyEntry, Profile
from tests.factories import OrderFactory, person

pytestmark = pytest.mark.django_db


def settle(order: Order, *, ended: bool = False) -> int:
    return counting.settle(order, ended=ended, reason="refund", by=None, via="till")


def begin(order: Order) -> int:
    return counting.begin(order, reason="order", by=None, via="api")


def sums(profile: Profile) -> tuple[int, Decimal, int]:
    profile.refresh_from_db()
    return profile.loyalty_points, profile.total_spent, profile.order_count


@pytest.mark.parametrize(
    ("amount", "points"), [("0", 0), ("0.99", 0), ("1", 1), ("10.99", 10), ("-3", 0), ("9999999999.99", 9_999_999_999)]
)
def test_a_point_per_whole_currency_unit(amount: str, points: int) -> None:
    assert counting.points_for(Decimal(amount)) == points


def test_an_order_counts_once() -> None:
    ann = person()
    order = OrderFactory(user=ann.user, total_amount=Decimal("20.50"))
    assert [begin(order), begin(order)] == [20, 0]
    assert (order.counted_amount, order.counted_points) == (Decimal("20.50"), 20)
    assert sums(ann) == (20, Decimal("20.50"), 1)
    assert ann.last_order_date == order.created_at
    entry = LoyaltyEntry.objects.get()
    assert (entry.delta, entry.reason, entry.source, entry.order_id) == (20, "order", "api", order.id)


def test_what_is_no_longer_due_goes_back_exactly() -> None:
    ann = person()
    order = OrderFactory(user=ann.user, total_amount=Decimal("10.99"))
    begin(order)
    taken = []
    for refunded in ("0.99", "1.00", "10.98"):
        order.refunded_amount = Decimal(refunded)
        taken.append(settle(order))
        assert sums(ann) == (order.counted_points, order.counted_amount, 1)
    taken.append(settle(order, ended=True))
    assert taken == [0, 1, 9, 0]
    assert sums(ann) == (0, 0, 0)
    assert ann.last_order_date is None


def test_an_order_that_is_refunded_before_it_counts_brings_the_rest() -> None:
    ann = person()
    order = OrderFactory(user=ann.user, refunded_amount=Decimal("5.50"))
    begin(order)
    assert sums(ann) == (14, Decimal("14.50"), 1)


@pytest.mark.parametrize("ended", [True, False])
def test_an_order_that_was_never_counted_changes_no_totals(ended: bool) -> None:
    ann = person(loyalty_points=7, order_count=3)
    order = OrderFactory(user=ann.user, refunded_amount=Decimal(5))
    assert settle(order, ended=ended) == 0
    assert (order.counted_amount, order.counted_points) == (None, None)
    assert sums(ann) == (7, 0, 3)


def test_an_order_of_nobody_counts_for_nobody() -> None:
    order = OrderFactory(user=None)
    assert (begin(order), settle(order, ended=True)) == (0, 0)
    assert order.counted_amount is None


def test_an_order_without_a_total_counts_as_an_order() -> None:
    ann = person()
    order = OrderFactory(user=ann.user, total_amount=None)
    begin(order)
    assert sums(ann) == (0, 0, 1)
    settle(order, ended=True)
    assert sums(ann) == (0, 0, 0)


def test_nothing_is_saved_by_counting() -> None:
    order = OrderFactory(user=person().user, id=uuid.uuid4())
    begin(order)
    assert Order.objects.get().counted_amount is None
