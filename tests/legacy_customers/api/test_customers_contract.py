"""/api/customers as API.md's table has it: each path with and without the slash, names and JSON types as a client sees."""

import datetime
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker
from rest_framework.test import APIClient

from accounts.models import User
from accounts.roles import Role
from legacy_customers.api.serializers import NEVER_EMPTY
from legacy_customers.sample.persons import row_id
from orders.models import Order
from profiles.models import LoyaltyEntry, MergeSuggestion, Profile, ProfileAlias, ProfileHistory
from tests.api import assert_problem, client_as, client_for
from tests.databases import one, rows, temporary_database
from tests.factories import OrderFactory, UserFactory, person

HERE = uuid.UUID("11111111-1111-4111-8111-111111111111")
ELSEWHERE = uuid.UUID("22222222-2222-4222-8222-222222222222")
NOBODY = uuid.UUID("99999999-9999-4999-8999-999999999999")
STAFF = (Role.TENANT_ADMIN, Role.STORE_MANAGER, Role.STAFF)
SLASHES = pytest.mark.parametrize("slash", ["", "/"], ids=["bare", "slash"])

NUMBER = (int, float)
TEXT = (str, type(None))
# The row of customers_view in its order, then the tills' two names; with the JSON types that clients read.
CUSTOMER: dict[str, Any] = {
    "id": str,
    "user_id": str,
    "email": TEXT,
    "first_name": TEXT,
    "last_name": TEXT,
    "phone": TEXT,
    "date_of_birth": TEXT,
    "address": TEXT,
    "city": TEXT,
    "state": TEXT,
    "postal_code": TEXT,
    "country": TEXT,
    "loyalty_points": int,
    "total_spent": NUMBER,
    "order_count": int,
    "last_order_date": TEXT,
    "customer_type": str,
    "preferred_payment_method": TEXT,
    "marketing_consent": bool,
    "sms_consent": bool,
    "tags": list,
    "notes": TEXT,
    "is_active": (bool, type(None)),
    "is_verified": bool,
    "created_at": TEXT,
    "updated_at": TEXT,
    "tenant_id": TEXT,
    "name": str,
    "birth_date": TEXT,
}
HIDDEN_FROM_CUSTOMERS = {"tags", "notes"}
FOUND: dict[str, Any] = {
    "id": str,
    "name": str,
    "email": TEXT,
    "phone": TEXT,
    "loyalty_points": int,
    "birth_date": TEXT,
    "is_verified": bool,
    "customer_type": str,
    "total_spent": NUMBER,
    "order_count": int,
    "marketing_consent": bool,
}
STATS: dict[str, Any] = {
    "loyalty_points": int,
    "total_spent": NUMBER,
    "total_orders": int,
    "recent_orders": int,
    "recent_spent": NUMBER,
    "member_since": TEXT,
}
ORDER: dict[str, Any] = {
    "id": str,
    "order_number": str,
    "user_id": TEXT,
    "customer": dict,
    "status": str,
    "order_status": TEXT,
    "payment_status": TEXT,
    "delivery_status": TEXT,
    "order_type": str,
    "items": list,
    "subtotal": NUMBER,
    "tax": NUMBER,
    "tax_amount": NUMBER,
    "discount_amount": NUMBER,
    "delivery_fee": NUMBER,
    "total": NUMBER,
    "total_amount": NUMBER,
    "delivery_info": dict,
    "delivery_address": object,
    "created_at": TEXT,
    "updated_at": TEXT,
}


