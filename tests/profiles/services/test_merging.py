"""Two profiles made one: which value stands, what goes over, who is refused, and the way back."""

import datetime
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import User
from accounts.roles import Role
from config.api.problems import Problem
from orders.models import Order
from profiles.models import (
    FieldConflict,
    LoyaltyEntry,
    MergeSuggestion,
    Profile,
    ProfileAlias,
    ProfileHistory,
    ProfileMerge,
)
from profiles.services import merging, profile_service, unmerging
from profiles.services.merge_rules import Decision
from tests.databases import one, rows, run
from tests.factories import OrderFactory, UserFactory, person

pytestmark = pytest.mark.django_db

TENANT = uuid.UUID("10000000-0000-4000-8000-000000000001")


def manager(**columns: Any) -> User:
    found: User = UserFactory.create(role=Role.STORE_MANAGER, tenant_id=TENANT, **columns)
    return found


def merge(survivor: Profile, other: Profile, *, by: User | None = None, **given: Any) -> ProfileMerge:
    token = merging.preview(survivor.pk, other.pk, **given).token
    return merging.merge(survivor.pk, other.pk, token=token, by=by, via="api", **given)


def decided(survivor: Profile, other: Profile, **given: Any) -> dict[str, Decision]:
    return {found.field: found for found in merging.preview(survivor.pk, other.pk, **given).decisions}


def conflicts_of(profile: Profile) -> list[tuple[Any, ...]]:
    return list(
        FieldConflict.objects.filter(profile=profile)
        .order_by("field", "path", "other_table")
        .values_list("field", "path", "rule", "chosen_value", "other_value", "other_table")
    )


def database() -> dict[str, list[str]]:
    """Every row of every table that a merge may touch, but for those that only grow."""
    tables = ("users", "orders", "profile_aliases", "field_conflicts", "merge_suggestions", "refunds")
    found = {table: [row for (row,) in rows(f"SELECT t::text FROM {table} AS t ORDER BY 1")] for table in tables}
    found["profiles"] = [
        row for (row,) in rows("SELECT (to_jsonb(p) - 'updated_at')::text FROM profiles AS p ORDER BY 1")
    ]
    return found


# --- values -------------------------------------------------------------------------------------------------------


def test_the_survivors_value_stands_and_the_others_fills_what_is_blank() -> None:
    survivor = person("a@example.com", first_name="Ann", last_name=" ", phone=None)
    other = person("b@example.com", first_name="Anna", last_name="Lee", phone="416 555 0000")
    merge(survivor, other)
    survivor.refresh_from_db()
    assert (survivor.first_name, survivor.last_name, survivor.phone) == ("Ann", "Lee", "416 555 0000")
    assert conflicts_of(survivor) == [
        ("contact_email", "", "first", "a@example.com", "b@example.com", "profiles"),
        ("first_name", "", "first", "Ann", "Anna", "profiles"),
    ]
    found = FieldConflict.objects.get(field="first_name")
    assert (found.chosen_table, found.chosen_row, found.other_row) == ("profiles", str(survivor.pk), str(other.pk))
    assert (found.resolved_at, found.resolved_by) == (None, None)


def test_an_address_goes_as_one_block() -> None:
    survivor = person(city=None, country="USA")
    other = person(address="1 Main St", city="Toronto", postal_code="M5V", country="Canada")
    merge(survivor, other)
    survivor.refresh_from_db()
    assert (survivor.address, survivor.city, survivor.state, survivor.postal_code, survivor.country) == (
        *("1 Main St", "Toronto", None, "M5V", "Canada"),
    )
    third = person(address="2 Side St", city="Oslo", country="USA")
    merge(survivor, third)
    survivor.refresh_from_db()
    assert (survivor.address, survivor.city, survivor.postal_code) == ("1 Main St", "Toronto", "M5V")
    assert [entry for entry in conflicts_of(survivor) if entry[2] == "block"] == [
        ("address", "", "block", "1 Main St", "2 Side St", "profiles"),
        ("city", "", "block", "Toronto", "Oslo", "profiles"),
    ]


