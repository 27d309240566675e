"""Sales at the till: what is written, what is refused, what is listed."""

import datetime
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.roles import Role
from orders.models import IdempotencyKey, Order, OrderEvent
from profiles.models import LoyaltyEntry, Profile, ProfileAlias, ProfileHistory
from tests.api import assert_problem, client_as
from tests.factories import UserFactory, person
from tests.orders.till import PATH, line, sale

pytestmark = pytest.mark.django_db
TENANT = uuid.UUID("11111111-1111-4111-8111-111111111111")
OTHER = uuid.UUID("22222222-2222-4222-8222-222222222222")


@pytest.fixture
def till() -> APIClient:
    return client_as(Role.STAFF, tenant_id=TENANT)


@pytest.fixture
def ann() -> Profile:
    return person("ann@example.com", tenant_id=TENANT, first_name="Ann", last_name="Lee", loyalty_points=5)


def sold_nothing() -> bool:
    return not Order.objects.exists() and not LoyaltyEntry.objects.filter(source="till").exists()


def refused(till: APIClient, body: Any, field: str) -> str:
    """The refusal of a sale, which blames `field` and writes nothing: its text."""
    problem = assert_problem(till.post(PATH, body), 400, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert sold_nothing()
    return str(problem["errors"][0]["detail"])


@pytest.mark.parametrize("path", [PATH, PATH.rstrip("/")])
def test_a_sale_answers_what_was_sent_with_id_and_timestamp(till: APIClient, path: str) -> None:
    body = sale(customer_id="anonymous", notes="A gift", unknown="ignored", timestamp="2026-11-20T10:00:00Z")

    response = till.post(path, body)

    assert response.status_code == 201
    answer = response.json()
    order = Order.objects.get()
    line_id = answer["items"][0].pop("id")
    assert uuid.UUID(line_id)
    assert answer == {
        "id": str(order.id),
        "order_number": order.order_number,
        "receipt_number": "R-1",
        "store_id": "store_001",
        "cashier_id": "cashier_7",
        "customer_id": "anonymous",
        "items": [line()],
        "subtotal": 10.0,
        "discounts": 0.0,
        "tax": 1.3,
        "total": 11.3,
        "payment_method": "cash",
        "payment_details": {"cash_amount": 20.0, "change_given": 8.7},
        "status": "completed",
        "notes": "A gift",
        "timestamp": "2026-11-20T10:00:00+00:00",
    }


def test_a_sale_is_a_completed_order_of_the_callers_tenant(till: APIClient, ann: Profile) -> None:
    store, cashier = uuid.uuid4(), UserFactory(role=Role.STAFF, tenant_id=TENANT)
    till.post(PATH, sale(customer_id=str(ann.id), store_id=str(store), cashier_id=str(cashier.id)))

    order = Order.objects.get()
    assert (order.order_source, order.order_status, order.payment_status) == ("pos", "completed", "completed")
    assert (order.tenant_id, order.user_id, order.cashier_id) == (TENANT, ann.user_id, cashier.id)
    assert (order.store_id, order.store_code, order.customer_code) == (store, str(store), str(ann.id))
    assert (order.subtotal, order.tax_amount, order.total_amount) == (
        Decimal("10.00"),
        Decimal("1.30"),
        Decimal("11.30"),
    )
    assert (order.counted_amount, order.counted_points) == (Decimal("11.30"), 11)
    assert order.order_number.startswith(f"POS-{timezone.localtime(order.created_at):%Y%m%d}-")
    assert order.created_at == order.updated_at
    event = OrderEvent.objects.get()
    assert (event.order_id, event.status, event.changed_by, event.via) == (order.id, "completed", till.user.id, "till")


def test_a_sale_brings_points_and_totals_signed_by_the_caller(till: APIClient, ann: Profile) -> None:
    answer = till.post(PATH, sale(customer_id=str(ann.id), timestamp="2026-11-20T10:00:00Z")).json()

    ann.refresh_from_db()
    assert (ann.loyalty_points, ann.total_spent, ann.order_count) == (16, Decimal("11.30"), 1)
    assert ann.last_order_date == datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
    entry = LoyaltyEntry.objects.latest("id")
    assert (entry.delta, entry.balance, entry.reason, entry.source) == (11, 16, "sale R-1", "till")
    assert (str(entry.order_id), entry.created_by) == (answer["id"], till.user.id)
    history = ProfileHistory.objects.latest("id")
    assert (history.via, history.changed_by) == ("till", till.user.id)


@pytest.mark.parametrize("code", ["anonymous", "anon", "new", None, ""])
def test_a_customer_who_is_a_text_is_nobody_and_kept_as_text(till: APIClient, code: str | None) -> None:
    assert till.post(PATH, sale(customer_id=code)).status_code == 201

    order = Order.objects.get()
    assert (order.user_id, order.customer_code) == (None, code or None)
    assert (order.counted_amount, order.counted_points) == (None, None)
    assert not LoyaltyEntry.objects.exists()


def test_every_id_of_a_customer_leads_to_them(till: APIClient, ann: Profile) -> None:
    alias = ProfileAlias.objects.create(id=uuid.uuid4(), profile=ann)
    for number, known in enumerate((ann.id, alias.id, ann.user_id)):
        assert till.post(PATH, sale(customer_id=str(known), receipt_number=f"R-{number}")).status_code == 201

    assert list(Order.objects.values_list("user_id", flat=True)) == [ann.user_id] * 3
    ann.refresh_from_db()
    assert (ann.loyalty_points, ann.order_count) == (5 + 33, 3)


def test_the_id_of_somebody_who_was_merged_leads_to_whom_they_are_now(till: APIClient, ann: Profile) -> None:
    shell = person(tenant_id=OTHER)
    Profile.objects.filter(pk=shell.pk).update(merged_into=ann)

    for number, known in enumerate((shell.id, shell.user_id)):
        assert till.post(PATH, sale(customer_id=str(known), receipt_number=f"R-{number}")).status_code == 201

    assert set(Order.objects.values_list("user_id", flat=True)) == {ann.user_id}
    assert {found["customer_id"] for found in till.get(PATH).json()} == {str(ann.id)}
    ann.refresh_from_db()
    assert (ann.loyalty_points, ann.order_count) == (5 + 22, 2)


@pytest.mark.parametrize("whose", ["nobody", "another tenant", "no tenant"])
def test_a_customer_who_is_not_the_callers_is_not_found(till: APIClient, whose: str) -> None:
    other = person(tenant_id={"another tenant": OTHER}.get(whose))
    wanted = uuid.uuid4() if whose == "nobody" else other.id

    problem = assert_problem(till.post(PATH, sale(customer_id=str(wanted))), 404, "customer_not_found")

    assert str(wanted) in problem["detail"]
    assert sold_nothing()
    other.refresh_from_db()
    assert (other.order_count, other.loyalty_points) == (0, 0)


def test_a_cashier_of_another_tenant_is_kept_as_text_alone(till: APIClient) -> None:
    stranger = UserFactory(role=Role.STAFF, tenant_id=OTHER)
    assert till.post(PATH, sale(cashier_id=str(stranger.id))).json()["cashier_id"] == str(stranger.id)
    order = Order.objects.get()
    assert (order.cashier_id, order.cashier_code) == (None, str(stranger.id))


def test_unrounded_sums_are_rounded_half_up(till: APIClient) -> None:
    body = sale(line(0.1, 3), subtotal=0.1 * 3, tax=0.145, total=0.30000000000000004 + 0.145)

    answer = till.post(PATH, body).json()

    assert (answer["subtotal"], answer["tax"], answer["total"]) == (0.3, 0.15, 0.45)
    assert Order.objects.get().total_amount == Decimal("0.45")


@pytest.mark.parametrize(
    ("discount", "net"),
    [
        ({"discount": 3}, 17.0),
        ({"discount": 3, "discount_type": "amount"}, 17.0),
        ({"discount": 15, "discount_type": "percentage"}, 17.0),
        ({"discount": None, "discount_type": None}, 20.0),
        ({"discount": 100, "discount_type": "percent"}, 0.0),
    ],
)
def test_the_subtotal_is_the_sum_of_the_lines_less_their_discounts(
    till: APIClient, discount: dict[str, Any], net: float
) -> None:
    body = sale(line(10, 2, **discount), subtotal=net, total=net)
    assert till.post(PATH, body).json()["subtotal"] == net


@pytest.mark.parametrize("subtotal", [9.99, 10.0, 10.01])
def test_a_cent_more_or_less_is_rounding(till: APIClient, subtotal: float) -> None:
    assert till.post(PATH, sale(line(), subtotal=subtotal, total=subtotal)).status_code == 201


def test_lines_rounded_one_by_one_are_right_too(till: APIClient) -> None:
    body = sale(*[line(0.105)] * 10, subtotal=1.10, total=1.10)
    assert till.post(PATH, body).status_code == 201


@pytest.mark.parametrize("subtotal", [9.98, 10.02])
def test_a_wrong_subtotal_is_refused_with_both_values(till: APIClient, ann: Profile, subtotal: float) -> None:
    text = refused(till, sale(line(), subtotal=subtotal, total=9, customer_id=str(ann.id)), "subtotal")
    assert text.startswith(f"{subtotal} is not the sum of the lines, 10.00 ")


def test_a_total_above_subtotal_and_tax_is_refused_with_both_values(till: APIClient) -> None:
    assert refused(till, sale(total=11.32), "total").startswith("11.32 is more than subtotal and tax, 11.30.")
    assert till.post(PATH, sale(total=11.31)).status_code == 201


def test_a_total_below_subtotal_and_tax_is_a_discount(till: APIClient) -> None:
    assert till.post(PATH, sale(discounts=5, total=6.3)).json()["total"] == 6.3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"store_id": None}, "store_id"),
        ({"store_id": 7}, "store_id"),
        ({"store_id": "x" * 101}, "store_id"),
        ({"cashier_id": ["x"]}, "cashier_id"),
        ({"customer_id": {}}, "customer_id"),
        ({"items": []}, "items"),
        ({"items": "Tea"}, "items"),
        ({"items": ["Tea"]}, "items.0"),
        ({"items": [{"quantity": 1}]}, "items.0.product"),
        ({"items": [{"product": {"name": "Tea"}, "quantity": 1}]}, "items.0.product.price"),
        ({"items": [line(-1)]}, "items.0.product.price"),
        ({"items": [line(), line(10, 0)]}, "items.1.quantity"),
        ({"items": [line(10, -1)]}, "items.0.quantity"),
        ({"items": [line(10, True)]}, "items.0.quantity"),
        ({"items": [line(discount=10.02)]}, "items.0.discount"),
        ({"items": [line(discount=-1)]}, "items.0.discount"),
        ({"items": [line(discount=101, discount_type="percentage")]}, "items.0.discount"),
        ({"items": [line(discount=1, discount_type="lots")]}, "items.0.discount_type"),
        ({"items": [line(9e9), line(9e9)]}, "items"),
        ({"items": [line()] * 1001}, "items"),
        ({"subtotal": None}, "subtotal"),
        ({"subtotal": "ten"}, "subtotal"),
        ({"total": None}, "total"),
        ({"total": -1}, "total"),
        ({"total": 1e300}, "total"),
        ({"tax": True}, "tax"),
        ({"tax": "1e999999999"}, "tax"),
        ({"discounts": []}, "discounts"),
        ({"payment_method": None}, "payment_method"),
        ({"payment_method": "shells"}, "payment_method"),
        ({"payment_method": 5}, "payment_method"),
        ({"payment_details": "cash"}, "payment_details"),
        ({"payment_details": {"cash_amount": "much"}}, "payment_details.cash_amount"),
        ({"payment_details": {"card_last_four": "4111111111111111"}}, "payment_details.card_last_four"),
        ({"payment_details": {"card_last_four": "12a4"}}, "payment_details.card_last_four"),
        ({"payment_details": {"card_last_four": "１２３４"}}, "payment_details.card_last_four"),
        ({"payment_details": {"authorization_code": "4111 1111 1111 1111"}}, "payment_details.authorization_code"),
        ({"status": "parked"}, "status"),
        ({"status": {}}, "status"),
        ({"receipt_number": 5}, "receipt_number"),
        ({"receipt_number": "R\n1"}, "receipt_number"),
        ({"notes": "x" * 10_001}, "notes"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
        ({"timestamp": "2999-01-01T00:00:00Z"}, "timestamp"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(till: APIClient, changes: dict[str, Any], field: str) -> None:
    refused(till, {**sale(), **changes}, field)


@pytest.mark.parametrize("body", [[], None, 5, "text"])
def test_a_body_that_is_no_sale_is_refused(till: APIClient, body: Any) -> None:
    assert till.post(PATH, body).status_code == 400
    assert sold_nothing()


def test_lines_nested_without_end_are_refused(till: APIClient) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    response = till.generic("POST", PATH, json.dumps(sale(line(batch=deep))).encode(), "application/json")
    assert_problem(response, 400, "bad_request")
    assert sold_nothing()


def test_numbers_beyond_64_bits_in_a_line_come_back(till: APIClient) -> None:
    body = sale(line(batch={"size": 1e22}))
    first = till.post(PATH, body)
    assert first.json()["items"][0]["batch"] == {"size": 1e22}
    assert till.get(PATH).json()[0]["items"] == first.json()["items"]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("cash", "cash"),
        ("Credit Card", "credit"),
        ("credit_card", "credit"),
        ("DEBIT", "debit"),
        ("e-transfer", "etransfer"),
        ("interac", "debit"),
        ("card", "card"),
        ("split", "split"),
        ("mixed", "split"),
    ],
)
def test_a_way_of_paying_has_one_word(till: APIClient, sent: str, stored: str) -> None:
    assert till.post(PATH, sale(payment_method=sent)).json()["payment_method"] == stored
    assert Order.objects.get().payment_method == stored


