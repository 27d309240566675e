"""The judge: one corrupted cell is caught and named, and the same change made openly is explained."""

import json
import uuid
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import User
from legacy_customers.models import LegacyCustomer, VerificationRun
from legacy_customers.sample.persons import row_id
from legacy_customers.unification.backup import count_and_hash
from legacy_customers.unification.checks import ALWAYS, WITH_LEGACY, cells_conserved
from legacy_customers.unification.field_map import FIELD_MAP, Field, Kind
from legacy_customers.unification.phases import detail_of
from legacy_customers.unification.sources import LEGACY_TABLES
from legacy_customers.unification.verify import Report, UnificationUnfinished, verify
from profiles.models import Profile
from tests.databases import one, run, temporary_database

# One person with a login, a linked customers row, a customer_profiles row and an order; the profile has the row's id.
LINKED, LINKED_USER = row_id("linked", "customers"), row_id("linked", "users")
LINKED_ORDER = row_id("linked", "orders")
STRANGER = uuid.UUID("99999999-9999-4999-8999-999999999999")


@pytest.fixture(scope="module")
def judged(shop_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A shop that all tests of this module read; what they write is rolled back."""
    with django_db_blocker.unblock():
        connection.close()
        with temporary_database(template=shop_template) as name:
            yield name


@pytest.fixture
def undone(judged: str) -> Iterator[None]:
    """A transaction that verification, which wants a snapshot of its own, can read in; rolled back at the end."""
    with transaction.atomic():
        run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield
        transaction.set_rollback(True)


def silently(statement: str | sql.Composable, *params: Any) -> None:
    """Write past every trigger and foreign key: no history knows of it."""
    run("SET LOCAL session_replication_role = replica")
    run(statement, *params)
    run("SET LOCAL session_replication_role = origin")


def failed(report: Report) -> dict[str, list[str]]:
    """The samples of each check that did not pass."""
    return {name: outcome.samples for name, outcome in report.checks.items() if not outcome.passed}


def changed(field: Field) -> sql.Composable:
    """An expression for another valid value of the column."""
    match field.kind:
        case Kind.TEXT | Kind.ADDRESS:
            return sql.SQL("'changed'")
        case Kind.DATE:
            return sql.SQL("'1971-02-03'::date")
        case Kind.INTEGER:
            return sql.SQL("{} + 1").format(sql.Identifier(field.column))
        case Kind.MONEY:
            return sql.SQL("{} + 0.01").format(sql.Identifier(field.column))
        case Kind.TIME:
            return sql.SQL("'2001-02-03 04:05:06+00'::timestamptz")
        case Kind.BOOLEAN:
            return sql.SQL("NOT {}").format(sql.Identifier(field.column))
        case Kind.OBJECT:
            return sql.SQL("""'{"changed": true}'::jsonb""")
        case Kind.LIST:
            return sql.SQL("""'["changed"]'::jsonb""")


def set_changed(field: Field) -> sql.Composable:
    return sql.SQL("UPDATE profiles SET {} = {} WHERE id = %s").format(sql.Identifier(field.column), changed(field))


# LINKED has no session, so that nothing but the profile holds these.
WITHOUT_A_LEGACY_ROW = {"experience_level", "price_range", "language", "timezone"}
every_column = pytest.mark.parametrize("field", FIELD_MAP, ids=lambda field: field.column)


# --- nothing corrupted --------------------------------------------------------------------------------------------


def test_every_check_passes_on_the_shop(undone: None) -> None:
    report = verify(connection)
    assert failed(report) == {}
    assert report.passed
    assert list(report.checks) == [
        *(check.__name__ for check in (*ALWAYS, *WITH_LEGACY)),
        cells_conserved.__name__,
    ]
    # Of the old trigger there is nothing to see, and nobody has written yet.
    unseen = ("old_trigger_gone", "both_sides_agree")
    blind = [name for name, seen in report.checks.items() if seen.rows == 0 and name not in unseen]
    assert blind == []


def test_the_balance_names_every_column_and_adds_up(undone: None) -> None:
    balance = verify(connection).balance
    assert {line.table for line in balance} == {"users", "customers", "customer_profiles", "user_profiles"}
    assert [line.column for line in balance if line.table == "customer_profiles"] == [
        "preferences",
        "purchase_history",
        "interaction_count",
        "created_at",
        "updated_at",
        "customer_id",
    ]
    for line in balance:
        parts = line.carried + line.superseded + line.defaults + line.archived + line.traced
        assert (line.table, line.column, parts, line.unexplained) == (line.table, line.column, line.cells, 0)


# --- one corrupted cell per column of the field map ---------------------------------------------------------------


@every_column
def test_a_profile_cell_is_caught_when_changed_silently(undone: None, field: Field) -> None:
    silently(set_changed(field), LINKED)
    report = verify(connection)
    found = report.checks["values_as_ruled"]
    assert (found.differences, found.explained, found.samples) == (
        1,
        0,
        [f"profiles {LINKED}: {field.column}"],
    )


@every_column
def test_a_profile_cell_is_explained_when_changed_openly(undone: None, field: Field) -> None:
    run(set_changed(field), LINKED)
    report = verify(connection)
    assert failed(report) == {}
    assert (report.checks["values_as_ruled"].explained, report.checks["values_as_ruled"].differences) == (
        1,
        0,
    )


def test_contact_email_is_caught_when_changed_silently(undone: None) -> None:
    silently("UPDATE profiles SET contact_email = 'elsewhere@example.com' WHERE id = %s", LINKED)
    assert failed(verify(connection)) == {"values_as_ruled": [f"profiles {LINKED}: contact_email"]}


def test_several_corrupted_cells_are_counted_and_five_are_named(undone: None) -> None:
    silently("UPDATE profiles SET phone = 'changed'")
    found = verify(connection).checks["values_as_ruled"]
    assert found.differences == one("SELECT count(*) FROM profiles")
    first = [str(row) for row in Profile.objects.order_by("id").values_list("id", flat=True)[:5]]
    assert found.samples == [f"profiles {profile}: phone" for profile in first]


# --- one corruption per check -------------------------------------------------------------------------------------


class Corruption(NamedTuple):
    """What is done behind everybody's back, and the text with which a check names it."""

    name: str
    check: str
    sample: str
    statement: str
    params: tuple[Any, ...] = ()
    differences: int = 1  # the sample is the first


RELEASED = "SELECT release_protection('a corruption'); "
LINKED_PARAMS, USER_PARAMS = (LINKED,), (LINKED_USER,)
# A guest of a verified user, whose customers id became an alias; and a person whose copies disagree on the phone.
MERGED, MERGED_INTO = (
    row_id("guest_of_verified_user", "customers", 2),
    row_id("guest_of_verified_user", "customers"),
)
MERGED_ORDER = row_id("guest_of_verified_user", "orders", 2)
DISAGREES, DISAGREES_USER = row_id("names_disagree", "customers"), row_id("names_disagree", "users")
TWO_NAMED = row_id("orders_that_disagree", "orders")
GUEST, APART = row_id("guest_alone", "customers"), row_id("guest_of_unverified_user", "customers", 2)
INACTIVE = row_id("active_user_inactive_customer", "customers")
# Accounts made for guests have ids by chance: samples name them through {0}.
ACCOUNT = "SELECT user_id FROM legacy_identities WHERE customer_id = %s"

CORRUPTIONS: tuple[Corruption, ...] = (
    # users and profiles
    Corruption(
        "a_user_without_profile",
        "users_without_profile",
        f"users {STRANGER}",
        "INSERT INTO users (id, email, password_hash) VALUES (%s, 'stranger@example.com', '!')",
        (STRANGER,),
    ),
    Corruption(
        "a_profile_deleted",
        "users_without_profile",
        f"users {LINKED_USER}",
        "DELETE FROM profiles WHERE id = %s",
        LINKED_PARAMS,
    ),
    Corruption(
        "a_profile_deleted_leaves_its_values_nowhere",
        "values_as_ruled",
        f"profiles {LINKED}: country",
        "DELETE FROM profiles WHERE id = %s",
        LINKED_PARAMS,
        22,
    ),
    # customers_view
    Corruption(
        "the_view_dropped",
        "customers_view_answers",
        "customers_view does not exist",
        "DROP VIEW customers_view",
    ),
    # constraints and indexes
    Corruption(
        "a_foreign_key_not_validated",
        "constraints_validated",
        "profiles: profiles_user_id_fkey is not validated",
        "ALTER TABLE profiles ADD CONSTRAINT profiles_user_id_fkey FOREIGN KEY (user_id) REFERENCES users NOT VALID",
    ),
    Corruption(
        "an_invalid_index",
        "constraints_validated",
        "profiles: profiles_phone is not valid",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'profiles_phone'::regclass",
    ),
    Corruption(
        "the_unique_key_dropped",
        "constraints_validated",
        "profiles: no unique key on user_id",
        "ALTER TABLE profiles DROP CONSTRAINT profiles_user_id_key",
    ),
    Corruption(
        "the_foreign_key_of_orders_dropped",
        "constraints_validated",
        "orders: no foreign key to users",
        "ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey",
    ),
    Corruption(
        "the_primary_key_of_aliases_dropped",
        "constraints_validated",
        "profile_aliases: no primary key on id",
        "ALTER TABLE profile_aliases DROP CONSTRAINT profile_aliases_pkey",
    ),
    # old ids
    Corruption(
        "an_alias_lost",
        "old_ids_resolve",
        f"customers {MERGED}",
        "DELETE FROM profile_aliases WHERE id = %s",
        (MERGED,),
    ),
    Corruption(
        "an_alias_to_somebody_else",
        "old_ids_resolve",
        f"customers {MERGED}",
        "UPDATE profile_aliases SET profile_id = %s WHERE id = %s",
        (LINKED, MERGED),
    ),
    Corruption(
        "an_id_that_is_profile_and_alias",
        "old_ids_resolve",
        f"customers {LINKED}",
        "INSERT INTO profile_aliases (id, profile_id) VALUES (%s, %s)",
        (LINKED, MERGED_INTO),
    ),
    Corruption(
        "a_profile_with_another_id",
        "old_ids_resolve",
        f"customers {LINKED}",
        "UPDATE profiles SET id = %s WHERE id = %s",
        (STRANGER, LINKED),
    ),
    Corruption(
        "a_customers_row_given_to_somebody_else",
        "old_ids_resolve",
        f"customers {MERGED}",
        "UPDATE legacy_identities SET user_id = %s WHERE customer_id = %s",
        (LINKED_USER, MERGED),
    ),
    # sums
    Corruption(
        "points_changed",
        "sums_conserved",
        f"profiles {MERGED_INTO}: loyalty_points",
        "UPDATE profiles SET loyalty_points = 110 WHERE id = %s",
        (MERGED_INTO,),
    ),
    Corruption(
        "money_changed",
        "sums_conserved",
        f"profiles {MERGED_INTO}: total_spent",
        "UPDATE profiles SET total_spent = 25.74 WHERE id = %s",
        (MERGED_INTO,),
    ),
    Corruption(
        "order_count_changed",
        "sums_conserved",
        f"profiles {MERGED_INTO}: order_count",
        "UPDATE profiles SET order_count = 2 WHERE id = %s",
        (MERGED_INTO,),
    ),
    Corruption(
        "interactions_changed",
        "sums_conserved",
        f"profiles {LINKED}: interaction_count",
        "UPDATE profiles SET interaction_count = 5 WHERE id = %s",
        LINKED_PARAMS,
    ),
    # orders
    Corruption(
        "an_order_lost",
        "orders_keep_their_person",
        f"orders {LINKED_ORDER}: lost",
        "DELETE FROM orders WHERE id = %s",
        (LINKED_ORDER,),
    ),
    Corruption(
        "an_order_of_somebody_else",
        "orders_keep_their_person",
        f"orders {MERGED_ORDER}: user_id",
        "UPDATE orders SET user_id = %s WHERE id = %s",
        (LINKED_USER, MERGED_ORDER),
    ),
    Corruption(
        "an_order_of_nobody",
        "orders_keep_their_person",
        f"orders {MERGED_ORDER}: user_id",
        "UPDATE orders SET user_id = NULL WHERE id = %s",
        (MERGED_ORDER,),
    ),
    Corruption(
        "an_order_of_another_amount",
        "orders_keep_their_person",
        f"orders {LINKED_ORDER}: total_amount",
        "UPDATE orders SET total_amount = total_amount + 0.01 WHERE id = %s",
        (LINKED_ORDER,),
    ),
    Corruption(
        "an_order_whose_amount_is_unknown",
        "orders_keep_their_person",
        f"orders {LINKED_ORDER}: total_amount",
        "UPDATE orders SET total_amount = NULL WHERE id = %s",
        (LINKED_ORDER,),
    ),
    Corruption(
        "a_disagreement_lost",
        "disagreeing_orders_recorded",
        f"orders {TWO_NAMED}",
        "DELETE FROM field_conflicts WHERE field = 'orders.user_id' AND other_row = %s",
        (str(TWO_NAMED),),
    ),
    Corruption(
        "a_disagreement_with_somebody_else",
        "disagreeing_orders_recorded",
        f"orders {TWO_NAMED}",
        "UPDATE field_conflicts SET other_value = to_jsonb(%s::text) WHERE field = 'orders.user_id' AND other_row = %s",
        (str(LINKED_USER), str(TWO_NAMED)),
    ),
    # consents
    Corruption(
        "a_consent_to_marketing_widened",
        "consents_not_widened",
        f"profiles {LINKED}: marketing_consent",
        "UPDATE profiles SET marketing_consent = true WHERE id = %s",
        LINKED_PARAMS,
    ),
    Corruption(
        "a_consent_to_messages_widened",
        "consents_not_widened",
        f"profiles {LINKED}: sms_consent",
        "UPDATE profiles SET sms_consent = true WHERE id = %s",
        LINKED_PARAMS,
    ),
    # logins
    *(
        Corruption(
            f"a_changed_{name}",
            "logins_unchanged",
            f"users.{name} of users {LINKED_USER}",
            f"UPDATE users SET {name} = {value} WHERE id = %s",
            USER_PARAMS,
        )
        for name, value in (
            ("email", "'taken.over@example.com'"),
            ("password_hash", "'$2b$10$another'"),
            ("role", "'super_admin'"),
            ("active", "false"),
            ("email_verified", "false"),
            ("phone_verified", "true"),
            ("age_verified", "true"),
            ("terms_accepted", "NULL"),
            ("tenant_id", "'99999999-9999-4999-8999-999999999999'"),
        )
    ),
    Corruption(
        "a_user_lost",
        "logins_unchanged",
        f"users.active of users {LINKED_USER}",
        "DELETE FROM users WHERE id = %s",
        USER_PARAMS,
        8,
    ),
    *(
        Corruption(
            f"a_guests_account_with_another_{name}",
            "logins_unchanged",
            f"users.{name} of users {{0}}, made for a guest",
            f"UPDATE users SET {name} = {value} WHERE id = ({ACCOUNT})",
            (guest,),
        )
        for name, value, guest in (
            ("role", "'staff'", GUEST),
            ("password_hash", "'$2b$10$another'", GUEST),
            ("email_verified", "true", GUEST),
            ("phone_verified", "true", GUEST),
            ("email", "'taken.over@example.com'", APART),
        )
    ),
    # legacy rows
    Corruption(
        "a_legacy_row_written_since",
        "legacy_rows_in_step",
        f"customers {LINKED}",
        "UPDATE customers SET phone = 'changed' WHERE id = %s",
        LINKED_PARAMS,
    ),
    Corruption(
        "an_unknown_legacy_column_written_since",
        "legacy_rows_in_step",
        f"users {LINKED_USER}",
        "UPDATE users SET referral_code = 'changed' WHERE id = %s",
        USER_PARAMS,
    ),
    Corruption(
        "a_legacy_row_added_since",
        "legacy_rows_in_step",
        f"customers {STRANGER}",
        "INSERT INTO customers (id, email) VALUES (%s, '')",
        (STRANGER,),
    ),
    Corruption(
        "a_legacy_row_deleted_since",
        "legacy_rows_in_step",
        f"customer_profiles {LINKED}",
        "DELETE FROM customer_profiles WHERE customer_id = %s",
        (str(LINKED),),
    ),
    Corruption(
        "an_attached_row_written_since",
        "legacy_rows_in_step",
        "user_profiles {0}",
        "UPDATE user_profiles SET needs = '[1]' WHERE id = (SELECT min(id::text)::uuid FROM user_profiles)",
    ),
    # the sync
    *(
        Corruption(
            f"a_trigger_of_the_sync_{name}",
            "sync_in_force",
            f"trigger unification_sync_updated on {table} {how}",
            statement.format(table),
        )
        for table in ("customers", "profiles")
        for name, how, statement in (
            (f"on_{table}_dropped", "is missing", "DROP TRIGGER unification_sync_updated ON {}"),
            (f"on_{table}_disabled", "is disabled", "ALTER TABLE {} DISABLE TRIGGER unification_sync_updated"),
            (
                f"on_{table}_for_replicas",
                "fires for replicas alone",
                "ALTER TABLE {} ENABLE REPLICA TRIGGER unification_sync_updated",
            ),
        )
    ),
    Corruption(
        "a_change_left_on_its_way",
        "sync_in_force",
        "1 changes wait to be carried over",
        "INSERT INTO legacy_handovers (person_id, source, after) VALUES (%s, 'profiles', '{}')",
        LINKED_PARAMS,
    ),
    Corruption(
        "a_customers_row_of_nobody",
        "new_rows_resolve",
        f"customers {STRANGER}",
        "INSERT INTO customers (id, email) VALUES (%s, '')",
        (STRANGER,),
    ),
    Corruption(
        "a_row_of_the_recommenders_of_nobody",
        "new_rows_resolve",
        "customer_profiles chat-9",
        "INSERT INTO customer_profiles (customer_id) VALUES ('chat-9')",
    ),
    # the old trigger
    Corruption(
        "the_old_trigger_made_again",
        "old_trigger_gone",
        "trigger create_customer_on_user_insert on users",
        "CREATE TRIGGER create_customer_on_user_insert AFTER INSERT OR UPDATE ON users"
        " FOR EACH ROW EXECUTE FUNCTION create_customer_for_user()",
    ),
    Corruption(
        "the_old_trigger_under_another_name",
        "old_trigger_gone",
        "trigger sync on users",
        "CREATE TRIGGER sync AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION create_customer_for_user()",
    ),
    # cells
    Corruption(
        "a_lost_conflict",
        "cells_conserved",
        f"users {DISAGREES_USER}: phone",
        "DELETE FROM field_conflicts WHERE profile_id = %s AND field = 'phone' AND other_table = 'users'",
        (DISAGREES,),
    ),
    Corruption(
        "a_conflict_that_holds_another_value",
        "cells_conserved",
        f"users {DISAGREES_USER}: phone",
        """UPDATE field_conflicts SET other_value = '"+1"' WHERE profile_id = %s AND field = 'phone'
            AND other_table = 'users'""",
        (DISAGREES,),
    ),
    Corruption(
        "a_conflict_moved_to_another_field",
        "cells_conserved",
        f"users {DISAGREES_USER}: phone",
        """UPDATE field_conflicts SET field = 'notes' WHERE profile_id = %s AND field = 'phone'
            AND other_table = 'users'""",
        (DISAGREES,),
    ),
    Corruption(
        "a_conflict_of_another_row",
        "cells_conserved",
        f"users {DISAGREES_USER}: phone",
        """UPDATE field_conflicts SET other_row = other_row || 'x' WHERE profile_id = %s AND field = 'phone'
            AND other_table = 'users'""",
        (DISAGREES,),
    ),
    Corruption(
        "a_lost_conflict_of_activity",
        "cells_conserved",
        f"customers {INACTIVE}: is_active",
        "DELETE FROM field_conflicts WHERE profile_id = %s AND field = 'users.active'",
        (INACTIVE,),
    ),
    Corruption(
        "a_contact_address_lost",
        "cells_conserved",
        f"customers {APART}: email",
        "UPDATE profiles SET contact_email = NULL WHERE id = %s",
        (APART,),
    ),
    Corruption(
        "an_attachment_lost",
        "cells_conserved",
        f"customer_profiles {LINKED}: preferences",
        "DELETE FROM legacy_attachments WHERE key = %s",
        (str(LINKED),),
        5,
    ),
    # backups
    *(
        Corruption(
            f"a_changed_row_of_backup_{table}",
            "backups_untouched",
            "{0}",
            f"UPDATE backup_{table} SET created_at = created_at + interval '1 second'"
            f" WHERE ctid = (SELECT min(ctid) FROM backup_{table} WHERE created_at = '2024-03-01 09:00')",
        )
        for table in LEGACY_TABLES
    ),
    Corruption(
        "a_backup_without_guard",
        "backups_untouched",
        "backup_users has lost its key or its guard",
        "DROP TRIGGER unification_never_written ON backup_users",
    ),
    Corruption(
        "a_backup_with_a_sleeping_guard",
        "backups_untouched",
        "backup_orders has lost its key or its guard",
        "ALTER TABLE backup_orders DISABLE TRIGGER unification_never_written",
    ),
    Corruption(
        "a_backup_without_key",
        "backups_untouched",
        "backup_customers has lost its key or its guard",
        "ALTER TABLE backup_customers DROP CONSTRAINT backup_customers_pkey",
    ),
    Corruption(
        "a_backup_dropped", "backups_untouched", "backup_orders is missing", RELEASED + "DROP TABLE backup_orders"
    ),
    Corruption(
        "a_backup_dropped_leaves_checks_undone",
        "orders_keep_their_person",
        "not run, for there is no backup_orders",
        RELEASED + "DROP TABLE backup_orders",
    ),
    Corruption(
        "a_legacy_table_dropped",
        "legacy_rows_in_step",
        "not run, for there is no customer_profiles",
        RELEASED + "DROP TABLE customer_profiles CASCADE",
    ),
    Corruption(
        "the_customers_table_dropped",
        "values_as_ruled",
        "not run, for there is no customers",
        RELEASED + "DROP TABLE customers CASCADE",
    ),
    Corruption(
        "an_event_trigger_asleep",
        "protection_in_force",
        "event trigger protection_drop is disabled",
        "ALTER EVENT TRIGGER protection_drop DISABLE",
    ),
    Corruption(
        "an_event_trigger_gone",
        "protection_in_force",
        "event trigger protection_rename is missing",
        "DROP EVENT TRIGGER protection_rename",
    ),
    *(
        Corruption(
            f"{table}_can_be_truncated",
            "protection_in_force",
            f"trigger unified_no_truncate on {table} is missing or asleep",
            f"ALTER TABLE {table} DISABLE TRIGGER unified_no_truncate",
        )
        for table in ("users", "profiles", "orders", "customers", "backup_orders", "loyalty_entries")
    ),
    Corruption(
        "backups_kept_too_long",
        "backups_in_their_time",
        "backups were to be kept until 2025-01-31, {0} days ago",
        """UPDATE unification_phases SET detail = detail || '{"keep_until": "2025-01-31"}' WHERE name = 'backup'""",
    ),
    Corruption(
        "a_table_off_the_list",
        "protection_in_force",
        "profiles is not on the list of protected tables",
        "DELETE FROM protected_tables WHERE name = 'profiles'",
    ),
    Corruption(
        "a_renamed_table_behind_the_triggers",
        "protection_in_force",
        "table refunds is not under its name",
        "UPDATE protected_tables SET schema = 'elsewhere' WHERE name = 'refunds'",
    ),
)


def _expected(corruption: Corruption) -> str:
    """The sample, with the ids that chance gave."""
    if corruption.name.startswith("a_guests_account"):
        return corruption.sample.format(one(ACCOUNT, *corruption.params))
    if corruption.name == "an_attached_row_written_since":
        return corruption.sample.format(one("SELECT min(id::text) FROM user_profiles"))
    if corruption.name == "backups_kept_too_long":
        return corruption.sample.format(one("SELECT (now() AT TIME ZONE 'UTC')::date - '2025-01-31'::date"))
    if corruption.name.startswith("a_changed_row_of_backup"):
        table = corruption.name.removeprefix("a_changed_row_of_")
        known = detail_of(connection, "backup")["tables"][table.removeprefix("backup_")]
        with connection.cursor() as cursor:
            rows, found = count_and_hash(connection, cursor, table)
        assert found != known["hash"]
        return f"{table}: {rows:,} rows, hash {found}; backed up {rows:,}, {known['hash']}"
    return corruption.sample


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_a_corruption_is_caught_and_named(undone: None, corruption: Corruption) -> None:
    run("SET CONSTRAINTS ALL IMMEDIATE")
    silently(corruption.statement, *corruption.params)
    found = verify(connection).checks[corruption.check]
    assert not found.passed
    assert (found.samples[0], found.differences) == (_expected(corruption), corruption.differences)


def test_every_check_has_a_corruption_that_it_catches() -> None:
    covered = {corruption.check for corruption in CORRUPTIONS}
    covered |= {"profiles_equal_users", "values_as_ruled", "both_sides_agree"}
    assert covered == {check.__name__ for check in (*ALWAYS, *WITH_LEGACY, cells_conserved)}


def test_more_users_than_profiles_are_counted(undone: None) -> None:
    before = Profile.objects.count()
    silently("INSERT INTO users (id, email, password_hash) VALUES (%s, 'stranger@example.com', '!')", STRANGER)
    assert verify(connection).checks["profiles_equal_users"].samples == [f"{before + 1:,} users, {before:,} profiles"]


def test_a_profile_that_the_view_does_not_show_is_counted(undone: None) -> None:
    before = Profile.objects.count()
    silently("DELETE FROM users WHERE id = %s", LINKED_USER)
    assert verify(connection).checks["customers_view_answers"].samples == [
        f"{before:,} profiles, {before - 1:,} rows in customers_view"
    ]


def test_a_row_missing_from_a_backup_is_counted(undone: None) -> None:
    kept = detail_of(connection, "backup")["tables"]["user_profiles"]
    silently("DELETE FROM backup_user_profiles WHERE id = (SELECT min(id::text)::uuid FROM backup_user_profiles)")
    found = verify(connection).checks["backups_untouched"]
    assert (found.differences, found.expected - found.rows) == (1, 1)
    assert found.samples[0].startswith(f"backup_user_profiles: {kept['rows'] - 1} rows, hash ")


def test_emptied_identities_are_no_pass(undone: None) -> None:
    silently("DELETE FROM legacy_identities")
    assert {"old_ids_resolve", "orders_keep_their_person", "cells_conserved"} <= set(failed(verify(connection)))


# --- the same, openly ---------------------------------------------------------------------------------------------


def test_edits_by_model_view_and_statement_are_explained_together(undone: None) -> None:
    profile = Profile.objects.get(pk=LINKED)
    profile.phone, profile.needs, profile.loyalty_points = "+14165559999", ["sleep"], 12
    profile.save()
    LegacyCustomer.objects.filter(pk=MERGED_INTO).update(city="Oslo", tags=["vip"], email="write.here@example.com")
    run("UPDATE profiles SET notes = NULL, date_of_birth = 'infinity' WHERE id = %s", DISAGREES)
    User.objects.filter(pk=LINKED_USER).update(role="staff", active=False)
    user = User.objects.get(pk=DISAGREES_USER)
    user.set_password("another-password-2")
    user.save()
    report = verify(connection)
    assert failed(report) == {}
    assert report.checks["values_as_ruled"].explained > 5


def test_a_consent_given_openly_is_explained(undone: None) -> None:
    LegacyCustomer.objects.filter(pk=LINKED).update(marketing_consent=True)
    assert failed(verify(connection)) == {}


def test_a_guest_who_claims_the_account_is_explained(undone: None) -> None:
    user = User.objects.get(pk=one(ACCOUNT, GUEST))
    user.set_password("claimed-password-3")
    user.email_verified = True
    user.save()
    assert failed(verify(connection)) == {}


def test_a_user_registered_since_is_no_difference(undone: None) -> None:
    User.objects.create_user("since@example.com", "a-password-4")
    LegacyCustomer.objects.create(email="since.guest@example.com", first_name="Sam")
    assert failed(verify(connection)) == {}


def test_an_order_made_since_is_no_difference(undone: None) -> None:
    run("INSERT INTO orders (order_number, user_id, total_amount) VALUES ('SINCE-1', %s, 5)", LINKED_USER)
    assert failed(verify(connection)) == {}


def test_a_silent_change_after_an_open_one_is_caught(undone: None) -> None:
    run("UPDATE profiles SET phone = 'openly' WHERE id = %s", LINKED)
    silently("UPDATE profiles SET phone = 'silently' WHERE id = %s", LINKED)
    assert failed(verify(connection)) == {
        "values_as_ruled": [f"profiles {LINKED}: phone"],
        "both_sides_agree": [f"customers {LINKED}: phone", f"users {LINKED_USER}: phone"],
    }


def test_a_silent_change_before_an_open_one_is_caught(undone: None) -> None:
    silently("UPDATE profiles SET phone = 'silently' WHERE id = %s", LINKED)
    run("UPDATE profiles SET phone = 'openly' WHERE id = %s", LINKED)
    assert failed(verify(connection)) == {"values_as_ruled": [f"profiles {LINKED}: phone"]}


def test_a_silent_change_between_two_open_ones_is_caught(undone: None) -> None:
    run("UPDATE profiles SET loyalty_points = 10 WHERE id = %s", LINKED)
    silently("UPDATE profiles SET loyalty_points = 5000 WHERE id = %s", LINKED)
    run("UPDATE profiles SET loyalty_points = loyalty_points + 1 WHERE id = %s", LINKED)
    assert failed(verify(connection)) == {
        "values_as_ruled": [f"profiles {LINKED}: loyalty_points"],
        "sums_conserved": [f"profiles {LINKED}: loyalty_points"],
        "both_sides_agree": [f"profiles {LINKED}: loyalty_points"],
    }


def test_a_change_that_was_taken_back_is_no_difference(undone: None) -> None:
    before = one("SELECT phone FROM profiles WHERE id = %s", LINKED)
    run("UPDATE profiles SET phone = 'wrong' WHERE id = %s", LINKED)
    run("UPDATE profiles SET phone = %s WHERE id = %s", before, LINKED)
    report = verify(connection)
    assert failed(report) == {}
    assert report.checks["values_as_ruled"].explained == 0


def test_a_role_raised_openly_and_a_role_raised_silently_are_told_apart(undone: None) -> None:
    run("UPDATE users SET role = 'staff' WHERE id = %s", LINKED_USER)
    silently("UPDATE users SET role = 'super_admin' WHERE id = %s", DISAGREES_USER)
    assert failed(verify(connection)) == {"logins_unchanged": [f"users.role of users {DISAGREES_USER}"]}


# --- with the old application alive --------------------------------------------------------------------------------


@every_column
def test_a_profile_cell_that_a_sleeping_trigger_did_not_carry_over_is_caught(undone: None, field: Field) -> None:
    run("ALTER TABLE profiles DISABLE TRIGGER unification_sync_updated")
    run(set_changed(field), LINKED)
    run("ALTER TABLE profiles ENABLE TRIGGER unification_sync_updated")
    found = failed(verify(connection))
    if field.column in ("created_at", "updated_at") or field.column in WITHOUT_A_LEGACY_ROW:
        assert found == {}
        return
    assert set(found) == {"both_sides_agree"}
    assert all(sample.endswith(f": {field.column}") for sample in found["both_sides_agree"])


def test_a_legacy_row_changed_silently_after_an_open_write_is_caught(undone: None) -> None:
    run("UPDATE customers SET phone = 'openly', loyalty_tier = 'gold' WHERE id = %s", LINKED)
    assert failed(verify(connection)) == {}
    silently("UPDATE customers SET loyalty_tier = 'lead' WHERE id = %s", LINKED)
    assert failed(verify(connection)) == {"legacy_rows_in_step": [f"customers {LINKED}"]}


def test_an_order_changed_openly_is_explained_and_silently_is_caught(undone: None) -> None:
    run("UPDATE orders SET total_amount = total_amount + 1 WHERE id = %s", LINKED_ORDER)
    run("SET CONSTRAINTS ALL IMMEDIATE")
    assert failed(verify(connection)) == {}
    silently("UPDATE orders SET total_amount = total_amount + 1 WHERE id = %s", LINKED_ORDER)
    assert failed(verify(connection)) == {"orders_keep_their_person": [f"orders {LINKED_ORDER}: total_amount"]}


# --- the command --------------------------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("verify_unification", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_the_command_prints_the_balance_and_every_check(seed: str) -> None:
    lines = command().splitlines()
    assert lines[0].split() == [
        *("table.column", "cells", "carried", "conflict", "default", "archived", "changed", "nowhere")
    ]
    assert ["customers.email", "10", "10", "0", "0", "0", "0", "0"] in [line.split() for line in lines]
    header = next(number for number, line in enumerate(lines) if line.startswith("check "))
    assert lines[header].split() == ["check", "result", "rows", "explained", "different"]
    names = [check.__name__ for check in (*ALWAYS, *WITH_LEGACY, cells_conserved)]
    assert [line.split()[:2] for line in lines[header + 1 :][: len(names)]] == [[name, "passed"] for name in names]
    assert next(line for line in lines if line.startswith("protection_in_force")).endswith("  by event triggers")
    taken = VerificationRun.objects.latest()
    assert taken.passed
    assert lines[-1].startswith("Verification passed, snapshot of ")
    assert lines[-1].endswith(" UTC.")


def test_the_command_writes_the_evidence_to_a_file(seed: str, tmp_path: Path) -> None:
    printed = command("--json", str(tmp_path / "evidence.json"))
    evidence = json.loads((tmp_path / "evidence.json").read_text(encoding="utf-8"))
    assert printed.endswith(" UTC.\n")
    assert evidence == VerificationRun.objects.latest().report
    assert evidence["passed"] is True
    assert evidence["checks"]["profiles_equal_users"] == {
        "rows": 10,
        "expected": 0,
        "differences": 0,
        "samples": [],
        "explained": 0,
        "note": "",
        "not_applicable": "",
        "passed": True,
    }
    assert {"table": "customers", "column": "email", "rows": 10, "cells": 10, "carried": 10}.items() <= next(
        line for line in evidence["balance"] if (line["table"], line["column"]) == ("customers", "email")
    ).items()


def test_the_command_writes_nothing_but_the_evidence_to_standard_output(seed: str) -> None:
    assert json.loads(command("--json", "-")) == VerificationRun.objects.latest().report


def test_the_command_ends_with_3_and_names_the_row_when_something_differs(
    seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = Profile.objects.earliest("id").pk
    with transaction.atomic():
        silently("UPDATE profiles SET phone = 'silently' WHERE id = %s", profile)
    with pytest.raises(SystemExit) as ended:
        call_command("verify_unification", no_color=True)
    assert ended.value.code == 3
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("values_as_ruled"))
    assert lines[at].split() == ["values_as_ruled", "FAILED", "10", "0", "1"]
    assert lines[at + 1 : at + 3] == [
        "    Every column of every profile is what the field map makes of the backups, or history says why not.",
        f"    profiles {profile}: phone",
    ]
    assert lines[-1].startswith("Verification FAILED, snapshot of ")
    assert VerificationRun.objects.latest().passed is False
    with pytest.raises(SystemExit) as ended:
        call_command("verify_unification", "--json", "-")
    assert ended.value.code == 3
    assert json.loads(capsys.readouterr().out)["checks"]["values_as_ruled"]["samples"] == [f"profiles {profile}: phone"]


def test_the_evidence_holds_no_personal_value_when_everything_differs(undone: None) -> None:
    personal = set()
    for table, columns in {
        "users": ("email", "first_name", "last_name", "phone", "date_of_birth", "password_hash"),
        "customers": (
            "email",
            "first_name",
            "last_name",
            "phone",
            "date_of_birth",
            "address",
            "notes",
            "city",
        ),
    }.items():
        with connection.cursor() as cursor:
            for column in columns:
                cursor.execute(f"SELECT DISTINCT {column}::text FROM {table} WHERE length({column}::text) > 7")
                personal |= {value for (value,) in cursor.fetchall()}
    assert len(personal) > 500
    silently("UPDATE profiles SET first_name = 'x', phone = 'x', contact_email = 'x', notes = 'x', address = 'x'")
    silently("UPDATE users SET email = id || '@x.io', password_hash = 'x'")
    silently("UPDATE customers SET first_name = 'x'")
    silently("DELETE FROM field_conflicts")
    report = verify(connection)
    assert len(failed(report)) >= 5
    evidence = json.dumps(report.as_json(), ensure_ascii=False)
    assert [value for value in personal if value in evidence] == []


def test_the_command_cannot_finish_before_migrate(empty_database: str) -> None:
    with pytest.raises(CommandError) as refusal:
        command()
    assert refusal.value.returncode == 1
    assert str(refusal.value) == (
        "There is nothing to verify: no table orders, profiles, unification_phases, users."
        " Run `manage.py migrate` first."
    )


def test_a_database_without_legacy_tables_passes_the_checks_that_apply(empty_database: str) -> None:
    call_command("migrate", verbosity=0)
    User.objects.create_user("first@example.com", "a-password-5")
    report = verify(connection)
    assert list(report.checks) == [check.__name__ for check in ALWAYS]
    assert (failed(report), report.passed, report.balance) == ({}, True, [])
    assert command().splitlines()[0].split() == ["check", "result", "rows", "explained", "different"]


def test_an_unfinished_unification_cannot_be_judged(undone: None) -> None:
    run("UPDATE unification_phases SET finished_at = NULL WHERE name IN ('conflicts', 'orders')")
    with pytest.raises(UnificationUnfinished) as refusal:
        verify(connection)
    assert str(refusal.value) == (
        "The unification has not finished: conflicts, orders. Run `manage.py migrate`, then verify."
    )
