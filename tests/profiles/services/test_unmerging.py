"""Merges at random, writes in between, and every merge taken back: each row of each table is what it was, but for the writes."""

import datetime
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from config.api.problems import Problem
from orders.models import Order
from orders.services import counting
from profiles import loyalty
from profiles.models import FieldConflict, MergeSuggestion, Profile, ProfileAlias, ProfileMerge
from profiles.services import merging, profile_service, unmerging
from profiles.services.merge_reversal import given_back
from profiles.services.merge_rules import CHOOSABLE
from tests.databases import rows, run
from tests.factories import OrderFactory, person

pytestmark = pytest.mark.django_db

# These tell what happened, and only grow; the marks say which hours the roll-up has to read anew.
GROWING = {"profile_history", "loyalty_entries", "profile_merges", "sales_dirty"}


def everything() -> dict[str, list[str]]:
    """Every row of every other table; of profiles without the time of the last change, which taking back is too."""
    tables = [
        name
        for (name,) in rows(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        if name not in GROWING
    ]
    assert {"profiles", "users", "orders", "field_conflicts", "merge_suggestions", "profile_aliases"} <= set(tables)
    statement = sql.SQL("SELECT (to_jsonb(t) - {left_out}::text[])::text FROM {table} AS t ORDER BY 1")
    return {
        table: [
            row
            for (row,) in rows(
                statement.format(
                    table=sql.Identifier(table), left_out=sql.Literal(["updated_at"] if table == "profiles" else [])
                )
            )
        ]
        for table in tables
    }


# --- people at random ---------------------------------------------------------------------------------------------

TEXTS = st.sampled_from([None, "", " ", "one", "two", "three"])
LISTS = st.lists(st.sampled_from(["a", "b", 1, True, {"x": 1}]), max_size=3) | st.just({"no": "list"})
OBJECTS = st.dictionaries(
    st.sampled_from("abc"),
    st.sampled_from([1, "", "x", None]) | st.dictionaries(st.sampled_from("de"), st.integers(0, 2)),
) | st.just(["no object"])
DATES = st.sampled_from([datetime.datetime(2020, month, 1, tzinfo=datetime.UTC) for month in (1, 2, 3)])
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("first_name", "phone", "contact_email", "address", "city", "language"), TEXTS),
    "notes": st.sampled_from([None, "one", "two", "one\n\ntwo"]),
    "country": st.sampled_from(["USA", "Canada", None]),
    "customer_type": st.sampled_from(["regular", "vip"]),
    "date_of_birth": st.none() | st.sampled_from([datetime.date(1990, 1, 1), datetime.date(1990, 1, 2)]),
    **dict.fromkeys(("tags", "needs", "purchase_history"), LISTS),
    "preferences": OBJECTS,
    "price_range": st.none() | st.just({"max": 1}),
    **dict.fromkeys(("marketing_consent", "sms_consent", "is_verified"), st.booleans()),
    **dict.fromkeys(("loyalty_points", "order_count", "interaction_count"), st.integers(-2, 5)),
    "total_spent": st.sampled_from([Decimal(0), Decimal("2.50")]),
    "last_order_date": st.none() | DATES,
}
PEOPLE = 4
PAIRS = [(left, right) for left in range(PEOPLE) for right in range(PEOPLE) if left != right]
WORLDS = st.fixed_dictionaries(
    {
        "people": st.lists(st.fixed_dictionaries(COLUMNS), min_size=PEOPLE, max_size=PEOPLE),
        "active": st.lists(st.booleans(), min_size=PEOPLE, max_size=PEOPLE),
        "created": st.lists(DATES, min_size=PEOPLE, max_size=PEOPLE),
        "orders": st.lists(st.tuples(st.integers(0, PEOPLE - 1), st.booleans()), max_size=4),
        "aliases": st.lists(st.integers(0, PEOPLE - 1), max_size=3),
        "conflicts": st.lists(
            st.tuples(st.integers(0, PEOPLE - 1), st.sampled_from(["phone", "city"]), st.sampled_from("xy")),
            unique=True,
            max_size=4,
        ),
        "suggestions": st.lists(
            st.tuples(st.sampled_from(PAIRS), st.sampled_from(["open", "dismissed"])),
            unique_by=lambda entry: entry[0],
            max_size=4,
        ),
    }
)


