"""Who may call what: every call as every kind of caller, for what is the caller's own, another's, another tenant's."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.core.cache import cache
from django.db import transaction
from django.test import override_settings
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django.plugin import DjangoDbBlocker
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from accounts.roles import Role
from accounts.services import api_keys, sessions, verification
from orders.api.till_serializers import SALE
from orders.services import sales, till
from profiles.models import FieldConflict, ProfileAlias
from profiles.services import conflicts, merging
from tests.factories import PASSWORD, OrderFactory, UserFactory

CALLERS = (
    "super_admin",
    "tenant_admin",
    "store_manager",
    "staff",
    "the customer",
    "another customer",
    "an admin of another tenant",
    "staff of another tenant",
    "a customer of another tenant",
    "an unknown role",
    "nobody",
    "an inactive super_admin",
    "a revoked key",
)
# What each caller is answered, in that order: 2 done, 3 the role may not (403), 4 not theirs to see (404), 1 no login (401).
PUBLIC = "2222 22 222 2 222"
EVERYBODY = "2222 22 222 2 111"
PERSON = "2222 24 444 4 111"  # staff of the tenant, and whose it is
STAFF = "2222 33 443 3 111"  # staff of the tenant
MANAGERS = "2223 33 433 3 111"
ADMINS = "2233 33 433 3 111"
EXPORT = "2224 24 444 4 111"  # managers, and whose it is; staff may export themselves alone
TILL = "2222 33 223 3 111"  # staff, for their own tenant
FIGURES = "2223 33 233 3 111"  # managers, for their own tenant


@dataclass
class World:
    """One customer with everything that belongs to her, and who looks at it."""

    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, Any] = field(default_factory=dict)
    customer: User = field(default_factory=User)


Body = dict[str, Any] | Callable[[World], dict[str, Any]] | None


@dataclass(frozen=True)
class Row:
    answers: str
    body: Body = None
    query: Body = None
    ids: Callable[[World], dict[str, Any]] = lambda world: {}


def _till(prefix: str) -> dict[str, Row]:
    one = f"{prefix}<str:transaction_id>/"
    return {
        f"GET {prefix}": Row(TILL),
        f"POST {prefix}": Row(STAFF, lambda world: SALE | {"customer_id": world.ids["customer_id"]}),
        f"POST {prefix}park/": Row(STAFF, lambda world: SALE | {"customer_id": world.ids["customer_id"]}),
        f"GET {prefix}parked/": Row(TILL),
        f"GET {one}": Row(STAFF),
        f"PUT {one}resume/": Row(STAFF, ids=lambda world: {"transaction_id": world.ids["parked_id"]}),
        f"POST {one}refund/": Row(STAFF, {}),
        f"POST {one}receipt/print/": Row(STAFF),
        f"POST {one}receipt/email/": Row(STAFF, {"email": "ann@example.com"}),
    }


PAIR = ("survivor_id", "other_id")
NEW_ORDER = {"items": [{"product_id": "p1", "quantity": 1, "price": 5}], "payment_method": "cash"}
TENANTS_FIGURES: Any = dict.fromkeys(
    (f"GET analytics/{name}/" for name in ("dashboard", "revenue", "products", "customers", "sales", "sales-today")),
    Row(FIGURES),
)
ROWS: dict[str, Row] = {
    "GET schema/": Row(PUBLIC),
    "GET docs/": Row(PUBLIC),
    "POST auth/register/": Row(PUBLIC, {"email": "new@example.com", "password": "a battery staple 7"}),
    "POST auth/token/": Row(PUBLIC, lambda world: {"email": world.customer.email, "password": PASSWORD}),
    "POST auth/token/refresh/": Row(PUBLIC, lambda world: {"refresh": world.ids["refresh"]}),
    "POST auth/token/blacklist/": Row(PUBLIC, lambda world: {"refresh": world.ids["refresh"]}),
    "POST auth/password/reset/": Row(PUBLIC, {"email": "whoever@example.com"}),
    "POST auth/password/reset/confirm/": Row(
        PUBLIC,
        lambda world: {
            "uid": str(world.customer.pk),
            "token": default_token_generator.make_token(world.customer),
            "password": "a battery staple 7",
        },
    ),
    "POST auth/password/change/": Row(EVERYBODY, {"password": PASSWORD, "new_password": "a battery staple 7"}),
    "POST auth/email/verify/": Row(PUBLIC, lambda world: {"token": verification.token_for(world.customer)}),
    "POST auth/email/verify/resend/": Row(EVERYBODY),
    "GET auth/me/": Row(EVERYBODY),
    "GET profiles/": Row(EVERYBODY),
    "GET profiles/me/": Row(EVERYBODY),
    "PATCH profiles/me/": Row(EVERYBODY, {"language": "fr"}),
    "GET profiles/<uuid:profile_id>/": Row(PERSON),
    "PATCH profiles/<uuid:profile_id>/": Row(PERSON, {"language": "fr"}),
    "GET profiles/<uuid:profile_id>/loyalty/": Row(PERSON),
    "POST profiles/<uuid:profile_id>/loyalty/": Row(STAFF, {"delta": 5, "reason": "a birthday"}),
    "GET profiles/<uuid:profile_id>/orders/": Row(PERSON),
    "GET profiles/<uuid:profile_id>/analytics/": Row(PERSON),
    "GET profiles/<uuid:profile_id>/history/": Row(MANAGERS),
    "GET profiles/<uuid:profile_id>/conflicts/": Row(MANAGERS),
    "POST profiles/<uuid:profile_id>/conflicts/<int:conflict_id>/": Row(MANAGERS, {"verdict": "keep"}),
    "DELETE profiles/<uuid:profile_id>/conflicts/<int:conflict_id>/": Row(
        MANAGERS, ids=lambda world: {"conflict_id": world.ids["decided_id"]}
    ),
    "GET profiles/<uuid:profile_id>/export/": Row(EXPORT),
    "POST profiles/<uuid:profile_id>/erase/": Row(ADMINS, {"reason": "asked for", "confirm": True}),
    "POST profiles/merge/preview/": Row(MANAGERS, lambda world: {name: world.ids[name] for name in PAIR}),
    "POST profiles/merge/": Row(MANAGERS, lambda world: {name: world.ids[name] for name in (*PAIR, "token")}),
    "DELETE profiles/merge/<int:merge_id>/": Row(MANAGERS),
    "GET customers/": Row(EVERYBODY),
    "POST customers/": Row(TILL, {"name": "Somebody New"}),
    "GET customers/search/": Row(EVERYBODY),
    "POST customers/verify-age/": Row(EVERYBODY, {"birth_date": "1990-12-31"}),
    "GET customers/<str:customer_id>/": Row(PERSON),
    "PUT customers/<str:customer_id>/": Row(PERSON, {"city": "Ottawa"}),
    "DELETE customers/<str:customer_id>/": Row(STAFF),
    "GET customers/<str:customer_id>/orders/": Row(PERSON),
    "PATCH customers/<str:customer_id>/loyalty/": Row(STAFF, {"points": 5}),
    "GET customers/<str:customer_id>/stats/": Row(PERSON),
    **_till("pos/transactions/"),
    **_till("transactions/"),
    "GET stores/<str:store_id>/transactions/": Row(TILL),
    "POST stores/<str:store_id>/transactions/": Row(
        STAFF, lambda world: SALE | {"customer_id": world.ids["customer_id"]}
    ),
    "GET stores/<str:store_id>/transactions/parked/": Row(TILL),
    "GET orders/": Row(EVERYBODY),
    "POST orders/": Row(PERSON, lambda world: NEW_ORDER | {"customer_id": world.ids["customer_id"]}),
    "POST orders/create/": Row(PERSON, lambda world: NEW_ORDER | {"customer_id": world.ids["customer_id"]}),
    "GET orders/track/": Row(
        PUBLIC,
        query=lambda world: {"order_number": world.ids["order_number"], "email": world.customer.email},
    ),
    "GET orders/track/<path:order_number>/": Row(PERSON),
    "GET orders/by-number/<path:order_number>/": Row(PERSON),
    "GET orders/customer/<str:customer_id>/": Row(PERSON),
    "GET orders/<str:order_id>/": Row(PERSON),
    "GET orders/<str:order_id>/status/": Row(PERSON),
    "PUT orders/<str:order_id>/status/": Row(STAFF, {"notes": "by the door"}),
    "POST orders/<str:order_id>/cancel/": Row(PERSON, {}),
    "GET orders/<str:order_id>/history/": Row(PERSON),
    **TENANTS_FIGURES,
}


def routes(patterns: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every route under /api/ with its view's class."""
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and route.startswith("api/"):
            yield route.removeprefix("api/"), pattern.callback.view_class  # type: ignore[attr-defined]


