"""Every new user gets exactly one profile."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core import serializers
from django.db import connection, transaction

from accounts.models import User
from profiles.models import Profile
from profiles.signals import give_profiles_on_bulk_create

pytestmark = pytest.mark.django_db


def profiles_of(*users: User) -> list[int]:
    return [Profile.objects.filter(user=user.pk).count() for user in users]


def test_created_user_has_one_profile() -> None:
    ann = User.objects.create_user("ann@x.com")
    guest = User.objects.create_user(None)
    direct = User(email="direct@x.com")
    direct.save()
    assert profiles_of(ann, guest, direct) == [1, 1, 1]
    assert Profile.objects.get(user=ann).customer_type == "regular"


def test_saved_again_user_keeps_the_profile() -> None:
    ann = User.objects.create_user("ann@x.com")
    before = Profile.objects.get(user=ann).pk
    ann.active = False
    ann.save()
    assert Profile.objects.get(user=ann).pk == before


def test_bulk_created_users_have_one_profile_each() -> None:
    users = User.objects.bulk_create([User(email=f"{n}@x.com") for n in range(2500)], batch_size=500)
    assert Profile.objects.filter(user__in=users).count() == Profile.objects.count() == 2500


def test_bulk_create_of_nobody_does_nothing() -> None:
    assert User.objects.bulk_create([]) == []
    assert not Profile.objects.exists()


def test_bulk_create_that_ignores_conflicts_gives_profiles_to_the_new_alone() -> None:
    ann = User.objects.create_user("ann@x.com")
    before = Profile.objects.get(user=ann).pk
    tried = [User(email="ann@x.com"), User(email="new@x.com"), User(id=ann.pk, email="other@x.com")]
    User.objects.bulk_create(tried, ignore_conflicts=True)
    assert sorted(User.objects.values_list("email", flat=True)) == ["ann@x.com", "new@x.com"]
    assert Profile.objects.count() == 2
    assert Profile.objects.get(user=ann).pk == before
    assert profiles_of(User.objects.get(email="new@x.com")) == [1]


def test_bulk_create_that_updates_conflicts_keeps_the_profile() -> None:
    ann = User.objects.create_user("ann@x.com")
    before = Profile.objects.get(user=ann).pk
    User.objects.bulk_create(
        [User(id=ann.pk, email="ann@x.com", active=False)],
        update_conflicts=True,
        update_fields=["active"],
        unique_fields=["id"],
    )
    assert User.objects.get().active is False
    assert Profile.objects.get().pk == before


def test_profile_goes_with_the_transaction_that_made_the_user() -> None:
    with transaction.atomic():
        User.objects.create_user("ann@x.com")
        transaction.set_rollback(True)
    assert (User.objects.count(), Profile.objects.count()) == (0, 0)


def test_users_relation_is_fresh() -> None:
    ann = User.objects.create_user("ann@x.com")
    assert ann.profile == Profile.objects.get()


@pytest.mark.parametrize("own_profile", [False, True])
def test_loaded_fixture_brings_its_own_profile(own_profile: bool) -> None:
    user, profile = str(uuid.uuid4()), str(uuid.uuid4())
    rows: list[dict[str, object]] = [
        {"model": "accounts.user", "pk": user, "fields": {"email": "ann@x.com", "password": "!"}}
    ]
    if own_profile:
        rows.append({"model": "profiles.profile", "pk": profile, "fields": {"user": user, "first_name": "Ann"}})
    for row in serializers.deserialize("python", rows):
        row.save()  # as loaddata does: raw=True
    assert list(Profile.objects.values_list("pk", "first_name")) == (
        [(uuid.UUID(profile), "Ann")] if own_profile else []
    )


def in_eight_threads(work: Callable[[], object]) -> list[object]:
    """The results of `work`, begun at once on eight connections; an error is raised."""
    start = threading.Barrier(8)

    def run(_: int) -> object:
        try:
            start.wait()
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(run, range(8)))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", range(5))
def test_user_raced_by_eight_threads_is_one_with_one_profile(number: int) -> None:
    made: list[Any] = in_eight_threads(lambda: User.objects.get_or_create(email=f"{number}@x.com"))
    assert sorted(created for _, created in made) == [False] * 7 + [True]
    assert len({user.pk for user, _ in made}) == 1
    assert (User.objects.count(), Profile.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_profiles_raced_by_eight_threads_are_one_each() -> None:
    users = User.objects.bulk_create([User(email=f"{n}@x.com") for n in range(20)])
    Profile.objects.all().delete()
    in_eight_threads(lambda: give_profiles_on_bulk_create(users=users, using="default"))
    assert profiles_of(*users) == [1] * 20