def test_of_payment_details_only_the_known_parts_are_kept(till: APIClient) -> None:
    details = {
        "card_amount": 11.304,
        "card_last_four": "4242",
        "authorization_code": "A1B2",
        "card_number": "4111111111111111",
        "cash_amount": None,
    }
    till.post(PATH, sale(payment_details=details))
    kept = {"card_amount": 11.3, "card_last_four": "4242", "authorization_code": "A1B2"}
    assert Order.objects.get().payment_details == kept


def test_the_same_receipt_again_gives_the_first_answer_and_sells_once(till: APIClient, ann: Profile) -> None:
    body = sale(customer_id=str(ann.id))
    first = till.post(PATH, body)
    till.post(f"{PATH}{first.json()['id']}/refund", {"amount": 1})

    again = till.post(PATH, {**body, "subtotal": 10.000000001, "timestamp": "2026-11-20T10:00:00Z", "more": 1})

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert Order.objects.count() == 1
    ann.refresh_from_db()
    assert (ann.loyalty_points, ann.order_count) == (5 + 10, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"total": 11.29},
        {"customer_id": "anonymous"},
        {"items": [line(product={"name": "Coffee"})]},
        {"payment_method": "debit"},
        {"notes": "x"},
    ],
)
def test_the_same_receipt_with_other_contents_is_a_conflict(till: APIClient, changes: dict[str, Any]) -> None:
    till.post(PATH, sale())
    problem = assert_problem(till.post(PATH, sale(**changes)), 409, "receipt_taken")
    assert "Store store_001 has sold receipt R-1 with other contents." in problem["detail"]
    assert Order.objects.count() == 1


