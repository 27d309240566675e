"""Conflicts decided: what is kept, what is taken, who is refused, and the way back."""

import datetime
import uuid
from typing import Any

import pytest
from django.db import transaction

from accounts.models import User
from accounts.roles import Role
from config.api.problems import Problem
from profiles.models import ConflictDecision, FieldConflict, Profile, ProfileHistory
from profiles.services import conflicts, merging, privacy, unmerging
from profiles.services.conflicts import KEEP, NEWER, TAKE, Which
from tests.databases import one, rows, run
from tests.factories import UserFactory, person

pytestmark = pytest.mark.django_db

TENANT = uuid.UUID("10000000-0000-4000-8000-000000000001")


@pytest.fixture
def manager() -> User:
    found: User = UserFactory.create(role=Role.STORE_MANAGER, tenant_id=TENANT)
    return found


def customer(**columns: Any) -> Profile:
    return person(tenant_id=TENANT, **columns)


def lost(profile: Profile, field: str, value: Any, **columns: Any) -> FieldConflict:
    """A value of an old row that lost."""
    given = {"rule": "first", "other_table": "customers", "other_row": str(uuid.uuid4()), **columns}
    return FieldConflict.objects.create(profile=profile, field=field, other_value=value, **given)


def merged_with(profile: Profile, **columns: Any) -> list[FieldConflict]:
    """What lost when somebody with these columns was merged into the profile."""
    other = customer(**columns)
    token = merging.preview(profile.pk, other.pk).token
    merging.merge(profile.pk, other.pk, token=token, by=None, via="api")
    profile.refresh_from_db()
    return list(FieldConflict.objects.filter(profile=profile, other_row=str(other.pk)).order_by("id"))


def state() -> dict[str, list[Any]]:
    return {
        "profiles": rows("SELECT (to_jsonb(p) - 'updated_at')::text FROM profiles AS p ORDER BY 1"),
        "conflicts": rows("SELECT f::text FROM field_conflicts AS f ORDER BY 1"),
        "users": rows("SELECT u::text FROM users AS u ORDER BY 1"),
    }


# --- keeping and taking -------------------------------------------------------------------------------------------


def test_a_value_that_is_kept_out_changes_nothing_but_the_conflict(manager: User) -> None:
    profile = customer(phone="1")
    found = lost(profile, "phone", "2")
    before = state()["profiles"]
    outcome = conflicts.decide(Which(ids=[found.pk]), KEEP, by=manager, via="admin")
    assert (outcome.kept, outcome.taken, outcome.refused, outcome.left) == (1, 0, {}, False)
    found.refresh_from_db()
    assert (found.resolved_by, found.resolved_at is None) == (manager, False)
    decision = ConflictDecision.objects.get()
    assert found.decision == decision
    assert (decision.verdict, decision.before, decision.after, decision.decided_by, decision.via) == (
        *("keep", {}, {}, manager.pk, "admin"),
    )
    assert state()["profiles"] == before


def test_a_value_that_is_taken_is_an_ordinary_change_of_its_author(manager: User) -> None:
    profile = customer(phone="1")
    found = lost(profile, "phone", "2")
    outcome = conflicts.decide(Which(ids=[found.pk]), TAKE, by=manager, via="admin")
    assert (outcome.kept, outcome.taken) == (0, 1)
    profile.refresh_from_db()
    assert profile.phone == "2"
    entry = ProfileHistory.objects.get(profile=profile, changes__has_key="phone", changed_by=manager.pk)
    assert (entry.via, entry.changes["phone"]) == ("admin", {"old": "1", "new": "2"})
    decision = ConflictDecision.objects.get()
    assert (decision.before, decision.after) == ({"phone": "1"}, {"phone": "2"})


def test_a_part_of_an_object_is_taken_and_given_back_where_it_was(manager: User) -> None:
    profile = customer(preferences={"theme": "dark", "": 5, "a/b": {"~x": 1, "y": 2}})
    theme = lost(profile, "preferences", "light", rule="merge", path="/theme", other_row="1")
    deep = lost(profile, "preferences", {"big": 1}, rule="merge", path="/a~1b/~0x", other_row="2")
    absent = lost(profile, "preferences", True, rule="merge", path="/new", other_row="3")
    empty = lost(profile, "preferences", 6, rule="merge", path="/", other_row="5")
    gone = lost(profile, "preferences", True, rule="merge", path="/gone/x", other_row="4")
    before = state()
    outcome = conflicts.decide(Which(rule="merge"), TAKE, by=manager, via="admin")
    assert (outcome.taken, outcome.refused) == (
        4,
        {"The object that held it is gone. Edit the profile instead.": 1},
    )
    profile.refresh_from_db()
    assert profile.preferences == {"theme": "light", "": 6, "a/b": {"~x": {"big": 1}, "y": 2}, "new": True}
    gone.refresh_from_db()
    assert gone.resolved_at is None
    # What is edited beside them stays.
    run("""UPDATE profiles SET preferences = preferences || '{"since": 1}' WHERE id = %s""", profile.pk)
    decided = [c.decision_id for c in FieldConflict.objects.filter(pk__in=[theme.pk, deep.pk, absent.pk, empty.pk])]
    undone = conflicts.undo(decided, by=manager, via="admin")
    assert (undone.undone, undone.refused) == (4, {})
    profile.refresh_from_db()
    assert profile.preferences == {"theme": "dark", "": 5, "a/b": {"~x": 1, "y": 2}, "since": 1}
    run("UPDATE profiles SET preferences = preferences - 'since' WHERE id = %s", profile.pk)
    assert state() == before