def test_sums_times_lists_notes_and_consents_follow_the_field_map() -> None:
    early, late = (datetime.datetime(2020, month, 1, tzinfo=datetime.UTC) for month in (1, 6))
    survivor = person(
        loyalty_points=-5,
        total_spent=Decimal("10.25"),
        order_count=1,
        interaction_count=2,
        customer_type="regular",
        last_order_date=early,
        tags=["b", 1, {"x": 1.0}],
        needs=["sleep"],
        preferences={"theme": "dark", "blank": "", "deep": {"a": 1, "b": None}},
        notes="newer",
        marketing_consent=True,
        sms_consent=True,
        is_verified=True,
    )
    other = person(
        loyalty_points=12,
        total_spent=Decimal("0.75"),
        order_count=2,
        interaction_count=3,
        customer_type="vip",
        last_order_date=late,
        tags=["a", "b", True, {"x": 1}],
        needs=[],
        preferences={"theme": "light", "blank": "full", "deep": {"a": 2, "b": 3}, "new/key": [1]},
        notes="older",
        marketing_consent=True,
        sms_consent=False,
        is_verified=False,
    )
    Profile.objects.filter(pk=survivor.pk).update(created_at=late)
    Profile.objects.filter(pk=other.pk).update(created_at=early)
    merge(survivor, other)
    survivor.refresh_from_db()
    other.refresh_from_db()
    sums = ("loyalty_points", "total_spent", "order_count", "interaction_count")
    assert [getattr(survivor, name) for name in sums] == [7, Decimal("11.00"), 3, 5]
    assert [getattr(other, name) for name in sums] == [0, 0, 0, 0]
    assert (survivor.customer_type, survivor.last_order_date, survivor.created_at) == ("vip", late, early)
    assert survivor.tags == ["b", 1, {"x": 1.0}, "a", True]
    assert survivor.needs == ["sleep"]
    assert survivor.preferences == {
        "theme": "dark",
        "blank": "full",
        "deep": {"a": 1, "b": 3},
        "new/key": [1],
    }
    assert survivor.notes == "older\n\nnewer"
    assert (survivor.marketing_consent, survivor.sms_consent, survivor.is_verified) == (True, False, True)
    assert [entry for entry in conflicts_of(survivor) if entry[0] != "contact_email"] == [
        ("preferences", "/deep/a", "merge", 1, 2, "profiles"),
        ("preferences", "/theme", "merge", "dark", "light", "profiles"),
        ("sms_consent", "", "consent", False, True, "profile_merges"),
    ]


@pytest.mark.parametrize(("own", "theirs"), [(True, False), (False, True), (False, False)])
def test_a_consent_is_never_widened(own: bool, theirs: bool) -> None:
    survivor, other = person(marketing_consent=own), person(marketing_consent=theirs)
    merge(survivor, other)
    survivor.refresh_from_db()
    assert survivor.marketing_consent is False


def test_a_choice_is_kept_and_what_it_beats_is_a_decided_conflict() -> None:
    by = manager()
    survivor = person(phone="111", tags=["a"], tenant_id=TENANT)
    other = person(phone="222", tags=["b"], tenant_id=TENANT)
    merge(survivor, other, choices={"phone": "other", "tags": "survivor"}, by=by)
    survivor.refresh_from_db()
    assert (survivor.phone, survivor.tags) == ("222", ["a"])
    phone = FieldConflict.objects.get(profile=survivor, field="phone")
    assert (phone.rule, phone.chosen_value, phone.other_value) == ("choice", "222", "111")
    assert (phone.other_table, phone.resolved_by, phone.resolved_at is None) == ("profile_merges", by, False)
    assert phone.other_row == str(ProfileMerge.objects.get().pk)
    tags = FieldConflict.objects.get(profile=survivor, field="tags")
    assert (tags.rule, tags.other_value, tags.other_table) == ("choice", ["b"], "profiles")


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ({"loyalty_points": "other"}, "loyalty_points is decided by its rule (sum), not by choice. Leave it out."),
        ({"sms_consent": "other"}, "sms_consent is decided by its rule (consent), not by choice. Leave it out."),
        ({"city": "other"}, "city goes with the address as a whole. Choose address instead."),
        ({"phone": "both"}, "'both' is neither survivor nor other."),
    ],
)
def test_a_choice_that_is_none_is_refused(choices: dict[str, str], text: str) -> None:
    survivor, other = person(), person()
    before = database()
    with pytest.raises(Problem) as refusal:
        merge(survivor, other, choices=choices)
    (name,) = choices
    assert (refusal.value.status_code, refusal.value.text) == (400, f"choices.{name}: {text}")
    assert database() == before


