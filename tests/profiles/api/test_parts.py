"""What hangs on one profile: ledger, orders, analytics, history, conflicts."""

import datetime
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from accounts.roles import Role
from profiles.models import FieldConflict, LoyaltyEntry, Profile, ProfileAlias
from profiles.services import profile_service
from tests.api import assert_problem, client_as, client_for
from tests.factories import OrderFactory, UserFactory, person

pytestmark = pytest.mark.django_db


def path(profile_id: Any, part: str) -> str:
    return f"/api/profiles/{profile_id}/{part}/"


def had(points: int) -> Profile:
    user = UserFactory()
    user.profile.delete()
    profile: Profile = Profile.objects.create(user=user, loyalty_points=points)
    return profile


def test_ledger_is_told_newest_first_in_pages(django_assert_num_queries: Any) -> None:
    client, profile = client_as(Role.STAFF), had(10)
    for number in range(5):
        profile_service.update_loyalty_points(profile.user_id, number + 1, f"gift {number}", by=client.user, via="api")
    with django_assert_num_queries(2):
        first = client.get(path(profile.pk, "loyalty"), {"page_size": 4}).json()
    assert first["balance"] == 25
    assert [(row["delta"], row["balance"], row["reason"]) for row in first["results"]] == [
        (5, 25, "gift 4"),
        (4, 20, "gift 3"),
        (3, 16, "gift 2"),
        (2, 13, "gift 1"),
    ]
    assert first["results"][0]["created_by"] == str(client.user.pk)
    assert (first["results"][0]["source"], first["results"][0]["order_id"]) == ("api", None)
    second = client.get(first["next"]).json()
    assert [(row["delta"], row["reason"]) for row in second["results"]] == [(1, "gift 0"), (10, "opening balance")]
    assert second["next"] is None
    assert client.get(second["previous"]).json()["results"] == first["results"]


def test_balance_that_never_changed_is_shown_as_its_opening() -> None:
    profile = had(-40)
    body = client_as(Role.STAFF).get(path(profile.pk, "loyalty")).json()
    assert body == {
        "balance": -40,
        "next": None,
        "previous": None,
        "results": [
            {
                "id": None,
                "delta": -40,
                "balance": -40,
                "reason": "opening balance",
                "source": "opening",
                "order_id": None,
                "created_at": None,
                "created_by": None,
            }
        ],
    }
    assert client_as(Role.STAFF).get(path(had(0).pk, "loyalty")).json()["results"] == []
    assert not LoyaltyEntry.objects.exists()


def test_people_see_their_ledger_without_who_did_it() -> None:
    profile = person()
    profile_service.update_loyalty_points(profile.user_id, 5, "gift", by=UserFactory(role=Role.STAFF))
    (row,) = client_for(profile.user).get(path(profile.user_id, "loyalty")).json()["results"]
    assert set(row) == {"id", "delta", "balance", "reason", "source", "order_id", "created_at"}


def test_adjustment_is_answered_with_its_entry() -> None:
    client, profile, alias = client_as(Role.STAFF), person(), uuid.uuid4()
    ProfileAlias.objects.create(id=alias, profile=profile)
    answer = client.post(path(alias, "loyalty"), {"delta": 30, "reason": " birthday "})
    assert answer.status_code == 201
    entry = LoyaltyEntry.objects.get(profile=profile)
    assert answer.json() | {"created_at": None} == {
        "id": entry.pk, "delta": 30, "balance": 30, "reason": "birthday", "source": "api", "order_id": None,
        "created_at": None, "created_by": str(client.user.pk),
    }  # fmt: skip
    assert answer.json()["created_at"].endswith(("Z", "+00:00"))


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"delta": 5}, "reason", "required"),
        ({"delta": 5, "reason": ""}, "reason", "blank"),
        ({"delta": 5, "reason": " "}, "reason", "blank"),
        ({"delta": 5, "reason": 5}, "reason", "invalid"),
        ({"reason": "x"}, "delta", "required"),
        ({"delta": 0, "reason": "x"}, "delta", "zero"),
        ({"delta": 1.5, "reason": "x"}, "delta", "invalid"),
        ({"delta": "5", "reason": "x"}, "delta", "invalid"),
        ({"delta": True, "reason": "x"}, "delta", "invalid"),
        ({"delta": 10**12 + 1, "reason": "x"}, "delta", "max_value"),
        ({"delta": -(10**12) - 1, "reason": "x"}, "delta", "min_value"),
        ({"delta": 5, "reason": "x", "balance": 1}, "balance", "unknown_field"),
    ],
)
def test_bad_adjustment_is_refused_by_field(body: dict[str, Any], field: str, code: str) -> None:
    client, profile = client_as(Role.STAFF), person()
    problem = assert_problem(client.post(path(profile.pk, "loyalty"), body), 400, "invalid")
    assert [(error["field"], error["code"]) for error in problem["errors"]] == [(field, code)]
    assert not LoyaltyEntry.objects.exists()


