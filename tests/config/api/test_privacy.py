"""Nobody learns or changes anything of somebody else's, and medical conditions, notes and tags reach only who may see them.

Eve is full of texts that occur nowhere else. Whoever may not see her is asked everything there is to ask, with every id,
address and number of hers: no answer may hold such a text, none may differ from what it was before Eve was there, and no
row of hers may change.
"""

import itertools
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, models, transaction
from django.test import override_settings
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from psycopg import sql
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from accounts.roles import Role
from orders.api.till_serializers import SALE
from orders.models import OrderEvent, Refund
from profiles.models import (
    FieldConflict,
    LoyaltyEntry,
    PrivacyEvent,
    Profile,
    ProfileAlias,
    ProfileMerge,
)
from tests.factories import OrderFactory, UserFactory

pytestmark = pytest.mark.django_db

MARK = re.compile(r"zqx\d\d\d")
TENANT = uuid.UUID("11111111-aaaa-4aaa-8aaa-000000000001")
OTHER_TENANT = uuid.UUID("11111111-aaaa-4aaa-8aaa-000000000002")
IDS = {
    name: uuid.UUID(f"eeeeeeee-eeee-4eee-8eee-{place:012}")
    for place, name in enumerate(
        ("user", "profile", "alias", "shell", "shell_user", "order", "sale", "parked", "refund")
    )
}
EMAIL, PHONE, POINTS, SPENT = "zqx900@victim.example", "zqx901 613 777 0177", 987_654_321, Decimal("876543.21")
ORDER_NUMBER, SALE_NUMBER, RECEIPT, STORE = "ORD-zqx902", "POS-zqx903", "R-zqx904", "store_9"


NUMBER = 987_654_321  # of a merge, and of a conflict