def fill(world: dict[str, Any]) -> list[Profile]:
    people = [
        person(active=active, **columns) for active, columns in zip(world["active"], world["people"], strict=True)
    ]
    for found, created in zip(people, world["created"], strict=True):
        Profile.objects.filter(pk=found.pk).update(created_at=created)
    for owner, counted in world["orders"]:
        amounts = {"counted_amount": Decimal(20), "counted_points": 20} if counted else {}
        OrderFactory.create(
            user=people[owner].user, created_at=datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC), **amounts
        )
    for owner in world["aliases"]:
        ProfileAlias.objects.create(id=uuid.uuid4(), profile=people[owner])
    for owner, name, source in world["conflicts"]:
        FieldConflict.objects.create(
            profile=people[owner],
            field=name,
            rule="first",
            other_value=source,
            other_table="customers",
            other_row=source,
        )
    for (left, right), status in world["suggestions"]:
        MergeSuggestion.objects.create(
            profile=people[left], other_profile=people[right], reason="birth_date", status=status
        )
    return people


# --- writes in between --------------------------------------------------------------------------------------------


@dataclass
class Writes:
    """What is written to people while they are merged. Each is a fresh value, so that it can be told from what merges bring."""

    number: int = 0
    done: list[Callable[[], None]] = field(default_factory=list)

    def write(self, profile: Profile, kind: str) -> None:
        self.number += 1
        change = getattr(self, kind)(profile, f"since {self.number}", uuid.uuid4())
        change()
        self.done.append(change)

    def text(self, profile: Profile, fresh: str, key: uuid.UUID) -> Callable[[], None]:
        return lambda: run("UPDATE profiles SET phone = %s WHERE id = %s", fresh, profile.pk)

    def home(self, profile: Profile, fresh: str, key: uuid.UUID) -> Callable[[], None]:
        return lambda: run(
            "UPDATE profiles SET address = %s, city = %s, state = %s, postal_code = %s, country = %s WHERE id = %s",
            *(fresh, fresh, fresh, fresh, fresh, profile.pk),
        )

    def tag(self, profile: Profile, fresh: str, key: uuid.UUID) -> Callable[[], None]:
        return lambda: run(
            "UPDATE profiles SET needs = needs || jsonb_build_array(%s::text)"
            " WHERE id = %s AND jsonb_typeof(needs) = 'array'",
            *(fresh, profile.pk),
        )

    def preference(self, profile: Profile, fresh: str, key: uuid.UUID) -> Callable[[], None]:
        return lambda: run(
            "UPDATE profiles SET preferences = preferences || jsonb_build_object('a', %s::text, %s::text, 1)"
            " WHERE id = %s AND jsonb_typeof(preferences) = 'object'",
            *(fresh, fresh, profile.pk),
        )

    def note(self, profile: Profile, fresh: str, key: uuid.UUID) -> Callable[[], None]:
        return lambda: run(
            "UPDATE profiles SET notes = coalesce(nullif(notes, '') || E'\\n\\n', '') || %s WHERE id = %s",
            *(fresh, profile.pk),
        )

    def points(self, profile: Profile, fresh: str, key: uuid.UUID) -> Callable[[], None]:
        return lambda: run("UPDATE profiles SET loyalty_points = loyalty_points + 7 WHERE id = %s", profile.pk)

    def order(self, profile: Profile, fresh: str, key: uuid.UUID) -> Callable[[], None]:
        dated = datetime.datetime(2022, 1, 1, tzinfo=datetime.UTC)

        def change() -> None:
            OrderFactory.create(id=key, order_number=fresh, user=profile.user, created_at=dated)
            Order.objects.filter(pk=key).update(updated_at=dated)

        return change

    def cancelled(self, profile: Profile, fresh: str, key: uuid.UUID) -> Callable[[], None]:
        return self._taken_back(profile, ended=True)

    def refund(self, profile: Profile, fresh: str, key: uuid.UUID) -> Callable[[], None]:
        return self._taken_back(profile, ended=False)

    def _taken_back(self, profile: Profile, *, ended: bool) -> Callable[[], None]:
        order_id = (
            Order.objects.filter(user=profile.user_id, counted_amount__isnull=False)
            .order_by("id")
            .values_list("id", flat=True)
            .first()
        )

        def change() -> None:
            if order_id is not None:
                order = Order.objects.get(pk=order_id)
                left = None if ended else 19
                Order.objects.filter(pk=order_id).update(counted_amount=left, counted_points=left)
                profile_service.record_purchase(
                    order.user_id,
                    amount=(left or 0) - order.counted_amount,
                    points=(left or 0) - order.counted_points,
                    orders=-1 if ended else 0,
                    at=None,
                    order_id=order_id,
                    reason="since",
                    by=None,
                    via="api",
                )

        return change


KINDS = [name for name in vars(Writes) if not name.startswith("_") and name not in ("number", "done", "write")]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(PAIRS),
        st.dictionaries(st.sampled_from(sorted(CHOOSABLE)), st.sampled_from(["survivor", "other"]), max_size=3),
        st.lists(st.tuples(st.integers(0, PEOPLE - 1), st.sampled_from(KINDS)), max_size=3),
    ),
    min_size=1,
    max_size=4,
)