def assert_shape(found: Any, shape: dict[str, Any], without: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Exactly these names, each of its type; true and false are no numbers."""
    assert isinstance(found, dict)
    assert list(found) == [name for name in shape if name not in without]
    for name, value in found.items():
        kinds = shape[name] if isinstance(shape[name], tuple) else (shape[name],)
        assert isinstance(value, kinds), (name, value)
        assert bool in kinds or object in kinds or not isinstance(value, bool), (name, value)


def read(response: Any, status: int = 200) -> Any:
    """What a client reads: JSON out of the bytes."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/json"
    return json.loads(response.content)


@pytest.fixture
def ann(db: None) -> Profile:
    """A customer of the tenant HERE with a value in every column that is told."""
    return person(
        "ann@example.com",
        tenant_id=HERE,
        first_name="Ann",
        last_name="van Dyke",
        phone="+1 (416) 555-0199",
        date_of_birth=datetime.date(1990, 2, 3),
        address="1 Elm St",
        city="Toronto",
        state="ON",
        postal_code="M5V 1A1",
        country="Canada",
        loyalty_points=120,
        customer_type="vip",
        preferred_payment_method="debit",
        total_spent="84.50",
        order_count=3,
        last_order_date=datetime.datetime(2026, 5, 6, 7, 8, 9, tzinfo=datetime.UTC),
        marketing_consent=True,
        tags=["wine"],
        notes="Rings twice.",
        medical_conditions=["asthma"],
        is_verified=True,
    )


@pytest.fixture
def till(db: None) -> APIClient:
    """Staff of the tenant HERE."""
    return client_as(Role.STAFF, tenant_id=HERE)


# --- GET /{id} ------------------------------------------------------------------------------------------------------


@SLASHES
def test_get_answers_the_row_of_the_view_with_name_and_birth_date(ann: Profile, till: APIClient, slash: str) -> None:
    found = read(till.get(f"/api/customers/{ann.pk}{slash}"))
    assert_shape(found, CUSTOMER)
    made, changed = found.pop("created_at"), found.pop("updated_at")
    assert found == {
        "id": str(ann.pk),
        "user_id": str(ann.user_id),
        "email": "ann@example.com",
        "first_name": "Ann",
        "last_name": "van Dyke",
        "phone": "+1 (416) 555-0199",
        "date_of_birth": "1990-02-03",
        "address": "1 Elm St",
        "city": "Toronto",
        "state": "ON",
        "postal_code": "M5V 1A1",
        "country": "Canada",
        "loyalty_points": 120,
        "total_spent": 84.5,
        "order_count": 3,
        "last_order_date": "2026-05-06T07:08:09+00:00",
        "customer_type": "vip",
        "preferred_payment_method": "debit",
        "marketing_consent": True,
        "sms_consent": False,
        "tags": ["wine"],
        "notes": "Rings twice.",
        "is_active": True,
        "is_verified": True,
        "tenant_id": str(HERE),
        "name": "Ann van Dyke",
        "birth_date": "1990-02-03",
    }
    for time in (made, changed):
        assert datetime.datetime.fromisoformat(time).tzinfo is not None


def test_get_answers_to_an_alias_and_to_the_users_id(ann: Profile, till: APIClient) -> None:
    alias = ProfileAlias.objects.create(id=uuid.uuid4(), profile=ann)
    for id_ in (alias.pk, ann.user_id, str(ann.pk).upper(), ann.pk.hex, f"{{{ann.pk}}}"):
        assert read(till.get(f"/api/customers/{id_}"))["id"] == str(ann.pk)


@pytest.mark.parametrize("id_", [str(NOBODY), "store_001", "anonymous", "new", "0", "null", "%00"[1:], "é", "-1"])
def test_an_id_that_leads_to_nobody_is_404(till: APIClient, id_: str) -> None:
    for method, path, body in (
        ("get", "", None),
        ("put", "", {"name": "Ann"}),
        ("delete", "", None),
        ("get", "/orders", None),
        ("get", "/stats", None),
        ("patch", "/loyalty", {"points": 1}),
    ):
        response = getattr(till, method)(f"/api/customers/{id_}{path}", body)
        assert assert_problem(response, 404, "not_found")["detail"] == f"There is no customer {id_}."


# --- POST / ---------------------------------------------------------------------------------------------------------


@SLASHES
def test_post_of_the_long_form(till: APIClient, slash: str) -> None:
    body = {
        "first_name": "Bo",
        "last_name": "Berg",
        "email": " Bo@Example.com ",
        "phone": "416-555-0100",
        "address": {
            "street": "2 Oak St",
            "city": "Oslo",
            "province": "QC",
            "postal_code": "0150",
            "country": "Norway",
        },
        "tags": ["new", 7],
        "notes": "By phone.",
        "favourite_colour": "ignored",
    }
    found = read(till.post(f"/api/customers{slash}", body), 201)
    assert_shape(found, CUSTOMER)
    expected = {
        "email": "Bo@Example.com",
        "first_name": "Bo",
        "last_name": "Berg",
        "name": "Bo Berg",
        "phone": "416-555-0100",
        "address": "2 Oak St",
        "city": "Oslo",
        "state": "QC",
        "postal_code": "0150",
        "country": "Norway",
        "tags": ["new", 7],
        "notes": "By phone.",
        "loyalty_points": 0,
        "total_spent": 0,
        "order_count": 0,
        "customer_type": "regular",
        "is_active": True,
        "is_verified": False,
        "tenant_id": str(HERE),
        "birth_date": None,
    }
    assert {name: found[name] for name in expected} == expected
    user = User.objects.get(pk=found["user_id"])
    assert (user.email, user.role, user.email_verified, user.tenant_id) == ("Bo@Example.com", "customer", False, HERE)
    assert not user.has_usable_password()
    assert read(till.get(f"/api/customers/{found['id']}")) == found


@SLASHES
def test_post_of_the_tills_short_form(till: APIClient, slash: str) -> None:
    body = {"name": "Cher", "email": "", "phone": "", "birth_date": "", "address": ""}
    found = read(till.post(f"/api/customers{slash}", body), 201)
    assert_shape(found, CUSTOMER)
    names = ("name", "first_name", "last_name", "email", "phone", "birth_date", "date_of_birth", "address")
    assert [found[name] for name in names] == ["Cher", "Cher", None, None, None, None, None, None]
    full = {
        "name": "Di de la Cruz",
        "email": "di@example.com",
        "phone": "1",
        "birth_date": "1990-12-31",
        "address": "3 Ash St",
    }
    found = read(till.post(f"/api/customers{slash}", full), 201)
    assert [found[name] for name in names] == [
        *("Di de la Cruz", "Di", "de la Cruz", "di@example.com", "1", "1990-12-31", "1990-12-31", "3 Ash St")
    ]


def test_post_takes_null_for_what_is_not_known(till: APIClient) -> None:
    body = dict.fromkeys(set(CUSTOMER) - {"first_name", "last_name", "email"})
    found = read(till.post("/api/customers", body | {"first_name": "Bo", "last_name": None, "email": None}), 201)
    assert (found["name"], found["email"], found["tags"], found["customer_type"]) == ("Bo", None, [], "regular")


def test_post_of_the_same_guest_again_is_somebody_else(ann: Profile, till: APIClient) -> None:
    made = [read(till.post("/api/customers", {"name": "Ann", "email": "ANN@example.com"}), 201) for _ in range(2)]
    assert len({found["id"] for found in made} | {str(ann.pk)}) == 3
    assert [found["email"] for found in made] == ["ANN@example.com"] * 2
    for found in made:
        assert User.objects.get(pk=found["user_id"]).email is None
        assert list(
            MergeSuggestion.objects.filter(profile_id=found["id"]).values_list("other_profile_id", "reason")
        ) == [(ann.pk, "verified_address")]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"first_name", "last_name", "email"}),
        ({"first_name": "A", "email": "a@example.com"}, {"last_name"}),
        ({"name": ""}, {"name"}),
        ({"name": " "}, {"name"}),
        ({"name": None}, {"first_name", "last_name", "email"}),
        ({"name": ["Ann"]}, {"name"}),
        ({"name": "A", "birth_date": "31.12.1990"}, {"birth_date"}),
        ({"name": "A", "birth_date": "2999-01-01"}, {"birth_date"}),
        ({"name": "A", "birth_date": "1990-02-30"}, {"birth_date"}),
        ({"name": "A", "birth_date": 19900101}, {"birth_date"}),
        ({"name": "A", "birth_date": ["1990-01-01"]}, {"birth_date"}),
        ({"name": "A", "phone": "1" * 51}, {"phone"}),
        ({"name": "A", "phone": {"home": "1"}}, {"phone"}),
        ({"name": "A", "email": "e" * 256}, {"email"}),
        ({"name": "A", "address": 5}, {"address"}),
        ({"name": "A", "address": ["1 Elm St"]}, {"address"}),
        ({"name": "A", "address": {"city": "c" * 101, "province": ["ON"]}}, {"address.city", "address.province"}),
        ({"name": "A", "tags": "wine"}, {"tags"}),
        ({"name": "A", "tags": {"wine": True}}, {"tags"}),
        ({"name": "A", "marketing_consent": "perhaps"}, {"marketing_consent"}),
        ([], {""}),
        ("Ann", {""}),
        (None, {""}),
    ],
)
def test_post_refuses_what_no_column_takes_and_writes_nothing(till: APIClient, body: Any, fields: set[str]) -> None:
    before = User.objects.count()
    response = till.post("/api/customers", json.dumps(body), content_type="application/json")
    problem = assert_problem(response, 400, "invalid")
    assert {error["field"] for error in problem["errors"]} == fields
    assert User.objects.count() == before