class Marks:
    """A new text each time, and what each one was for."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def __call__(self, what: str) -> str:
        mark = f"zqx{len(self.of):03}"
        self.of[mark] = what
        return mark

    def like(self, *names: str) -> set[str]:
        return {mark for mark, what in self.of.items() if any(name in what for name in names)}


def plant() -> Marks:
    """Eve, in all tables."""
    marks = Marks()
    user = UserFactory(id=IDS["user"], email=EMAIL, tenant_id=TENANT)
    Profile.objects.filter(user=user).delete()  # it is to have a known id
    profile = Profile(id=IDS["profile"], user=user)
    kept = {
        "id",
        "user",
        "phone",
        "search_text",
        "legacy_extra",
        "merged_into",
        "erased_at",
        "created_at",
        "updated_at",
    }
    for field in Profile._meta.fields:
        if field.name in kept:
            continue
        if isinstance(field, models.JSONField):
            objects = field.name in {"preferences", "price_range"}
            value: Any = {marks(field.name): marks(field.name)} if objects else [marks(field.name)]
            setattr(profile, field.name, value)
        elif isinstance(field, models.CharField | models.TextField):
            setattr(profile, field.name, marks(field.name))
    profile.phone, profile.loyalty_points, profile.total_spent = PHONE, POINTS, SPENT
    profile.order_count, profile.last_order_date = 765_432, timezone.now()
    profile.date_of_birth = timezone.localdate().replace(year=1977, month=7, day=7)
    profile.save()
    # History, of the columns that matter most: what they were is kept there.
    profile.medical_conditions, profile.notes, profile.tags = (
        [marks("medical_conditions")],
        marks("notes"),
        [marks("tags")],
    )
    profile.save()
    ProfileAlias.objects.create(id=IDS["alias"], profile=profile)
    shell_user = UserFactory(id=IDS["shell_user"], email="zqx906@victim.example", tenant_id=TENANT)
    Profile.objects.filter(user=shell_user).delete()
    shell = Profile.objects.create(
        id=IDS["shell"],
        user=shell_user,
        first_name=marks("first_name"),
        notes=marks("notes"),
        tags=[marks("tags")],
        medical_conditions=[marks("medical_conditions")],
        merged_into=profile,
    )
    told = {"medical_conditions": [marks("medical_conditions")], "notes": marks("notes"), "tags": [marks("tags")]}
    ProfileMerge.objects.create(
        id=NUMBER,
        survivor=profile,
        other=shell,
        before={"survivor": told, "other": told | {"first_name": marks("first_name")}},
        after={"survivor": told},
        via="api",
    )
    for place, name in enumerate(("first_name", "medical_conditions", "notes", "tags")):
        FieldConflict.objects.create(
            id=NUMBER + place,
            profile=profile,
            field=name,
            path=f"/{marks(name)}",
            rule=FieldConflict.Rule.FIRST,
            chosen_value=marks(name),
            chosen_table="customers",
            chosen_row=marks(name),
            other_value=[marks(name)],
            other_table="user_profiles",
            other_row=marks(name),
        )
    PrivacyEvent.objects.create(profile=profile, kind=PrivacyEvent.Kind.EXPORT, via="api", reason=marks("reason"))
    profile.loyalty_points += 1
    profile.save()
    LoyaltyEntry.objects.filter(profile=profile).update(reason=marks("reason"))
    common = {"user": user, "tenant_id": TENANT, "store_code": STORE}
    OrderFactory(
        **common,
        id=IDS["order"],
        order_number=ORDER_NUMBER,
        items=[{"product_id": marks("item"), "name": marks("item"), "quantity": 1, "price": 20}],
        delivery_address={"street": marks("street")},
        special_instructions=marks("instructions"),
        payment_status="pending",
        delivery_status="pending",
    )
    for name, status in (("sale", "completed"), ("parked", "parked")):
        OrderFactory(
            **common,
            id=IDS[name],
            order_number=SALE_NUMBER if name == "sale" else f"{SALE_NUMBER}-p",
            order_source="pos",
            order_status=status,
            receipt_number=RECEIPT if name == "sale" else f"{RECEIPT}-p",
            content_digest="0" * 64,
            cashier_code=marks("cashier"),
            customer_code=marks("customer_code"),
            items=[
                {"id": marks("item"), "product": {"name": marks("item"), "price": 20.0}, "quantity": 1, "price": 20.0}
            ],
            payment_details={"authorization_code": marks("authorization")},
            special_instructions=marks("instructions"),
        )
        OrderEvent.objects.create(order_id=IDS[name], status=status, notes=marks("event"), via="till")
    Refund.objects.create(id=IDS["refund"], order_id=IDS["sale"], amount=1, reason=marks("reason"))
    return marks


@dataclass
class Viewers:
    customer: User
    manager_elsewhere: User
    stranger: User
    own: dict[str, str]


def make_viewers() -> Viewers:
    """Who may not see Eve, each with something of their own."""
    bob = UserFactory(email="bob@example.com", tenant_id=TENANT)
    Profile.objects.filter(user=bob).update(first_name="Bob", last_name="Brown", loyalty_points=7)
    order = OrderFactory(user=bob, tenant_id=TENANT, order_number="ORD-BOB")
    admin = UserFactory(role=Role.TENANT_ADMIN, tenant_id=OTHER_TENANT, email="boss@example.com")
    sale = OrderFactory(
        user=UserFactory(tenant_id=OTHER_TENANT, email="tom@example.com"),
        tenant_id=OTHER_TENANT,
        order_source="pos",
        order_status="completed",
        items=[{"id": "1", "product": {"name": "Tea", "price": 20.0}, "quantity": 1}],
        store_code=STORE,
    )
    own = {"profile": str(bob.profile.pk), "order": str(order.pk), "number": "ORD-BOB", "sale": str(sale.pk)}
    return Viewers(bob, admin, UserFactory(role="courier", tenant_id=TENANT), own)


def client_of(user: User) -> APIClient:
    """With a token, as in life: calls that are asked often read it themselves."""
    token = AccessToken.for_user(user)
    token.set_exp(lifetime=timedelta(days=1))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


DOCUMENT = SchemaGenerator().get_schema(request=None, public=True)["paths"]
# What is Eve's and may be asked for; the last ones are her numbers.
TEXTS = [
    *map(str, IDS.values()),
    EMAIL,
    PHONE,
    "6137770177",
    ORDER_NUMBER,
    SALE_NUMBER,
    RECEIPT,
    STORE,
    "zqx",
    "victim",
]
VALUES = [*TEXTS, str(TENANT), str(POINTS), str(SPENT), "1977-07-07", "true", "false"]


def questions(own: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Every GET, with everything of Eve's in its path, then in each of its parameters."""
    for path, methods in DOCUMENT.items():
        if "get" not in methods or path in {"/api/schema/", "/api/docs/"}:
            continue
        given = methods["get"].get("parameters", [])
        places = re.findall(r"{(\w+)}", path)
        assert len(places) < 2, path
        for text in TEXTS if places else ():
            if places[0] != "profile_id" or text in map(str, IDS.values()):
                yield path.replace(f"{{{places[0]}}}", text), {}
        if places:
            mine = {"order_number": own["number"], "order_id": own["order"], "transaction_id": own["sale"]}
            path = path.replace(f"{{{places[0]}}}", mine.get(places[0], own["profile"]))
        yield path, {}
        for parameter in given:
            name, shape = parameter["name"], parameter["schema"]
            if parameter["in"] == "query":
                fitting: list[str] = shape.get("enum") or VALUES
                if shape.get("format") == "uuid":
                    fitting = [str(TENANT), *map(str, IDS.values())]
                elif shape.get("type") == "boolean":
                    fitting = ["true", "false"]
                elif shape.get("type") in {"integer", "number"}:
                    fitting = [str(POINTS), "876543.21", "1", "765432"]
                elif "date" in str(shape):
                    fitting = ["2020-01-01", "2020-01-01T00:00:00Z", "2100-01-01", "2100-01-01T00:00:00Z"]
                for value in fitting:
                    yield path, {name: str(value)}
    for number in (ORDER_NUMBER, SALE_NUMBER):
        for email in ("bob@example.com", "zqx906@victim.example", "victim"):
            yield "/api/orders/track/", {"order_number": number, "email": email}