def lists_and_objects(world: dict[str, Any]) -> bool:
    """Whether what is written later means the same before and after: nothing is added to JSON of the wrong shape."""
    return all(isinstance(p["needs"], list) and isinstance(p["preferences"], dict) for p in world["people"])


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(world=WORLDS, steps=STEPS, order=st.randoms(use_true_random=False))
def test_every_row_is_what_it_was_when_merges_at_random_are_taken_back_but_for_what_was_written_since(
    world: dict[str, Any], steps: list[Any], order: Any
) -> None:
    with transaction.atomic():
        people = fill(world)
        with transaction.atomic():
            merges, writes = [], Writes()
            for (survivor, other), choices, later in steps:
                given_ = {"choices": choices, "confirm": True}
                planned = merging.preview(people[survivor].pk, people[other].pk, **given_)
                if not planned.blockers:
                    merges.append(
                        merging.merge(
                            planned.survivor_id, planned.other_id, token=planned.token, by=None, via="api", **given_
                        ).pk
                    )
                for owner, kind in later:
                    profile = Profile.objects.get(pk=people[owner].pk)
                    if profile.merged_into_id is None and (
                        lists_and_objects(world) or kind not in ("tag", "preference")
                    ):
                        writes.write(profile, kind)
            while merges:
                order.shuffle(merges)
                merges = [pk for pk in merges if not taken_back(pk)]
            run("SET CONSTRAINTS ALL IMMEDIATE")
            assert loyalty.drift() == []
            found = everything()
            transaction.set_rollback(True)
        # The same writes to the same people, who were never merged.
        for change in writes.done:
            change()
        expected = everything()
        assert {
            table: set(found[table]) ^ set(expected[table]) for table in found if found[table] != expected[table]
        } == {}
        transaction.set_rollback(True)


