"""Erasing a person in a shop that was taken over: nothing personal is left anywhere, and the judge still passes."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import User
from config.api.problems import Problem
from legacy_customers.sample.persons import row_id
from legacy_customers.unification.sources import LEGACY_TABLES, columns_of
from legacy_customers.unification.verify import verify
from profiles.models import PrivacyEvent, Profile, ProfileMerge
from profiles.services import merging, privacy
from tests.databases import one, rows, run, temporary_database
from tests.legacy_customers.contract import STEPS, failures, let_go, step, wait
from tests.legacy_customers.test_verify import failed


def profile_of(customer: uuid.UUID) -> Profile:
    """Whose old customers id it is."""
    found: Profile = Profile.objects.by_customer_id(customer).select_related("user").get()
    return found


def erase(profile: Profile) -> PrivacyEvent:
    return privacy.erase(profile.pk, reason="asked for it", by=None, via="api")


@pytest.fixture(scope="module")
def shared(shop_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A shop that all tests of this module work on; what they write is rolled back."""
    with django_db_blocker.unblock():
        connection.close()
        with temporary_database(template=shop_template) as name:
            yield name


@pytest.fixture
def undone(shared: str) -> Iterator[None]:
    """A transaction that verification, which wants a snapshot of its own, can read in; rolled back at the end."""
    with transaction.atomic():
        run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield
        transaction.set_rollback(True)


def customers() -> list[uuid.UUID]:
    """Everybody who is not on the staff."""
    staff = ("staff", "store_manager", "tenant_admin", "super_admin")
    return list(Profile.objects.exclude(user__role__in=staff).order_by("id").values_list("pk", flat=True))


# Text that tells a person: each is looked for in every table afterwards.
TELLING = {
    "users": ("email", "first_name", "last_name", "phone", "password_hash", "session_id"),
    "customers": ("email", "first_name", "last_name", "phone", "address", "city", "postal_code", "notes"),
    "user_profiles": ("email", "phone", "session_id"),
}


def telling(table: str, condition: str = "true", *params: Any) -> set[str]:
    """The values of those columns in the backup of `table`."""
    return {
        value
        for column in TELLING[table]
        for (value,) in rows(
            f"SELECT DISTINCT {column}::text FROM backup_{table} WHERE length({column}::text) > 5 AND {condition}",
            *params,
        )
    }