def read(client: APIClient, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], str]:
    cache.clear()
    with transaction.atomic():
        response = client.get(path, query)
        transaction.set_rollback(True)
    body = re.sub(r'"exported_at": ?"[^"]*"', "", response.content.decode())
    return response.status_code, dict(response.headers), body


def marks_in(answer: object, sent: str) -> set[str]:
    """Eve's texts that an answer tells and the question did not."""
    return set(MARK.findall(str(answer))) - set(MARK.findall(sent))


@pytest.mark.parametrize("who", ["customer", "manager_elsewhere", "stranger"])
def test_reads_tell_nothing_of_somebody_else(who: str) -> None:
    viewers = make_viewers()
    client = client_of(getattr(viewers, who))
    asked = list(questions(viewers.own))
    before = [read(client, path, query) for path, query in asked]
    plant()
    after = [read(client, path, query) for path, query in asked]
    told = [(q, marks_in(a, str(q))) for q, a in zip(asked, after, strict=True) if marks_in(a, str(q))]
    assert told == []
    differing = [(q, b, a) for q, b, a in zip(asked, before, after, strict=True) if a != b]
    assert differing == []
    # The questions are questions: most can be answered.
    assert sum(status == 200 for status, _, _ in before) > 100


# Rows that are Eve's: by table, which.
OF_EVE = {
    "users": "id IN (%(user)s, %(shell_user)s)",
    "profiles": "id IN (%(profile)s, %(shell)s)",
    "profile_aliases": "profile_id IN (%(profile)s, %(shell)s) OR id = %(alias)s",
    "orders": "user_id IN (%(user)s, %(shell_user)s) OR id IN (%(order)s, %(sale)s, %(parked)s)",
    "order_events": "order_id IN (%(order)s, %(sale)s, %(parked)s)",
    "refunds": "order_id IN (%(order)s, %(sale)s, %(parked)s)",
    "loyalty_entries": "profile_id IN (%(profile)s, %(shell)s)",
    "profile_history": "profile_id IN (%(profile)s, %(shell)s)",
    "field_conflicts": "profile_id IN (%(profile)s, %(shell)s)",
    "conflict_decisions": "profile_id IN (%(profile)s, %(shell)s)",
    "merge_suggestions": "profile_id IN (%(profile)s, %(shell)s) OR other_profile_id IN (%(profile)s, %(shell)s)",
    "profile_merges": "survivor_id = %(profile)s OR other_id = %(profile)s",
    "privacy_events": "profile_id IN (%(profile)s, %(shell)s)",
    "api_keys": "user_id IN (%(user)s, %(shell_user)s)",
}