ROUTES = dict(routes(get_resolver().url_patterns))
CALLS = sorted(f"{method} {route}" for route, view in ROUTES.items() for method in view.access)


def test_every_call_has_a_row() -> None:
    assert sorted(ROWS) == CALLS


def test_every_method_of_a_view_says_who_may_call_it() -> None:
    for route, view in ROUTES.items():
        methods = {name.upper() for name in view.http_method_names if hasattr(view, name)} - {"OPTIONS", "HEAD"}
        assert methods == set(view.access), route


@contextmanager
def taken_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    cheap = override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
    with django_db_blocker.unblock(), cheap, taken_back():
        yield make_world()


def make_world() -> World:
    ours, theirs = uuid.uuid4(), uuid.uuid4()
    who: dict[str, User] = {}
    for name, role, tenant in (
        ("super_admin", Role.SUPER_ADMIN, None),
        ("tenant_admin", Role.TENANT_ADMIN, ours),
        ("store_manager", Role.STORE_MANAGER, ours),
        ("staff", Role.STAFF, ours),
        ("the customer", Role.CUSTOMER, ours),
        ("another customer", Role.CUSTOMER, ours),
        ("an admin of another tenant", Role.TENANT_ADMIN, theirs),
        ("staff of another tenant", Role.STAFF, theirs),
        ("a customer of another tenant", Role.CUSTOMER, theirs),
        ("an unknown role", "courier", ours),
        ("an inactive super_admin", Role.SUPER_ADMIN, None),
    ):
        who[name] = UserFactory(role=role, tenant_id=tenant, password=PASSWORD, email_verified=False)
    world = World(customer=who["the customer"])
    for name, user in who.items():
        token = AccessToken.for_user(user)
        token.set_exp(lifetime=timedelta(days=1))
        world.tokens[name] = str(token)
    User.objects.filter(pk=who["an inactive super_admin"].pk).update(active=False)
    key, world.tokens["a revoked key"] = api_keys.issue_key(who["super_admin"], "till 7", by=who["super_admin"])
    api_keys.revoke(key, by=who["super_admin"])

    profile, other = world.customer.profile, who["another customer"].profile
    alias = ProfileAlias.objects.create(id=uuid.uuid4(), profile=profile)
    order = OrderFactory(user=world.customer, tenant_id=ours, payment_status="pending", delivery_status="pending")
    sale = sales.parse(SALE | {"customer_id": str(profile.pk)})
    parked = sales.parse(SALE | {"customer_id": str(profile.pk), "receipt_number": None}, parked=True)
    world.ids = {
        "profile_id": str(profile.pk),
        "customer_id": str(profile.pk),
        "alias": str(alias.pk),
        "user_id": str(world.customer.pk),
        "order_id": str(order.pk),
        "order_number": order.order_number,
        "store_id": "store_002",
        "transaction_id": till.sell(sale, by=who["staff"])["id"],
        "parked_id": till.park(parked, by=who["staff"])["id"],
        "survivor_id": str(profile.pk),
        "other_id": str(other.pk),
        "refresh": sessions.open_session(world.customer).refresh,
    }
    for name in ("conflict_id", "decided_id"):
        found = FieldConflict.objects.create(
            profile=profile, field="phone", rule="first", other_value="1", other_table="customers", other_row=name
        )
        world.ids[name] = found.pk
    conflicts.decide_one(profile.pk, world.ids["decided_id"], "keep", by=who["super_admin"], via="api")
    two = [UserFactory(tenant_id=ours).profile.pk for _ in range(2)]
    token = merging.preview(*two).token
    world.ids["merge_id"] = merging.merge(*two, token=token, by=who["super_admin"], via="api").pk
    world.ids["token"] = merging.preview(profile.pk, other.pk).token
    return world


