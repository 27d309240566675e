"""/api/orders as a client calls it: each path with and without the trailing slash, by role, tenant and owner."""

import re
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache

from accounts.models import User
from accounts.roles import Role
from orders.models import Order, OrderEvent
from profiles.models import Profile, ProfileAlias
from tests.api import assert_problem, client_as, client_for
from tests.databases import rows
from tests.factories import OrderFactory, UserFactory, person
from tests.orders.api.orders import MEMBERS, assert_order

pytestmark = pytest.mark.django_db

OURS, THEIRS = uuid.UUID(int=1), uuid.UUID(int=2)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
TEA = {"product_id": "tea-1", "name": "Tea", "quantity": 2, "price": 4.5}
BODY = {"items": [TEA], "payment_method": "credit_card", "delivery_address": {"street": "5 Harbour Road"}}


@pytest.fixture(autouse=True)
def _no_throttle() -> None:
    cache.clear()


@pytest.fixture(params=["", "/"], ids=["bare", "slash"])
def slash(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ann(**columns: Any) -> User:
    """A customer of our tenant, with a name."""
    columns = {"first_name": "Ann", "last_name": "Lee", "phone": "416 555 0100", "tenant_id": OURS, **columns}
    user: User = person("ann@example.com", **columns).user
    return user


def order_of(user: User | None, **columns: Any) -> Order:
    order: Order = OrderFactory(user=user, **columns)
    return order


# Every path, and its shape.


def test_list(slash: str) -> None:
    user = ann()
    order = order_of(user, items=[TEA], total_amount=Decimal("9.00"))
    order_of(UserFactory(tenant_id=OURS))
    body = client_for(user).get(f"/api/orders{slash}").json()
    assert set(body) == {"orders", "data", "total"}
    assert (body["total"], body["data"]) == (1, body["orders"])
    (told,) = body["orders"]
    assert_order(told)
    assert TIME.fullmatch(told["created_at"])
    assert TIME.fullmatch(told["updated_at"])
    del told["created_at"], told["updated_at"]
    assert told == {
        "id": str(order.pk),
        "order_number": order.order_number,
        "user_id": str(user.pk),
        "customer": {
            "first_name": "Ann",
            "last_name": "Lee",
            "email": "ann@example.com",
            "phone": "416 555 0100",
            "customer_type": "regular",
        },
        "status": "delivered",
        "order_status": None,
        "payment_status": "paid",
        "delivery_status": "delivered",
        "order_type": "pickup",
        "items": [{**TEA, "subtotal": 9.0}],
        "subtotal": 20.0,
        "tax": 0.0,
        "tax_amount": 0.0,
        "discount_amount": 0.0,
        "delivery_fee": 0.0,
        "total": 9.0,
        "total_amount": 9.0,
        "delivery_info": {"type": "pickup"},
        "delivery_address": None,
    }


def test_retrieve_by_id_and_number(slash: str) -> None:
    user = ann()
    order = order_of(user)
    client = client_for(user)
    found = client.get(f"/api/orders/{order.pk}{slash}").json()
    assert_order(found)
    assert client.get(f"/api/orders/by-number/{order.order_number}{slash}").json() == found
    assert client.get(f"/api/orders/track/{order.order_number}{slash}").json() == found


def test_number_with_odd_characters_is_found(slash: str) -> None:
    order_of(ann(), order_number="A/B #1 ü?")
    client = client_as(Role.SUPER_ADMIN)
    for path in ("by-number", "track"):
        answer = client.get(f"/api/orders/{path}/A%2FB%20%231%20%C3%BC%3F{slash}")
        assert answer.json()["order_number"] == "A/B #1 ü?"


def test_status(slash: str) -> None:
    order = order_of(ann(), delivery_status="out_for_delivery", delivery_address={"estimated_delivery": "18:00"})
    body = client_for(order.user).get(f"/api/orders/{order.pk}/status{slash}").json()
    assert TIME.fullmatch(body.pop("updated_at"))
    assert body == {
        "order_id": str(order.pk),
        "order_number": order.order_number,
        "status": "out_for_delivery",
        "payment_status": "paid",
        "status_message": "Your order is on its way.",
        "estimated_delivery": "18:00",
    }


@pytest.mark.parametrize("path", ["/api/orders/create", "/api/orders"])
def test_create(path: str, slash: str) -> None:
    user = ann()
    client = client_for(user)
    answer = client.post(path + slash, {**BODY, "unknown": 1, "total": 0.01})
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert set(body) == {"success", "order_id", "order_number", "created_at"}
    assert body["success"] is True
    assert TIME.fullmatch(body["created_at"])
    assert re.fullmatch(r"ORD-\d{8}-[2-9A-Z]{8}", body["order_number"])
    order = client.get(f"/api/orders/{body['order_id']}").json()
    assert_order(order)
    assert order["items"] == [{**TEA, "subtotal": 9.0}]
    assert (order["total"], order["subtotal"], order["tax"]) == (9.0, 9.0, 0.0)
    assert (order["status"], order["payment_status"], order["delivery_status"]) == ("pending",) * 3
    assert (order["order_type"], order["delivery_address"]) == ("delivery", {"street": "5 Harbour Road"})
    assert order["user_id"] == str(user.pk)
    stored = Order.objects.get()
    assert (stored.payment_method, stored.tenant_id, stored.order_source) == ("credit", OURS, "web")


def test_change_status(slash: str) -> None:
    order = order_of(ann(), payment_status="pending", delivery_status="pending")
    client = client_as(Role.STAFF, tenant_id=OURS)
    answer = client.put(
        f"/api/orders/{order.pk}/status{slash}", {"delivery_status": "preparing", "notes": "Ready at 6"}
    )
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert TIME.fullmatch(body.pop("updated_at"))
    assert body == {
        "success": True,
        "message": f"Order {order.order_number} was changed.",
        "order_id": str(order.pk),
        "order_number": order.order_number,
        "status": "preparing",
        "order_status": "preparing",
        "payment_status": "pending",
        "delivery_status": "preparing",
        "status_message": "Your order is being prepared.",
        "estimated_delivery": None,
    }


def test_cancel(slash: str) -> None:
    order = order_of(ann(), payment_status="pending", delivery_status="confirmed")
    answer = client_for(order.user).post(f"/api/orders/{order.pk}/cancel{slash}", {"reason": "Too late"})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["success"], body["status"], body["payment_status"]) == (True, "cancelled", "cancelled")
    event = OrderEvent.objects.get()
    assert (event.status, event.notes, event.changed_by, event.via) == ("cancelled", "Too late", order.user.pk, "api")