def eve() -> dict[str, Any]:
    """All her rows, byte for byte, with the transaction that wrote each."""
    found = {}
    with connection.cursor() as cursor:
        for table, condition in OF_EVE.items():
            statement = sql.SQL("SELECT t.xmin::text || t::text FROM {} AS t WHERE {} ORDER BY 1").format(
                sql.Identifier(table), sql.SQL(condition)
            )
            cursor.execute(statement, {name: value for name, value in IDS.items() if f"%({name})s" in condition})
            found[table] = cursor.fetchall()
    return found


PERSON_FIELDS = {
    "id": str(IDS["profile"]),
    "user_id": str(IDS["user"]),
    "profile_id": str(IDS["profile"]),
    "customer_id": str(IDS["profile"]),
    "email": EMAIL,
    "name": "Mallory",
    "first_name": "Mallory",
    "phone": PHONE,
    "city": "Elsewhere",
    "loyalty_points": 5,
    "notes": "changed",
    "tags": ["changed"],
    "medical_conditions": ["changed"],
}
LINES = [{"product_id": "p1", "quantity": 1, "price": 5}]
BODIES: list[Any] = [
    {},
    PERSON_FIELDS,
    {"city": "Elsewhere"},
    {"delta": 5, "reason": "mine now"},
    {"points": 5},
    {"reason": "gone", "confirm": True},
    {"survivor_id": str(IDS["profile"]), "other_id": str(IDS["shell"])},
    *(
        {"items": LINES, "payment_method": "cash", **whom}
        for whom in (
            {"customer_id": str(IDS["alias"])},
            {"user_id": str(IDS["user"])},
            {"customer_info": {"id": str(IDS["profile"])}},
            {"customer_info": {"name": "Eve", "email": EMAIL, "phone": PHONE}},
        )
    ),
    *(
        SALE | {"customer_id": str(IDS[name]), "receipt_number": RECEIPT, "store_id": STORE}
        for name in ("profile", "user")
    ),
    SALE | {"customer_id": "anonymous", "cashier_id": str(IDS["user"]), "store_id": STORE, "receipt_number": RECEIPT},
    {"payment_status": "paid", "delivery_status": "confirmed", "notes": "changed"},
    {"amount": 1},
    {"verdict": "take"},
    {"email": "mallory@example.com"},
    {"email": EMAIL, "password": "a battery staple 7"},
    {"uid": str(IDS["user"]), "token": "made-up", "password": "a battery staple 7"},
]


# What of Eve's each place in a path may name, and, last, what is the caller's own.
PERSONS = ("profile", "user", "alias", "shell", "shell_user")
PLACES = {
    "profile_id": [str(IDS[name]) for name in PERSONS],
    "customer_id": [str(IDS[name]) for name in PERSONS],
    "order_id": [str(IDS["order"]), str(IDS["sale"]), ORDER_NUMBER],
    "transaction_id": [str(IDS["order"]), str(IDS["sale"]), str(IDS["parked"]), SALE_NUMBER, RECEIPT],
    "store_id": [STORE],
    "conflict_id": [str(NUMBER)],
    "merge_id": [str(NUMBER)],
}
OWN = {"profile_id": "profile", "customer_id": "profile", "order_id": "order", "transaction_id": "sale"}