def taken_back(merge_id: int) -> bool:
    """Whether a merge could be taken back by now: not before the later ones that hold on to it."""
    try:
        unmerging.unmerge(merge_id, by=None, via="api")
    except Problem as refusal:
        if refusal.code not in ("merged_again", "merged_since"):
            raise
        return False
    return True


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "before", "after", "now", "expected"),
    [
        ("phone", None, "1", "1", None),
        ("phone", None, "1", "2", "2"),
        ("tags", ["a"], ["a", "b"], ["a", "b", "c"], ["a", "c"]),
        ("tags", ["a"], ["a", "b"], ["b"], []),
        ("tags", ["a", 1], ["b"], ["b", True], ["a", 1, True]),
        ("tags", {"no": "list"}, ["b"], ["b", "c"], ["c"]),
        ("preferences", {"a": 1}, {"a": 1, "b": 2}, {"a": 3, "b": 2}, {"a": 3}),
        ("preferences", {"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {"a": {"b": 5, "c": 2}}, {"a": {"b": 5}}),
        ("preferences", {"a": 1, "x": 1}, {"b": 2}, {"b": 2, "c": 3}, {"a": 1, "x": 1, "c": 3}),
        ("notes", "one", "one\n\ntwo", "one\n\ntwo\n\nlater", "one\n\nlater"),
        ("notes", "one", "two\n\none", "two\n\none, corrected", "one, corrected"),
        ("notes", None, "two", "two\n\nlater", "later"),
        ("notes", "one", "two", "two\n\nlater", "one\n\nlater"),
        ("notes", "one", "one\n\ntwo", "rewritten", "rewritten"),
    ],
)
def test_what_a_merge_brought_goes_and_what_was_written_since_stays(
    column: str, before: Any, after: Any, now: Any, expected: Any
) -> None:
    home = dict.fromkeys(("address", "city", "state", "postal_code", "country"))
    found = given_back({column: before, **home}, {column: after}, {column: now, **home})
    assert found.get(column, now) == expected
    assert set(found) <= {column}


def test_an_address_of_which_a_part_was_corrected_since_stays_as_a_whole() -> None:
    survivor, other = person(), person(address="1 Main St", city="Toronto", postal_code="M5V")
    token = merging.preview(survivor.pk, other.pk).token
    done = merging.merge(survivor.pk, other.pk, token=token, by=None, via="api")
    Profile.objects.filter(pk=survivor.pk).update(postal_code="M5W")
    unmerging.unmerge(done.pk, by=None, via="api")
    survivor.refresh_from_db()
    assert (survivor.address, survivor.city, survivor.postal_code) == ("1 Main St", "Toronto", "M5W")


def test_a_merge_is_not_taken_back_before_a_later_one_into_the_same_profile() -> None:
    survivor, first, second = person(), person(loyalty_points=1), person(loyalty_points=2)
    done = []
    for other in (first, second):
        token = merging.preview(survivor.pk, other.pk).token
        done.append(merging.merge(survivor.pk, other.pk, token=token, by=None, via="api"))
    before = everything()
    with pytest.raises(Problem) as refused:
        unmerging.unmerge(done[0].pk, by=None, via="api")
    assert (refused.value.status_code, refused.value.code) == (409, "merged_since")
    assert refused.value.text == (
        f"Profile {second.pk} was merged into {survivor.pk} after that (merge {done[1].pk}). Take that merge back first."
    )
    assert everything() == before
    assert ProfileMerge.objects.filter(unmerged_at=None).count() == 2


def test_a_sale_that_was_cancelled_since_goes_back_with_its_order() -> None:
    survivor, other = person(), person(loyalty_points=20, total_spent=Decimal(20), order_count=1)
    order = OrderFactory.create(user=other.user, counted_amount=Decimal(20), counted_points=20)
    token = merging.preview(survivor.pk, other.pk).token
    done = merging.merge(survivor.pk, other.pk, token=token, by=None, via="api")
    order.refresh_from_db()
    counting.settle(order, ended=True, reason="cancelled", by=None, via="api")
    order.save()
    unmerging.unmerge(done.pk, by=None, via="api")
    found = [profile_service.get_profile_by_user_id(side.user_id) for side in (survivor, other)]
    assert [(p.order_count, p.total_spent, p.loyalty_points) for p in found if p] == [(0, 0, 0), (0, 0, 0)]


# --- suggestions --------------------------------------------------------------------------------------------------


def merged(survivor: Profile, other: Profile) -> ProfileMerge:
    token = merging.preview(survivor.pk, other.pk).token
    return merging.merge(survivor.pk, other.pk, token=token, by=None, via="api")


def suggestions() -> list[tuple[Any, ...]]:
    return sorted(MergeSuggestion.objects.values_list("profile_id", "other_profile_id", "status"))


def test_a_pair_that_was_dismissed_stays_so_when_one_of_them_is_merged_into_somebody_with_an_open_one() -> None:
    survivor, other, third = person(), person(), person()
    own = MergeSuggestion.objects.create(profile=survivor, other_profile=third, reason="birth_date")
    MergeSuggestion.objects.create(profile=third, other_profile=other, reason="birth_date", status="dismissed")
    before = suggestions()
    done = merged(survivor, other)
    own.refresh_from_db()
    assert own.status == "dismissed"
    unmerging.unmerge(done.pk, by=None, via="api")
    assert suggestions() == before


def test_a_suggestion_that_was_dismissed_while_merged_stays_dismissed_for_both() -> None:
    survivor, other, third = person(), person(), person()
    found = MergeSuggestion.objects.create(profile=other, other_profile=third, reason="birth_date")
    done = merged(survivor, other)
    MergeSuggestion.objects.filter(pk=found.pk).update(status="dismissed")
    unmerging.unmerge(done.pk, by=None, via="api")
    assert suggestions() == sorted([(other.pk, third.pk, "dismissed"), (survivor.pk, third.pk, "dismissed")])


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "pairs",
    [
        # The first merge dismisses what the second one decides.
        [((0, 1), "open"), ((0, 3), "dismissed"), ((1, 2), "open")],
        # The second merge dismisses what the first one moved.
        [((3, 2), "open"), ((1, 0), "dismissed")],
    ],
)
def test_what_two_merges_made_of_a_suggestion_is_undone_whichever_goes_first(pairs: Any, turned: bool) -> None:
    people = [person() for _ in range(4)]
    for (left, right), status in pairs:
        MergeSuggestion.objects.create(
            profile=people[left], other_profile=people[right], reason="birth_date", status=status
        )
    before = suggestions()
    merges = [merged(people[1], people[3]), merged(people[2], people[0])]
    for done in reversed(merges) if turned else merges:
        unmerging.unmerge(done.pk, by=None, via="api")
    assert suggestions() == before


def test_suggestions_follow_merges_of_both_sides_and_come_back_in_any_order() -> None:
    first, second, third, fourth = (person() for _ in range(4))
    MergeSuggestion.objects.create(profile=second, other_profile=third, reason="birth_date")
    one, two = merged(first, second), merged(fourth, third)
    assert suggestions() == [(first.pk, fourth.pk, "open")]
    unmerging.unmerge(one.pk, by=None, via="api")
    assert suggestions() == [(second.pk, fourth.pk, "open")]
    unmerging.unmerge(two.pk, by=None, via="api")
    assert suggestions() == [(second.pk, third.pk, "open")]