def test_an_address_is_taken_as_a_whole_blanks_included(manager: User) -> None:
    profile = customer(address="1 Main St", city="Toronto", postal_code="M5V", country="Canada")
    found = merged_with(profile, address="2 Side St", city="Oslo", country="Norway")
    assert [c.field for c in found if c.rule == "block"] == ["address", "city", "country"]
    city = next(c for c in found if c.field == "city")
    before = state()
    outcome = conflicts.decide(Which(ids=[city.pk]), TAKE, by=manager, via="admin")
    assert outcome.taken == 3
    profile.refresh_from_db()
    assert (profile.address, profile.city, profile.postal_code, profile.country) == (
        *("2 Side St", "Oslo", None, "Norway"),
    )
    decision = ConflictDecision.objects.get()
    assert {c.field for c in decision.conflicts.all()} == {"address", "city", "country"}
    conflicts.undo_one(decision.pk, by=manager, via="admin")
    assert state() == before


def test_an_address_whose_rest_nobody_knows_is_not_taken(manager: User) -> None:
    profile = customer(address="1 Main St", city="Toronto")
    lost(profile, "city", "Oslo", rule="block")
    before = state()
    outcome = conflicts.decide(Which(rule="block"), TAKE, by=manager, via="admin")
    assert (outcome.taken, outcome.refused) == (
        0,
        {"The rest of that address is not known any more. Edit the profile instead.": 1},
    )
    assert state() == before


def test_the_logins_own_address_is_not_written_down_twice(manager: User) -> None:
    profile = person("ann@example.com", tenant_id=TENANT, contact_email="elsewhere@example.com")
    found = lost(profile, "contact_email", "Ann@example.com ")
    conflicts.decide(Which(ids=[found.pk]), TAKE, by=manager, via="admin")
    profile.refresh_from_db()
    assert profile.contact_email is None


def test_dates_and_numbers_beyond_python_are_taken_and_given_back_unchanged(manager: User) -> None:
    profile = customer()
    run("UPDATE profiles SET date_of_birth = 'infinity', price_range = '{}' WHERE id = %s", profile.pk)
    born = lost(profile, "date_of_birth", "0044-03-15 BC")
    run(
        "INSERT INTO field_conflicts (profile_id, field, rule, other_value, other_table, other_row)"
        """ VALUES (%s, 'price_range', 'first', '{"max": 12345678901234567890.12345678901234567890}', 'customers', 'x')""",
        profile.pk,
    )
    conflicts.decide(Which(profile_id=profile.pk), TAKE, by=manager, via="admin")
    shown = "SELECT date_of_birth::text, price_range::text FROM profiles WHERE id = %s"
    assert rows(shown, profile.pk) == [("0044-03-15 BC", '{"max": 12345678901234567890.12345678901234567890}')]
    born.refresh_from_db()
    batch = ConflictDecision.objects.get(pk=born.decision_id).batch
    conflicts.undo(ConflictDecision.objects.filter(batch=batch).values_list("pk", flat=True), by=manager, via="admin")
    assert rows(shown, profile.pk) == [("infinity", "{}")]


@pytest.mark.parametrize(
    ("field", "rule", "value", "reason"),
    [
        ("sms_consent", "consent", True, "A consent is never widened. Set it on the person's page when they give it."),
        ("is_verified", "consent", True, "A consent is never widened. Set it on the person's page when they give it."),
        ("tags", "shape", {"a": 1}, "The value is JSON of another shape than the column's. Edit the profile instead."),
        ("users.active", "login", True, "It is about the login. Activate or deactivate that instead."),
        ("orders.user_id", "order", "x", "It is about an order's person. Change the order instead."),
        (
            "customers.loyalty_points",
            "width",
            1,
            "One side cannot hold the value. Shorten it in the profile, and the sync carries it over.",
        ),
        ("loyalty_points", "first", 7, "loyalty_points cannot be chosen. Edit the profile instead."),
    ],
)
def test_what_cannot_be_taken_stays_open_but_can_be_kept_out(
    manager: User, field: str, rule: str, value: Any, reason: str
) -> None:
    found = lost(customer(), field, value, rule=rule)
    before = state()
    with pytest.raises(Problem) as refusal:
        conflicts.decide_one(found.profile_id, found.pk, TAKE, by=manager, via="api")
    assert (refusal.value.status_code, refusal.value.code, refusal.value.text) == (409, "not_takeable", reason)
    assert state() == before
    assert conflicts.decide_one(found.profile_id, found.pk, KEEP, by=manager, via="api").verdict == "keep"