def test_post_of_too_long_a_part_of_a_name_writes_nothing(till: APIClient) -> None:
    before = User.objects.count()
    assert_problem(till.post("/api/customers", {"name": "A" * 101}), 400, "invalid")
    assert_problem(till.post("/api/customers", {"name": "A " + "b" * 101}), 400, "invalid")
    assert User.objects.count() == before


def test_post_by_a_customer_is_refused(db: None) -> None:
    client = client_as(Role.CUSTOMER)
    before = User.objects.count()
    assert_problem(client.post("/api/customers", {"name": "Ann"}), 403, "permission_denied")
    assert User.objects.count() == before


def test_post_is_signed(till: APIClient) -> None:
    made = read(till.post("/api/customers", {"name": "Ann Lee"}), 201)
    found = ProfileHistory.objects.filter(profile_id=made["id"], changes__has_key="first_name").get()
    assert (found.changed_by, found.via) == (till.user.pk, "api")  # type: ignore[attr-defined]


# --- PUT /{id} ------------------------------------------------------------------------------------------------------


@SLASHES
def test_put_changes_what_is_sent_and_nothing_else(ann: Profile, till: APIClient, slash: str) -> None:
    before = read(till.get(f"/api/customers/{ann.pk}"))
    changes = {
        "phone": "1",
        "customer_type": "medical",
        "marketing_consent": False,
        "tags": [],
        "notes": "",
        "city": "Oslo",
    }
    found = read(till.put(f"/api/customers/{ann.pk}{slash}", changes))
    assert_shape(found, CUSTOMER)
    assert found["updated_at"] > before["updated_at"]
    assert found == before | changes | {"notes": None, "updated_at": found["updated_at"]}
    assert read(till.get(f"/api/customers/{ann.pk}")) == found