def test_the_same_receipt_number_in_another_store_is_another_sale(till: APIClient) -> None:
    till.post(PATH, sale())
    assert till.post(PATH, sale(store_id="store_002")).status_code == 201
    assert Order.objects.count() == 2


def test_the_same_receipt_number_of_another_tenants_store_is_another_sale(till: APIClient) -> None:
    till.post(PATH, sale())
    theirs = client_as(Role.STAFF, tenant_id=OTHER).post(PATH, sale(notes="theirs"))
    assert theirs.status_code == 201
    assert Order.objects.count() == 2


def test_a_receipt_without_a_number_gets_the_orders(till: APIClient) -> None:
    answers = [till.post(PATH, sale(receipt_number=None)).json() for _ in range(2)]
    assert [answer["receipt_number"] for answer in answers] == [answer["order_number"] for answer in answers]
    assert len({answer["order_number"] for answer in answers}) == 2


def test_an_order_number_that_is_there_already_is_drawn_again(
    till: APIClient, ann: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = iter(["AAAAAAAA", "AAAAAAAA", "BBBBBBBB"])
    monkeypatch.setattr("orders.services.till._letters", lambda: next(letters))
    till.post(PATH, sale())

    answer = till.post(PATH, sale(receipt_number="R-2", customer_id=str(ann.id))).json()

    assert answer["order_number"].endswith("-BBBBBBBB")
    ann.refresh_from_db()
    assert (ann.order_count, ann.loyalty_points) == (1, 16)


def test_an_idempotency_key_gives_the_first_answer(till: APIClient) -> None:
    body = sale(receipt_number=None)
    first = till.post(PATH, body, headers={"Idempotency-Key": "k1"})
    again = till.post(PATH, body, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.content) == (201, first.content)
    assert Order.objects.count() == 1
    other = till.post(PATH, sale(total=11.29, receipt_number=None), headers={"Idempotency-Key": "k1"})
    assert_problem(other, 409, "idempotency_key_reused")
    assert Order.objects.count() == 1


def test_an_idempotency_key_is_its_callers_own(till: APIClient) -> None:
    body = sale(receipt_number=None)
    till.post(PATH, body, headers={"Idempotency-Key": "k1"})
    client_as(Role.STAFF, tenant_id=TENANT).post(PATH, body, headers={"Idempotency-Key": "k1"})
    assert Order.objects.count() == 2


def test_a_refused_sale_leaves_its_idempotency_key_free(till: APIClient) -> None:
    assert till.post(PATH, sale(total=99), headers={"Idempotency-Key": "k1"}).status_code == 400
    till.post(PATH, sale(), headers={"Idempotency-Key": "k0"})
    conflicting = till.post(PATH, sale(notes="other"), headers={"Idempotency-Key": "k1"})
    assert_problem(conflicting, 409, "receipt_taken")
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["k0"]
    assert till.post(PATH, sale(), headers={"Idempotency-Key": "k1"}).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "é"])