def test_where_to_write_is_the_others_login_when_the_survivor_has_none() -> None:
    survivor, other = person(), person("other@example.com")
    User.objects.filter(pk=survivor.user_id).update(email=None)
    merge(survivor, other)
    survivor.refresh_from_db()
    assert survivor.contact_email == "other@example.com"


def test_dates_and_numbers_that_python_does_not_know_go_over_unchanged() -> None:
    survivor, other = person(), person()
    run("UPDATE profiles SET date_of_birth = NULL, last_order_date = '-infinity' WHERE id = %s", survivor.pk)
    run(
        "UPDATE profiles SET date_of_birth = '0044-03-15 BC', last_order_date = 'infinity',"
        """ price_range = '{"max": 12345678901234567890.12345678901234567890}' WHERE id = %s""",
        other.pk,
    )
    merge(survivor, other)
    assert rows(
        "SELECT date_of_birth::text, last_order_date::text, price_range::text FROM profiles WHERE id = %s", survivor.pk
    ) == [("0044-03-15 BC", "infinity", '{"max": 12345678901234567890.12345678901234567890}')]
    unmerging.unmerge(ProfileMerge.objects.get().pk, by=None, via="api")
    assert rows("SELECT date_of_birth, last_order_date::text FROM profiles WHERE id = %s", survivor.pk) == [
        (None, "-infinity")
    ]


def test_json_of_the_wrong_shape_is_kept_as_a_conflict() -> None:
    survivor, other = person(tags=["a"], preferences={"k": 1}), person(tags={"no": "list"}, preferences=["no object"])
    merge(survivor, other)
    survivor.refresh_from_db()
    assert (survivor.tags, survivor.preferences) == (["a"], {"k": 1})
    assert [(field, rule, lost) for field, _, rule, _, lost, _ in conflicts_of(survivor) if rule == "shape"] == [
        ("preferences", "shape", ["no object"]),
        ("tags", "shape", {"no": "list"}),
    ]


# --- what goes over -----------------------------------------------------------------------------------------------


# As a legacy database has it: whoever updates an order dates it.
DATING_TRIGGER = """
CREATE FUNCTION date_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = CURRENT_TIMESTAMP;
    RETURN NEW;
END
$$;
CREATE TRIGGER update_orders_updated_at BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION date_it();
"""


def test_orders_aliases_conflicts_and_suggestions_go_over_and_ids_lead_to_the_survivor() -> None:
    by = manager()
    survivor, other, third = person(tenant_id=TENANT), person(tenant_id=TENANT), person(tenant_id=TENANT)
    order = OrderFactory.create(user=other.user)
    dated = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    Order.objects.filter(pk=order.pk).update(updated_at=dated)
    run("SET CONSTRAINTS ALL IMMEDIATE")  # a table with pending events takes no trigger
    run(DATING_TRIGGER)
    alias = ProfileAlias.objects.create(id=uuid.uuid4(), profile=other)
    conflict = FieldConflict.objects.create(
        profile=other, field="phone", rule="first", other_table="customers", other_row="x", other_value="1"
    )
    pair = MergeSuggestion.objects.create(profile=other, other_profile=survivor, reason="birth_date")
    elsewhere = MergeSuggestion.objects.create(profile=third, other_profile=other, reason="birth_date")
    done = merge(survivor, other, by=by)
    order.refresh_from_db()
    assert (order.user_id, order.updated_at) == (survivor.user_id, dated)
    alias.refresh_from_db()
    conflict.refresh_from_db()
    assert (alias.profile_id, conflict.profile_id) == (survivor.pk, survivor.pk)
    pair.refresh_from_db()
    assert (pair.status, pair.decided_by, pair.decided_at is None) == ("merged", by, False)
    elsewhere.refresh_from_db()
    assert (elsewhere.profile_id, elsewhere.other_profile_id, elsewhere.status) == (third.pk, survivor.pk, "open")
    other.refresh_from_db()
    assert (other.merged_into_id, other.user.active) == (survivor.pk, False)
    for old_id in (other.pk, alias.pk, survivor.pk):
        assert Profile.objects.by_customer_id(old_id).get() == survivor
    assert set(Profile.objects.visible_to(by).values_list("pk", flat=True)) >= {survivor.pk, third.pk}
    assert not Profile.objects.visible_to(by).filter(pk=other.pk).exists()
    assert (done.survivor_id, done.other_id, done.merged_by, done.via) == (survivor.pk, other.pk, by.pk, "api")


