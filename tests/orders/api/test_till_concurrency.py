"""Many tills at once, over a real server: each request has a thread and a connection of its own."""

import hashlib
import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any, NamedTuple

import psycopg
import pytest
from django.db import connection
from django.db.models import Max, Sum
from pytest_django.live_server_helper import LiveServer

from accounts.models import ApiKey
from accounts.roles import Role
from orders.models import IdempotencyKey, Order, OrderEvent, Refund
from profiles.models import LoyaltyEntry, Profile
from tests.databases import one
from tests.factories import UserFactory, person
from tests.orders.till import line, sale

pytestmark = pytest.mark.django_db(transaction=True)
TENANT = uuid.UUID("11111111-1111-4111-8111-111111111111")
KEY = "upk_concurrency"


class Reply(NamedTuple):
    status: int
    body: bytes


class Till:
    """A client that keeps its connection, and with it a thread of the server."""

    def __init__(self, address: str) -> None:
        self._connection = HTTPConnection(address.removeprefix("http://"), timeout=60)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        content = json.dumps(body) if body is not None else None
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **headers}
        self._connection.request(method, f"/api/{path}", content, headers)
        response = self._connection.getresponse()
        return Reply(response.status, response.read())

    def close(self) -> None:
        self._connection.close()


AtOnce = Callable[[int, Callable[[Till, int], list[Reply]]], list[Reply]]