def test_an_idempotency_key_that_is_none_is_refused(till: APIClient, key: str) -> None:
    assert_problem(till.post(PATH, sale(), headers={"Idempotency-Key": key}), 400, "bad_idempotency_key")
    assert sold_nothing()


def test_a_sale_is_one_statement(till: APIClient, ann: Profile, django_assert_num_queries: Callable[..., Any]) -> None:
    for number, customer in enumerate((str(ann.id), "anonymous")):
        body = sale(*[line()] * 50, customer_id=customer, receipt_number=f"R-{number}")
        with django_assert_num_queries(3):  # within the savepoint of the test's transaction
            assert till.post(PATH, body).status_code == 201


def test_the_list_tells_the_customer_and_what_was_refunded(
    till: APIClient, ann: Profile, django_assert_num_queries: Callable[..., Any]
) -> None:
    sold = till.post(PATH, sale(customer_id=str(ann.user_id), notes="Hi")).json()
    till.post(f"{PATH}{sold['id']}/refund", {"amount": 1.3})
    till.post(PATH, sale(customer_id="anonymous", receipt_number="R-2"))

    with django_assert_num_queries(1):
        second, first = till.get(PATH).json()

    assert first == {
        **sold,
        "customer_id": str(ann.id),
        "customer_name": "Ann Lee",
        "customer_email": "ann@example.com",
        "refunded_amount": 1.3,
        "status": "partial_refund",
    }
    assert second["customer_id"] == "anonymous"
    assert (second["customer_name"], second["customer_email"], second["refunded_amount"]) == (None, None, 0)
    with django_assert_num_queries(1):
        assert till.get(f"{PATH}{sold['id']}").json() == first