def test_history_and_ledger_explain_the_merge_and_name_who_did_it() -> None:
    by = manager()
    survivor, other = person(loyalty_points=10, tenant_id=TENANT), person(loyalty_points=30, tenant_id=TENANT)
    merge(survivor, other, by=by)
    last = {entry.profile_id: entry for entry in LoyaltyEntry.objects.order_by("id")}
    assert [(e.delta, e.balance, e.reason, e.source, e.created_by) for e in (last[other.pk], last[survivor.pk])] == [
        (-30, 0, f"merged into {survivor.pk}", "api", by.pk),
        (30, 40, f"merged from {other.pk}", "api", by.pk),
    ]
    changes = ProfileHistory.objects.filter(profile=survivor).latest("id")
    assert (changes.changed_by, changes.changes["loyalty_points"]) == (by.pk, {"old": 10, "new": 40})
    closed = ProfileHistory.objects.filter(profile=other).latest("id")
    assert closed.changes == {"users.active": {"old": True, "new": False}}


def test_whoever_was_merged_before_leads_to_the_last_survivor() -> None:
    first, second, third = person(), person(), person()
    merge(second, first)
    merge(third, second)
    assert Profile.objects.by_customer_id(first.pk).get() == third
    first.refresh_from_db()
    assert first.merged_into_id == third.pk
    assert profile_service.get_customer(str(first.pk))["id"] == third.pk  # type: ignore[index]


def test_a_suggestion_that_the_survivor_has_already_is_decided() -> None:
    survivor, other, third = person(), person(), person()
    MergeSuggestion.objects.create(profile=survivor, other_profile=third, reason="birth_date", status="dismissed")
    twice = MergeSuggestion.objects.create(profile=third, other_profile=other, reason="birth_date")
    merge(survivor, other)
    twice.refresh_from_db()
    assert (twice.other_profile_id, twice.status) == (other.pk, "merged")


# --- writes to a shell --------------------------------------------------------------------------------------------


def test_an_order_for_the_merged_login_becomes_the_survivors() -> None:
    survivor, other = person(), person()
    merge(survivor, other)
    order = OrderFactory.create(user=other.user)
    order.refresh_from_db()
    assert order.user_id == survivor.user_id
    run("UPDATE orders SET user_id = %s WHERE id = %s", other.user_id, order.pk)
    order.refresh_from_db()
    assert order.user_id == survivor.user_id


def test_points_for_the_merged_login_are_the_survivors_and_a_shell_takes_none() -> None:
    survivor, other = person(loyalty_points=1), person(loyalty_points=2)
    merge(survivor, other)
    profile_service.update_loyalty_points(other.user_id, 4, "late")
    survivor.refresh_from_db()
    assert survivor.loyalty_points == 7
    with pytest.raises(Exception, match="profiles_merged_holds_no_sums"), transaction.atomic():
        run("UPDATE profiles SET loyalty_points = 1 WHERE id = %s", other.pk)


# --- refusals -----------------------------------------------------------------------------------------------------


def blockers(survivor: Profile, other: Profile, **given: Any) -> list[str]:
    return [found.code for found in merging.preview(survivor.pk, other.pk, **given).blockers]


