"""What may follow what, as one table per axis."""

import pytest

from config.api.problems import Problem
from orders.models import DeliveryStatus, PaymentStatus
from orders.services.transitions import SETTABLE, STEPS, Axis, OrderStatus, later, possible, require

WAY = ["pending", "confirmed", "processing", "preparing", "ready", "out_for_delivery", "delivered", "completed"]


@pytest.mark.parametrize(
    ("axis", "current", "following"),
    [
        (Axis.PAYMENT, "pending", "processing completed paid failed cancelled"),
        (Axis.PAYMENT, "processing", "completed paid failed cancelled"),
        (Axis.PAYMENT, "completed", "paid failed refunded"),
        (Axis.PAYMENT, "paid", "completed failed refunded"),
        (Axis.PAYMENT, "failed", "pending processing completed paid cancelled"),
        (Axis.PAYMENT, "cancelled", ""),
        (Axis.PAYMENT, "refunded", ""),
        (Axis.DELIVERY, "pending", "confirmed preparing ready out_for_delivery delivered cancelled"),
        (Axis.DELIVERY, "confirmed", "preparing ready out_for_delivery delivered cancelled"),
        (Axis.DELIVERY, "preparing", "ready out_for_delivery delivered cancelled"),
        (Axis.DELIVERY, "ready", "out_for_delivery delivered cancelled"),
        (Axis.DELIVERY, "out_for_delivery", "delivered cancelled"),
        (Axis.DELIVERY, "delivered", ""),
        (Axis.DELIVERY, "cancelled", ""),
        (Axis.ORDER, "pending", "confirmed processing preparing ready out_for_delivery delivered completed cancelled refunded"),
        (Axis.ORDER, "ready", "out_for_delivery delivered completed cancelled refunded"),
        (Axis.ORDER, "out_for_delivery", "delivered completed cancelled refunded"),
        (Axis.ORDER, "delivered", "completed refunded"),
        (Axis.ORDER, "completed", "refunded"),
        (Axis.ORDER, "cancelled", ""),
        (Axis.ORDER, "refunded", ""),
        (Axis.ORDER, "partial_refund", "refunded"),
        (Axis.ORDER, "parked", "cancelled"),
        (Axis.ORDER, "resumed", ""),
    ],
)  # fmt: skip
def test_steps(axis: Axis, current: str, following: str) -> None:
    assert possible(axis, current) == tuple(following.split())


@pytest.mark.parametrize("axis", Axis)
def test_nothing_known_is_a_beginning_and_a_strange_word_may_become_any(axis: Axis) -> None:
    assert possible(axis, None) == possible(axis, "") == possible(axis, "pending")
    values = {
        Axis.PAYMENT: PaymentStatus.values,
        Axis.DELIVERY: DeliveryStatus.values,
        Axis.ORDER: list(SETTABLE),
    }[axis]
    assert list(possible(axis, "barter")) == values


def test_every_status_has_its_steps_and_leads_to_known_ones() -> None:
    for axis, known in (
        (Axis.PAYMENT, PaymentStatus.values),
        (Axis.DELIVERY, DeliveryStatus.values),
        (Axis.ORDER, OrderStatus.values),
    ):
        assert set(STEPS[axis]) == set(known)
        assert {after for steps in STEPS[axis].values() for after in steps} <= set(known)
        assert all(current not in steps for current, steps in STEPS[axis].items())


def test_nothing_leads_back() -> None:
    for axis in (Axis.DELIVERY, Axis.ORDER):
        for current in WAY:
            earlier = set(WAY[: WAY.index(current)])
            assert not earlier & set(STEPS[axis].get(current, ()))


@pytest.mark.parametrize(
    ("axis", "current", "wanted", "code", "text"),
    [
        (Axis.PAYMENT, "refunded", "paid", 409,
         "The payment_status of order A-1 is 'refunded' and cannot become 'paid'. Nothing follows it."),
        (Axis.PAYMENT, None, "refunded", 409,
         "The payment_status of order A-1 is 'pending' and cannot become 'refunded'. "
         "Possible: processing, completed, paid, failed, cancelled."),
        (Axis.ORDER, "completed", "cancelled", 409,
         "The status of order A-1 is 'completed' and cannot become 'cancelled'. Possible: refunded."),
    ],
)  # fmt: skip
def test_an_illegal_step_is_refused(axis: Axis, current: str, wanted: str, code: int, text: str) -> None:
    with pytest.raises(Problem) as refusal:
        require(axis, current, wanted, order_number="A-1")
    assert (refusal.value.status_code, refusal.value.code, refusal.value.text) == (code, "illegal_transition", text)


@pytest.mark.parametrize(("axis", "word"), [(Axis.PAYMENT, "barter"), (Axis.ORDER, "parked"), (Axis.DELIVERY, "paid")])
def test_an_unknown_word_is_refused(axis: Axis, word: str) -> None:
    from rest_framework.exceptions import ValidationError

    with pytest.raises(ValidationError) as refusal:
        require(axis, "pending", word, order_number="A-1")
    assert f"'{word}' is no {axis.value}. There are: " in str(refusal.value.detail)


def test_later() -> None:
    assert later("ready", None)
    assert later("ready", "pending")
    assert not later("pending", None)
    assert not later("ready", "ready")
    assert not later("ready", "delivered")
    assert not later("barter", "pending")
    assert not later("ready", "barter")
    assert not later(None, None)
