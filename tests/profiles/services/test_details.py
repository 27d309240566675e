"""A profile's columns: what is checked, what is written, and what a stale version loses."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from accounts.models import User
from accounts.roles import Role
from config.api.problems import Problem
from profiles import selectors
from profiles.models import Profile, ProfileHistory
from profiles.services import profile_service
from tests.databases import one, run
from tests.factories import UserFactory, person

pytestmark = pytest.mark.django_db


def version(profile: Profile) -> str:
    found = selectors.customer_json(profile.pk, viewer=None)
    assert found is not None
    return found[1]


def test_changed_columns_are_written_and_signed() -> None:
    profile, author = person(first_name="Ann", city="Paris"), UserFactory()
    after = profile_service.update_profile(
        profile.user_id, {"first_name": "Anna", "city": "Paris", "tags": ["vip"]}, by=author, via="admin"
    )
    assert (after.first_name, after.tags) == ("Anna", ["vip"])
    trace = ProfileHistory.objects.filter(profile=profile).latest("id")
    assert (trace.changed_by, trace.via) == (author.pk, "admin")
    assert {name: change for name, change in trace.changes.items() if name != "updated_at"} == {
        "first_name": {"old": "Ann", "new": "Anna"},
        "tags": {"old": [], "new": ["vip"]},
    }


def test_nothing_changed_writes_nothing() -> None:
    profile = person(first_name="Ann", preferences={"a": 1})
    before = one("SELECT xmin::text FROM profiles WHERE id = %s", profile.pk)
    profile_service.update_profile(profile.user_id, {"first_name": "Ann", "preferences": {"a": 1}})
    assert one("SELECT xmin::text FROM profiles WHERE id = %s", profile.pk) == before


def test_true_is_not_one_in_json() -> None:
    profile = person(preferences={"a": 1})
    profile_service.update_profile(profile.user_id, {"preferences": {"a": True}})
    assert one("SELECT preferences FROM profiles WHERE id = %s", profile.pk) == '{"a": true}'


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("first_name", "x" * 101, "Ensure this value has at most 100 characters (it has 101)."),
        ("phone", "x" * 51, "Ensure this value has at most 50 characters (it has 51)."),
        ("first_name", "a\0b", "first_name holds a NUL character. Leave it out."),
        ("marketing_consent", None, "“None” value must be either True or False."),
        ("marketing_consent", "maybe", "“maybe” value must be either True or False."),
        ("customer_type", "", "This field cannot be blank."),
        ("tags", {"a": 1}, "tags is a list, not dict."),
        ("tags", "vip", "tags is a list, not str."),
        ("preferences", [], "preferences is an object, not list."),
        ("preferences", None, "preferences is an object, not NoneType."),
        ("price_range", [1], "price_range is an object or null, not list."),
        ("preferred_effects", deep(70), "preferred_effects is nested more than 64 levels deep. Send it flatter."),
        ("date_of_birth", "1990-13-01", None),
        ("interaction_count", True, "interaction_count is a whole number."),
        ("interaction_count", 2**63, "Ensure this value is less than or equal to 9223372036854775807."),
        ("is_active", "yes", "is_active is true or false."),
        (
            "loyalty_points",
            5,
            "loyalty_points is a sum and cannot be set. Use update_loyalty_points, with a reason.",
        ),
        ("total_spent", 5, "total_spent is a sum and cannot be set. Use update_purchase_stats."),
        ("id", uuid.uuid4(), "A profile has no 'id' that can be written."),
        ("user", 1, "A profile has no 'user' that can be written."),
        ("merged_into", None, "A profile has no 'merged_into' that can be written."),
        ("search_text", "x", "A profile has no 'search_text' that can be written."),
        ("nonsense", 1, "A profile has no 'nonsense' that can be written."),
    ],
)
def test_value_that_does_not_fit_is_refused_by_name(name: str, value: Any, text: str | None) -> None:
    profile = person(first_name="Ann")
    before = one("SELECT xmin::text FROM profiles WHERE id = %s", profile.pk)
    with pytest.raises(ValidationError) as caught:
        profile_service.update_profile(profile.user_id, {"city": "Paris", name: value})
    assert list(caught.value.message_dict) == [name]
    if text is not None:
        assert caught.value.message_dict[name] == [text]
    assert one("SELECT xmin::text FROM profiles WHERE id = %s", profile.pk) == before


def test_stale_version_writes_nothing() -> None:
    profile = person(city="Paris")
    seen = version(profile)
    Profile.objects.filter(pk=profile.pk).update(city="Lyon")
    # Within one transaction xmin is the same: the other writer's is pretended.
    with pytest.raises(Problem) as caught:
        profile_service.update_profile(profile.user_id, {"city": "Nice"}, expected="1-" + seen.split("-")[1])
    assert (caught.value.status_code, caught.value.code) == (412, "precondition_failed")
    profile.refresh_from_db()
    assert profile.city == "Lyon"


def test_version_changes_with_what_is_shown_of_the_login() -> None:
    profile = person()
    seen = version(profile)
    User.objects.filter(pk=profile.user_id).update(last_login=None, email_verified=False)
    assert version(profile) == seen
    User.objects.filter(pk=profile.user_id).update(active=False)
    assert version(profile) != seen


@pytest.mark.django_db(transaction=True)
def test_two_writers_with_one_version_only_one_wins() -> None:
    profile = person(city="Paris")
    for turn in range(5):
        seen, start = version(profile), threading.Barrier(2)

        def write(city: str, seen: str = seen, start: threading.Barrier = start) -> str:
            try:
                start.wait()
                profile_service.update_profile(profile.user_id, {"city": city}, expected=seen)
                return city
            except Problem as problem:
                return problem.code
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            outcome = sorted(pool.map(write, [f"a{turn}", f"b{turn}"]))
        winner = outcome[0]
        assert outcome == [winner, "precondition_failed"]
        profile.refresh_from_db()
        assert profile.city == winner


@pytest.mark.parametrize(
    ("by", "of", "allowed"),
    [
        (Role.STAFF, Role.CUSTOMER, True),
        (Role.STAFF, "user", False),
        (Role.STAFF, None, False),
        (Role.STAFF, Role.STAFF, False),
        (Role.STAFF, Role.SUPER_ADMIN, False),
        (Role.TENANT_ADMIN, Role.STORE_MANAGER, True),
        (Role.SUPER_ADMIN, Role.SUPER_ADMIN, True),
    ],
)
def test_nobody_deactivates_who_ranks_as_high(by: Role, of: str | None, allowed: bool) -> None:
    author, profile = UserFactory(role=by), person(role=of)
    allowed = allowed or of in ("user", None)  # an unknown role is a customer's rank
    if allowed:
        profile_service.update_profile(profile.user_id, {"is_active": False}, by=author)
    else:
        with pytest.raises(Problem) as caught:
            profile_service.update_profile(profile.user_id, {"is_active": False, "city": "x"}, by=author)
        assert (caught.value.status_code, caught.value.code) == (403, "permission_denied")
    profile.refresh_from_db()
    assert (profile.user.active, profile.city) == (not allowed, None)


def test_profile_is_made_for_a_user_without_one() -> None:
    user = UserFactory()
    assert profile_service.get_or_create_profile(user.pk) == (user.profile, False)
    user.profile.delete()
    profile, created = profile_service.get_or_create_profile(user.pk, first_name="Ann", tags=["new"])
    assert (created, profile.user_id, profile.first_name, profile.tags) == (True, user.pk, "Ann", ["new"])
    assert profile_service.get_or_create_profile(user.pk, first_name="Bob")[0].first_name == "Ann"
    assert profile_service.get_profile_by_user_id(user.pk) == profile


def test_profile_of_nobody_is_not_made() -> None:
    nobody = uuid.uuid4()
    with pytest.raises(Problem, match=f"There is no user {nobody}"):
        profile_service.get_or_create_profile(nobody)
    assert profile_service.get_profile_by_user_id(nobody) is None
    assert profile_service.get_profile_by_user_id("anonymous") is None
    assert Profile.objects.count() == 0


def test_date_beyond_python_is_kept() -> None:
    profile = person()
    run("UPDATE profiles SET date_of_birth = '0044-03-15 BC', last_order_date = 'infinity' WHERE id = %s", profile.pk)
    profile_service.update_profile(profile.user_id, {"city": "Rome"})
    assert one("SELECT date_of_birth::text || last_order_date::text FROM profiles") == "0044-03-15 BCinfinity"


def test_writing_to_a_shell_reaches_who_it_was_merged_into() -> None:
    survivor, shell = person(), person()
    Profile.objects.filter(pk=shell.pk).update(merged_into=survivor)
    assert profile_service.update_profile(shell.user_id, {"city": "Rome"}).pk == survivor.pk
    shell.refresh_from_db()
    assert shell.city is None