def test_adjustment_below_zero_is_refused() -> None:
    client, profile = client_as(Role.STAFF), had(10)
    body = assert_problem(
        client.post(path(profile.pk, "loyalty"), {"delta": -11, "reason": "x"}), 409, "not_enough_points"
    )
    assert body["detail"] == (
        "11 points cannot be taken from a balance of 10: it would end below zero. Take at most 10."
    )
    assert Profile.objects.get(pk=profile.pk).loyalty_points == 10
    assert not LoyaltyEntry.objects.exists()


def test_balance_beyond_its_column_is_refused() -> None:
    client, profile = client_as(Role.STAFF), had(2**63 - 2)
    answer = client.post(path(profile.pk, "loyalty"), {"delta": 5, "reason": "x"})
    assert_problem(answer, 400, "out_of_range")
    assert Profile.objects.get(pk=profile.pk).loyalty_points == 2**63 - 2
    assert not LoyaltyEntry.objects.exists()


def test_people_do_not_give_themselves_points() -> None:
    profile = person()
    answer = client_for(profile.user).post(path(profile.pk, "loyalty"), {"delta": 5, "reason": "x"})
    assert_problem(answer, 403, "permission_denied")
    foreign = person(tenant_id=uuid.uuid4())
    answer = client_as(Role.STAFF).post(path(foreign.pk, "loyalty"), {"delta": 5, "reason": "x"})
    assert_problem(answer, 404, "not_found")
    assert not LoyaltyEntry.objects.exists()


def test_orders_are_told_newest_first_in_pages(django_assert_num_queries: Any) -> None:
    profile = person()
    now = datetime.datetime.now(datetime.UTC)
    made = [OrderFactory(user=profile.user, created_at=now - datetime.timedelta(days=n)) for n in range(3)]
    made.append(OrderFactory(user=profile.user, created_at=None, items={"odd": 1}, total_amount=None))
    OrderFactory()
    client = client_for(profile.user)
    with django_assert_num_queries(2):
        first = client.get(path(profile.pk, "orders"), {"page_size": 2}).json()
    second = client.get(first["next"]).json()
    assert [row["id"] for row in first["results"] + second["results"]] == [str(order.pk) for order in made]
    row = first["results"][0]
    assert (row["order_number"], row["total_amount"], row["status"]) == (made[0].order_number, 20.0, "delivered")
    assert datetime.datetime.fromisoformat(row["created_at"]) == now
    assert (second["results"][1]["items"], second["results"][1]["created_at"]) == ({"odd": 1}, None)


def test_staff_see_orders_of_their_tenant_alone() -> None:
    tenant = uuid.uuid4()
    profile = person(tenant_id=tenant)
    mine = OrderFactory(user=profile.user)
    foreign = OrderFactory(user=profile.user, tenant_id=uuid.uuid4())
    rows = client_as(Role.STAFF, tenant_id=tenant).get(path(profile.pk, "orders")).json()["results"]
    assert [row["id"] for row in rows] == [str(mine.pk)]
    rows = client_as(Role.SUPER_ADMIN).get(path(profile.pk, "orders")).json()["results"]
    assert {row["id"] for row in rows} == {str(mine.pk), str(foreign.pk)}


def test_analytics_are_numbers(django_assert_num_queries: Any) -> None:
    profile = person()
    OrderFactory(user=profile.user)
    profile_service.update_purchase_stats(profile.user_id, Decimal("20.00"))
    client = client_for(profile.user)
    with django_assert_num_queries(1):
        body = client.get(path(profile.user_id, "analytics")).json()
    assert (body["profile_id"], body["total_spent"], body["average_order_value"]) == (str(profile.pk), 20.0, 20.0)
    assert (body["orders_found"], body["recent_spent"], body["by_channel"]) == (1, 20.0, {"web": 1})
    assert len(body["by_month"]) == 1


