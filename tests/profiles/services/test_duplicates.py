"""Duplicates since the take-over: what is found, with which score, what is not, and what stays dismissed."""

import datetime
import uuid
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from accounts.models import User
from accounts.roles import Role
from config.api.problems import Problem
from profiles import matching
from profiles.models import MergeSuggestion, Profile
from profiles.services import duplicates, merging, privacy, unmerging
from tests.databases import another_session, one, rows
from tests.factories import UserFactory, person
from tests.labelled import labelled, store

pytestmark = pytest.mark.django_db

BORN = datetime.date(1990, 5, 17)
HOME = {"address": "12 Main Street", "city": "Toronto", "postal_code": "M5V 1A1"}


def suggested() -> list[tuple[Any, ...]]:
    return sorted(MergeSuggestion.objects.values_list("profile_id", "other_profile_id", "status", "reason", "score"))


def change(profile: Profile, **columns: Any) -> None:
    """As in life, in a transaction of its own: what was written since is known by its transaction."""
    with transaction.atomic():
        Profile.objects.filter(pk=profile.pk).update(**columns)


def admin() -> User:
    found: User = UserFactory.create(role=Role.SUPER_ADMIN)
    return found


# --- what speaks for it -------------------------------------------------------------------------------------------

ANN = {"first_name": "Ann", "last_name": "Lee"}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, int], str | None]] = {
    "same phone and name, as typed elsewhere": (
        ANN | {"phone": "+1 (416) 555-0134"},
        {"first_name": "LÉE", "last_name": "ann", "phone": "4165550134 ext 7"},
        {"phone": 35, "same_name": 30},
        "same_phone",
    ),
    "same name and birth date": (
        ANN | {"date_of_birth": BORN},
        ANN | {"date_of_birth": BORN},
        {"same_name": 30, "birth_date": 25},
        "name_birth_date",
    ),
    "similar name and address": (
        ANN | HOME,
        {"first_name": "Anne", "last_name": "Lea", "address": "12 Main St.", "postal_code": "m5v1a1"},
        {"similar_name": 25, "address": 25},
        "name_address",
    ),
    "an initial": (
        ANN | {"phone": "4165550134"},
        {"first_name": "A.", "last_name": "Lee", "phone": "4165550134"},
        {"phone": 35, "similar_name": 25},
        "same_phone",
    ),
    "another last name since, with phone and birth date": (
        ANN | {"phone": "4165550134", "date_of_birth": BORN},
        {"first_name": "Ann", "last_name": "Brown", "phone": "4165550134", "date_of_birth": BORN},
        {"phone": 35, "birth_date": 25},
        "same_phone",
    ),
    "day and month exchanged": (
        ANN | HOME | {"date_of_birth": datetime.date(1990, 5, 7)},
        ANN | HOME | {"date_of_birth": datetime.date(1990, 7, 5)},
        {"same_name": 30, "address": 25, "birth_date_slip": -5},
        "name_birth_date",
    ),
    "twins who share everything": (
        {"first_name": "Tom", "last_name": "Lee", "phone": "4165550134", "date_of_birth": BORN, **HOME},
        {"first_name": "Ann", "last_name": "Lee", "phone": "4165550134", "date_of_birth": BORN, **HOME},
        {"phone": 35, "birth_date": 25, "address": 25, "other_first_name": -80},
        None,
    ),
    "a father and a son of his name": (
        ANN | HOME | {"phone": "4165550134", "date_of_birth": BORN},
        ANN | HOME | {"phone": "4165550134", "date_of_birth": datetime.date(2012, 1, 2)},
        {"phone": 35, "same_name": 30, "address": 25, "other_birth_date": -60},
        None,
    ),
    "a phone alone": ({"phone": "4165550134"}, {"phone": "4165550134"}, {"phone": 35}, None),
}