def test_cancel_without_a_body() -> None:
    order = order_of(ann(), delivery_status="pending")
    assert client_for(order.user).post(f"/api/orders/{order.pk}/cancel").status_code == 200


def test_history(slash: str) -> None:
    user = ann()
    made = client_for(user).post("/api/orders", BODY).json()
    client_as(Role.STAFF, tenant_id=OURS).put(
        f"/api/orders/{made['order_id']}/status", {"status": "ready", "payment_status": "paid", "notes": "by card"}
    )
    body = client_for(user).get(f"/api/orders/{made['order_id']}/history{slash}").json()
    assert set(body) == {"order_id", "history"}
    assert body["order_id"] == made["order_id"]
    assert [(event["status"], event["notes"]) for event in body["history"]] == [
        ("created", ""),
        ("ready", "by card"),
        ("paid", ""),
    ]
    assert all(TIME.fullmatch(event["changed_at"]) for event in body["history"])


def test_orders_of_a_customer_by_any_id(slash: str) -> None:
    user = ann()
    order = order_of(user)
    alias = ProfileAlias.objects.create(id=uuid.uuid4(), profile=user.profile)
    for client in (client_for(user), client_as(Role.STAFF, tenant_id=OURS)):
        for known in (user.profile.pk, alias.pk, user.pk):
            body = client.get(f"/api/orders/customer/{known}{slash}").json()
            assert [found["id"] for found in body["orders"]] == [str(order.pk)]
            assert (body["total"], body["data"]) == (1, body["orders"])