def test_the_list_is_newest_first_and_filtered(till: APIClient) -> None:
    store = str(uuid.uuid4())
    for number, (store_id, when) in enumerate(
        [
            ("store_001", "2026-11-18T12:00:00Z"),
            (store.upper(), "2026-11-19T12:00:00Z"),
            ("store_001", "2026-11-20T12:00:00Z"),
        ]
    ):
        till.post(PATH, sale(store_id=store_id, timestamp=when, receipt_number=str(number)))
    till.post(f"{PATH}{Order.objects.get(receipt_number='0').id}/refund", {})

    def receipts(query: str) -> str:
        return "".join(found["receipt_number"] for found in till.get(f"{PATH}?{query}").json())

    assert receipts("") == "210"
    assert receipts("store_id=store_001") == "20"
    assert receipts(f"store_id={store}") == receipts(f"store_id={store.upper()}") == "1"
    assert receipts("status=refunded") == "0"
    assert receipts("status=nonsense") == ""
    assert receipts("date=2026-11-19") == "1"
    assert receipts("start_date=2026-11-19") == "21"
    assert receipts("end_date=2026-11-19&store_id=&status=&date=") == "10"
    assert receipts("start_date=2026-11-19&end_date=2026-11-20&limit=1") == "2"


def test_the_store_is_told_as_it_was_asked(till: APIClient) -> None:
    store = str(uuid.uuid4())
    till.post(PATH, sale(store_id=store))
    till.post(f"{PATH}park", sale(store_id=store))
    for asked in (store, store.upper()):
        for path in (f"{PATH}?store_id={asked}", f"{PATH}parked?store_id={asked}"):
            assert {found["store_id"] for found in till.get(path).json()} == {asked}, path
    assert {found["store_id"] for found in till.get(PATH).json()} == {store}