# --- in bulk ------------------------------------------------------------------------------------------------------


def test_a_rule_decides_all_that_fits_it_and_nothing_else(manager: User) -> None:
    first, second = customer(phone="1", first_name="Ann"), customer(phone="2")
    phones = [lost(first, "phone", "8"), lost(second, "phone", "9", other_table="users")]
    name = lost(first, "first_name", "Anna")
    outcome = conflicts.decide(Which(field="phone", other_table="customers"), TAKE, by=manager, via="admin")
    assert outcome.taken == 1
    assert [c.pk for c in FieldConflict.objects.filter(resolved_at=None).order_by("id")] == [phones[1].pk, name.pk]
    first.refresh_from_db()
    assert (first.phone, first.first_name) == ("8", "Ann")


def test_of_several_values_for_one_cell_the_one_written_last_is_taken(manager: User) -> None:
    profile = customer(phone="1")
    early, late = (datetime.datetime(2020, month, 1, tzinfo=datetime.UTC) for month in (1, 6))
    others = []
    for phone, at in (("3", late), ("2", early)):
        other = customer(phone=phone)
        Profile.objects.filter(pk=other.pk).update(updated_at=at)
        others.append(other)
    for other in others:
        token = merging.preview(profile.pk, other.pk).token
        merging.merge(profile.pk, other.pk, token=token, by=None, via="api")
    outcome = conflicts.decide(Which(field="phone"), TAKE, by=manager, via="admin")
    assert (outcome.taken, outcome.kept) == (1, 1)
    profile.refresh_from_db()
    assert profile.phone == "3"
    verdicts = FieldConflict.objects.filter(field="phone").values_list("other_value", "decision__verdict")
    assert sorted(verdicts) == [("2", "keep"), ("3", "take")]


def test_the_newer_of_both_values_stands_and_unknown_times_decide_nothing(manager: User) -> None:
    early, late = (datetime.datetime(2020, month, 1, tzinfo=datetime.UTC) for month in (1, 6))
    people = []
    for own, theirs in ((early, late), (late, early)):
        profile, other = customer(phone="own"), customer(phone="theirs")
        Profile.objects.filter(pk=profile.pk).update(updated_at=own)
        Profile.objects.filter(pk=other.pk).update(updated_at=theirs)
        token = merging.preview(profile.pk, other.pk).token
        merging.merge(profile.pk, other.pk, token=token, by=None, via="api")
        people.append(profile)
    lost(customer(phone="own"), "phone", "unknown")
    outcome = conflicts.decide(Which(field="phone"), NEWER, by=manager, via="admin")
    assert (outcome.taken, outcome.kept, outcome.refused) == (
        *(1, 1),
        {"When the two values were written is not known.": 1},
    )
    assert [Profile.objects.get(pk=profile.pk).phone for profile in people] == ["theirs", "own"]


def test_the_number_of_queries_does_not_grow_with_the_conflicts(manager: User, django_assert_num_queries: Any) -> None:
    for number in range(30):
        lost(customer(phone="1"), "phone", str(number))
    with django_assert_num_queries(13):
        assert conflicts.decide(Which(field="phone"), TAKE, by=manager, via="admin").taken == 30


def test_at_most_so_many_are_decided_in_one_go(manager: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts, "MOST", 2)
    for number in range(3):
        lost(customer(), "phone", str(number))
    outcome = conflicts.decide(Which(field="phone"), KEEP, by=manager, via="admin")
    assert (outcome.kept, outcome.left) == (2, True)
    outcome = conflicts.decide(Which(field="phone"), KEEP, by=manager, via="admin")
    assert (outcome.kept, outcome.left) == (1, False)


# --- who ----------------------------------------------------------------------------------------------------------


def test_nobody_decides_for_another_tenant_or_what_they_do_not_see(manager: User) -> None:
    elsewhere = lost(person(tenant_id=uuid.uuid4()), "phone", "2")
    medical = lost(customer(), "medical_conditions", ["x"], rule="choice")
    before = state()
    for found in (elsewhere, medical):
        with pytest.raises(Problem) as refusal:
            conflicts.decide_one(found.profile_id, found.pk, TAKE, by=manager, via="api")
        assert (refusal.value.status_code, refusal.value.text) == (404, f"There is no conflict {found.pk}.")
    assert conflicts.decide(Which(), TAKE, by=manager, via="admin").taken == 0
    assert state() == before
    admin = UserFactory.create(role=Role.SUPER_ADMIN)
    assert conflicts.decide(Which(), TAKE, by=admin, via="admin").taken == 2
    decision = ConflictDecision.objects.get(field="medical_conditions")
    with pytest.raises(Problem) as refusal:
        conflicts.undo_one(decision.pk, by=manager, via="api")
    assert refusal.value.status_code == 404


