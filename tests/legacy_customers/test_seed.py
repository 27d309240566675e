"""The seed's own numbers, after the unification."""

from typing import Any

import pytest
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import connection

from legacy_customers.sample.persons import row_id
from legacy_customers.unification.verify import verify
from tests.legacy_customers.model import expect, read_legacy, read_outcome

pytestmark = pytest.mark.usefixtures("seed")

GUESTS = {
    row_id("seed_guest_1", "customers"): "testuser1757646101@example.com",
    row_id("seed_guest_2", "customers"): "verify1757646592@example.com",
}


def query(statement: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        return list(cursor.fetchall())


def test_ten_users_have_ten_profiles_and_none_is_without() -> None:
    assert query(
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM profiles),"
        " (SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT FROM profiles p WHERE p.user_id = u.id))"
    ) == [(10, 10, 0)]


def test_every_profile_keeps_its_customers_id_and_none_needs_an_alias() -> None:
    assert query("SELECT id FROM profiles ORDER BY 1") == query("SELECT id FROM customers ORDER BY 1")
    assert query("SELECT count(*) FROM profile_aliases") == [(0,)]


def test_customers_view_answers_with_every_old_customer() -> None:
    columns = "id, user_id, email, first_name, last_name, phone, country, customer_type, is_active, is_verified"
    view = query(f"SELECT {columns} FROM customers_view ORDER BY id")
    old = query(f"SELECT {columns} FROM customers ORDER BY id")
    assert len(view) == 10
    for seen, had in zip(view, old, strict=True):
        assert seen[0] == had[0]
        assert seen[2:] == had[2:]
        assert had[1] in (None, seen[1])  # a guest has a user now


def test_guests_are_users_with_their_address_and_a_password_that_nobody_has() -> None:
    found = query(
        "SELECT p.id, u.email, u.role::text, u.active, u.email_verified, u.phone_verified, p.contact_email"
        " FROM users u JOIN profiles p ON p.user_id = u.id WHERE u.id NOT IN (SELECT id FROM backup_users)"
        " ORDER BY u.email"
    )
    assert found == [(key, email, "customer", True, False, False, None) for key, email in GUESTS.items()]
    hashes = [
        stored for (stored,) in query("SELECT password_hash FROM users WHERE id NOT IN (SELECT id FROM backup_users)")
    ]
    assert [stored[0] for stored in hashes] == [UNUSABLE_PASSWORD_PREFIX] * 2
    assert len(set(hashes)) == 2


def test_old_users_keep_their_passwords_and_roles() -> None:
    columns = "id, email, password_hash, role::text, active, email_verified"
    old = query(f"SELECT {columns} FROM backup_users ORDER BY id")
    assert len(old) == 8
    assert query(f"SELECT {columns} FROM users WHERE id IN (SELECT id FROM backup_users) ORDER BY id") == old


def test_the_recommenders_row_is_carried() -> None:
    (carried,) = query(
        "SELECT id, preferences, interaction_count FROM profiles WHERE preferences <> '{}' OR interaction_count > 0"
    )
    assert carried == (row_id("seed_user_5", "customers"), '{"theme": "dark"}', 2)


def test_twelve_orders_are_kept_and_each_has_its_users() -> None:
    assert query(
        "SELECT count(*), count(o.user_id), count(*) FILTER (WHERE o.user_id = p.user_id)"
        " FROM orders o JOIN profiles p ON p.id = o.customer_id OR o.customer_id IS NULL AND p.user_id = o.user_id"
    ) == [(12, 12, 12)]
    per_user = "SELECT count(*) FROM orders GROUP BY user_id"
    assert query(per_user) == [(3,)] * 4
    kept = "id, order_number, customer_id, items, total_amount, created_at, updated_at"
    assert query(f"SELECT {kept} FROM orders ORDER BY id") == query(f"SELECT {kept} FROM backup_orders ORDER BY id")


def test_nobody_is_in_conflict_and_nobody_looks_like_another() -> None:
    assert query("SELECT count(*) FROM field_conflicts") == [(0,)]
    assert query("SELECT count(*) FROM merge_suggestions") == [(0,)]


def test_everything_is_as_the_rules_say() -> None:
    assert expect(read_legacy(connection)).differences(read_outcome(connection)) == []


def test_verification_passes() -> None:
    report = verify(connection)
    assert {name: check.samples for name, check in report.checks.items() if not check.passed} == {}
    assert report.passed
