"""Erasing a person: no table holds a personal value any more, the sales figures stand, and it is done once."""

import datetime
import re
import threading
import uuid
from decimal import Decimal
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.models import ApiKey, User
from accounts.roles import Role
from config.api.problems import Problem
from orders.models import IdempotencyKey, Order, OrderEvent, Refund
from profiles.models import (
    FieldConflict,
    LoyaltyEntry,
    MergeSuggestion,
    PrivacyEvent,
    Profile,
    ProfileAlias,
    ProfileHistory,
)
from profiles.services import corrections, merging, privacy, profile_service, unmerging
from tests.databases import rows
from tests.factories import OrderFactory, UserFactory, person

pytestmark = pytest.mark.django_db

SECRET = "zzsecret"
# A personal value in every column that may hold one.
PERSONAL: dict[str, Any] = {
    "contact_email": f"{SECRET}1@example.com",
    "first_name": f"{SECRET}2",
    "last_name": f"{SECRET}3",
    "phone": f"{SECRET}4",
    "date_of_birth": datetime.date(1987, 6, 5),
    "address": f"{SECRET}5",
    "city": f"{SECRET}6",
    "state": f"{SECRET}7",
    "postal_code": f"{SECRET}8",
    "country": f"{SECRET}9",
    "customer_type": f"{SECRET}10",
    "preferred_payment_method": f"{SECRET}11",
    "preferences": {f"{SECRET}12": {"a": f"{SECRET}13"}},
    "needs": [f"{SECRET}14"],
    "experience_level": f"{SECRET}15",
    "medical_conditions": [f"{SECRET}16"],
    "preferred_categories": [f"{SECRET}17"],
    "preferred_effects": [f"{SECRET}18"],
    "price_range": {"x": f"{SECRET}19"},
    "purchase_history": [f"{SECRET}20"],
    "language": f"{SECRET}21"[:10],
    "timezone": f"{SECRET}22",
    "marketing_consent": True,
    "sms_consent": True,
    "tags": [f"{SECRET}23"],
    "notes": f"{SECRET}24",
    "legacy_extra": {"customers": {f"{SECRET}25": {"tier": f"{SECRET}26"}}},
    "is_verified": True,
}
FIGURES = {
    "loyalty_points": 12,
    "total_spent": Decimal("99.50"),
    "order_count": 3,
    "interaction_count": 4,
    "last_order_date": datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
}