# --- the way back -------------------------------------------------------------------------------------------------


def test_a_decision_is_not_undone_when_the_cell_was_edited_since(manager: User) -> None:
    profile = customer(phone="1")
    found = lost(profile, "phone", "2")
    decision = conflicts.decide_one(profile.pk, found.pk, TAKE, by=manager, via="api")
    Profile.objects.filter(pk=profile.pk).update(phone="3", first_name="since")
    before = state()
    with pytest.raises(Problem) as refusal:
        conflicts.undo_one(decision.pk, by=manager, via="api")
    assert (refusal.value.status_code, refusal.value.code, refusal.value.text) == (
        *(409, "not_undoable", "phone was edited since. Edit the profile instead."),
    )
    assert state() == before
    Profile.objects.filter(pk=profile.pk).update(phone="2")
    conflicts.undo_one(decision.pk, by=manager, via="api")
    profile.refresh_from_db()
    assert (profile.phone, profile.first_name) == ("1", "since")
    with pytest.raises(Problem) as refusal:
        conflicts.undo_one(decision.pk, by=manager, via="api")
    assert refusal.value.text == "It was undone already."


def test_a_decision_is_not_undone_while_the_profile_is_merged(manager: User) -> None:
    profile = customer(phone="1")
    found = lost(profile, "phone", "2")
    decision = conflicts.decide_one(profile.pk, found.pk, KEEP, by=manager, via="api")
    survivor = customer()
    token = merging.preview(survivor.pk, profile.pk).token
    done = merging.merge(survivor.pk, profile.pk, token=token, by=None, via="api")
    with pytest.raises(Problem) as refusal:
        conflicts.undo_one(decision.pk, by=manager, via="api")
    assert refusal.value.text == "The profile was merged since. Take that merge back first."
    unmerging.unmerge(done.pk, by=None, via="api")
    conflicts.undo_one(decision.pk, by=manager, via="api")
    found.refresh_from_db()
    assert (found.resolved_at, found.resolved_by, found.decision) == (None, None, None)


def test_an_erasure_leaves_nothing_of_what_was_decided(manager: User) -> None:
    profile = customer(phone="zzsecret1", preferences={"zzsecret2": 1})
    phone = lost(profile, "phone", "zzsecret3")
    part = lost(profile, "preferences", "zzsecret4", rule="merge", path="/zzsecret2")
    decisions = [conflicts.decide_one(profile.pk, c.pk, TAKE, by=manager, via="api").pk for c in (phone, part)]
    privacy.erase(profile.pk, reason="asked for it", by=None, via="api")
    assert rows("SELECT d::text FROM conflict_decisions AS d WHERE d::text LIKE '%zzsecret%'") == []
    for decision in decisions:
        with pytest.raises(Problem) as refusal:
            conflicts.undo_one(decision, by=manager, via="api")
        assert refusal.value.text == "The person was erased since."


def test_a_conflict_is_decided_once(manager: User) -> None:
    found = lost(customer(phone="1"), "phone", "2")
    conflicts.decide_one(found.profile_id, found.pk, KEEP, by=manager, via="api")
    with pytest.raises(Problem) as refusal:
        conflicts.decide_one(found.profile_id, found.pk, TAKE, by=manager, via="api")
    assert (refusal.value.code, refusal.value.text) == (
        "resolved",
        f"Conflict {found.pk} was decided already. Undo that first.",
    )


def test_what_is_taken_in_one_batch_and_undone_is_as_it_was(manager: User) -> None:
    profile = customer(phone="1", first_name="Ann", notes="one", tags=["a"])
    for name, value in (("phone", "2"), ("first_name", "Anna"), ("notes", "two"), ("phone", "3")):
        lost(profile, name, value, rule="choice")
    before = state()
    with transaction.atomic():
        outcome = conflicts.decide(Which(profile_id=profile.pk), TAKE, by=manager, via="admin")
    assert (outcome.taken, outcome.kept) == (3, 1)
    decisions = ConflictDecision.objects.filter(batch=outcome.batch).values_list("pk", flat=True)
    undone = conflicts.undo(decisions, by=manager, via="admin")
    assert (undone.undone, undone.refused) == (4, {})
    assert state() == before
    assert one("SELECT count(*) FROM conflict_decisions WHERE undone_by = %s", manager.pk) == 4