def refused(survivor: Profile, other: Profile, code: str, **given: Any) -> Problem:
    """Merging is refused with that blocker, and nothing was written."""
    before, merges = database(), ProfileMerge.objects.count()
    token = merging.preview(survivor.pk, other.pk, **given).token
    with pytest.raises(Problem) as refusal:
        merging.merge(survivor.pk, other.pk, token=token, by=None, via="api", **given)
    assert (refusal.value.status_code, refusal.value.code) == (409, "merge_blocked")
    assert code in [entry["code"] for entry in refusal.value.errors]
    assert database() == before
    assert ProfileMerge.objects.count() == merges
    return refusal.value


def test_a_profile_is_not_merged_into_itself() -> None:
    found = person()
    assert refused(found, found, "same_profile").text == (
        f"Profile {found.pk} cannot be merged into {found.pk}: Profile {found.pk} cannot be merged into itself."
    )


def test_people_of_two_tenants_are_not_merged() -> None:
    refused(person(tenant_id=TENANT), person(tenant_id=uuid.uuid4()), "other_tenant")
    refused(person(tenant_id=TENANT), person(), "other_tenant")


@pytest.mark.parametrize("role", [Role.STAFF, Role.STORE_MANAGER, Role.TENANT_ADMIN, Role.SUPER_ADMIN])
def test_a_staff_account_is_not_merged_away_but_may_survive(role: Role) -> None:
    staff, customer = person(role=role), person()
    refused(customer, staff, "staff_account")
    assert blockers(staff, customer) == []


def test_a_merged_profile_is_not_merged_again_either_way() -> None:
    survivor, other, third = person(), person(), person()
    merge(survivor, other)
    other.refresh_from_db()
    assert refused(third, other, "already_merged").errors[0]["detail"] == (
        f"Profile {other.pk} was merged into {survivor.pk} already. Use that one."
    )
    refused(other, third, "already_merged")
    refused(survivor, other, "already_merged")


def test_an_erased_profile_is_not_merged() -> None:
    erased, other = person(), person()
    Profile.objects.filter(pk=erased.pk).update(erased_at=datetime.datetime.now(datetime.UTC))
    refused(erased, other, "erased")
    refused(other, erased, "erased")


def test_contradicting_birth_dates_need_a_confirmation() -> None:
    survivor = person(date_of_birth=datetime.date(1990, 1, 1))
    other = person(date_of_birth=datetime.date(1990, 1, 2))
    refused(survivor, other, "birth_date")
    assert blockers(survivor, person(date_of_birth=None)) == []
    merge(survivor, other, confirm=True)
    survivor.refresh_from_db()
    assert survivor.date_of_birth == datetime.date(1990, 1, 1)


def test_a_login_that_would_close_is_warned_of() -> None:
    guest, account = person(), person(password="correct horse 7")
    User.objects.filter(pk=guest.user_id).update(email=None)
    assert [found.code for found in merging.preview(guest.pk, account.pk).warnings] == ["login_closes"]
    assert merging.preview(account.pk, guest.pk).warnings == []


def test_an_unknown_profile_is_not_found() -> None:
    found, nobody = person(), uuid.uuid4()
    for pair in ((found.pk, nobody), (nobody, found.pk)):
        with pytest.raises(Problem) as refusal:
            merging.preview(*pair)
        assert (refusal.value.status_code, refusal.value.text) == (404, f"There is no profile {nobody}.")


