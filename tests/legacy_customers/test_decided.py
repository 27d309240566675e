"""Conflicts of a shop that was taken over, decided: the judge and the sync see ordinary changes."""

from collections import Counter

import pytest
from django.db import connection

from accounts.models import User
from accounts.roles import Role
from legacy_customers.sample.persons import row_id
from legacy_customers.unification.verify import verify
from profiles.models import ConflictDecision, FieldConflict, Profile
from profiles.services import conflicts
from profiles.services.conflicts import KEEP, NEWER, TAKE, Which
from profiles.sources import written
from tests.databases import one, rows
from tests.legacy_customers.test_erasure import shared, undone
from tests.legacy_customers.test_verify import failed

__all__ = ["shared", "undone"]

PEOPLE = "SELECT (to_jsonb(p) - 'updated_at')::text FROM profiles AS p ORDER BY 1"
CONFLICTS = "SELECT f::text FROM field_conflicts AS f WHERE rule <> 'width' ORDER BY 1"


def admin() -> User:
    found: User = User.objects.filter(role=Role.SUPER_ADMIN).order_by("id")[0]
    return found


@pytest.mark.parametrize("verdict", [TAKE, NEWER])
def test_the_judge_passes_after_all_conflicts_were_decided_and_after_that_was_undone(
    undone: None, verdict: str
) -> None:
    people, before = rows(PEOPLE), rows(CONFLICTS)
    outcome = conflicts.decide(Which(), verdict, by=admin(), via="admin")
    assert (outcome.taken if verdict == TAKE else outcome.kept) > 30
    assert (rows(PEOPLE) == people) is (outcome.taken == 0)
    assert failed(verify(connection)) == {}
    decisions = ConflictDecision.objects.values_list("pk", flat=True)
    back = conflicts.undo(list(decisions), by=admin(), via="admin")
    assert (back.undone, back.refused) == (len(decisions), Counter())
    assert rows(PEOPLE) == people
    assert rows(CONFLICTS) == before
    assert failed(verify(connection)) == {}


def test_the_judge_passes_after_everything_was_kept_out(undone: None) -> None:
    outcome = conflicts.decide(Which(), KEEP, by=admin(), via="admin")
    assert outcome.kept == FieldConflict.objects.count()
    assert failed(verify(connection)) == {}


def test_what_is_taken_is_in_the_old_tables_too(undone: None) -> None:
    customer = row_id("names_disagree", "customers")
    found = FieldConflict.objects.get(profile=customer, field="first_name", other_table="users")
    conflicts.decide_one(customer, found.pk, TAKE, by=admin(), via="admin")
    profile = Profile.objects.get(pk=customer)
    assert profile.first_name == found.other_value
    assert one("SELECT first_name FROM customers WHERE id = %s", customer) == found.other_value
    assert one("SELECT first_name FROM users WHERE id = %s", profile.user_id) == found.other_value
    assert failed(verify(connection)) == {}


def test_both_sources_of_a_conflict_have_their_dates(undone: None) -> None:
    keys = set()
    for found in FieldConflict.objects.exclude(rule__in=["order", "width"]):
        keys |= {(found.chosen_table or "", found.chosen_row or ""), (found.other_table, found.other_row)}
    known = written(keys)
    unknown = {key for key in keys if key not in known and key[0] not in ("", "profiles")}
    assert unknown == set()
    assert {source for source, _ in known} == {"customers", "users", "customer_profiles", "user_profiles"}
    assert all(found.address is not None for (source, _), found in known.items() if source == "customers")