def found_in_any_table(*values: str) -> list[str]:
    """The tables with a row that holds one of the values, in any spelling."""
    tables = [name for (name,) in rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
    return [
        table
        for table in tables
        if rows(f'SELECT 1 FROM "{table}" AS t WHERE lower(t::text) LIKE ANY(%s) LIMIT 1', [f"%{v}%" for v in values])
    ]


def somebody() -> Profile:
    """With a personal value in every place that may hold one, and changes of every column in history."""
    before = {name: value for name, value in PERSONAL.items() if isinstance(value, str)}
    found = person(f"{SECRET}@example.com", password="correct horse 7", **PERSONAL, **FIGURES)
    Profile.objects.filter(pk=found.pk).update(**{name: value[:6] for name, value in before.items()})
    Profile.objects.filter(pk=found.pk).update(**PERSONAL)
    User.objects.filter(pk=found.user_id).update(email=f"{SECRET}new@example.com", last_login="2024-01-01T00:00Z")
    order = OrderFactory.create(
        user=found.user,
        delivery_address={"street": f"{SECRET}30"},
        special_instructions=f"{SECRET}31",
        customer_code=f"{SECRET}32",
        cart_session_id=uuid.uuid4(),
        payment_details={"cash_amount": 5.5, "card_last_four": f"{SECRET}33", "authorization_code": 4242},
    )
    OrderEvent.objects.create(order=order, status="cancelled", notes=f"{SECRET}34", via="api")
    Refund.objects.create(order=order, amount=1, reason=f"{SECRET}35")
    for caller, answer in ((str(found.user_id), {"x": f"{SECRET}36"}), ("till", {"order": {"id": str(order.pk)}})):
        IdempotencyKey.objects.create(caller=caller, key="k", digest="d", answer=answer)
    for field, path in (("phone", ""), ("preferences", f"/{SECRET}12/a")):
        FieldConflict.objects.create(
            profile=found,
            field=field,
            path=path,
            rule="first",
            chosen_value=f"{SECRET}37",
            other_value=f"{SECRET}38",
            other_table="customers",
            other_row="x",
        )
    AccessAttempt.objects.create(username=f"{SECRET}New@example.com", failures_since_start=1)
    AccessLog.objects.create(username=f"{SECRET}@example.com")  # as the login was before
    AccessFailureLog.objects.create(username=f"{SECRET}new@example.com")
    LogEntry.objects.create(
        user=UserFactory.create(role=Role.SUPER_ADMIN),
        content_type=ContentType.objects.get_for_model(Profile),
        object_id=str(found.pk),
        object_repr=f"{SECRET}2 {SECRET}3",
        action_flag=CHANGE,
    )
    found.refresh_from_db()
    return found


def erase(profile: Profile, **given: Any) -> PrivacyEvent:
    return privacy.erase(profile.pk, **{"reason": "asked", "by": None, "via": "api", **given})


def test_every_column_of_a_profile_is_either_emptied_or_kept() -> None:
    columns = {field.column for field in Profile._meta.concrete_fields} - {"search_text"}
    assert set(privacy.NEUTRAL) == set(PERSONAL)
    assert columns - set(privacy.NEUTRAL) == {name for name in privacy.KEPT if not name.startswith("users.")}


def test_no_table_holds_a_personal_value_any_more() -> None:
    found = somebody()
    assert len(found_in_any_table(SECRET, SECRET[:6], "1987-06-05")) >= 12
    erase(found)
    assert found_in_any_table(SECRET, SECRET[:6], "1987-06-05") == []
    found.refresh_from_db()
    empty: dict[str, Any] = {
        name: {} if isinstance(value, dict) else [] if isinstance(value, list) else None
        for name, value in PERSONAL.items()
    } | {
        "legacy_extra": None,
        "country": "USA",
        "customer_type": "regular",
        "price_range": None,
        **dict.fromkeys(("marketing_consent", "sms_consent", "is_verified"), False),
    }
    assert {name: getattr(found, name) for name in PERSONAL} == empty
    assert found.erased_at is not None
    user = found.user
    assert (user.email, user.active, user.has_usable_password(), user.email_verified, user.last_login) == (
        *(None, False, False, False, None),
    )


def test_an_export_holds_every_personal_value_that_any_table_has() -> None:
    found, by = somebody(), UserFactory.create(role=Role.SUPER_ADMIN)
    corrections.dry_run(f"id,city\n{found.pk},{SECRET}40\n".encode(), file_name="a.csv", by=by)
    tables = [name for (name,) in rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    held = {
        value
        for table in tables
        for (text,) in rows(f'SELECT lower(t::text) FROM "{table}" AS t WHERE lower(t::text) LIKE %s', f"%{SECRET}%")
        for value in re.findall(rf"{SECRET}\w*", text)
    }
    assert len(held) > 35
    told = privacy.export(found.pk, by=by, via="api").decode().lower()
    assert {value for value in held if value not in told} == set()


def test_sales_figures_items_amounts_and_the_ledger_stay() -> None:
    found = somebody()
    profile_service.update_loyalty_points(found.user_id, 5, "a gift")
    before = list(Order.objects.values("id", "items", "total_amount", "user_id", "updated_at", "created_at"))
    erase(found)
    found.refresh_from_db()
    assert {name: getattr(found, name) for name in FIGURES} == {**FIGURES, "loyalty_points": 17}
    assert list(Order.objects.values("id", "items", "total_amount", "user_id", "updated_at", "created_at")) == before
    order = Order.objects.get()
    assert (order.payment_details, order.delivery_address, order.cart_session_id) == ({"cash_amount": 5.5}, None, None)
    assert LoyaltyEntry.objects.latest("id").reason == "a gift"
    assert Refund.objects.get().amount == 1


def test_history_keeps_that_a_column_changed_but_not_from_what_to_what() -> None:
    found = somebody()
    profile_service.update_loyalty_points(found.user_id, 5, "a gift")
    by = UserFactory.create(role=Role.SUPER_ADMIN)
    erase(found, by=by)
    history = list(ProfileHistory.objects.filter(profile=found).order_by("id"))
    changed = {name for entry in history for name in entry.changes}
    assert changed >= set(PERSONAL) | {"users.email", "users.active", "users.password_hash", "erased_at"}
    for entry in history:
        for name, change in entry.changes.items():
            if name in PERSONAL:
                assert change["old"] == change["new"], name
    assert history[-1].changed_by == by.pk
    assert any(entry.changes.get("loyalty_points") == {"old": 12, "new": 17} for entry in history)


def test_a_conflict_is_closed_and_a_suggestion_dismissed() -> None:
    found, by = somebody(), UserFactory.create(role=Role.SUPER_ADMIN)
    ids_only = FieldConflict.objects.create(
        profile=found, field="orders.user_id", rule="order", other_value="an id", other_table="customers", other_row="o"
    )
    suggestion = MergeSuggestion.objects.create(profile=person(), other_profile=found, reason="birth_date")
    erase(found, by=by)
    assert not FieldConflict.objects.filter(profile=found, resolved_at=None).exclude(pk=ids_only.pk).exists()
    ids_only.refresh_from_db()
    assert ids_only.other_value == "an id"
    suggestion.refresh_from_db()
    assert (suggestion.status, suggestion.decided_by) == ("dismissed", by)


def test_keys_are_revoked_and_tokens_blacklisted() -> None:
    found = somebody()
    RefreshToken.for_user(found.user)
    key = ApiKey.objects.create(user=found.user, name="x", prefix="upk_x", digest="0" * 64)
    erase(found)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert BlacklistedToken.objects.filter(token__user=found.user).count() == 1


def test_whoever_was_merged_into_the_person_is_erased_too_and_the_merge_cannot_be_taken_back() -> None:
    survivor, other = person(first_name="Ann"), somebody()
    ProfileAlias.objects.create(id=uuid.uuid4(), profile=other)
    token = merging.preview(survivor.pk, other.pk).token
    done = merging.merge(survivor.pk, other.pk, token=token, by=None, via="api")
    with pytest.raises(Problem) as refusal:
        erase(other)
    assert (refusal.value.status_code, refusal.value.code) == (409, "merged")
    erase(survivor)
    assert found_in_any_table(SECRET, SECRET[:6], "1987-06-05") == []
    assert Profile.objects.filter(erased_at=None, pk__in=[survivor.pk, other.pk]).count() == 0
    with pytest.raises(Problem) as refusal:
        unmerging.unmerge(done.pk, by=None, via="api")
    assert (refusal.value.status_code, refusal.value.code) == (409, "erased")
    assert Profile.objects.by_customer_id(other.pk).get() == survivor


def test_others_keep_what_is_theirs() -> None:
    found, other = somebody(), person("other@example.com", first_name="Olga")
    OrderFactory.create(user=other.user, delivery_address={"street": "2 Side St"})
    IdempotencyKey.objects.create(caller="till", key="other", digest="d", answer={"id": str(other.pk)})
    tables = ("users", "profiles", "orders", "idempotency_keys", "profile_history")
    before = {
        table: rows(f"SELECT t::text FROM {table} AS t WHERE t::text LIKE %s", f"%{other.pk}%") for table in tables
    }
    erase(found)
    assert before == {
        table: rows(f"SELECT t::text FROM {table} AS t WHERE t::text LIKE %s", f"%{other.pk}%") for table in tables
    }
    other.refresh_from_db()
    assert (other.first_name, other.user.email, other.user.active) == ("Olga", "other@example.com", True)


def test_erasing_twice_is_erasing_once() -> None:
    found = somebody()
    first = erase(found, reason=" first ")
    history = ProfileHistory.objects.count()
    second = erase(found, reason="second")
    assert (second.pk, second.reason, PrivacyEvent.objects.count()) == (first.pk, "first", 1)
    assert ProfileHistory.objects.count() == history


def test_an_erasure_without_a_reason_or_of_nobody_is_refused() -> None:
    found = person(first_name="Ann")
    with pytest.raises(Problem) as refusal:
        erase(found, reason=" ")
    assert (refusal.value.status_code, refusal.value.errors[0]["field"]) == (400, "reason")
    nobody = uuid.uuid4()
    with pytest.raises(Problem) as refusal:
        privacy.erase(nobody, reason="x", by=None, via="api")
    assert (refusal.value.status_code, refusal.value.text) == (404, f"There is no profile {nobody}.")
    found.refresh_from_db()
    assert (found.first_name, PrivacyEvent.objects.count()) == ("Ann", 0)


def test_an_address_is_free_again_after_its_person_was_erased() -> None:
    erase(person("again@example.com"))
    assert User.objects.create_user("again@example.com", "correct horse 7").profile.erased_at is None


@pytest.mark.django_db(transaction=True)
def test_two_erasures_at_once_leave_one_record() -> None:
    found = person(first_name="Ann")
    given: list[Any] = []

    def work() -> None:
        try:
            given.append(erase(found).pk)
        except Problem as problem:
            given.append(problem.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert given == [PrivacyEvent.objects.get().pk] * 4
