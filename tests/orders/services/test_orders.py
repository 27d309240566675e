"""Web orders: what they count, that it is taken back exactly, and that nothing happens twice."""

import datetime
import itertools
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from accounts.models import User
from accounts.roles import Role
from config.api.problems import Problem
from orders.models import Order, OrderEvent, Refund
from orders.services import orders as service
from orders.services.orders import Draft
from profiles.models import LoyaltyEntry, Profile
from tests.api import client_for
from tests.factories import OrderFactory, UserFactory, person

TEA = {"product_id": "tea", "name": "Tea", "quantity": 1, "price": "21.50"}


def made(user: User, *items: Any) -> Order:
    return service.create(Draft(items=items or [TEA], payment_method="cash"), by=user, via="test")


def move(order: Order, by: User | None = None, **changes: Any) -> None:
    service.change_status(order.pk, by=by, via="test", **changes)
    order.refresh_from_db()


def totals(user: User) -> tuple[int, Decimal, int]:
    found = Profile.objects.get(user=user)
    return found.loyalty_points, found.total_spent, found.order_count


def words(order: Order) -> list[str]:
    return list(OrderEvent.objects.filter(order=order).order_by("id").values_list("status", flat=True))


def statuses(order: Order) -> tuple[str | None, str | None, str | None]:
    order.refresh_from_db()
    return order.order_status, order.delivery_status, order.payment_status


@pytest.mark.django_db
class TestCounting:
    @pytest.mark.parametrize("word", ["paid", "completed"])
    def test_a_paid_order_counts_once(self, word: str) -> None:
        user = UserFactory()
        order = made(user)
        assert totals(user) == (0, 0, 0)
        move(order, payment_status=word)
        move(order, payment_status="paid" if word == "completed" else "completed")
        assert totals(user) == (21, Decimal("21.50"), 1)
        assert (order.counted_amount, order.counted_points) == (Decimal("21.50"), 21)
        assert Profile.objects.get(user=user).last_order_date == order.created_at

    @pytest.mark.parametrize(
        ("changes", "refunded"),
        [
            ({"payment_status": "refunded"}, True),
            ({"status": "refunded"}, True),
            ({"status": "cancelled"}, True),
            ({"delivery_status": "cancelled"}, True),
            ({"payment_status": "failed"}, False),
        ],
    )
    def test_what_ends_the_payment_takes_all_back(self, changes: dict[str, str], refunded: bool) -> None:
        user = person(loyalty_points=5, total_spent=Decimal("3.25"), order_count=2).user
        order = made(user)
        move(order, payment_status="paid")
        assert totals(user) == (26, Decimal("24.75"), 3)
        move(order, **changes)
        assert totals(user) == (5, Decimal("3.25"), 2)
        assert list(Refund.objects.values_list("amount", "points")) == ([(Decimal("21.50"), 21)] if refunded else [])
        assert order.refunded_amount == (Decimal("21.50") if refunded else 0)
        assert order.counted_amount is None

    def test_points_that_are_spent_already_go_below_zero(self) -> None:
        user = UserFactory()
        order = made(user)
        move(order, payment_status="paid")
        Profile.objects.filter(user=user).update(loyalty_points=1)
        service.cancel(order.pk, by=user, via="test")
        assert totals(user) == (-20, 0, 0)

    def test_a_payment_that_failed_can_be_made_again(self) -> None:
        user = UserFactory()
        order = made(user)
        for word in ("paid", "failed", "paid", "failed", "completed"):
            move(order, payment_status=word)
        assert totals(user) == (21, Decimal("21.50"), 1)
        assert [entry.delta for entry in LoyaltyEntry.objects.order_by("id")] == [21, -21, 21, -21, 21]
        assert {(entry.order_id, entry.source) for entry in LoyaltyEntry.objects.all()} == {(order.pk, "test")}

    def test_an_order_of_nobody_counts_nothing(self) -> None:
        staff = UserFactory(role=Role.STAFF)
        order = service.create(Draft(items=[TEA], payment_method="cash", customer="anonymous"), by=staff, via="test")
        move(order, payment_status="paid")
        service.cancel(order.pk, by=staff, via="test")
        assert statuses(order) == ("cancelled", "cancelled", "refunded")
        assert Refund.objects.get().points == 0
        assert Profile.objects.exclude(loyalty_points=0, total_spent=0, order_count=0).count() == 0

    def test_an_order_of_the_old_application_counts_nothing(self) -> None:
        order = OrderFactory(payment_status="pending", delivery_status=None)
        move(order, payment_status="paid")
        service.cancel(order.pk, by=None, via="test")
        assert totals(order.user) == (0, 0, 0)
        assert LoyaltyEntry.objects.count() == 0

    def test_a_free_order_counts_as_an_order(self) -> None:
        user = UserFactory()
        order = made(user, {**TEA, "price": 0})
        move(order, payment_status="paid")
        assert totals(user) == (0, 0, 1)
        service.cancel(order.pk, by=user, via="test")
        assert totals(user) == (0, 0, 0)
        assert Refund.objects.count() == 0

    def test_what_the_till_refunded_in_part_is_not_refunded_again(self) -> None:
        user = UserFactory()
        order = made(user)
        move(order, payment_status="paid")
        Order.objects.filter(pk=order.pk).update(refunded_amount=Decimal("1.50"))
        service.cancel(order.pk, by=user, via="test")
        assert Refund.objects.get().amount == Decimal("20.00")
        assert totals(user) == (0, 0, 0)