def test_track_by_number_and_email(slash: str) -> None:
    order = order_of(ann(contact_email="Ann.Post@Example.com"), delivery_status="ready")
    for email in ("ANN@example.com", " ann@example.com ", "ann.post@example.com"):
        answer = client_for(None).get(f"/api/orders/track{slash}", {"order_number": order.order_number, "email": email})
        assert answer.status_code == 200, answer.content
        body = answer.json()
        assert TIME.fullmatch(body.pop("updated_at"))
        assert TIME.fullmatch(body.pop("created_at"))
        assert body == {
            "order_id": str(order.pk),
            "order_number": order.order_number,
            "status": "ready",
            "payment_status": "paid",
            "delivery_status": "ready",
            "order_type": "pickup",
            "status_message": "Your order is ready.",
            "estimated_delivery": None,
        }


# What may not be.


def test_track_answers_a_wrong_pair_as_an_unknown_number() -> None:
    order = order_of(ann())
    nobodys = order_of(None)
    blank = order_of(person(email_verified=False, contact_email="").user)
    client = client_for(None)
    bodies = []
    for number, email in (
        (order.order_number, "bob@example.com"),
        (order.order_number, "ann%"),
        ("UNKNOWN", "ann@example.com"),
        (nobodys.order_number, "None"),
        (blank.order_number, "x"),
    ):
        body = assert_problem(
            client.get("/api/orders/track", {"order_number": number, "email": email}), 404, "not_found"
        )
        bodies.append({**body, "detail": body["detail"].replace(number, "…")})
    assert bodies == [bodies[0]] * 5
    for query in ({}, {"order_number": order.order_number}, {"order_number": order.order_number, "email": " "}):
        assert_problem(client.get("/api/orders/track", query), 400, "invalid")


def test_track_is_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    from rest_framework.throttling import ScopedRateThrottle

    monkeypatch.setitem(ScopedRateThrottle.THROTTLE_RATES, "track", "2/min")
    query = {"order_number": "X", "email": "a@x.com"}
    codes = [client_for(None).get("/api/orders/track", query).status_code for _ in range(3)]
    assert codes == [404, 404, 429]


def test_nobody_calls_without_a_login() -> None:
    order = order_of(ann())
    client = client_for(None)
    for path in ("", f"/{order.pk}", f"/{order.pk}/status", f"/{order.pk}/history", f"/by-number/{order.order_number}",
                 f"/track/{order.order_number}", f"/customer/{order.user.pk}"):  # fmt: skip
        assert_problem(client.get(f"/api/orders{path}"), 401, "not_authenticated")
    for path in ("", "/create", f"/{order.pk}/cancel"):
        assert_problem(client.post(f"/api/orders{path}", BODY), 401, "not_authenticated")
    assert_problem(client.put(f"/api/orders/{order.pk}/status", {"status": "ready"}), 401, "not_authenticated")
    assert OrderEvent.objects.count() == 0


@pytest.mark.parametrize(
    ("role", "tenant", "sees"),
    [
        (Role.SUPER_ADMIN, None, True),
        (Role.TENANT_ADMIN, OURS, True),
        (Role.STORE_MANAGER, OURS, True),
        (Role.STAFF, OURS, True),
        (Role.TENANT_ADMIN, THEIRS, False),
        (Role.STAFF, THEIRS, False),
        (Role.STAFF, None, False),
        (Role.CUSTOMER, OURS, False),
        (None, OURS, False),
        ("emperor", OURS, False),
    ],
)
def test_who_sees_an_order(role: Any, tenant: uuid.UUID | None, sees: bool) -> None:
    user = ann()
    own_tenant = order_of(user, payment_status="pending", delivery_status="pending")
    other = UserFactory(tenant_id=THEIRS if tenant != THEIRS else OURS)
    order_of(other)
    client = client_as(role, tenant_id=tenant)
    paths = (
        f"/{own_tenant.pk}",
        f"/{own_tenant.pk}/status",
        f"/{own_tenant.pk}/history",
        f"/by-number/{own_tenant.order_number}",
        f"/track/{own_tenant.order_number}",
        f"/customer/{user.pk}",
        f"/customer/{user.profile.pk}",
    )
    for path in paths:
        answer = client.get(f"/api/orders{path}")
        if sees:
            assert answer.status_code == 200, path
        else:
            assert_problem(answer, 404, "not_found")
    for query in ({}, {"user_id": str(user.pk)}, {"user_id": str(user.profile.pk)}, {"status": "pending"},
                  {"payment_status": "pending"}, {"delivery_status": "pending"}):  # fmt: skip
        body = client.get("/api/orders/", query).json()
        found = [order["id"] for order in body["orders"]]
        assert (str(own_tenant.pk) in found) is sees, query
        assert body["total"] == len(found)
    answer = client.post(f"/api/orders/{own_tenant.pk}/cancel")
    own_tenant.refresh_from_db()
    if sees:
        assert answer.status_code == 200
        assert own_tenant.order_status == "cancelled"
    else:
        assert_problem(answer, 404, "not_found")
        assert (own_tenant.order_status, OrderEvent.objects.count()) == (None, 0)