CHANGES: dict[str, Callable[[Profile, Profile], Any]] = {
    "survivor": lambda survivor, other: Profile.objects.filter(pk=survivor.pk).update(phone="1"),
    "other": lambda survivor, other: Profile.objects.filter(pk=other.pk).update(phone="1"),
    "login": lambda survivor, other: User.objects.filter(pk=other.user_id).update(email="new@example.com"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_merge_is_refused_when_something_changed_since_the_preview(change: str) -> None:
    survivor, other = person(), person()
    token = merging.preview(survivor.pk, other.pk).token
    CHANGES[change](survivor, other)
    before = database()
    with pytest.raises(Problem) as refusal:
        merging.merge(survivor.pk, other.pk, token=token, by=None, via="api")
    assert (refusal.value.status_code, refusal.value.code) == (409, "preview_outdated")
    assert database() == before


def test_a_merge_is_refused_with_other_choices_than_the_preview() -> None:
    survivor, other = person(phone="1"), person(phone="2")
    token = merging.preview(survivor.pk, other.pk).token
    with pytest.raises(Problem) as refusal:
        merging.merge(survivor.pk, other.pk, token=token, choices={"phone": "other"}, by=None, via="api")
    assert refusal.value.code == "preview_outdated"


# --- the way back -------------------------------------------------------------------------------------------------


def two_of_everything() -> tuple[Profile, Profile]:
    survivor = person(phone="1", loyalty_points=3, tags=["a"], notes="one", sms_consent=True, total_spent=Decimal(5))
    other = person(phone="2", loyalty_points=4, tags=["b"], notes="two", city="Oslo", total_spent=Decimal("2.50"))
    OrderFactory.create(user=other.user)
    OrderFactory.create(user=survivor.user)
    ProfileAlias.objects.create(id=uuid.uuid4(), profile=other)
    FieldConflict.objects.create(profile=other, field="phone", rule="first", other_table="customers", other_row="x")
    MergeSuggestion.objects.create(profile=other, other_profile=survivor, reason="birth_date")
    MergeSuggestion.objects.create(profile=other, other_profile=person(), reason="birth_date", status="dismissed")
    shell = person(loyalty_points=1)
    merge(other, shell)
    return survivor, other


def test_unmerge_gives_back_every_row_when_nothing_was_written_since() -> None:
    survivor, other = two_of_everything()
    before = database()
    done = merge(survivor, other, choices={"phone": "other", "notes": "other"})
    assert database() != before
    taken_back = unmerging.unmerge(done.pk, by=None, via="api")
    assert database() == before
    assert taken_back.unmerged_at is not None
    # And it can be done again.
    again = merge(survivor, other)
    unmerging.unmerge(again.pk, by=None, via="api")
    assert database() == before


def test_unmerge_keeps_what_was_written_since() -> None:
    survivor, other = person(phone=None, loyalty_points=3), person(phone="2", city="Oslo", loyalty_points=4)
    moved = OrderFactory.create(user=other.user)
    done = merge(survivor, other)
    since = OrderFactory.create(user=survivor.user)
    Profile.objects.filter(pk=survivor.pk).update(phone="since")
    profile_service.update_loyalty_points(survivor.user_id, 10, "since")
    unmerging.unmerge(done.pk, by=None, via="api")
    survivor.refresh_from_db()
    other.refresh_from_db()
    moved.refresh_from_db()
    since.refresh_from_db()
    assert (survivor.phone, survivor.city, survivor.loyalty_points) == ("since", None, 13)
    assert (other.phone, other.city, other.loyalty_points, other.merged_into_id) == ("2", "Oslo", 4, None)
    assert (moved.user_id, since.user_id) == (other.user_id, survivor.user_id)


def test_a_refund_since_of_an_order_that_goes_back_goes_back_with_it() -> None:
    survivor, other = person(), person(loyalty_points=20, total_spent=Decimal(20), order_count=1)
    order = OrderFactory.create(user=other.user, counted_amount=Decimal(20), counted_points=20)
    done = merge(survivor, other)
    Order.objects.filter(pk=order.pk).update(counted_amount=Decimal(5), counted_points=5)
    profile_service.record_purchase(
        survivor.user_id,
        amount=Decimal(-15),
        points=-15,
        orders=0,
        at=None,
        order_id=order.pk,
        reason="refund",
        by=None,
        via="till",
    )
    unmerging.unmerge(done.pk, by=None, via="api")
    survivor.refresh_from_db()
    other.refresh_from_db()
    assert (survivor.loyalty_points, survivor.total_spent) == (0, 0)
    assert (other.loyalty_points, other.total_spent, other.order_count) == (5, 5, 1)


def test_unmerge_is_refused_twice_and_after_a_later_merge() -> None:
    first, second, third = person(), person(), person()
    inner = merge(second, first)
    outer = merge(third, second)
    with pytest.raises(Problem) as refusal:
        unmerging.unmerge(inner.pk, by=None, via="api")
    assert (refusal.value.status_code, refusal.value.code) == (409, "merged_again")
    unmerging.unmerge(outer.pk, by=None, via="api")
    first.refresh_from_db()
    assert first.merged_into_id == second.pk
    unmerging.unmerge(inner.pk, by=None, via="api")
    with pytest.raises(Problem) as refusal:
        unmerging.unmerge(inner.pk, by=None, via="api")
    assert refusal.value.code == "already_unmerged"
    with pytest.raises(Problem) as refusal:
        unmerging.unmerge(0, by=None, via="api")
    assert refusal.value.status_code == 404


# --- concurrency --------------------------------------------------------------------------------------------------


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each call gave or raised, all begun together, each on a connection of its own."""
    ready, found = threading.Barrier(len(calls)), [None] * len(calls)

    def work(number: int) -> None:
        try:
            ready.wait(10)
            found[number] = calls[number]()
        except Exception as error:
            found[number] = error  # type: ignore[call-overload]
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[number]) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.django_db(transaction=True)
def test_of_two_merges_in_opposite_directions_one_wins() -> None:
    for _ in range(5):
        one_, two = person(loyalty_points=1), person(loyalty_points=2)
        OrderFactory.create(user=one_.user)
        OrderFactory.create(user=two.user)
        pairs = ((one_.pk, two.pk), (two.pk, one_.pk))
        tokens = [merging.preview(*pair).token for pair in pairs]
        found = at_once(
            *(
                lambda pair=pair, token=token: merging.merge(*pair, token=token, by=None, via="api")
                for pair, token in zip(pairs, tokens, strict=True)
            )
        )
        won = [entry for entry in found if isinstance(entry, ProfileMerge)]
        lost = [entry for entry in found if isinstance(entry, Problem)]
        assert [len(won), len(lost)] == [1, 1], found
        assert lost[0].status_code == 409
        assert Profile.objects.get(pk=won[0].survivor_id).loyalty_points == 3
        assert Order.objects.filter(user__profile=won[0].survivor_id).count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_sale_during_a_merge_is_not_lost() -> None:
    survivor, other = person(), person()

    odd: list[str] = []

    def sell() -> int:
        sold = 0
        for _ in range(15):
            try:
                with transaction.atomic():
                    order = OrderFactory.create(user=other.user)
                    profile_service.record_purchase(
                        other.user_id,
                        amount=Decimal("20.00"),
                        points=20,
                        orders=1,
                        at=None,
                        order_id=order.pk,
                        reason="sale",
                        by=None,
                        via="till",
                    )
                sold += 1
            except Exception as error:  # refused as a whole: the till sends it again
                odd.append(str(error))
        return sold

    def merge_in_the_end() -> str:
        for _ in range(200):
            try:
                merge(survivor, other)
            except Problem as problem:
                odd.append(problem.code)
            else:
                return "merged"
        return "never"

    first, second, end = at_once(sell, sell, merge_in_the_end)
    assert end == "merged"
    survivor.refresh_from_db()
    other.refresh_from_db()
    sold = first + second
    assert sold >= 28  # each seller may meet the merge once
    expected = ("preview_outdated", "busy", "profiles_merged_holds_no_sums")
    assert [text for text in odd if not any(name in text for name in expected)] == []
    assert Order.objects.filter(user=survivor.user).count() == sold
    assert (survivor.loyalty_points, survivor.total_spent, survivor.order_count) == (20 * sold, 20 * sold, sold)
    assert (other.loyalty_points, other.total_spent, other.order_count) == (0, 0, 0)
    assert one("SELECT sum(delta) FROM loyalty_entries") == 20 * sold


@pytest.mark.django_db(transaction=True)
def test_an_order_on_its_way_while_the_merge_runs_goes_to_the_survivor() -> None:
    """The order is written, but not committed, when the merge begins: the merge waits for it."""
    survivor, other = person(), person()
    written, merged = threading.Event(), []

    def merge_meanwhile() -> None:
        try:
            written.wait(10)
            merged.append(merge(survivor, other))
        finally:
            connection.close()

    thread = threading.Thread(target=merge_meanwhile)
    thread.start()
    with transaction.atomic():
        order = OrderFactory.create(user=other.user)
        written.set()
        while thread.is_alive() and not one("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
        assert merged == []
    thread.join(30)
    order.refresh_from_db()
    assert [len(merged), order.user_id] == [1, survivor.user_id]