def address(route: str, ids: dict[str, Any]) -> str:
    for name, value in ids.items():
        for kind in ("uuid", "str", "path", "int"):
            route = route.replace(f"<{kind}:{name}>", str(value))
    assert "<" not in route, route
    return f"/api/{route}"


def ask(world: World, caller: str, call: str, ids: dict[str, Any], *, bare: bool = False) -> int:
    method, route = call.split(" ", 1)
    row = ROWS[f"{'GET' if method == 'HEAD' else method} {route}"]
    body, query = (given(world) if callable(given) else given for given in (row.body, row.query))
    headers = {"If-Match": "*"}
    if caller in world.tokens:
        headers["Authorization"] = f"Bearer {world.tokens[caller]}"
    cache.clear()  # throttles
    with taken_back():
        response = APIClient(raise_request_exception=False).generic(
            method,
            address(route, ids).removesuffix("/" if bare else ""),
            "" if body is None else json.dumps(body),
            content_type="application/json",
            query_params=query,
            headers=headers,
        )
    return response.status_code


MEANING = {"1": 401, "3": 403, "4": 404}


def expected(row: Row) -> dict[str, Any]:
    answers = row.answers.replace(" ", "")
    return {name: MEANING.get(answer, "2xx") for name, answer in zip(CALLERS, answers, strict=True)}