def test_an_orders_own_tenant_goes_before_its_customers() -> None:
    order = order_of(ann(tenant_id=THEIRS), tenant_id=OURS)
    assert client_as(Role.STAFF, tenant_id=OURS).get(f"/api/orders/{order.pk}").status_code == 200
    assert client_as(Role.STAFF, tenant_id=THEIRS).get(f"/api/orders/{order.pk}").status_code == 404


@pytest.mark.parametrize("role", [Role.CUSTOMER, None, "emperor"])
def test_a_customer_may_not_move_an_order(role: Any) -> None:
    client = client_as(role)
    order = order_of(client.user, payment_status="pending", delivery_status="pending")
    assert_problem(client.put(f"/api/orders/{order.pk}/status", {"payment_status": "paid"}), 403, "permission_denied")
    order.refresh_from_db()
    assert (order.payment_status, client.user.profile.loyalty_points) == ("pending", 0)


@pytest.mark.parametrize("bad", ["no-uuid", "1", "%F0%9F%94%94", "5f0c1a52-9d0e-4b6e-8f4b-2f8f6d9a1c11", "a" * 3000])
def test_an_id_that_is_nobodys_is_not_found(bad: str) -> None:
    client = client_as(Role.SUPER_ADMIN)
    for path in (bad, f"{bad}/status", f"{bad}/history", f"customer/{bad}", f"by-number/{bad}", f"track/{bad}"):
        assert_problem(client.get(f"/api/orders/{path}"), 404, "not_found")
    assert_problem(client.put(f"/api/orders/{bad}/status", {"status": "ready"}), 404, "not_found")
    assert_problem(client.post(f"/api/orders/{bad}/cancel"), 404, "not_found")


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"offset": "-1"}, {"offset": "9" * 30}, {"status": "x" * 51},
     {"user_id": "x" * 101}, {"store_id": "x" * 101}],
    ids=str,
)  # fmt: skip
def test_a_bad_query_is_refused(query: dict[str, str]) -> None:
    assert_problem(client_as(Role.SUPER_ADMIN).get("/api/orders/", query), 400, "invalid")


def test_filters() -> None:
    store = uuid.uuid4()
    user = ann()
    mine = order_of(user, payment_status="pending", delivery_status="ready", store_id=store)
    till = order_of(None, store_code="store_001", customer_code="anonymous", order_source="pos", tenant_id=OURS)
    old = order_of(UserFactory(tenant_id=OURS), delivery_status="cancelled", store_code=str(store))
    client = client_as(Role.STAFF, tenant_id=OURS)
    for query, wanted in (
        ({"payment_status": "pending"}, [mine]),
        ({"delivery_status": "cancelled"}, [old]),
        ({"status": "ready"}, [mine]),
        ({"status": "cancelled"}, [old]),
        ({"store_id": str(store)}, [old, mine]),
        ({"store_id": "store_001"}, [till]),
        ({"user_id": "anonymous"}, [till]),
        ({"user_id": str(user.pk), "payment_status": "paid"}, []),
        ({"user_id": str(uuid.uuid4())}, []),
        ({"status": "", "user_id": "", "store_id": ""}, [old, till, mine]),
        ({"limit": 1, "offset": 1}, [till]),
    ):
        body = client.get("/api/orders", query).json()
        assert [order["id"] for order in body["orders"]] == [str(order.pk) for order in wanted], query
    assert client.get("/api/orders", {"limit": 1, "offset": 1}).json()["total"] == 3
    assert client.get("/api/orders", {"offset": 1_000_000_000}).json()["orders"] == []