def test_put_of_everything_that_was_read_changes_nothing(ann: Profile, till: APIClient) -> None:
    before = read(till.get(f"/api/customers/{ann.pk}"))
    history = ProfileHistory.objects.count()
    assert read(till.put(f"/api/customers/{ann.pk}", before)) == before
    assert ProfileHistory.objects.count() == history


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "Eve Stone"}, {"first_name": "Eve", "last_name": "Stone", "name": "Eve Stone"}),
        ({"name": "Cher"}, {"first_name": "Cher", "last_name": None, "name": "Cher"}),
        ({"first_name": "Eve"}, {"first_name": "Eve", "name": "Eve van Dyke"}),
        ({"last_name": ""}, {"last_name": None, "name": "Ann"}),
        ({"birth_date": "1991-01-01"}, {"birth_date": "1991-01-01", "date_of_birth": "1991-01-01"}),
        ({"birth_date": "1991-01-01T00:00:00.000Z"}, {"birth_date": "1991-01-01", "date_of_birth": "1991-01-01"}),
        ({"birth_date": ""}, {"birth_date": None, "date_of_birth": None}),
        ({"birth_date": None}, {"birth_date": None, "date_of_birth": None}),
        ({"date_of_birth": "1991-01-01"}, {"birth_date": "1991-01-01", "date_of_birth": "1991-01-01"}),
        ({"email": "other@example.com"}, {"email": "other@example.com"}),
        ({"address": "9 New St"}, {"address": "9 New St"}),
        ({"address": ""}, {"address": None}),
        ({"address": {"street": "9 New St", "province": "QC"}}, {"address": "9 New St", "state": "QC"}),
        ({"province": "QC"}, {"state": "QC"}),
        ({"is_active": False}, {"is_active": False}),
        ({"is_verified": False}, {"is_verified": False}),
        ({"sms_consent": True}, {"sms_consent": True}),
        ({"unknown": 1, "medical_conditions": []}, {}),
        (dict.fromkeys(sorted(NEVER_EMPTY)), {}),
        ({}, {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("whole", [False, True], ids=["alone", "in_the_whole_object"])
def test_put_of_one_field(
    ann: Profile, till: APIClient, changes: dict[str, Any], expected: dict[str, Any], whole: bool
) -> None:
    before = read(till.get(f"/api/customers/{ann.pk}"))
    found = read(till.put(f"/api/customers/{ann.pk}", (before if whole else {}) | changes))
    assert found | {"updated_at": None} == before | expected | {"updated_at": None}
    ann.refresh_from_db()
    assert ann.medical_conditions == ["asthma"]
    assert ann.user.email == "ann@example.com"


def test_put_of_read_only_fields_is_ignored(ann: Profile, till: APIClient) -> None:
    before = read(till.get(f"/api/customers/{ann.pk}"))
    body = {
        "id": str(NOBODY),
        "user_id": str(NOBODY),
        "total_spent": 1e9,
        "order_count": -1,
        "last_order_date": "yesterday",
        "created_at": None,
        "updated_at": 5,
        "tenant_id": str(ELSEWHERE),
    }
    assert read(till.put(f"/api/customers/{ann.pk}", body)) == before


def test_put_of_points_is_an_entry_in_the_ledger(ann: Profile, till: APIClient) -> None:
    assert read(till.put(f"/api/customers/{ann.pk}", {"loyalty_points": 50}))["loyalty_points"] == 50
    entry = LoyaltyEntry.objects.filter(profile=ann).latest("id")
    assert (entry.delta, entry.balance, entry.source, entry.created_by) == (-70, 50, "api", till.user.pk)  # type: ignore[attr-defined]
    entries = LoyaltyEntry.objects.count()
    assert read(till.put(f"/api/customers/{ann.pk}", {"loyalty_points": 50}))["loyalty_points"] == 50
    assert LoyaltyEntry.objects.count() == entries


@pytest.mark.parametrize(
    ("points", "status", "code"),
    [
        (-1, 409, "not_enough_points"),
        (2**63, 400, "invalid"),
        ("many", 400, "invalid"),
        (1.5, 400, "invalid"),
        (True, 400, "invalid"),
        ([], 400, "invalid"),
    ],
    ids=str,
)
def test_put_of_points_that_cannot_be_is_refused_whole(
    ann: Profile, till: APIClient, points: Any, status: int, code: str
) -> None:
    response = till.put(f"/api/customers/{ann.pk}", {"first_name": "Eve", "loyalty_points": points})
    assert_problem(response, status, code)
    ann.refresh_from_db()
    assert (ann.first_name, ann.loyalty_points) == ("Ann", 120)


def test_put_below_a_negative_balance_is_refused_and_above_it_is_not(till: APIClient) -> None:
    guest = person(tenant_id=HERE, loyalty_points=-30)
    assert_problem(till.put(f"/api/customers/{guest.pk}", {"loyalty_points": -31}), 409, "not_enough_points")
    assert read(till.put(f"/api/customers/{guest.pk}", {"loyalty_points": -10}))["loyalty_points"] == -10


def test_put_by_a_customer_of_themselves(ann: Profile) -> None:
    client = client_for(ann.user)
    body = {
        "first_name": "Anna",
        "phone": "2",
        "birth_date": "1990-02-04",
        "marketing_consent": False,
        "loyalty_points": 9999,
        "customer_type": "wholesale",
        "is_verified": False,
        "is_active": False,
        "tags": ["x"],
        "notes": "x",
        "tenant_id": str(ELSEWHERE),
    }
    found = read(client.put(f"/api/customers/{ann.pk}", body))
    assert_shape(found, CUSTOMER, HIDDEN_FROM_CUSTOMERS)
    assert (found["first_name"], found["phone"], found["birth_date"], found["marketing_consent"]) == (
        *("Anna", "2", "1990-02-04", False),
    )
    ann.refresh_from_db()
    ann.user.refresh_from_db()
    assert (ann.loyalty_points, ann.customer_type, ann.is_verified, ann.tags, ann.notes) == (
        *(120, "vip", True, ["wine"], "Rings twice."),
    )
    assert (ann.user.active, ann.user.tenant_id) == (True, HERE)
    assert not LoyaltyEntry.objects.filter(profile=ann, delta__gt=120).exists()


def test_staff_cannot_shut_out_who_ranks_above_them(till: APIClient) -> None:
    boss = UserFactory(role=Role.TENANT_ADMIN, tenant_id=HERE)
    for response in (
        till.put(f"/api/customers/{boss.pk}", {"is_active": False}),
        till.delete(f"/api/customers/{boss.pk}"),
        till.delete(f"/api/customers/{till.user.pk}"),  # type: ignore[attr-defined]
    ):
        assert_problem(response, 403, "permission_denied")
    boss.refresh_from_db()
    assert boss.active is True


# --- DELETE /{id} ---------------------------------------------------------------------------------------------------


@SLASHES
def test_delete_deactivates(ann: Profile, till: APIClient, slash: str) -> None:
    for _ in range(2):
        found = read(till.delete(f"/api/customers/{ann.pk}{slash}"))
        assert found == {"success": True, "message": f"Customer {ann.pk} is deactivated."}
    ann.user.refresh_from_db()
    assert ann.user.active is False
    found = read(till.get(f"/api/customers/{ann.pk}"))
    assert (found["is_active"], found["first_name"]) == (False, "Ann")


# --- GET / ----------------------------------------------------------------------------------------------------------


@SLASHES
def test_list_is_a_list_of_customers_newest_first(ann: Profile, till: APIClient, slash: str) -> None:
    later = person(tenant_id=HERE, first_name="Later")
    found = read(till.get(f"/api/customers{slash}"))
    for each in found:
        assert_shape(each, CUSTOMER)
    assert [each["id"] for each in found] == [str(later.pk), str(till.user.profile.pk), str(ann.pk)]  # type: ignore[attr-defined]
    assert found[-1] == read(till.get(f"/api/customers/{ann.pk}"))


def test_list_is_filtered(ann: Profile) -> None:
    gone = person(tenant_id=HERE, active=False, first_name="Gone")
    other = person(tenant_id=ELSEWHERE, first_name="Other")
    boss = client_as(Role.SUPER_ADMIN)

    def ids(query: str) -> set[str]:
        return {each["id"] for each in read(boss.get(f"/api/customers?{query}"))} - {str(boss.user.profile.pk)}

    everybody = {str(each.pk) for each in (ann, gone, other)}
    assert ids("") == everybody
    assert ids("search=&tenant_id=&is_active=") == everybody
    assert ids("is_active=false") == {str(gone.pk)}
    assert ids("is_active=true") == everybody - {str(gone.pk)}
    assert ids(f"tenant_id={ELSEWHERE}") == {str(other.pk)}
    assert ids(f"tenant_id={HERE}&is_active=1") == {str(ann.pk)}
    assert ids("tenant_id=store_001") == set()
    for search in ("ann", "DYKE", "ann@exa", "4165550199", "555-01", "Ann van"):
        assert ids(f"search={search}") == {str(ann.pk)}, search
    assert ids("search=%25") == ids("search=_") == set()
    assert ids("limit=1&offset=2") | ids("limit=2&offset=0") <= everybody


def test_pages_add_up_to_the_list(db: None) -> None:
    for _ in range(7):
        person(tenant_id=HERE)
    staff = client_as(Role.STAFF, tenant_id=HERE)
    whole = read(staff.get("/api/customers"))
    pages = [read(staff.get(f"/api/customers?limit=3&offset={offset}")) for offset in (0, 3, 6, 9)]
    assert [each for page in pages for each in page] == whole
    assert [len(page) for page in pages] == [3, 3, 2, 0]


def test_list_has_50_unless_it_is_asked_for_up_to_200(db: None) -> None:
    User.objects.bulk_create([User(email=f"many{n}@example.com", tenant_id=HERE) for n in range(205)])
    staff = client_as(Role.STAFF, tenant_id=HERE)
    assert len(read(staff.get("/api/customers"))) == 50
    assert len(read(staff.get("/api/customers?limit=200"))) == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("offset=-1", "offset"),
        ("offset=2147483648", "offset"),
        ("is_active=perhaps", "is_active"),
        ("search=" + "x" * 201, "search"),
    ],
    ids=lambda value: value[:30],
)
def test_list_refuses_what_it_cannot_read(till: APIClient, query: str, field: str) -> None:
    problem = assert_problem(till.get(f"/api/customers?{query}"), 400, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_list_takes_the_largest_offset(till: APIClient) -> None:
    assert read(till.get("/api/customers?offset=2147483647")) == []


# --- GET /{id}/orders -----------------------------------------------------------------------------------------------


@SLASHES
def test_orders_of_a_customer_newest_first(ann: Profile, till: APIClient, slash: str) -> None:
    days = [datetime.datetime(2026, 1, day, tzinfo=datetime.UTC) for day in (2, 3, 1)]
    made = [OrderFactory(user=ann.user, created_at=day) for day in days]
    unknown = OrderFactory(user=ann.user)
    Order.objects.filter(pk=unknown.pk).update(created_at=None)
    OrderFactory()
    found = read(till.get(f"/api/customers/{ann.pk}/orders{slash}"))
    for each in found:
        assert_shape(each, ORDER)
    assert [each["id"] for each in found] == [str(made[1].pk), str(made[0].pk), str(made[2].pk), str(unknown.pk)]
    assert (found[0]["user_id"], found[0]["total"], found[0]["items"][0]["name"]) == (str(ann.user_id), 20.0, "Tea")
    assert found[0]["customer"]["email"] == "ann@example.com"
    assert len(read(till.get(f"/api/customers/{ann.pk}/orders?limit=2"))) == 2
    assert_problem(till.get(f"/api/customers/{ann.pk}/orders?limit=x"), 400, "invalid")


# --- PATCH /{id}/loyalty --------------------------------------------------------------------------------------------


@SLASHES
@pytest.mark.parametrize(
    ("start", "points", "balance"),
    [
        (120, 30, 150),
        (120, -20, 100),
        (120, -120, 0),
        (120, -500, 0),
        (0, -1, 0),
        (120, 0, 120),
        (-30, -5, -30),
        (-30, 10, -20),
    ],
)
def test_loyalty_adds_points_and_never_falls_below_zero(
    till: APIClient, start: int, points: int, balance: int, slash: str
) -> None:
    guest = person(tenant_id=HERE, loyalty_points=start)
    before = LoyaltyEntry.objects.filter(profile=guest).count()
    response = till.patch(f"/api/customers/{guest.pk}/loyalty{slash}", {"points": points})
    assert read(response) == {"loyalty_points": balance}
    guest.refresh_from_db()
    assert guest.loyalty_points == balance
    entries = LoyaltyEntry.objects.filter(profile=guest)
    assert entries.count() - before == (balance != start)
    if balance != start:
        entry = entries.latest("id")
        assert (entry.delta, entry.balance, entry.source, entry.created_by) == (
            *(balance - start, balance, "api", till.user.pk),  # type: ignore[attr-defined]
        )
        assert entry.reason == "adjusted through /api/customers"


@pytest.mark.parametrize(
    "body",
    [{}, {"points": None}, {"points": "x"}, {"points": 1.5}, {"points": True}, {"points": 10**30}, [], {"points": []}],
    ids=str,
)
def test_loyalty_refuses_what_is_no_number_of_points(ann: Profile, till: APIClient, body: Any) -> None:
    response = till.patch(f"/api/customers/{ann.pk}/loyalty", json.dumps(body), content_type="application/json")
    assert_problem(response, 400, "invalid")
    ann.refresh_from_db()
    assert ann.loyalty_points == 120


def test_loyalty_beyond_what_a_balance_can_hold_is_refused(ann: Profile, till: APIClient) -> None:
    assert_problem(till.patch(f"/api/customers/{ann.pk}/loyalty", {"points": 2**63 - 1}), 400, "out_of_range")
    ann.refresh_from_db()
    assert ann.loyalty_points == 120


# --- GET /{id}/stats ------------------------------------------------------------------------------------------------


@SLASHES
def test_stats(ann: Profile, till: APIClient, slash: str) -> None:
    now = timezone.now()
    for days, total, status in (
        (1, "10.25", "paid"),
        (29, "5.00", "paid"),
        (31, "7.00", "paid"),
        (1, "3.00", "cancelled"),
    ):
        OrderFactory(
            user=ann.user, total_amount=total, payment_status=status, created_at=now - datetime.timedelta(days=days)
        )
    found = read(till.get(f"/api/customers/{ann.pk}/stats{slash}"))
    assert_shape(found, STATS)
    assert datetime.datetime.fromisoformat(found.pop("member_since")) == ann.created_at
    assert found == {
        "loyalty_points": 120,
        "total_spent": 84.5,
        "total_orders": 3,
        "recent_orders": 2,
        "recent_spent": 15.25,
    }


# --- GET /search ----------------------------------------------------------------------------------------------------


@SLASHES
def test_search_finds_by_part_of_name_email_or_phone(ann: Profile, till: APIClient, slash: str) -> None:
    for q in ("ann", "van dy", "N@EXAMPLE", "4165550199", "(416)"):
        [found] = read(till.get(f"/api/customers/search{slash}", {"q": q}))["customers"]
        assert_shape(found, FOUND)
    assert found == {
        "id": str(ann.pk),
        "name": "Ann van Dyke",
        "email": "ann@example.com",
        "phone": "+1 (416) 555-0199",
        "loyalty_points": 120,
        "birth_date": "1990-02-03",
        "is_verified": True,
        "customer_type": "vip",
        "total_spent": 84.5,
        "order_count": 3,
        "marketing_consent": True,
    }
    assert read(till.get(f"/api/customers/search{slash}?q=nobody-like-that")) == {"customers": []}


def test_search_has_10_at_most_and_50_where_nothing_is_asked_for(db: None) -> None:
    User.objects.bulk_create([User(email=f"many{n}@example.com", tenant_id=HERE) for n in range(60)])
    staff = client_as(Role.STAFF, tenant_id=HERE)
    assert len(read(staff.get("/api/customers/search?q=many"))["customers"]) == 10
    assert len(read(staff.get("/api/customers/search?q="))["customers"]) == 50
    assert len(read(staff.get("/api/customers/search"))["customers"]) == 50


def test_search_by_customer_type_with_a_store_in_the_header(ann: Profile, till: APIClient) -> None:
    def ids(**query: str) -> list[str]:
        found = read(till.get("/api/customers/search", query, HTTP_X_STORE_ID="store_001"))["customers"]
        return [each["id"] for each in found]

    assert ids(q="", customer_type="vip") == ids(q="ann", customer_type="vip") == [str(ann.pk)]
    assert ids(q="ann", customer_type="regular") == []
    assert ids(q="ann", customer_type="") == [str(ann.pk)]


@pytest.mark.parametrize(
    ("born", "state", "verified"),
    [("2006-06-01", "ON", True), ("2006-06-01", "QC", False), ("2010-01-01", "ON", False), (None, "ON", False)],
)
def test_search_tells_who_is_old_enough(
    till: APIClient, monkeypatch: pytest.MonkeyPatch, born: str | None, state: str, verified: bool
) -> None:
    monkeypatch.setattr(timezone, "localdate", lambda: datetime.date(2026, 11, 23))
    person(tenant_id=HERE, first_name="Young", state=state, date_of_birth=born, is_verified=not verified)
    [found] = read(till.get("/api/customers/search?q=young"))["customers"]
    assert found["is_verified"] is verified


# --- POST /verify-age -----------------------------------------------------------------------------------------------


@SLASHES
@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"birth_date": "2007-11-23"}, (True, 19, "19 years is old enough: the legal age is 19.")),
        ({"birth_date": "2007-11-24"}, (False, 18, "18 years is too young: the legal age is 19.")),
        ({"birth_date": "2007-11-23", "province": "QC"}, (False, 19, "19 years is too young: the legal age is 21.")),
        (
            {"birth_date": "2005-11-23", "province": "quebec"},
            (True, 21, "21 years is old enough: the legal age is 21."),
        ),
        (
            {"birth_date": "2007-11-23T10:00:00Z", "province": ""},
            (True, 19, "19 years is old enough: the legal age is 19."),
        ),
    ],
    ids=str,
)
def test_verify_age(till: APIClient, monkeypatch: pytest.MonkeyPatch, slash: str, body: Any, answer: Any) -> None:
    monkeypatch.setattr(timezone, "localdate", lambda: datetime.date(2026, 11, 23))
    found = read(till.post(f"/api/customers/verify-age{slash}", body))
    assert_shape(found, {"is_valid": bool, "age": int, "message": str})
    assert tuple(found.values()) == answer