@pytest.fixture
def at_once(live_server: LiveServer) -> Iterator[AtOnce]:
    """What a number of tills of TENANT are answered that begin together."""
    user = UserFactory(role=Role.STAFF, tenant_id=TENANT)
    ApiKey.objects.create(user=user, name="till", prefix="upk_", digest=hashlib.sha256(KEY.encode()).hexdigest())
    tills: list[Till] = []

    def run_all(number: int, act: Callable[[Till, int], list[Reply]]) -> list[Reply]:
        begin = threading.Barrier(number, timeout=60)
        replies: list[Reply] = []
        failures: list[BaseException] = []

        def run(till: Till, place: int) -> None:
            try:
                begin.wait()
                replies.extend(act(till, place))
            except BaseException as error:
                failures.append(error)

        # One after the other: the server lets only ten at a time wait for their connection.
        mine = [Till(live_server.url) for _ in range(number)]
        tills.extend(mine)
        assert {till.call("GET", "pos/transactions/parked").status for till in mine} == {200}
        threads = [threading.Thread(target=run, args=(till, place)) for place, till in enumerate(mine)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert failures == []
        return replies

    yield run_all
    for till in tills:
        till.close()


def sell(at_once: AtOnce, body: Any, path: str = "pos/transactions") -> dict[str, Any]:
    """One sale, before the others begin."""
    (reply,) = at_once(1, lambda till, _: [till.call("POST", path, body)])
    assert reply.status == 201
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


def assert_agreed(profile: Profile) -> None:
    """Ledger, balance, totals and orders of a person say the same."""
    profile.refresh_from_db()
    orders = Order.objects.filter(user_id=profile.user_id)
    brought = orders.aggregate(spent=Sum("counted_amount", default=Decimal(0)), points=Sum("counted_points", default=0))
    assert profile.total_spent == brought["spent"]
    assert profile.order_count == orders.exclude(order_status="refunded").count()
    counted = orders.exclude(counted_amount=None)
    assert profile.last_order_date == counted.aggregate(last=Max("created_at"))["last"]
    balance = 0
    for entry in LoyaltyEntry.objects.filter(profile=profile).order_by("id"):
        balance += entry.delta
        assert entry.balance == balance
    assert profile.loyalty_points == balance
    entries = LoyaltyEntry.objects.filter(profile=profile)
    assert (entries.filter(source="till").aggregate(sum=Sum("delta", default=0))["sum"]) == brought["points"]
    for order in orders:
        given = sum(order.refunds.values_list("amount", flat=True), Decimal(0))
        taken = sum(order.refunds.values_list("points", flat=True))
        assert order.refunded_amount == given <= order.total_amount
        ended = given == order.total_amount  # then it counts no more
        left = order.total_amount - given
        assert order.counted_amount == (None if ended else left)
        assert order.counted_points == (None if ended else int(left))
        assert entries.filter(order_id=order.id).aggregate(sum=Sum("delta", default=0))["sum"] == int(left)
        assert int(order.total_amount) - taken == int(left)
        assert order.order_status == (
            "completed" if not given else "refunded" if given == order.total_amount else "partial_refund"
        )
        assert order.events.count() == 1 + order.refunds.count()


def test_fifty_tills_on_five_customers_agree_to_the_cent(at_once: AtOnce) -> None:
    people = [person(tenant_id=TENANT, first_name=f"Person {number}") for number in range(5)]
    sold: list[str] = []

    def one_till(till: Till, place: int) -> list[Reply]:
        chance = random.Random(place)
        replies = []
        for turn in range(6):
            customer = str(chance.choice(people).id)
            match chance.choice(["sell", "sell", "refund", "refund whole", "points"]):
                case "sell":
                    body = sale(
                        line(chance.randint(100, 5000) / 100, chance.randint(1, 3)),
                        customer_id=customer,
                        receipt_number=f"R-{place}-{turn}",
                    )
                    reply = till.call("POST", "pos/transactions", body)
                    sold.append(json.loads(reply.body)["id"])
                case "points":
                    reply = till.call(
                        "PATCH", f"customers/{customer}/loyalty", {"points": chance.randint(-60, 60) or 1}
                    )
                case kind if sold:
                    amount = {} if kind == "refund whole" else {"amount": chance.randint(1, 1500) / 100}
                    reply = till.call("POST", f"pos/transactions/{chance.choice(sold)}/refund", amount)
                case _:
                    continue
            replies.append(reply)
        return replies

    replies = at_once(50, one_till)

    statuses = Counter(reply.status for reply in replies)
    assert set(statuses) <= {200, 201, 409}, [reply for reply in replies if reply.status not in {200, 201, 409}]
    assert statuses[201] == Order.objects.count() >= 100
    assert Refund.objects.count() >= 30
    assert LoyaltyEntry.objects.filter(source="api").count() >= 20
    for profile in people:
        assert_agreed(profile)


@pytest.mark.parametrize("by_key", [False, True])
def test_the_same_sale_sent_twenty_times_at_once_sells_once(at_once: AtOnce, by_key: bool) -> None:
    ann = person(tenant_id=TENANT)
    body = sale(customer_id=str(ann.id), receipt_number=None if by_key else "R-1")
    headers = {"Idempotency-Key": "one"} if by_key else {}

    replies = at_once(20, lambda till, _: [till.call("POST", "pos/transactions", body, **headers)])

    assert {reply.status for reply in replies} == {201}
    assert len({reply.body for reply in replies}) == 1
    assert (Order.objects.count(), OrderEvent.objects.count()) == (1, 1)
    assert IdempotencyKey.objects.count() == int(by_key)
    assert_agreed(ann)
    assert (ann.order_count, ann.loyalty_points) == (1, 11)


def test_twenty_contents_under_one_receipt_sell_one(at_once: AtOnce) -> None:
    people = [person(tenant_id=TENANT) for _ in range(5)]

    def one_till(till: Till, place: int) -> list[Reply]:
        body = sale(customer_id=str(people[place % 5].id), notes=f"till {place}")
        return [till.call("POST", "pos/transactions", body)]

    replies = at_once(20, one_till)

    assert Counter(reply.status for reply in replies) == {201: 1, 409: 19}
    for profile in people:
        assert_agreed(profile)
    assert Order.objects.count() == 1


def test_refunds_at_once_never_give_back_more_than_the_total(at_once: AtOnce) -> None:
    ann = person(tenant_id=TENANT)
    sold = sell(at_once, sale(customer_id=str(ann.id)))

    replies = at_once(20, lambda till, _: [till.call("POST", f"pos/transactions/{sold['id']}/refund", {"amount": 3})])

    assert Counter(reply.status for reply in replies) == {200: 3, 409: 17}
    assert Order.objects.get().refunded_amount == 9
    assert_agreed(ann)


def test_a_refund_sent_twenty_times_at_once_with_one_key_is_done_once(at_once: AtOnce) -> None:
    ann = person(tenant_id=TENANT)
    sold = sell(at_once, sale(customer_id=str(ann.id)))
    path = f"pos/transactions/{sold['id']}/refund"

    replies = at_once(20, lambda till, _: [till.call("POST", path, {"amount": 3}, **{"Idempotency-Key": "one"})])

    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert Refund.objects.count() == 1
    assert_agreed(ann)


def test_a_parked_sale_is_resumed_by_one_till(at_once: AtOnce) -> None:
    parked = sell(at_once, sale(), "pos/transactions/park")
    replies = at_once(10, lambda till, _: [till.call("PUT", f"pos/transactions/{parked['id']}/resume")])
    assert Counter(reply.status for reply in replies) == {200: 1, 409: 9}


def test_a_sale_to_somebody_who_is_merged_meanwhile_is_whose_they_are_then(at_once: AtOnce) -> None:
    shell, ann = person(tenant_id=TENANT), person(tenant_id=TENANT)
    merge = "UPDATE profiles SET merged_into_id = %s WHERE id = %s"
    replies: list[Reply] = []

    with other_connection() as other:
        other.execute(merge, [ann.id, shell.id])
        sells = threading.Thread(
            target=lambda: replies.extend(
                at_once(1, lambda till, _: [till.call("POST", "pos/transactions", sale(customer_id=str(shell.id)))])
            )
        )
        sells.start()
        while not one("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"):
            assert sells.is_alive()
        other.commit()
        sells.join(60)

    assert [reply.status for reply in replies] == [201]
    assert Order.objects.get().user_id == ann.user_id
    assert_agreed(ann)
    assert (ann.order_count, ann.loyalty_points) == (1, 11)


def other_connection() -> "psycopg.Connection[Any]":
    """Another connection to the same database."""
    known = {
        key: value
        for key, value in connection.get_connection_params().items()
        if key not in {"context", "cursor_factory"}
    }
    return psycopg.connect(**known)