def test_history_hides_health_data_and_never_has_passwords() -> None:
    profile = person(tenant_id=None)
    profile_service.update_profile(profile.user_id, {"medical_conditions": ["asthma"], "city": "Rome"})
    profile.user.set_password("another horse 7")
    profile.user.save()
    answers = {role: client_as(role).get(path(profile.pk, "history")) for role in Role}
    for role in (Role.STAFF, Role.CUSTOMER):
        assert_problem(answers[role], 403, "permission_denied")
    for role in (Role.SUPER_ADMIN, Role.TENANT_ADMIN, Role.STORE_MANAGER):
        login, details = answers[role].json()["results"]
        assert login["changes"]["users.password_hash"] == {}
        assert "$2" not in answers[role].content.decode()
        assert details["changes"]["city"] == {"old": None, "new": "Rome"}
        shown = role != Role.STORE_MANAGER
        assert details["changes"]["medical_conditions"] == ({"old": [], "new": ["asthma"]} if shown else {})
        assert ("asthma" in answers[role].content.decode()) == shown


def test_conflicts_hide_health_data() -> None:
    profile = person()
    for field, other in (("city", "Rome"), ("medical_conditions", ["asthma"])):
        FieldConflict.objects.create(
            profile=profile, field=field, rule="first", chosen_value="x", chosen_table="customers", chosen_row="1",
            other_value=other, other_table="users", other_row="2",
            resolved_at=datetime.datetime.now(datetime.UTC) if field == "city" else None,
        )  # fmt: skip
    for role, shown in ((Role.SUPER_ADMIN, ["city", "medical_conditions"]), (Role.STORE_MANAGER, ["city"])):
        client = client_as(role)
        rows = client.get(path(profile.pk, "conflicts")).json()["results"]
        assert [row["field"] for row in rows] == shown
        assert rows[0]["other_value"] == "Rome"
        found = client.get(path(profile.pk, "conflicts"), {"resolved": "false"}).json()["results"]
        assert [row["field"] for row in found] == shown[1:]
    assert "asthma" not in json.dumps(client.get(path(profile.pk, "conflicts")).json())
    assert_problem(client_as(Role.STAFF).get(path(profile.pk, "conflicts")), 403, "permission_denied")


@pytest.mark.parametrize("part", ["loyalty", "orders", "analytics", "history", "conflicts"])
def test_parts_of_nobody_and_of_other_tenants_are_not_found(part: str) -> None:
    foreign = person(tenant_id=uuid.uuid4())
    client = client_as(Role.STORE_MANAGER)
    for wanted in (uuid.uuid4(), "anonymous", foreign.pk, foreign.user_id):
        assert_problem(client.get(path(wanted, part)), 404, "not_found")


@pytest.mark.parametrize("part", ["loyalty", "orders", "history", "conflicts"])
@pytest.mark.parametrize("query", ["cursor=x", "cursor=WyItaWQiLCJ4IiwieCIsZmFsc2Vd", "page_size=0", "nonsense=1"])
def test_bad_queries_are_refused(part: str, query: str) -> None:
    profile = person()
    answer = client_as(Role.SUPER_ADMIN).get(f"{path(profile.pk, part)}?{query}")
    assert_problem(answer, 400, "bad_cursor" if query.startswith("cursor") else "invalid")


def test_inactive_users_profile_is_still_found_by_staff() -> None:
    profile = person(active=False)
    assert User.objects.get(pk=profile.user_id).is_active is False
    assert client_as(Role.STAFF).get(path(profile.pk, "loyalty")).status_code == 200


def test_a_conflict_is_taken_and_undone() -> None:
    client = client_as(Role.STORE_MANAGER)
    profile = person(phone="1")
    found = FieldConflict.objects.create(
        profile=profile, field="phone", rule="first", other_value="2", other_table="customers", other_row="x"
    )
    page = f"/api/profiles/{profile.pk}/conflicts/{found.pk}/"
    assert_problem(client.delete(page), 409, "not_decided")
    assert_problem(client.post(page, {"verdict": "newer"}), 400, "invalid")
    answer = client.post(page, {"verdict": "take"})
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in ("field", "path", "verdict", "before", "after", "decided_by")} == {
        "field": "phone",
        "path": "",
        "verdict": "take",
        "before": {"phone": "1"},
        "after": {"phone": "2"},
        "decided_by": str(client.user.pk),
    }
    assert_problem(client.post(page, {"verdict": "keep"}), 409, "resolved")
    profile.refresh_from_db()
    assert profile.phone == "2"
    assert client.delete(page).status_code == 204
    profile.refresh_from_db()
    assert profile.phone == "1"
    for path in (
        f"/api/profiles/{profile.pk}/conflicts/{10**30}/",
        f"/api/profiles/{person().pk}/conflicts/{found.pk}/",
    ):
        assert_problem(client.post(path, {"verdict": "keep"}), 404, "not_found")
        assert_problem(client.delete(path), 404, "not_found")