@pytest.mark.parametrize(
    "birth_date",
    ["", None, "yesterday", "2999-01-01", "0000-01-01", "-0001-01-01", 5, {}, "1990-13-01", "infinity"],
    ids=str,
)
def test_verify_age_refuses_what_is_no_birth_date(till: APIClient, birth_date: Any) -> None:
    problem = assert_problem(till.post("/api/customers/verify-age", {"birth_date": birth_date}), 400, "invalid")
    assert [error["field"] for error in problem["errors"]] == ["birth_date"]
    assert_problem(till.post("/api/customers/verify-age", {}), 400, "invalid")


# --- who may --------------------------------------------------------------------------------------------------------

# Method, path with {id}, body, and what a customer is told who calls it for themselves.
CALLS: tuple[tuple[str, str, Any, int], ...] = (
    ("get", "/api/customers", None, 200),
    ("post", "/api/customers", {"name": "Made Here"}, 403),
    ("get", "/api/customers/{id}", None, 200),
    ("put", "/api/customers/{id}", {"phone": "5"}, 200),
    ("delete", "/api/customers/{id}", None, 403),
    ("get", "/api/customers/{id}/orders", None, 200),
    ("patch", "/api/customers/{id}/loyalty", {"points": 5}, 403),
    ("get", "/api/customers/{id}/stats", None, 200),
    ("get", "/api/customers/search", None, 200),
    ("post", "/api/customers/verify-age", {"birth_date": "1990-01-01"}, 200),
)
EACH_CALL = pytest.mark.parametrize(
    ("method", "path", "body", "own"), CALLS, ids=[f"{method} {path}" for method, path, _, _ in CALLS]
)