def test_queries_are_as_many_for_one_order_as_for_fifty(django_assert_num_queries: Any) -> None:
    user = ann()
    order = order_of(user, items=[{"product": {"name": "Tea", "price": 1}, "quantity": 1}])
    for caller in (client_for(user), client_as(Role.STAFF, tenant_id=OURS), client_as(Role.SUPER_ADMIN)):
        with django_assert_num_queries(2):
            assert len(caller.get("/api/orders").json()["orders"]) == 1
        with django_assert_num_queries(1):
            caller.get(f"/api/orders/{order.pk}")
    for _ in range(49):
        order_of(user)
    for caller in (client_for(user), client_as(Role.STAFF, tenant_id=OURS), client_as(Role.SUPER_ADMIN)):
        with django_assert_num_queries(2):
            assert len(caller.get("/api/orders").json()["orders"]) == 50
        with django_assert_num_queries(3):
            assert len(caller.get("/api/orders", {"user_id": str(user.pk)}).json()["orders"]) == 50
        with django_assert_num_queries(4):
            assert len(caller.get(f"/api/orders/customer/{user.pk}").json()["orders"]) == 50


# Ordering.


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"items": []}, "items", "There are 0 items"),
        ({"items": "tea"}, "items", "items is a list"),
        ({"items": [7]}, "items.0", "An item is an object"),
        ({"items": [TEA, {"product_id": "x", "name": "Honey", "quantity": 1}]}, "items.1.price", "Honey has no price"),
        ({"items": [{"product": {"id": 7, "name": "Jam"}, "quantity": 1}]}, "items.0.price", "Jam has no price"),
        ({"items": [{**TEA, "name": None, "price": None}]}, "items.0.price", "tea-1 has no price"),
        ({"items": [{**TEA, "price": -1}]}, "items.0.price", "-1 is negative"),
        ({"items": [{**TEA, "price": "free"}]}, "items.0.price", "'free' is no number"),
        ({"items": [{**TEA, "price": True}]}, "items.0.price", "True is no number"),
        ({"items": [{**TEA, "quantity": 0}]}, "items.0.quantity", "0 is no quantity"),
        ({"items": [{**TEA, "quantity": 10**9}]}, "items.0.quantity", "is no quantity"),
        ({"items": [{**TEA, "quantity": None}]}, "items.0.quantity", "Tea has no quantity"),
        ({"items": [{"name": "Tea", "quantity": 1, "price": 1}]}, "items.0", "which product"),
        ({"items": [{**TEA, "price": 9e9, "quantity": 1000}]}, "items", "is too large"),
        ({"payment_method": "shells"}, "payment_method", "not a valid choice"),
        ({"payment_method": None}, "payment_method", "may not be null"),
        ({"delivery_info": "home"}, "delivery_info", "It is an object"),
        ({"delivery_address": 7}, "delivery_address", "An address is a text"),
        ({"delivery_info": {"a": [[[[[[[[[[1]]]]]]]]]]}}, "delivery_info", "nested deeper"),
        ({"customer_info": "Ann"}, "customer_info", "Invalid data"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_an_order_that_cannot_be_is_refused(changes: dict[str, Any], field: str, says: str) -> None:
    body = assert_problem(client_as(Role.CUSTOMER).post("/api/orders", {**BODY, **changes}), 400, "invalid")
    assert [error["field"].partition(".non")[0] for error in body["errors"]] == [field]
    assert says in body["errors"][0]["detail"]
    assert (Order.objects.count(), OrderEvent.objects.count()) == (0, 0)


def test_sums_are_rounded_by_line_half_up() -> None:
    client = client_as(Role.CUSTOMER)
    items = [
        {"product": "p1", "price": "0.335", "quantity": 1},
        {"product": {"id": 2, "name": "Oil", "price": 19.99, "category": "oils"}, "quantity": 0.5},
        {"product_id": 3, "price": 0, "quantity": 1, "name": "Sample", "note": {"x": 1}},
    ]
    made = client.post("/api/orders", {**BODY, "items": items, "delivery_info": {"type": "pickup"}}).json()
    order = client.get(f"/api/orders/{made['order_id']}").json()
    assert order["items"] == [
        {"product_id": "p1", "name": None, "quantity": 1, "price": 0.34, "subtotal": 0.34},
        {"product_id": "2", "name": "Oil", "category": "oils", "quantity": 0.5, "price": 19.99, "subtotal": 10.0},
        {"product_id": "3", "name": "Sample", "quantity": 1, "price": 0, "subtotal": 0},
    ]
    assert order["total"] == 10.34
    assert order["delivery_info"] == {"type": "pickup", "address": {"street": "5 Harbour Road"}}
    assert (order["order_type"], order["delivery_address"]) == ("pickup", {"street": "5 Harbour Road"})


def test_ids_that_are_no_uuids_are_kept() -> None:
    client = client_as(Role.CUSTOMER)
    body = {**BODY, "store_id": "store_001", "cart_session_id": "cart-7", "user_id": "anon"}
    assert client.post("/api/orders", body).status_code == 201
    order = Order.objects.get()
    assert (order.store_id, order.store_code, order.cart_session_id) == (None, "store_001", None)
    assert order.payment_details == {"cart_session_id": "cart-7"}
    assert order.user == client.user
    assert client.get("/api/orders", {"store_id": "store_001"}).json()["total"] == 1


def test_a_customer_orders_for_nobody_else() -> None:
    other = ann()
    client = client_as(Role.CUSTOMER, tenant_id=OURS)
    for named in ({"user_id": str(other.pk)}, {"customer_id": str(other.profile.pk)},
                  {"customer_info": {"id": str(other.pk)}}, {"user_id": str(uuid.uuid4())}):  # fmt: skip
        assert_problem(client.post("/api/orders", {**BODY, **named}), 404, "not_found")
    assert Order.objects.count() == 0
    answer = client.post("/api/orders", {**BODY, "customer_info": {"email": other.email, "phone": "1"}})
    assert answer.status_code == 201
    order = Order.objects.get()
    assert order.user == client.user
    told = client.get(f"/api/orders/{order.pk}").json()
    assert told["delivery_info"]["contact"] == {"email": "ann@example.com", "phone": "1"}
    assert told["customer"]["email"] == client.user.email


def test_staff_order_for_a_customer_of_their_tenant() -> None:
    user = ann()
    client = client_as(Role.STAFF, tenant_id=OURS)
    for named in ({"user_id": str(user.pk)}, {"customer_id": str(user.profile.pk)},
                  {"customer_info": {"customer_id": str(user.profile.pk)}},
                  {"customer_info": {"email": "ANN@example.com"}}):  # fmt: skip
        made = client.post("/api/orders", {**BODY, **named}).json()
        order = Order.objects.get(pk=made["order_id"])
        assert (order.user, order.tenant_id) == (user, OURS), named
    foreign = person(tenant_id=THEIRS)
    assert_problem(client.post("/api/orders", {**BODY, "user_id": str(foreign.user_id)}), 404, "not_found")
    assert Order.objects.count() == 4
    client.post("/api/orders", {**BODY, "user_id": "anonymous"})
    assert Order.objects.get(customer_code="anonymous").user is None
    made = client.post("/api/orders", BODY).json()
    assert Order.objects.get(pk=made["order_id"]).user == client.user


def test_an_order_by_contact_makes_a_guest_once_and_trusts_no_unverified_account() -> None:
    client = client_as(Role.STAFF, tenant_id=OURS)
    guest = {"customer_info": {"first_name": "Gus", "email": "gus@example.com"}}
    first, second = (client.post("/api/orders", {**BODY, **guest}).json()["order_id"] for _ in range(2))
    buyer = Order.objects.get(pk=first).user
    assert (buyer.email, buyer.tenant_id, buyer.profile.first_name) == ("gus@example.com", OURS, "Gus")
    assert Order.objects.get(pk=second).user == buyer
    squatter = UserFactory(email="eve@example.com", email_verified=False, password="x", tenant_id=OURS)
    made = client.post("/api/orders", {**BODY, "customer_info": {"email": "eve@example.com"}}).json()
    assert Order.objects.get(pk=made["order_id"]).user not in {squatter, None}
    assert client_for(squatter).get(f"/api/orders/{made['order_id']}").status_code == 404
    foreign = UserFactory(email="far@example.com", tenant_id=THEIRS)
    made = client.post("/api/orders", {**BODY, "customer_info": {"email": "far@example.com"}}).json()
    assert Order.objects.get(pk=made["order_id"]).user != foreign


def test_the_same_key_orders_once() -> None:
    client = client_as(Role.CUSTOMER)
    headers = {"Idempotency-Key": "k-1"}
    first = client.post("/api/orders", BODY, headers=headers)
    again = client.post("/api/orders", BODY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = client.post("/api/orders", {**BODY, "payment_method": "cash"}, headers=headers)
    assert_problem(other, 409, "idempotency_key_reused")
    assert client_as(Role.CUSTOMER).post("/api/orders", BODY, headers=headers).json() != first.json()
    assert Order.objects.count() == 2


def test_cancelling_again_with_the_same_key_answers_as_before() -> None:
    order = order_of(ann(), delivery_status="pending")
    client = client_for(order.user)
    answers = [
        client.post(f"/api/orders/{order.pk}/cancel", {}, headers={"Idempotency-Key": "k"}).json() for _ in range(2)
    ]
    assert answers[0] == answers[1]
    body = assert_problem(client.post(f"/api/orders/{order.pk}/cancel"), 409, "illegal_transition")
    assert body["detail"] == (
        f"The status of order {order.order_number} is 'cancelled' and cannot become 'cancelled'. Nothing follows it."
    )
    assert OrderEvent.objects.filter(status="cancelled").count() == 1


def test_points_follow_the_payment() -> None:
    user = ann()
    staff = client_as(Role.STAFF, tenant_id=OURS)
    made = client_for(user).post("/api/orders", {**BODY, "items": [{**TEA, "price": 10.75}]}).json()
    path = f"/api/orders/{made['order_id']}"

    def totals() -> tuple[Any, ...]:
        return tuple(Profile.objects.values_list("loyalty_points", "total_spent", "order_count").get(user=user))

    assert totals() == (0, Decimal(0), 0)
    assert staff.put(f"{path}/status", {"payment_status": "paid"}).status_code == 200
    assert totals() == (21, Decimal("21.50"), 1)
    assert staff.put(f"{path}/status", {"payment_status": "paid"}).status_code == 200
    assert totals() == (21, Decimal("21.50"), 1)
    assert client_for(user).post(f"{path}/cancel").status_code == 200
    assert totals() == (0, Decimal(0), 0)
    entries = rows("SELECT delta, balance, source, order_id, created_by FROM loyalty_entries ORDER BY id")
    order_id = uuid.UUID(made["order_id"])
    assert entries == [(21, 21, "api", order_id, staff.user.pk), (-21, 0, "api", order_id, user.pk)]
    assert rows("SELECT amount, points FROM refunds") == [(Decimal("21.50"), 21)]


@pytest.mark.parametrize(
    "body", [{}, {"payment_status": "barter"}, {"status": "parked"}, {"status": 7}, {"delivery_status": ["ready"]}, {"notes": {}}],
    ids=str,
)  # fmt: skip
def test_a_change_that_means_nothing_is_refused(body: dict[str, Any]) -> None:
    order = order_of(ann(), delivery_status="pending")
    client = client_as(Role.STAFF, tenant_id=OURS)
    assert_problem(client.put(f"/api/orders/{order.pk}/status", body), 400, "invalid")
    assert OrderEvent.objects.count() == 0


def test_an_illegal_step_names_from_to_and_what_is_possible() -> None:
    order = order_of(ann(), payment_status="refunded", delivery_status="out_for_delivery")
    client = client_as(Role.STAFF, tenant_id=OURS)
    body = assert_problem(
        client.put(f"/api/orders/{order.pk}/status", {"delivery_status": "preparing"}), 409, "illegal_transition"
    )
    assert body["detail"] == (
        f"The delivery_status of order {order.order_number} is 'out_for_delivery' and cannot become 'preparing'. "
        "Possible: delivered, cancelled."
    )
    assert set(client.get(f"/api/orders/{order.pk}").json()) == MEMBERS
    assert OrderEvent.objects.count() == 0