def shown(status: int) -> Any:
    return "2xx" if 200 <= status < 300 else status


@pytest.mark.django_db
@pytest.mark.parametrize("call", CALLS)
def test_call_is_answered_by_role_and_owner(call: str, world: World) -> None:
    ids = world.ids | ROWS[call].ids(world)
    found = {caller: shown(ask(world, caller, call, ids)) for caller in CALLERS}
    assert found == expected(ROWS[call])


@pytest.mark.django_db
@pytest.mark.parametrize("call", CALLS)
def test_call_is_answered_without_the_slash_at_the_end(call: str, world: World) -> None:
    ids = world.ids | ROWS[call].ids(world)
    few = ("super_admin", "another customer")
    found = {caller: shown(ask(world, caller, call, ids, bare=True)) for caller in few}
    assert found == {caller: expected(ROWS[call])[caller] for caller in few}


@pytest.mark.django_db
@pytest.mark.parametrize("call", [call for call in CALLS if call.startswith("GET ")])
def test_head_is_answered_as_get(call: str, world: World) -> None:
    few = ("store_manager", "the customer", "another customer", "nobody")
    found = {caller: shown(ask(world, caller, call.replace("GET", "HEAD", 1), world.ids)) for caller in few}
    assert found == {caller: expected(ROWS[call])[caller] for caller in few}


# Calls that take any id that leads to a person.
BY_PERSON = [call for call in CALLS if "profile_id>" in call or "customer_id>" in call]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["alias", "user_id"])
@pytest.mark.parametrize("call", BY_PERSON)
def test_alias_and_users_id_open_no_other_door(call: str, kind: str, world: World) -> None:
    ids = world.ids | {"profile_id": world.ids[kind], "customer_id": world.ids[kind]}
    few = ("the customer", "another customer", "an admin of another tenant", "nobody")
    found = {caller: shown(ask(world, caller, call, ids)) for caller in few}
    assert found == {caller: expected(ROWS[call])[caller] for caller in few}