def test_days_are_those_of_the_shop(till: APIClient, settings: Any) -> None:
    settings.TIME_ZONE = "America/Toronto"
    timezone.get_default_timezone.cache_clear()
    try:
        till.post(PATH, sale(timestamp="2026-11-20T03:30:00Z"))  # the 19th in Toronto
        assert len(till.get(f"{PATH}?date=2026-11-19").json()) == 1
        assert till.get(f"{PATH}?date=2026-11-20").json() == []
    finally:
        timezone.get_default_timezone.cache_clear()


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=99999999999999999999",
        "limit=x",
        "date=today",
        "date=0001-01-01",
        "end_date=9999-12-31",
        "start_date=2026-02-02&end_date=2026-02-01",
        "date=2026-02-02&end_date=2026-02-02",
    ],
)
def test_a_query_that_cannot_be_is_refused(till: APIClient, query: str) -> None:
    assert_problem(till.get(f"{PATH}?{query}"), 400, "invalid")


def test_orders_of_the_web_and_of_other_tenants_are_not_the_tills(till: APIClient) -> None:
    other = client_as(Role.STAFF, tenant_id=OTHER)
    theirs = other.post(PATH, sale()).json()["id"]
    mine = till.post(PATH, sale(receipt_number="R-2")).json()["id"]
    web = Order.objects.create(order_number="W-1", tenant_id=TENANT, total_amount=5)

    assert [found["id"] for found in till.get(PATH).json()] == [mine]
    for unseen in (theirs, web.id, "R-2", uuid.uuid4()):
        assert_problem(till.get(f"{PATH}{unseen}"), 404, "not_found")
        assert_problem(till.post(f"{PATH}{unseen}/refund", {}), 404, "not_found")
        assert_problem(till.put(f"{PATH}{unseen}/resume"), 404, "not_found")
        assert_problem(till.post(f"{PATH}{unseen}/receipt/print"), 404, "not_found")
        assert_problem(till.post(f"{PATH}{unseen}/receipt/email", {"email": "a@b.com"}), 404, "not_found")


CALLS = [
    ("get", ""),
    ("post", ""),
    ("post", "park"),
    ("get", "parked"),
    ("get", f"{TENANT}"),
    ("put", f"{TENANT}/resume"),
    ("post", f"{TENANT}/refund"),
    ("post", f"{TENANT}/receipt/print"),
    ("post", f"{TENANT}/receipt/email"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_only_staff_may_call(method: str, path: str) -> None:
    assert_problem(getattr(client_as(Role.CUSTOMER), method)(PATH + path, sale()), 403, "permission_denied")
    assert_problem(getattr(APIClient(), method)(PATH + path, sale()), 401, "not_authenticated")
    assert sold_nothing()