def state() -> tuple[Any, ...]:
    """All that a call could have written."""
    return (
        rows("SELECT id, email, active, role, tenant_id FROM users ORDER BY id"),
        rows("SELECT * FROM profiles ORDER BY id"),
        one("SELECT count(*) FROM loyalty_entries"),
    )


@EACH_CALL
def test_nobody_is_asked_for_a_login(ann: Profile, method: str, path: str, body: Any, own: int) -> None:
    before = state()
    response = getattr(client_for(None), method)(path.format(id=ann.pk), body)
    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert state() == before


@EACH_CALL
@pytest.mark.parametrize("role", [*STAFF, Role.SUPER_ADMIN])
def test_staff_may_in_their_tenant_and_a_super_admin_everywhere(
    ann: Profile, role: Role, method: str, path: str, body: Any, own: int
) -> None:
    client = client_as(role, tenant_id=None if role == Role.SUPER_ADMIN else HERE)
    response = getattr(client, method)(path.format(id=ann.pk), body)
    assert response.status_code in (200, 201), response.content


@EACH_CALL
@pytest.mark.parametrize("tenant", [ELSEWHERE, None], ids=["elsewhere", "none"])
@pytest.mark.parametrize("role", STAFF)
def test_staff_of_another_tenant_find_nobody(
    ann: Profile, role: Role, tenant: uuid.UUID | None, method: str, path: str, body: Any, own: int
) -> None:
    client = client_as(role, tenant_id=tenant)
    alias = ProfileAlias.objects.create(id=uuid.uuid4(), profile=ann)
    for id_ in (ann.pk, ann.user_id, alias.pk):
        before = state()
        response = getattr(client, method)(path.format(id=id_), body)
        if "{id}" in path:
            assert_problem(response, 404, "not_found")
            assert state() == before
        else:
            assert str(ann.pk) not in response.content.decode()
            assert "ann@example.com" not in response.content.decode()