@pytest.mark.django_db
class TestSteps:
    def test_the_whole_follows_the_delivery_and_back(self) -> None:
        order = made(UserFactory())
        move(order, delivery_status="preparing")
        assert statuses(order) == ("preparing", "preparing", "pending")
        move(order, status="ready")
        assert statuses(order) == ("ready", "ready", "pending")
        move(order, status="completed", payment_status="paid")
        assert statuses(order) == ("completed", "delivered", "paid")
        assert words(order) == ["created", "preparing", "ready", "completed", "delivered", "paid"]

    def test_the_same_again_changes_nothing(self) -> None:
        order = made(UserFactory())
        move(order, delivery_status="ready")
        before = order.updated_at
        move(order, delivery_status="ready", status="ready", payment_status="pending")
        assert order.updated_at == before
        assert words(order) == ["created", "ready"]
        move(order, delivery_status="ready", notes="Called")
        assert OrderEvent.objects.filter(order=order).values_list("status", "notes").last() == ("ready", "Called")

    @pytest.mark.parametrize("ended", ["delivered", "completed"])
    def test_what_is_handed_over_cannot_be_cancelled(self, ended: str) -> None:
        user = UserFactory()
        order = made(user)
        move(order, payment_status="paid", status=ended)
        with pytest.raises(Problem) as refusal:
            service.cancel(order.pk, by=user, via="test")
        assert (refusal.value.status_code, refusal.value.code) == (409, "illegal_transition")
        for axis in ("status", "delivery_status"):
            with pytest.raises(Problem):
                move(order, **{axis: "cancelled"})
        assert totals(user) == (21, Decimal("21.50"), 1)
        assert statuses(order) == (ended, "delivered", "paid")

    def test_the_old_applications_delivered_order_cannot_be_cancelled(self) -> None:
        for whole in (None, "confirmed", "barter"):
            order = OrderFactory(order_status=whole, delivery_status="delivered")
            with pytest.raises(Problem):
                service.cancel(order.pk, by=order.user, via="test")
            assert OrderEvent.objects.count() == 0

    def test_a_paid_order_without_delivery_can_be_cancelled(self) -> None:
        order = OrderFactory(order_status=None, delivery_status=None, payment_status="completed")
        service.cancel(order.pk, by=order.user, via="test")
        assert statuses(order) == ("cancelled", "cancelled", "refunded")

    @pytest.mark.parametrize(
        "changes",
        [{"status": "ready"}, {"delivery_status": "ready"}, {"payment_status": "paid"}, {"status": "refunded"}],
    )
    @pytest.mark.parametrize("legacy", [True, False])
    def test_a_cancelled_order_moves_no_more(self, changes: dict[str, str], legacy: bool) -> None:
        if legacy:  # only one column says so
            order = OrderFactory(delivery_status="cancelled", payment_status="pending")
        else:
            order = made(UserFactory())
            service.cancel(order.pk, by=order.user, via="test")
        before = statuses(order), OrderEvent.objects.count()
        with pytest.raises(Problem) as refusal:
            move(order, **changes)
        assert refusal.value.code == "illegal_transition"
        assert (statuses(order), OrderEvent.objects.count()) == before
        assert totals(order.user) == (0, 0, 0)

    def test_a_cancelled_order_that_was_paid_in_the_old_application_can_be_refunded(self) -> None:
        order = OrderFactory(delivery_status="cancelled", payment_status="paid")
        move(order, payment_status="refunded")
        assert statuses(order) == (None, "cancelled", "refunded")
        assert Refund.objects.get().amount == Decimal("20.00")

    def test_a_refund_needs_a_payment(self) -> None:
        order = made(UserFactory())
        for changes in ({"status": "refunded"}, {"payment_status": "refunded"}):
            with pytest.raises(Problem) as refusal:
                move(order, **changes)
            assert "payment_status" in refusal.value.text
        assert (Refund.objects.count(), words(order)) == (0, ["created"])

    def test_a_delivered_order_can_be_refunded(self) -> None:
        user = UserFactory()
        order = made(user)
        move(order, payment_status="paid", delivery_status="delivered")
        move(order, status="refunded")
        assert statuses(order) == ("refunded", "delivered", "refunded")
        assert totals(user) == (0, 0, 0)

    def test_cancelled_and_something_else_at_once_is_refused(self) -> None:
        order = made(UserFactory())
        for changes in (
            {"status": "cancelled", "payment_status": "paid"},
            {"delivery_status": "cancelled", "status": "ready"},
        ):
            with pytest.raises(Problem) as refusal:
                move(order, **changes)
            assert "in one step" in refusal.value.text
        assert statuses(order) == ("pending", "pending", "pending")
        move(order, payment_status="paid")
        for changes in (
            {"status": "completed", "payment_status": "refunded"},
            {"status": "refunded", "payment_status": "failed"},
        ):
            with pytest.raises(Problem) as refusal:
                move(order, **changes)
            assert "cannot be refunded and have its" in refusal.value.text
        assert statuses(order) == ("pending", "pending", "paid")

    def test_a_till_sale_is_refunded_at_the_till_alone(self) -> None:
        staff = UserFactory(role=Role.STAFF)
        order = OrderFactory(order_source="pos", order_status="completed", delivery_status=None, user=None)
        for changes in ({"status": "refunded"}, {"payment_status": "refunded"}, {"payment_status": "failed"}):
            with pytest.raises(Problem) as refusal:
                move(order, by=staff, **changes)
            assert refusal.value.text.endswith(f"POST /api/pos/transactions/{order.pk}/refund.")
        with pytest.raises(Problem):
            service.cancel(order.pk, by=staff, via="test")
        assert statuses(order) == ("completed", None, "paid")

    def test_a_parked_sale_is_cancelled_by_staff_alone(self) -> None:
        order = OrderFactory(order_source="pos", order_status="parked", delivery_status=None, payment_status="pending")
        with pytest.raises(Problem) as refusal:
            service.cancel(order.pk, by=order.user, via="test")
        assert refusal.value.code == "till_sale"
        service.cancel(order.pk, by=UserFactory(role=Role.STAFF), via="test")
        assert statuses(order) == ("cancelled", "cancelled", "cancelled")

    def test_refunding_needs_the_permission(self, monkeypatch: pytest.MonkeyPatch) -> None:
        order = OrderFactory(payment_status="paid")
        staff = UserFactory(role=Role.STAFF)
        from accounts import roles

        monkeypatch.setitem(roles.ROLE_PERMISSIONS, Role.STAFF, frozenset({"orders.view_order", "orders.change_order"}))  # type: ignore[arg-type]
        with pytest.raises(PermissionDenied):
            move(order, by=staff, payment_status="refunded")
        assert Refund.objects.count() == 0

    def test_an_order_of_somebody_else_is_not_found(self) -> None:
        order = made(UserFactory())
        for act in (service.cancel, service.change_status):
            with pytest.raises(Problem) as refusal:
                act(order.pk, by=UserFactory(), via="test")
            assert refusal.value.status_code == 404
        assert words(order) == ["created"]

    def test_whatever_is_asked_in_whatever_order_the_totals_are_those_of_paid_orders(self) -> None:
        """All pairs of steps from a paid and from an unpaid order: what counts is what is paid and not ended."""
        steps: list[dict[str, str]] = [
            *({"payment_status": value} for value in ("paid", "failed", "cancelled", "refunded")),
            *({"delivery_status": value} for value in ("delivered", "cancelled")),
            *({"status": value} for value in ("completed", "cancelled", "refunded")),
        ]
        user = UserFactory()
        done = refused = 0
        for first, second, third in itertools.product(({"payment_status": "paid"}, {}), steps, steps):
            order = made(user)
            for step in (first, second, third):
                try:
                    move(order, **step)
                    done += 1
                except Problem:
                    refused += 1
            counts = order.payment_status in {"paid", "completed"}
            assert counts <= (order.order_status not in {"cancelled", "refunded"}), (first, second, third)
            assert totals(user) == ((21, Decimal("21.50"), 1) if counts else (0, 0, 0)), (first, second, third)
            assert (order.order_status == "cancelled") == (order.delivery_status == "cancelled")
            if counts:
                Order.objects.filter(pk=order.pk).update(counted_amount=None, counted_points=None)
                Profile.objects.filter(user=user).update(loyalty_points=0, total_spent=0, order_count=0)
        assert done > 200
        assert refused > 50