def tables_with(values: set[str]) -> dict[str, set[str]]:
    """Which of the values each table holds."""
    tables = [name for (name,) in rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    texts = {name: "\n".join(row for (row,) in rows(f'SELECT t::text FROM "{name}" AS t')) for name in tables}
    found = {name: {value for value in values if value in text} for name, text in texts.items()}
    return {name: held for name, held in found.items() if held}


# --- everybody ----------------------------------------------------------------------------------------------------


def test_after_everybody_was_erased_only_the_staffs_data_is_left_and_the_judge_passes(undone: None) -> None:
    every = telling("users") | telling("customers") | telling("user_profiles")
    staff = "id IN (SELECT id FROM users WHERE role::text NOT IN ('customer'))"
    left = telling("users", staff)
    left |= telling("customers", f"user_id IN (SELECT id FROM users WHERE {staff})")
    assert (len(every) > 1000, 0 < len(left) < 20) == (True, True)
    for profile_id in customers():
        privacy.erase(profile_id, reason="x", by=None, via="api")
    # Sessions of nobody hold no address that leads to anybody.
    nobodys = telling("user_profiles")
    assert {value for value in nobodys if "@" in value and value not in left} <= {"@example.com"}
    gone = {value for value in every - nobodys if not any(value in kept for kept in left)}
    assert tables_with(gone) == {}
    report = verify(connection)
    assert failed(report) == {}
    assert report.passed


def test_the_judge_passes_after_an_erasure_in_an_older_shop(older_shop: str) -> None:
    for profile_id in customers()[::10]:
        privacy.erase(profile_id, reason="x", by=None, via="api")
    assert failed(verify(connection)) == {}


# --- one kind of person each --------------------------------------------------------------------------------------

KINDS = {
    "linked": "an account with its customers row, a customer_profiles row and an order",
    "names_disagree": "copies that contradict each other",
    "guest_alone": "a guest who got an account",
    "guest_of_verified_user": "an account with a guest's row merged into it",
    "active_user_inactive_customer": "active here, not active there",
    "session_of_one_user": "an account with a session's row",
    "orders_that_disagree": "an order that names two people",
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_person_is_gone_everywhere_and_the_judge_passes(undone: None, kind: str) -> None:
    user_id = one("SELECT user_id FROM legacy_identities WHERE customer_id = %s", row_id(kind, "customers"))
    profile = Profile.objects.get(user_id=user_id)
    ids = [row for (row,) in rows("SELECT customer_id FROM legacy_identities WHERE user_id = %s", user_id)]
    mine = telling("customers", "id = ANY(%s)", ids) | telling("users", "id = %s", user_id)
    others = telling("customers", "id <> ALL(%s)", ids) | telling("users", "id <> %s", user_id)
    own = {value for value in mine - others if not any(value in other for other in others)}
    assert own & set().union(*tables_with(own).values()) == own != set()
    figures = rows("SELECT loyalty_points, total_spent, order_count FROM profiles WHERE id = %s", profile.pk)
    sums = rows("SELECT sum(loyalty_points), sum(total_spent), sum(order_count) FROM backup_customers")

    event = erase(profile)
    assert tables_with(own) == {}
    assert failed(verify(connection)) == {}
    assert rows("SELECT loyalty_points, total_spent, order_count FROM profiles WHERE id = %s", profile.pk) == figures
    assert rows("SELECT sum(loyalty_points), sum(total_spent), sum(order_count) FROM backup_customers") == sums
    assert event.counts["customers"] == event.counts["backup_customers"] == len(ids)
    # Done again, nothing is written.
    before = one("SELECT detail::text FROM unification_phases WHERE name = 'backup'")
    assert erase(profile).pk == event.pk
    assert one("SELECT detail::text FROM unification_phases WHERE name = 'backup'") == before


def test_a_separate_guest_is_gone_everywhere(undone: None) -> None:
    guest = row_id("guest_contradicts_user", "customers", 2)
    profile = profile_of(guest)
    address = profile.contact_email
    assert address
    erase(profile)
    profile.refresh_from_db()
    assert profile.contact_email == ""
    assert rows("SELECT email, first_name, is_active FROM customers WHERE id = %s", guest) == [("", None, False)]
    assert failed(verify(connection)) == {}


def test_other_peoples_rows_stay_as_they_are(undone: None) -> None:
    profile = profile_of(row_id("linked", "customers"))
    keys = [str(profile.pk), str(profile.user_id)]
    tables = [*LEGACY_TABLES, *(f"backup_{table}" for table in LEGACY_TABLES), "profiles", "profile_history"]
    others = "SELECT t::text FROM {} AS t WHERE NOT t::text LIKE ANY(%s) ORDER BY 1"
    patterns = [f"%{key}%" for key in keys]

    def contents() -> dict[str, list[Any]]:
        return {table: rows(sql.SQL(others).format(sql.Identifier(table)), patterns) for table in tables}

    before = contents()
    erase(profile)
    assert contents() == before


def test_somebody_who_registered_since_is_erased_without_old_rows(undone: None) -> None:
    user = User.objects.create_user("since@example.com", "correct horse 7")
    erase(user.profile)
    user.refresh_from_db()
    assert user.email is None
    assert failed(verify(connection)) == {}


def test_what_is_written_after_the_erasure_is_still_explained(undone: None) -> None:
    profile = profile_of(row_id("linked", "customers"))
    erase(profile)
    Profile.objects.filter(pk=profile.pk).update(first_name="Back", loyalty_points=1, tags=["x"])
    assert failed(verify(connection)) == {}


# --- the backups --------------------------------------------------------------------------------------------------


def test_the_guard_of_the_backups_is_on_again_and_a_changed_cell_is_caught(undone: None) -> None:
    erase(profile_of(row_id("linked", "customers")))
    assert rows("SELECT DISTINCT tgenabled::text FROM pg_trigger WHERE tgname = 'unification_never_written'") == [
        ("O",)
    ]
    with pytest.raises(Exception, match="backups are never written again"), transaction.atomic():
        run("UPDATE backup_customers SET city = 'x'")
    run("SET LOCAL session_replication_role = replica")
    run("UPDATE backup_customers SET city = 'x' WHERE id = %s", row_id("names_disagree", "customers"))
    run("SET LOCAL session_replication_role = origin")
    assert "backups_untouched" in failed(verify(connection))


def test_without_rights_on_the_backups_nothing_is_erased(undone: None) -> None:
    profile = profile_of(row_id("linked", "customers"))
    run("CREATE ROLE erasure_without_rights")
    run("GRANT ALL ON ALL TABLES IN SCHEMA public TO erasure_without_rights")
    run("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO erasure_without_rights")
    run("GRANT CREATE, USAGE ON SCHEMA public TO erasure_without_rights")
    run("SET LOCAL ROLE erasure_without_rights")
    with pytest.raises(Problem) as refusal:
        erase(profile)
    run("RESET ROLE")
    assert (refusal.value.status_code, refusal.value.code) == (409, "backups_not_owned")
    profile.refresh_from_db()
    assert (profile.erased_at, PrivacyEvent.objects.count()) == (None, 0)
    assert one("SELECT first_name FROM customers WHERE id = %s", profile.pk) is not None


def test_every_column_of_the_old_tables_is_emptied_or_kept_by_name(undone: None) -> None:
    profile = profile_of(row_id("session_of_one_user", "customers"))
    run("UPDATE customers SET loyalty_tier = 'gold' WHERE id = %s", profile.pk)
    erase(profile)
    found: dict[str, Any] = json.loads(one("SELECT to_jsonb(c)::text FROM customers AS c WHERE id = %s", profile.pk))
    assert {name for name, value in found.items() if value not in (None, "", False, [], 0)} == {
        *("id", "user_id", "country", "customer_type", "created_at", "updated_at")
    } | ({"loyalty_points", "total_spent", "order_count", "last_order_date"} & set(found)) - {
        name for name, value in found.items() if value in (None, 0)
    }
    assert "loyalty_tier" in columns_of(connection, "customers")


# --- with the other parts -----------------------------------------------------------------------------------------


def test_an_export_has_the_rows_of_the_old_tables_and_of_their_backups(undone: None) -> None:
    admin = User.objects.create_superuser("root@example.com", "correct horse 7")
    user_id = row_id("session_of_one_user", "users")
    profile = Profile.objects.get(user_id=user_id)
    held = json.loads(privacy.export(profile.pk, by=admin, via="api"))["legacy"]
    assert set(held) == {
        *("users", "customers", "customer_profiles", "user_profiles"),
        *(f"backup_{table}" for table in LEGACY_TABLES),
        "deleted",
    }
    assert [row["id"] for row in held["users"]] == [row["id"] for row in held["backup_users"]] == [str(user_id)]
    assert len(held["user_profiles"]) == len(held["backup_user_profiles"]) > 0
    assert "medical_conditions" in held["user_profiles"][0]
    assert "password_hash" not in held["users"][0]
    own = json.loads(privacy.export(profile.pk, by=profile.user, via="api"))["legacy"]
    assert {"notes", "tags"} & own["customers"][0].keys() == set()
    manager = User.objects.create_user("manager.of@example.com", "correct horse 7", role="store_manager")
    assert (
        "medical_conditions"
        not in json.loads(privacy.export(profile.pk, by=manager, via="api"))["legacy"]["user_profiles"][0]
    )


def test_an_export_has_the_rows_that_the_old_application_deleted(undone: None) -> None:
    admin = User.objects.create_superuser("root@example.com", "correct horse 7")
    manager = User.objects.create_user("manager.of@example.com", "correct horse 7", role="store_manager")
    profile = Profile.objects.get(user_id=row_id("session_of_one_user", "users"))
    key = json.loads(privacy.export(profile.pk, by=admin, via="api"))["legacy"]["user_profiles"][0]["id"]
    run("DELETE FROM user_profiles WHERE id = %s", key)
    for by, sees in ((admin, True), (manager, False)):
        (deleted,) = json.loads(privacy.export(profile.pk, by=by, via="api"))["legacy"]["deleted"]
        assert (deleted["table"], deleted["row"]["id"]) == ("user_profiles", key)
        assert ("medical_conditions" in deleted["row"]) is sees


def test_a_merged_person_is_erased_with_both_peoples_old_rows(undone: None) -> None:
    survivor, other = profile_of(row_id("linked", "customers")), profile_of(row_id("guest_alone", "customers"))
    token = merging.preview(survivor.pk, other.pk, confirm=True).token
    merging.merge(survivor.pk, other.pk, token=token, confirm=True, by=None, via="api")
    erase(survivor)
    assert rows("SELECT first_name, phone FROM customers WHERE id = ANY(%s)", [survivor.pk, other.pk]) == [
        (None, None),
        (None, None),
    ]
    assert (ProfileMerge.objects.get().before, Profile.objects.filter(erased_at__isnull=False).count()) == ({}, 2)


def test_the_way_back_is_open_after_an_erasure(shop: str) -> None:
    linked = profile_of(row_id("linked", "customers"))
    people = [linked, profile_of(row_id("guest_alone", "customers"))]
    emails = [person.user.email for person in people]
    for person in people:
        erase(person)
    call_command("migrate", "legacy_customers", "zero", verbosity=0)
    assert one("SELECT email FROM users WHERE id = %s", linked.user_id) == f"erased-{linked.user_id}@invalid"
    assert rows("SELECT first_name, loyalty_points FROM customers WHERE id = %s", people[1].pk) == [
        (None, people[1].loyalty_points)
    ]
    for table in ("users", "customers", "customer_profiles", "user_profiles", "orders"):
        assert one(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE ANY(%s)", [f"%{e}%" for e in emails]) == 0
    call_command("migrate", verbosity=0)
    assert verify(connection).passed


# --- in the contract phase ------------------------------------------------------------------------------------------


def test_an_erasure_reaches_what_each_step_of_the_contract_left(shop: str, settings: Any, tmp_path: Path) -> None:
    settings.UNIFICATION_DUMP_DIR = str(tmp_path)
    let_go()
    kinds = ["linked", "guest_alone", "session_of_one_user", "guest_of_verified_user"]
    for name in STEPS[: STEPS.index("backups")]:
        wait()
        step(name)
        profile = profile_of(row_id(kinds.pop(), "customers"))
        ids = [row for (row,) in rows("SELECT customer_id FROM legacy_identities WHERE user_id = %s", profile.user_id)]
        mine = telling("customers", "id = ANY(%s)", ids) | telling("users", "id = %s", profile.user_id)
        others = telling("customers", "id <> ALL(%s)", ids) | telling("users", "id <> %s", profile.user_id)
        own = {value for value in mine - others if not any(value in other for other in others)}
        assert own
        exported = json.loads(privacy.export(profile.pk, by=User.objects.filter(role="super_admin")[0], via="api"))
        assert [row["id"] for row in exported["legacy"]["backup_customers"]] == sorted(map(str, ids))
        erase(profile)
        assert tables_with(own) == {}
        assert failures() == {}
    wait()
    step("backups")
    erase(profile_of(row_id("names_disagree", "customers")))
    assert failures() == {}