def writes(own: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every write, with everything of Eve's in its path, and with what is the caller's own."""
    for path, methods in DOCUMENT.items():
        for method in sorted(methods.keys() - {"get"}):
            places = re.findall(r"{(\w+)}", path)
            texts = ((*PLACES[place], *([own[OWN[place]]] if place in OWN else ())) for place in places)
            for named in itertools.product(*texts):
                yield method, path.format(**dict(zip(places, named, strict=True)))


@pytest.mark.parametrize("who", ["customer", "manager_elsewhere", "stranger"])
@override_settings(
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"], AXES_FAILURE_LIMIT=1_000, AXES_ENABLED=False
)
def test_writes_change_nothing_of_somebody_else(who: str) -> None:
    viewers = make_viewers()
    plant()
    client = client_of(getattr(viewers, who))
    before = eve()
    answered, sent = set(), str(BODIES)  # what was written of oneself is answered later
    for method, path in writes(viewers.own):
        with transaction.atomic():
            for body in BODIES:
                cache.clear()
                response = client.generic(
                    method.upper(), path, json.dumps(body), content_type="application/json", headers={"If-Match": "*"}
                )
                answered.add(response.status_code)
                assert marks_in((response.headers, response.content), path + sent) == set(), (method, path, body)
                if response.status_code == 403 and response.json()["code"] == "permission_denied":
                    break  # whatever the body
            assert eve() == before, (method, path, response.status_code)
            transaction.set_rollback(True)
    assert {200, 201, 400, 404} <= answered
    assert 500 not in answered


@pytest.mark.parametrize(
    ("role", "hidden"),
    [
        (Role.STAFF, ("medical_conditions",)),
        (Role.STORE_MANAGER, ("medical_conditions",)),
        (Role.CUSTOMER, ("notes", "tags")),
    ],
)
def test_medical_conditions_notes_and_tags_reach_only_who_may_see_them(role: str, hidden: tuple[str, ...]) -> None:
    viewers = make_viewers()
    marks = plant()
    secret = marks.like(*hidden)
    assert len(secret) > 8 * len(hidden)
    user = User.objects.get(pk=IDS["user"]) if role == Role.CUSTOMER else UserFactory(role=role, tenant_id=TENANT)
    client = client_of(user)
    told = set()
    for path, query in questions(viewers.own):
        found = marks_in(read(client, path, query), str(query))
        assert found & secret == set(), (path, query, [marks.of[mark] for mark in found & secret])
        told |= found
    assert told  # they see her otherwise
    if role == Role.STORE_MANAGER:
        pair = {"survivor_id": str(IDS["profile"]), "other_id": viewers.own["profile"]}
        preview = client.post("/api/profiles/merge/preview/", pair)
        assert preview.status_code == 200
        assert marks_in(preview.content, "") & secret == set()
    # Nor do filters and searches tell that they are there.
    if role != Role.CUSTOMER:
        for mark in secret:
            assert client.get("/api/profiles/", {"search": mark}).json()["results"] == []
            assert client.get("/api/customers/", {"search": mark}).json() == []


def test_administrator_sees_them_all() -> None:
    """So that the test above looks where there is something to see."""
    viewers = make_viewers()
    marks = plant()
    client = client_of(UserFactory(role=Role.TENANT_ADMIN, tenant_id=TENANT))
    told: set[str] = set()
    for path, query in questions(viewers.own):
        told |= marks_in(read(client, path, query), str(query))
    assert {marks.of[mark] for mark in marks.of.keys() - told} == set()