@pytest.mark.parametrize("case", PAIRS)
def test_a_pair_scores_the_sum_of_what_speaks_for_it(case: str) -> None:
    left, right, evidence, reason = PAIRS[case]
    pair = [person(**left), person(**right)]
    open_ = MergeSuggestion.objects.create(profile=pair[0], other_profile=pair[1], reason="birth_date")
    duplicates.find()
    open_.refresh_from_db()
    score = max(0, min(100, sum(evidence.values())))
    assert (open_.evidence, open_.score) == (evidence, score)
    assert (score >= matching.SUGGESTED_FROM) is (reason is not None)
    MergeSuggestion.objects.all().delete()
    for found in pair:
        change(found, notes="touched")
    found = duplicates.find()
    assert (found.looked_at, found.suggested) == (2, int(reason is not None))
    assert [entry[3:] for entry in suggested()] == ([(reason, score)] if reason else [])


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("match_phone('+1 (416) 555-0134')", "4165550134"),
        ("match_phone('0044 20 7946 0958 #12')", "2079460958"),
        ("match_phone('555 0134')", "5550134"),
        ("match_phone('555')", None),
        ("match_phone('000-000-0000')", None),
        ("match_fold('  Élan-MÜLLER, Dr. ')", "elan muller dr"),
        ("match_words('Ann  Mary', 'O''Neil')", "ann mary neil o"),
        ("match_words('Ann', ' ')", None),
        ("match_initials('bob', 'Ann')", "ab"),
        ("match_initials(NULL, 'Ann')", None),
        ("match_house('Apt. 4, 12 Main Street')", "4"),
        ("match_house('The Old Mill, Main Street')", "theoldmillma"),
        ("round(match_likeness('jon', 'john')::numeric, 2)::text", "0.67"),
        ("match_likeness('same', 'same')::text", "1"),
    ],
)
def test_texts_are_folded_without_extensions(call: str, expected: str | None) -> None:
    assert one(f"SELECT {call}") == expected


def test_who_could_log_in_stays_else_who_came_first() -> None:
    guest, account = person(**ANN, phone="4165550134"), person(**ANN, phone="4165550134", password="correct horse 7")
    User.objects.filter(pk=guest.user_id).update(email=None)
    Profile.objects.filter(pk=guest.pk).update(created_at=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    older, newer = person(first_name="Bob", last_name="Ray", phone="2"), person(first_name="Bob", last_name="Ray")
    for found, year in ((older, 2020), (newer, 2021)):
        at = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC)
        User.objects.filter(pk=found.user_id).update(email=None)
        Profile.objects.filter(pk=found.pk).update(created_at=at, phone="4165550199")
    duplicates.find()
    assert {entry[:2] for entry in suggested()} == {(guest.pk, account.pk), (newer.pk, older.pk)}


def test_nobody_is_suggested_with_another_tenant_or_who_was_erased_or_merged() -> None:
    columns = ANN | {"phone": "4165550134"}
    person(**columns, tenant_id=uuid.uuid4())
    erased = person(**columns)
    Profile.objects.filter(pk=erased.pk).update(erased_at=datetime.datetime.now(datetime.UTC))
    survivor = person(**columns)
    shell = person(**columns)
    token = merging.preview(survivor.pk, shell.pk).token
    merging.merge(survivor.pk, shell.pk, token=token, by=None, via="api")
    found = duplicates.find()
    assert (found.looked_at, found.suggested) == (4, 0)


def test_a_number_that_too_many_share_says_nothing() -> None:
    for _ in range(matching.MOST_PER_KEY + 1):
        person(first_name="Ann", last_name="Lee", phone="4165550134")
    assert duplicates.find().suggested == 0


# --- again and again ----------------------------------------------------------------------------------------------


def test_only_who_was_written_since_is_looked_at_again_however_that_was() -> None:
    first, second = person(**ANN), person(**ANN, phone="4165550134")
    assert (duplicates.find().looked_at, duplicates.find().looked_at) == (2, 0)
    change(first, phone="416 555 0134")
    found = duplicates.find()
    assert (found.looked_at, found.suggested, found.left) == (1, 1, False)
    assert [entry[3:] for entry in suggested()] == [("same_phone", 65)]
    change(second, phone="4165550199")
    assert duplicates.find().scored == 1
    assert [entry[2:] for entry in suggested()] == [("open", "same_phone", 30)]


def test_a_search_goes_on_where_its_time_was_over() -> None:
    for _ in range(5):
        person(**ANN, phone="4165550134")
    told: list[int] = []
    found = duplicates.find(seconds=-1, batch=2, tell=lambda found: told.append(found.looked_at))
    assert (found.looked_at, found.left, told) == (0, True, [])
    found = duplicates.find(batch=2, tell=lambda found: told.append(found.looked_at))
    assert (found.looked_at, found.suggested, found.left, told) == (5, 10, False, [2, 4, 5])