@pytest.mark.django_db
class TestCreating:
    def test_a_number_that_is_taken_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        OrderFactory(order_number="ORD-1")
        numbers = iter(["ORD-1", "ORD-1", "ORD-2"])
        monkeypatch.setattr(service, "new_number", lambda: next(numbers))
        assert made(UserFactory()).order_number == "ORD-2"

    def test_no_free_number_is_an_error_and_writes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        OrderFactory(order_number="ORD-1")
        monkeypatch.setattr(service, "new_number", lambda: "ORD-1")
        with pytest.raises(IntegrityError):
            made(UserFactory())
        assert (Order.objects.count(), OrderEvent.objects.count()) == (1, 0)

    def test_numbers_are_of_the_shops_day(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime.datetime(2026, 12, 31, 12, tzinfo=datetime.UTC)
        monkeypatch.setattr(timezone, "now", lambda: now)
        with timezone.override("Pacific/Kiritimati"):
            assert service.new_number().startswith("ORD-20270101-")
        assert len({service.new_number() for _ in range(2000)}) == 2000

    def test_sums_are_the_servers(self) -> None:
        lines, total = service.priced(
            [
                {"product": "a", "price": 0.005, "quantity": 3},
                {"product": "b", "price": 1.1, "quantity": 2.345, "subtotal": 9},
            ]
        )
        assert [line["subtotal"] for line in lines] == [0.03, 2.58]
        assert total == Decimal("2.61")

    def test_a_foreign_customer_leaves_nothing(self) -> None:
        staff, other = UserFactory(role=Role.STAFF, tenant_id=uuid.uuid4()), UserFactory()
        with pytest.raises(Problem):
            service.create(Draft(items=[TEA], payment_method="cash", customer=str(other.pk)), by=staff, via="test")
        with pytest.raises(ValidationError):
            made(staff, {"product": "a", "quantity": 1})
        assert (Order.objects.count(), OrderEvent.objects.count()) == (0, 0)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each gives or raises, all begun together, each on a connection of its own."""
    barrier, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(place: int) -> None:
        try:
            barrier.wait()
            results[place] = acts[place]()
        except Exception as error:
            results[place] = error  # type: ignore[call-overload]
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_eight_cancels_are_one(self) -> None:
        user = UserFactory()
        for _ in range(5):
            order = made(user)
            move(order, payment_status="paid")
            answers = at_once(*[partial(service.cancel, order.pk, by=user, via="test")] * 8)
            assert sorted(type(answer).__name__ for answer in answers) == ["NoneType"] + ["Problem"] * 7
            assert {answer.code for answer in answers if answer} == {"illegal_transition"}
            assert totals(user) == (0, 0, 0)
        assert Refund.objects.count() == 5

    def test_payments_at_once_count_once(self) -> None:
        user = UserFactory()
        order = made(user)
        assert at_once(*[lambda: move(order, payment_status="paid")] * 8) == [None] * 8
        assert totals(user) == (21, Decimal("21.50"), 1)
        assert words(order) == ["created", "paid"]

    def test_a_cancel_and_a_step_at_once_end_in_one_of_both(self) -> None:
        user = UserFactory()
        staff = UserFactory(role=Role.STAFF)
        ends = set()
        for _ in range(10):
            order = made(user)
            cancelled, moved = at_once(
                partial(service.cancel, order.pk, by=user, via="test"),
                partial(
                    service.change_status,
                    order.pk,
                    payment_status="paid",
                    delivery_status="delivered",
                    by=staff,
                    via="test",
                ),
            )
            assert (cancelled is None) != (moved is None)
            ends.add(statuses(order))
            if moved is None:
                assert totals(user) == (21, Decimal("21.50"), 1)
                Profile.objects.filter(user=user).update(loyalty_points=0, total_spent=0, order_count=0)
            assert totals(user) == (0, 0, 0)
        assert ends <= {("cancelled", "cancelled", "cancelled"), ("delivered", "delivered", "paid")}

    def test_orders_at_once_get_numbers_of_their_own(self) -> None:
        user = UserFactory()
        orders = at_once(*[lambda: made(user)] * 16)
        assert len({order.order_number for order in orders}) == 16

    def test_orders_of_one_person_paid_and_cancelled_at_once_end_at_nothing(self) -> None:
        user = UserFactory()
        orders = [made(user) for _ in range(12)]

        def pay_and_cancel(order: Order) -> None:
            service.change_status(order.pk, payment_status="paid", by=None, via="test")
            service.cancel(order.pk, by=user, via="test")

        assert at_once(*[partial(pay_and_cancel, order) for order in orders]) == [None] * 12
        assert totals(user) == (0, 0, 0)
        assert LoyaltyEntry.objects.count() == 24

    def test_the_same_key_ten_times_at_once_orders_once(self) -> None:
        user = UserFactory()
        body = {"items": [TEA], "payment_method": "cash"}

        def send() -> Any:
            return client_for(user).post("/api/orders/", body, headers={"Idempotency-Key": "k"}).json()

        answers = at_once(*[send] * 10)
        assert [answer["order_number"] for answer in answers] == [Order.objects.get().order_number] * 10
        assert OrderEvent.objects.count() == 1