@EACH_CALL
def test_customers_may_what_is_their_own(ann: Profile, method: str, path: str, body: Any, own: int) -> None:
    before = state()
    response = getattr(client_for(ann.user), method)(path.format(id=ann.pk), body)
    assert response.status_code == own, response.content
    text = response.content.decode()
    assert "Rings twice." not in text
    assert "wine" not in text
    assert "asthma" not in text
    if method != "put":
        assert state() == before


@EACH_CALL
@pytest.mark.parametrize("role", [Role.CUSTOMER, "user", None], ids=str)
def test_customers_find_nobody_else(
    ann: Profile, role: str | None, method: str, path: str, body: Any, own: int
) -> None:
    client = client_for(UserFactory(role=role, tenant_id=HERE))
    alias = ProfileAlias.objects.create(id=uuid.uuid4(), profile=ann)
    for id_ in (ann.pk, ann.user_id, alias.pk):
        before = state()
        response = getattr(client, method)(path.format(id=id_), body)
        if "{id}" in path:
            assert response.status_code == (403 if own == 403 else 404), response.content
        assert "ann@example.com" not in response.content.decode()
        assert state() == before


@pytest.mark.parametrize(
    "query", ["", "?search=ann", "?search=Rings", f"?tenant_id={HERE}", "?limit=200", "?is_active=true"]
)
def test_a_customers_list_and_search_hold_themselves_alone(ann: Profile, query: str) -> None:
    me = person("me@example.com", tenant_id=HERE, first_name="Me")
    client = client_for(me.user)
    found = read(client.get(f"/api/customers{query}"))
    assert {each["id"] for each in found} <= {str(me.pk)}
    for each in found:
        assert_shape(each, CUSTOMER, HIDDEN_FROM_CUSTOMERS)
    found = read(client.get(f"/api/customers/search{query.replace('search', 'q')}"))["customers"]
    assert {each["id"] for each in found} <= {str(me.pk)}


@pytest.mark.parametrize("word", ["Rings", "wine", "asthma", "vip"])
def test_notes_tags_and_medical_conditions_are_not_searched(ann: Profile, word: str) -> None:
    for client in (client_as(Role.SUPER_ADMIN), client_for(ann.user)):
        assert read(client.get(f"/api/customers?search={word}")) == []
        assert read(client.get(f"/api/customers/search?q={word}")) == {"customers": []}


def test_staff_who_are_deactivated_may_nothing(ann: Profile) -> None:
    client = client_as(Role.STAFF, tenant_id=HERE, active=False)
    assert_problem(client.delete(f"/api/customers/{ann.pk}"), 403, "permission_denied")
    assert read(client.get("/api/customers/search")) != {"customers": [str(ann.pk)]}
    assert_problem(client.get(f"/api/customers/{ann.pk}"), 404, "not_found")