def test_a_dismissed_pair_stays_dismissed_after_searches_and_merges() -> None:
    pair = [person(**ANN, phone="4165550134") for _ in range(2)]
    duplicates.find()
    (suggestion,) = MergeSuggestion.objects.all()
    by = admin()
    assert duplicates.dismiss([suggestion.pk], by=by) == 1
    for found in pair:
        change(found, notes="touched")
    assert (duplicates.find().suggested, suggested()[0][2]) == (0, "dismissed")
    third = person(first_name="Zoe", last_name="Zimmer")
    token = merging.preview(third.pk, suggestion.profile_id).token
    done = merging.merge(third.pk, suggestion.profile_id, token=token, by=None, via="api")
    change(third, **ANN, phone="416 555 0134")
    assert duplicates.find().suggested == 0
    assert [entry[2] for entry in suggested()] == ["dismissed"]
    unmerging.unmerge(done.pk, by=None, via="api")
    for found in pair:
        change(found, notes="touched again")
    assert duplicates.find().suggested == 2  # the third, who was given the columns since, with each of them
    suggestion.refresh_from_db()
    assert (suggestion.status, suggestion.decided_by) == ("dismissed", by)
    assert duplicates.reopen([suggestion.pk], by=by) == 1
    suggestion.refresh_from_db()
    assert (suggestion.status, suggestion.decided_by, suggestion.decided_at) == ("open", None, None)


def test_a_pair_stays_dismissed_when_one_was_merged_behind_the_suggestions() -> None:
    """As the sync merges a guest whose row the old application linked: the suggestion stays with the shell."""
    pair = [person(**ANN, phone="4165550134") for _ in range(2)]
    duplicates.find()
    (suggestion,) = MergeSuggestion.objects.all()
    duplicates.dismiss([suggestion.pk], by=admin())
    third = person(**ANN, phone="4165550134")
    with transaction.atomic():
        Profile.objects.filter(pk=pair[0].pk).update(merged_into=third)
    assert duplicates.find().suggested == 0


def test_nobody_dismisses_for_another_tenant() -> None:
    for _ in range(2):
        person(**ANN, phone="4165550134", tenant_id=uuid.UUID(int=1))
    duplicates.find()
    (suggestion,) = MergeSuggestion.objects.all()
    elsewhere = UserFactory.create(role=Role.STORE_MANAGER, tenant_id=uuid.UUID(int=2))
    assert duplicates.dismiss([suggestion.pk], by=elsewhere) == 0
    assert suggested()[0][2] == "open"


def test_erasing_a_person_takes_their_keys_away() -> None:
    profile = person(**ANN, phone="4165550134", date_of_birth=BORN, **HOME)
    duplicates.find()
    found = rows("SELECT phone IS NULL, born IS NULL, home IS NULL FROM duplicate_keys")
    assert found == [(False, False, False)]
    privacy.erase(profile.pk, reason="asked for it", by=None, via="api")
    assert rows("SELECT * FROM duplicate_keys") == []
    duplicates.find()
    assert rows("SELECT phone, born, home FROM duplicate_keys") == [(None, None, None)]


@pytest.mark.django_db(transaction=True)
def test_two_searches_do_not_run_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with another_session() as session:
        session.execute("SELECT pg_advisory_xact_lock(%s)", [duplicates.ONE_AT_A_TIME])
        with pytest.raises(Problem) as refusal:
            duplicates.find()
        assert (refusal.value.status_code, refusal.value.code) == (409, "busy")
    call_command("find_duplicates")
    assert "0 profiles looked at, 0 pairs compared, 0 suggested, 0 open ones scored." in capsys.readouterr().out


# --- precision ----------------------------------------------------------------------------------------------------


def test_precision_and_recall_on_people_of_whom_it_is_known_who_is_whom() -> None:
    made = labelled(2000, seed=7)
    who = store(made)
    found = duplicates.find()
    pairs = list(MergeSuggestion.objects.values_list("profile_id", "other_profile_id"))
    # Of ten that are suggested nine are right, and of ten that there are nine are found.
    right = sum(who[left] == who[right] for left, right in pairs)
    assert (len(who), made.pairs(), found.suggested, right) == (2111, 111, 109, 101)
