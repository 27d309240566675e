"""Merging people of a shop that was taken over: the judge follows a merge that left its trace, and no other."""

import uuid

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from psycopg import sql

from accounts.models import User
from accounts.roles import Role
from legacy_customers.sample.persons import row_id
from legacy_customers.unification.verify import verify
from profiles.models import MergeSuggestion, Profile, ProfileMerge
from profiles.services import conflicts, duplicates, merging, unmerging
from tests.databases import one, rows, run
from tests.legacy_customers.test_erasure import customers, profile_of, shared, undone
from tests.legacy_customers.test_verify import failed, silently

__all__ = ["shared", "undone"]


def merge(survivor: Profile, other: Profile) -> ProfileMerge:
    token = merging.preview(survivor.pk, other.pk, confirm=True).token
    return merging.merge(survivor.pk, other.pk, token=token, confirm=True, by=None, via="api")


def merge_in_pairs(people: list[uuid.UUID]) -> list[ProfileMerge]:
    done = []
    for first, second in zip(people[::2], people[1::2], strict=False):
        if not merging.preview(first, second, confirm=True).blockers:
            done.append(merge(Profile.objects.get(pk=first), Profile.objects.get(pk=second)))
    return done


def test_the_judge_passes_after_every_pair_was_merged_and_after_every_merge_was_taken_back(undone: None) -> None:
    tables = ("orders", "profile_aliases", "field_conflicts", "merge_suggestions")
    before = {table: rows(f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in tables}
    # The second copy of personal data beside a login says the same afterwards, but blank where it was empty.
    columns = [field.name for field in User._meta.concrete_fields if field.name != "updated_at"]
    users = list(User.objects.order_by("id").values_list(*columns))
    profiles = "SELECT (to_jsonb(p) - 'updated_at')::text FROM profiles AS p ORDER BY 1"
    people = rows(profiles)
    done = merge_in_pairs(customers())
    done += merge_in_pairs([entry.survivor_id for entry in done])
    assert len(done) > 200
    assert failed(verify(connection)) == {}
    for entry in reversed(done):
        unmerging.unmerge(entry.pk, by=None, via="api")
    assert rows(profiles) == people
    assert list(User.objects.order_by("id").values_list(*columns)) == users
    assert {table: rows(f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in tables} == before
    assert failed(verify(connection)) == {}


def test_every_suggested_pair_can_be_merged(undone: None) -> None:
    for suggestion in MergeSuggestion.objects.filter(status="open").order_by("id"):
        pair = [
            Profile.objects.by_customer_id(profile_id).get()
            for profile_id in (suggestion.other_profile_id, suggestion.profile_id)
        ]
        if not merging.preview(*(side.pk for side in pair), confirm=True).blockers:
            merge(*pair)
    assert ProfileMerge.objects.count() > 5
    assert failed(verify(connection)) == {}


def test_a_merge_that_left_no_trace_is_caught(undone: None) -> None:
    survivor, other = profile_of(row_id("linked", "customers")), profile_of(row_id("names_disagree", "customers"))
    silently(
        "UPDATE profiles SET merged_into_id = %s, loyalty_points = 0, total_spent = 0, order_count = 0,"
        " interaction_count = 0 WHERE id = %s",
        survivor.pk,
        other.pk,
    )
    assert f"customers {other.pk}" in failed(verify(connection))["old_ids_resolve"]


def test_an_order_that_stayed_behind_or_went_to_somebody_else_is_caught(undone: None) -> None:
    survivor, other = profile_of(row_id("names_disagree", "customers")), profile_of(row_id("linked", "customers"))
    order = row_id("linked", "orders")
    merge(survivor, other)
    assert one("SELECT user_id FROM orders WHERE id = %s", order) == survivor.user_id
    assert failed(verify(connection)) == {}
    for wrong in (other.user_id, profile_of(row_id("guest_alone", "customers")).user_id, None):
        silently("UPDATE orders SET user_id = %s WHERE id = %s", wrong, order)
        assert failed(verify(connection)) == {"orders_keep_their_person": [f"orders {order}: user_id"]}


def test_an_alias_or_a_conflict_that_stayed_behind_is_caught(undone: None) -> None:
    other = profile_of(row_id("guest_of_verified_user", "customers"))
    alias = one("SELECT id FROM profile_aliases WHERE profile_id = %s ORDER BY id LIMIT 1", other.pk)
    merge(profile_of(row_id("linked", "customers")), other)
    with transaction.atomic():
        silently("UPDATE profile_aliases SET profile_id = %s WHERE id = %s", other.pk, alias)
        assert failed(verify(connection)) == {"old_ids_resolve": [f"customers {alias}"]}
        transaction.set_rollback(True)
    disagrees = profile_of(row_id("names_disagree", "customers"))
    merge(profile_of(row_id("guest_alone", "customers")), disagrees)
    assert failed(verify(connection)) == {}
    silently("DELETE FROM field_conflicts WHERE other_table = 'users' AND other_row = %s", str(disagrees.user_id))
    assert list(failed(verify(connection))) == ["cells_conserved"]


@pytest.mark.parametrize("table", ["users", "customers"])
@pytest.mark.parametrize("pair", [("linked", "names_disagree"), ("names_disagree", "linked")])
def test_statement_that_writes_different_values_to_both_rows_of_one_person_leaves_one(
    undone: None, table: str, pair: tuple[str, str]
) -> None:
    survivor, other = (profile_of(row_id(key, "customers")) for key in pair)
    merge(survivor, other)
    run(sql.SQL("UPDATE {} SET phone = 'of ' || id").format(sql.Identifier(table)))
    differing = """SELECT p.id FROM profiles AS p JOIN users AS u ON u.id = p.user_id JOIN customers AS c ON c.user_id = u.id
        WHERE p.merged_into_id IS NULL AND (p.phone IS DISTINCT FROM u.phone OR p.phone IS DISTINCT FROM c.phone)"""
    assert rows(differing) == []
    assert failed(verify(connection)) == {}


def test_the_way_back_is_open_after_a_merge(shop: str) -> None:
    survivor, other = profile_of(row_id("linked", "customers")), profile_of(row_id("names_disagree", "customers"))
    points = survivor.loyalty_points + other.loyalty_points
    merge(survivor, other)
    duplicates.find()
    conflicts.decide(
        conflicts.Which(field="first_name"), conflicts.KEEP, by=User.objects.get(role=Role.SUPER_ADMIN), via="api"
    )
    call_command("migrate", "legacy_customers", "zero", verbosity=0)
    assert rows("SELECT loyalty_points FROM customers WHERE id = %s", survivor.pk) == [(points,)]
    assert rows("SELECT loyalty_points, is_active FROM customers WHERE id = %s", other.pk) == [(0, False)]
    run("SELECT 1")
    call_command("migrate", verbosity=0)
    assert verify(connection).passed