# --- how many queries -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("/api/customers/{id}", 1),
        ("/api/customers?limit=200", 1),
        ("/api/customers?limit=200&search=crowd", 1),
        ("/api/customers/search?q=crowd", 2),
        ("/api/customers/search?q=", 2),
        ("/api/customers/{id}/orders", 2),
        ("/api/customers/{id}/stats", 1),
    ],
)
@pytest.mark.parametrize("people", [3, 120])
def test_queries_do_not_grow_with_the_answer(
    db: None, django_assert_num_queries: Any, path: str, queries: int, people: int
) -> None:
    User.objects.bulk_create([User(email=f"crowd{n}@example.com", tenant_id=HERE) for n in range(people)])
    one_of_them = Profile.objects.filter(user__email="crowd1@example.com").get()
    OrderFactory.create_batch(people // 3, user=one_of_them.user)
    staff = client_as(Role.STAFF, tenant_id=HERE)
    path = path.format(id=one_of_them.pk)
    staff.get(path)  # the first call is counted at once
    with django_assert_num_queries(queries):
        read(staff.get(path))


# --- the odd rows of a real shop ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd_shop(shop_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The shop; what the tests write is rolled back."""
    with django_db_blocker.unblock():
        connection.close()
        with temporary_database(template=shop_template) as name:
            yield name


@pytest.fixture
def undone(odd_shop: str) -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def boss(undone: None) -> APIClient:
    return client_for(User.objects.get(email="admin@example.com"))


def assert_odd_customer(found: Any) -> None:
    """Its shape; a tenant may be any, and a time any that PostgreSQL writes."""
    assert_shape(found, CUSTOMER)
    assert found["birth_date"] == found["date_of_birth"]


def test_every_customer_of_the_shop_is_answered(boss: APIClient) -> None:
    ids = [id_ for (id_,) in rows("SELECT id FROM customers_view")]
    assert len(ids) > 200
    for id_ in ids:
        assert_odd_customer(read(boss.get(f"/api/customers/{id_}")))
        assert_shape(read(boss.get(f"/api/customers/{id_}/stats/")), STATS)
        for order in read(boss.get(f"/api/customers/{id_}/orders/")):
            assert_shape(order, ORDER)
            assert order["user_id"] == str(one("SELECT user_id FROM profiles WHERE id = %s", id_))


def test_every_old_id_of_the_shop_leads_to_its_person(boss: APIClient) -> None:
    old = rows("SELECT customer_id, user_id FROM legacy_identities")
    assert len(old) > 250
    for customer_id, user_id in old:
        assert read(boss.get(f"/api/customers/{customer_id}"))["user_id"] == str(user_id)


def test_the_whole_list_of_the_shop_is_answered_and_equals_the_view(boss: APIClient) -> None:
    pages: list[Any] = []
    while page := read(boss.get(f"/api/customers?limit=200&offset={len(pages)}")):
        pages += page
    for found in pages:
        assert_odd_customer(found)
    assert {found["id"] for found in pages} == {str(id_) for (id_,) in rows("SELECT id FROM customers_view")}
    assert len(pages) == one("SELECT count(*) FROM customers_view")
    as_view = {
        str(id_): values
        for id_, *values in rows(
            "SELECT id, email, first_name, phone, date_of_birth::text, tags::text, loyalty_points, is_active FROM customers_view"
        )
    }
    for found in pages:
        email, first_name, phone, born, tags, points, active = as_view[found["id"]]
        assert (found["email"], found["first_name"], found["phone"], found["date_of_birth"]) == (
            *(email, first_name, phone, born),
        )
        assert (found["tags"], found["loyalty_points"], found["is_active"]) == (json.loads(tags), points, active)


def test_everybody_of_the_shop_is_found(boss: APIClient) -> None:
    terms = {text for row in rows("SELECT first_name, last_name, phone, email FROM customers_view") for text in row}
    assert len(terms) > 300
    for term in terms - {None}:
        response = boss.get("/api/customers/search", {"q": term[:200]})
        for found in read(response)["customers"]:
            assert_shape(found, FOUND)
    for customer_type in ("", "regular", "vip", "nonsense"):
        for found in read(boss.get(f"/api/customers/search?customer_type={customer_type}"))["customers"]:
            assert_shape(found, FOUND)


def test_what_was_read_of_anybody_can_be_written_back_and_changes_nothing(boss: APIClient) -> None:
    before = state()
    for (id_,) in rows("SELECT id FROM customers_view"):
        whole = read(boss.get(f"/api/customers/{id_}"))
        assert read(boss.put(f"/api/customers/{id_}", whole)) == whole
    assert state() == before


def test_one_field_of_every_fourth_can_be_changed(boss: APIClient) -> None:
    for (id_,) in rows("SELECT id FROM customers_view ORDER BY id")[::4]:
        whole = read(boss.get(f"/api/customers/{id_}"))
        found = read(boss.put(f"/api/customers/{id_}", whole | {"phone": "+1 000"}))
        assert found | {"updated_at": None} == whole | {"phone": "+1 000", "updated_at": None}
        points = whole["loyalty_points"]
        assert read(boss.patch(f"/api/customers/{id_}/loyalty", {"points": 1})) == {"loyalty_points": points + 1}


def test_customers_of_the_shop_see_themselves_alone(undone: None) -> None:
    customer = User.objects.get(email="customer@example.com")
    client = client_for(customer)
    assert [found["user_id"] for found in read(client.get("/api/customers?limit=200"))] == [str(customer.pk)]
    assert client.get(f"/api/customers/{row_id('linked', 'customers')}").status_code == 404
