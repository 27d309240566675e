"""Money given back: whole, by line, an amount; points and totals go with it."""

import datetime
import itertools
import uuid
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.roles import Role
from orders.models import Order, OrderEvent, Refund
from profiles.models import LoyaltyEntry, Profile
from tests.api import assert_problem, client_as
from tests.factories import person
from tests.orders.till import PATH, line, sale

pytestmark = pytest.mark.django_db
TENANT = uuid.UUID("11111111-1111-4111-8111-111111111111")


@pytest.fixture
def till() -> APIClient:
    return client_as(Role.STAFF, tenant_id=TENANT)


@pytest.fixture
def ann() -> Profile:
    return person(tenant_id=TENANT, first_name="Ann")


def sell(till: APIClient, ann: Profile, *lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What the till was answered."""
    response = till.post(PATH, sale(*lines, customer_id=str(ann.id), **changes))
    assert response.status_code == 201, response.content
    answer: dict[str, Any] = response.json()
    return answer


def refund(till: APIClient, sold: dict[str, Any], body: Any, **headers: str) -> Any:
    return till.post(f"{PATH}{sold['id']}/refund", body, headers=headers)


def sums(ann: Profile) -> tuple[int, Decimal, int]:
    ann.refresh_from_db()
    return ann.loyalty_points, ann.total_spent, ann.order_count


def test_a_whole_refund_takes_all_back(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann)
    assert Profile.objects.get(pk=ann.pk).last_order_date is not None

    response = refund(till, sold, {"reason": "broken", "processed_by": "manager_1", "unknown": 1})

    assert response.status_code == 200
    assert response.json() == {
        "success": True,
        "message": f"11.30 was given back for sale {sold['order_number']}; 0.00 is left.",
    }
    assert sums(ann) == (0, 0, 0)
    assert ann.last_order_date is None
    order = Order.objects.get()
    assert (order.order_status, order.payment_status) == ("refunded", "refunded")
    assert (order.refunded_amount, order.counted_amount, order.counted_points) == (Decimal("11.30"), None, None)
    given = Refund.objects.get()
    assert (given.amount, given.points, given.lines) == (Decimal("11.30"), 11, [])
    assert (given.reason, given.processed_by, given.created_by) == ("broken", "manager_1", till.user.id)
    steps = list(OrderEvent.objects.order_by("id").values_list("status", "notes", "changed_by"))
    assert steps == [("completed", "", till.user.id), ("refunded", "11.30 given back. broken", till.user.id)]
    entry = LoyaltyEntry.objects.latest("id")
    assert (entry.delta, entry.balance, str(entry.order_id)) == (-11, 0, sold["id"])
    assert (entry.reason, entry.created_by) == ("refund of 11.30 for sale R-1", till.user.id)


def test_the_last_order_is_then_the_one_before(till: APIClient, ann: Profile) -> None:
    """Of three sales, in each order of taking them back; the person came with a date that no order here tells of."""
    came_with = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    for turns in itertools.permutations(range(3)):
        ann.last_order_date = came_with
        ann.save()
        days = [datetime.datetime(2026, 5, day, 12, tzinfo=datetime.UTC) for day in (2, 3, 1)]
        sold = [
            sell(till, ann, timestamp=day.isoformat(), receipt_number=f"{turns} {place}")
            for place, day in enumerate(days)
        ]
        left = set(range(3))
        for turn in turns:
            refund(till, sold[turn], {"amount": 1})
            ann.refresh_from_db()
            assert ann.last_order_date == max(days[place] for place in left)
            refund(till, sold[turn], {})
            left.remove(turn)
            ann.refresh_from_db()
            assert ann.last_order_date == max((days[place] for place in left), default=came_with), turns


def test_points_go_back_in_proportion_and_come_out_exact(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann, total=10.99)
    seen = []
    for amount in (0.99, 0.01, 4.5, 5.49):
        assert refund(till, sold, {"amount": amount}).status_code == 200
        seen.append((*sums(ann), Order.objects.get().order_status))
    assert seen == [
        (10, Decimal("10.00"), 1, "partial_refund"),
        (9, Decimal("9.99"), 1, "partial_refund"),
        (5, Decimal("5.49"), 1, "partial_refund"),
        (0, Decimal("0.00"), 0, "refunded"),
    ]
    assert list(Refund.objects.order_by("created_at").values_list("points", flat=True)) == [0, 1, 4, 5]
    assert sum(LoyaltyEntry.objects.values_list("delta", flat=True)) == 0


def test_points_spent_meanwhile_leave_a_negative_balance(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann)
    Profile.objects.filter(pk=ann.pk).update(loyalty_points=2)
    assert refund(till, sold, {}).status_code == 200
    assert sums(ann)[0] == -9


@pytest.mark.parametrize("already", [0, 1.3])
def test_more_than_is_left_is_a_conflict(till: APIClient, ann: Profile, already: float) -> None:
    sold = sell(till, ann)
    if already:
        refund(till, sold, {"amount": already})
    before = (sums(ann), Refund.objects.count(), OrderEvent.objects.count())

    problem = assert_problem(refund(till, sold, {"amount": 11.31 - already}), 409, "more_than_is_left")

    left = f"{Decimal('11.30') - Decimal(str(already)):.2f}"
    assert problem["detail"].startswith(
        f"{Decimal('11.31') - Decimal(str(already)):.2f} is more than the {left} that is left"
    )
    assert (sums(ann), Refund.objects.count(), OrderEvent.objects.count()) == before


@pytest.mark.parametrize("state", ["refunded", "parked", "resumed", "cancelled"])
def test_only_what_was_sold_and_not_yet_given_back_is_refunded(till: APIClient, ann: Profile, state: str) -> None:
    sold = sell(till, ann)
    Order.objects.update(order_status=state)
    problem = assert_problem(refund(till, sold, {}), 409, "not_refundable")
    assert f"is {state}:" in problem["detail"]
    assert not Refund.objects.exists()


@pytest.mark.parametrize("bare", [True, False])
def test_lines_are_named_by_the_ids_that_the_sale_answered(till: APIClient, ann: Profile, bare: bool) -> None:
    sold = sell(till, ann, line(10, 2), line(5), tax=2.5, total=27.5)
    ids = [found["id"] for found in sold["items"]]

    assert refund(till, sold, [ids[0]] if bare else {"items": [{"id": ids[0]}]}).status_code == 200

    assert sums(ann) == (5, Decimal("5.50"), 1)
    assert Refund.objects.get().amount == Decimal("22.00")  # with its share of the tax
    assert Refund.objects.get().lines == [{"index": 0, "id": ids[0], "quantity": 2.0}]


@pytest.mark.parametrize(
    "name",
    [
        "mine",
        {"id": "mine", "quantity": 1},
        {"line_id": "mine"},
        {"index": 1},
        1,
        "p2",
        "CUP",
        {"product_id": "p2"},
        {"product": {"id": "p2"}},
    ],
)
def test_a_line_may_be_named_by_its_own_id_index_product_or_sku(till: APIClient, ann: Profile, name: Any) -> None:
    sold = sell(till, ann, line(10), line(5, id="mine", product={"id": "p2", "sku": "CUP"}))
    assert refund(till, sold, {"items": [name]}).status_code == 200
    assert Refund.objects.get().lines == [{"index": 1, "id": "mine", "quantity": 1.0}]
    assert Refund.objects.get().amount == 5


def test_a_part_of_a_line_goes_back_and_then_no_more_than_the_rest(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann, line(10, 3), line(1))
    assert refund(till, sold, {"items": [{"index": 0, "quantity": 2}]}).status_code == 200
    problem = assert_problem(refund(till, sold, {"items": [{"index": 0, "quantity": 2}]}), 409, "more_than_is_left")
    assert problem["detail"] == "items.0: 2 of line 0 is more than the 1 that is left of it."
    twice = {"items": [{"index": 0, "quantity": 1}, {"index": 0}]}
    assert_problem(refund(till, sold, twice), 409, "more_than_is_left")
    assert Refund.objects.count() == 1
    assert refund(till, sold, {"items": [{"index": 0}]}).status_code == 200
    assert sums(ann) == (1, Decimal("1.00"), 1)


def test_shares_of_a_total_add_up_to_it(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann, line(0.05, 3), tax=0.05, total=0.2)
    for _ in range(3):
        assert refund(till, sold, {"items": [{"index": 0, "quantity": 1}]}).status_code == 200
    amounts = list(Refund.objects.order_by("created_at").values_list("amount", flat=True))
    assert amounts == [Decimal("0.07"), Decimal("0.07"), Decimal("0.06")]
    assert sums(ann) == (0, 0, 0)


def test_the_last_lines_give_back_what_an_amount_has_left(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann, line(10), line(5))
    refund(till, sold, {"amount": 6})
    assert_problem(refund(till, sold, {"items": [{"index": 0}]}), 409, "more_than_is_left")
    assert refund(till, sold, {"items": [{"index": 0}, {"index": 1}]}).status_code == 200
    assert sums(ann) == (0, 0, 0)


def test_a_line_discount_lowers_what_it_is_worth(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann, line(10, discount=50, discount_type="percentage"), line(5), subtotal=10, total=10)
    refund(till, sold, {"items": [{"index": 0}]})
    assert Refund.objects.get().amount == 5


def test_an_amount_beside_lines_is_what_is_given(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann, line(10), line(5))
    refund(till, sold, {"amount": 4, "items": [{"index": 0}]})
    given = Refund.objects.get()
    assert (given.amount, given.lines[0]["index"]) == (4, 0)


def test_a_free_sale_is_refunded_once_and_is_no_order_any_more(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann, line(0))
    assert sums(ann) == (0, 0, 1)
    assert refund(till, sold, {}).status_code == 200
    assert sums(ann) == (0, 0, 0)
    assert not Refund.objects.exists()
    assert refund(till, sold, {}).status_code == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": 0.004}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": "all"}, "amount"),
        ({"items": []}, "items"),
        ([], "items"),
        ({"items": "x"}, "items"),
        ({"items": ["nothing"]}, "items.0"),
        ({"items": [{"index": 9}]}, "items.0"),
        ({"items": [{"index": -1}]}, "items.0"),
        ({"items": [{"index": "0"}]}, "items.0.index"),
        ({"items": [{"index": 0, "quantity": 0}]}, "items.0.quantity"),
        ({"items": [{"index": 0, "quantity": "1e999999999"}]}, "items.0.quantity"),
        ({"items": [None]}, "items.0"),
        ({"items": [{}]}, "items.0"),
        ({"items": ["p1"]}, "items.0"),
        ({"items": [{"index": 2}]}, "items"),
        ({"reason": 5}, "reason"),
        ({"processed_by": {}}, "processed_by"),
    ],
)
def test_what_cannot_be_refunded_is_named_and_nothing_is_written(
    till: APIClient, ann: Profile, body: Any, field: str
) -> None:
    sold = sell(till, ann, line(10), line(10), line(0, product={"id": "free"}))
    problem = assert_problem(refund(till, sold, body), 400, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert sums(ann) == (20, 20, 1)
    assert not Refund.objects.exists()


@pytest.mark.parametrize("body", ["text", 5, True])
def test_a_body_that_is_no_refund_is_refused(till: APIClient, ann: Profile, body: Any) -> None:
    assert refund(till, sell(till, ann), body).status_code == 400
    assert not Refund.objects.exists()


def test_a_refund_with_the_same_key_is_done_once(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann)
    answers = [refund(till, sold, {"amount": 2}, **{"Idempotency-Key": "r1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert sums(ann) == (9, Decimal("9.30"), 1)
    other = refund(till, sold, {"amount": 3}, **{"Idempotency-Key": "r1"})
    assert_problem(other, 409, "idempotency_key_reused")
    assert Refund.objects.count() == 1


def test_a_sale_to_nobody_and_an_uncounted_one_change_no_totals(till: APIClient, ann: Profile) -> None:
    nobody = till.post(PATH, sale(receipt_number="R-2")).json()
    assert refund(till, nobody, {}).status_code == 200
    sold = sell(till, ann)
    Order.objects.filter(pk=sold["id"]).update(counted_amount=None, counted_points=None)
    before = sums(ann)
    assert refund(till, sold, {}).status_code == 200
    assert sums(ann) == before
    assert set(Refund.objects.values_list("points", flat=True)) == {0}


def test_lines_that_are_no_longer_a_tills_cannot_be_refunded_by_line(till: APIClient, ann: Profile) -> None:
    sold = sell(till, ann)
    for items in ({"a": 1}, ["x"], [None], [{"product": 5}]):
        Order.objects.update(items=items)
        assert refund(till, sold, {"items": [{"index": 0}]}).status_code == 400
    assert refund(till, sold, {}).status_code == 200
