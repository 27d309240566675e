"""What a step refuses, each with the very thing that it must catch, and that nothing was changed by it."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from config.locks import StillInUse
from legacy_customers.models import ContractStep
from legacy_customers.unification.contract import Refused, dump
from legacy_customers.unification.preflight import cautions
from legacy_customers.unification.verify import verify
from profiles.models import MergeSuggestion, Profile
from tests.databases import another_session, one, rows, run, until
from tests.legacy_customers.contract import contract, let_go, step, until_step, wait

SCHEMA = """
SELECT c.relname, c.relkind, (SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND NOT a.attisdropped),
    (SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = c.oid)
FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


@pytest.fixture(autouse=True)
def dumps(settings: Any, tmp_path: Path) -> None:
    settings.UNIFICATION_DUMP_DIR = str(tmp_path)


def refused(name: str, **options: Any) -> str:
    """Why the step is refused; nothing is changed by that."""
    before, records = rows(SCHEMA), list(ContractStep.objects.values())
    with pytest.raises(Refused) as refusal:
        step(name, **options)
    assert (rows(SCHEMA), list(ContractStep.objects.values())) == (before, records)
    with pytest.raises(SystemExit) as ended:
        contract("--plan")
    assert ended.value.code == 3
    return str(refusal.value)


# --- turn and time --------------------------------------------------------------------------------------------------


def test_steps_come_in_their_order(seed: str) -> None:
    wait()
    with pytest.raises(CommandError, match="backups comes later: the next step is fence"):
        step("backups")


def test_a_step_comes_days_after_the_one_before(seed: str, settings: Any) -> None:
    assert "The step before, the take-over, was done on" in refused("fence")
    until_step("fence")
    assert "users_columns comes 7 days later at the earliest (UNIFICATION_CONTRACT_DAYS)" in refused("users_columns")
    settings.UNIFICATION_SILENT_DAYS = 0
    wait(6)
    refused("users_columns")
    settings.UNIFICATION_CONTRACT_DAYS = 6
    step("users_columns")


def test_what_is_forced_is_kept_with_the_reason_and_with_what_it_overruled(seed: str) -> None:
    step("fence", force="the shop is closed")
    record = ContractStep.objects.get()
    assert record.forced == "the shop is closed"
    assert record.detail["overruled"].startswith("The step before, the take-over, was done on")
    wait()
    assert "Forced: the shop is closed" in contract("--plan")


def test_a_reason_that_nobody_needs_is_not_kept(seed: str) -> None:
    wait()
    step("fence", force="just so")
    assert ContractStep.objects.get().forced == ""


# --- the judge ------------------------------------------------------------------------------------------------------


def test_a_cell_that_was_changed_behind_the_triggers_stops_every_step(seed: str) -> None:
    wait()
    with transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        run("UPDATE customers SET city = 'Nowhere' WHERE email LIKE 'verify%'")
    assert "The verification does not pass: legacy_rows_in_step (1 differences: customers " in refused("fence")


KEEP = (
    "UPDATE unification_phases SET detail = detail || jsonb_build_object('keep_until', %s::text) WHERE name = 'backup'"
)


def test_backups_that_are_kept_for_too_long_stop_every_step_but_the_one_that_drops_them(seed: str) -> None:
    wait()
    run(KEEP, "2026-01-01")
    assert "backups_in_their_time (1 differences: backups were to be kept until 2026-01-01" in refused("fence")
    run(KEEP, "2999-01-01")
    until_step("customers_view")
    wait()
    run(KEEP, "2026-01-01")
    step("backups")


def test_tables_that_are_gone_without_a_step_are_no_step(seed: str) -> None:
    until_step("users_columns")
    with transaction.atomic():
        run("SELECT release_protection('by hand')")
        run("DROP TABLE user_profiles")
    assert "old_ids_resolve (1 differences: not run, for there is no user_profiles)" in refused("legacy_tables")


# --- who is still there ---------------------------------------------------------------------------------------------


def test_a_writer_of_the_old_tables_stops_the_fence_until_it_has_been_silent(seed: str) -> None:
    wait()
    run("UPDATE customers SET city = 'Oslo' WHERE email LIKE 'verify%'")
    user = one("SELECT session_user")
    assert f"Somebody was still there within the last 7 days: {user} wrote customers (1 times, last " in refused(
        "fence"
    )
    wait()
    step("fence")


def test_who_reads_the_view_once_a_month_stops_it_from_being_dropped(seed: str) -> None:
    until_step("legacy_tables")
    for _ in range(2):
        wait(31)
        with another_session(autocommit=True) as cron:
            cron.execute("SELECT count(*) FROM customers_view")
            cron.execute("SELECT pg_stat_force_next_flush()")
    wait(20)
    told = refused("customers_view")
    user = one("SELECT session_user")
    assert f"Somebody was still there within the last 35 days: {user} read customers_view (" in told
    wait(20)
    step("customers_view")


def test_a_reader_of_the_old_tables_shows_when_the_sync_is_off(seed: str) -> None:
    until_step("users_columns")
    wait()
    with another_session(autocommit=True) as report:
        report.execute("SELECT count(*) FROM user_profiles")
        report.execute("SELECT pg_stat_force_next_flush()")
    assert "(role unknown) read user_profiles (1 times, last " in refused("legacy_tables")


def test_silence_that_nobody_has_listened_to_proves_nothing(seed: str) -> None:
    until_step("users_columns")
    told = refused("legacy_tables")
    assert (
        "Nobody has watched for 35 days, so silence proves nothing yet: reads of customers (scans of the table): since"
        in told
    )
    wait()
    run("DELETE FROM legacy_usage_counters")
    assert "reads of customer_profiles (scans of the table): since" in refused("legacy_tables")
    step("legacy_tables", force="it was watched by other means")


def test_a_caller_of_the_superseded_paths_stops_the_last_drop(seed: str) -> None:
    until_step("customers_view")
    wait()
    run(
        "INSERT INTO api_usage (day, client, agent, method, route, first_at, last_at, calls)"
        " VALUES (current_date, 'till 3', 'Till/2.1', 'GET', '/api/customers/', now(), now(), 12)"
    )
    assert "till 3 (Till/2.1) read old API (12 times, last " in refused("backups")
    step("backups", force="till 3 is being replaced today")


def test_an_open_long_transaction_is_named(seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cautions, "LONG", "0 seconds")
    wait()
    with another_session(application_name="a long report") as report:
        report.execute("SELECT count(*) FROM users")
        told = refused("fence")
        assert (
            f"Transactions are open for long: pid {report.info.backend_pid} ({report.info.user}, a long report" in told
        )
        report.rollback()
        step("fence")


@pytest.mark.parametrize(("before", "name", "table"), [("", "fence", "orders"), ("fence", "users_columns", "profiles")])
def test_a_table_that_stays_in_use_stops_the_step_by_name_and_nothing_is_half_done(
    seed: str, settings: Any, before: str, name: str, table: str
) -> None:
    settings.UNIFICATION_LOCK_PATIENCE_S = 0
    if before:
        until_step(before)
    wait()
    schema = rows(SCHEMA)
    with another_session(application_name="an import") as writer:
        writer.execute(f"UPDATE {table} SET updated_at = updated_at")
        pid = writer.info.backend_pid
        until("SELECT xact_start < clock_timestamp() - interval '1 second' FROM pg_stat_activity WHERE pid = %s", pid)
        with pytest.raises(StillInUse, match=f"In the way: pid {pid} "):
            step(name)
        assert rows(SCHEMA) == schema
        assert ContractStep.objects.get(name=name).done_at is None
        writer.rollback()
    assert f"{name} is done." in step(name)


# --- what hangs on it -----------------------------------------------------------------------------------------------


def test_views_keys_functions_rules_and_publications_of_others_are_named(shop: str) -> None:
    run("UPDATE merge_suggestions SET status = 'dismissed', decided_at = now()")
    until_step("users_columns")
    wait()
    run(
        """
        CREATE MATERIALIZED VIEW best_customers AS SELECT id FROM customers WHERE loyalty_points > 100;
        CREATE FUNCTION greet(c customers) RETURNS text LANGUAGE sql AS 'SELECT c.first_name';
        CREATE FUNCTION nightly() RETURNS bigint LANGUAGE sql AS 'SELECT 1';
        CREATE OR REPLACE FUNCTION nightly() RETURNS bigint LANGUAGE plpgsql AS
            'BEGIN RETURN (SELECT count(*) FROM user_profiles); END';
        CREATE RULE quietly AS ON DELETE TO user_profiles DO INSTEAD NOTHING;
        CREATE PUBLICATION warehouse FOR TABLE customer_profiles
        """
    )
    told = refused("legacy_tables", force="whatever")
    for name in (
        "view active_customers uses customers",
        "materialized view best_customers uses customers",
        "foreign key carts_customer_id_fkey of carts uses customers",
        "foreign key reviews_customer_id_fkey of reviews uses customers",
        "function greet(customers) uses customers",
        "; and 2 more",
    ):
        assert name in told
    let_go()
    run("DROP MATERIALIZED VIEW best_customers; DROP FUNCTION greet")
    told = refused("legacy_tables", force="whatever")
    assert "rule quietly on user_profiles; publication warehouse publishes customer_profiles" in told
    run("DROP RULE quietly ON user_profiles; DROP PUBLICATION warehouse")
    assert "The text of these functions names what would be dropped: function nightly() names user_profiles" in refused(
        "legacy_tables"
    )
    step("legacy_tables", force="nightly is switched off")
    assert verify(connection).passed


def test_who_reads_a_copy_in_users_is_named(seed: str) -> None:
    until_step("fence")
    wait()
    run("CREATE VIEW phone_book AS SELECT first_name, phone FROM users")
    run(
        "CREATE FUNCTION dial() RETURNS text LANGUAGE plpgsql AS"
        " 'BEGIN RETURN (SELECT max(phone) FROM users); END'; CREATE VIEW logins AS SELECT email FROM users"
    )
    told = refused("users_columns")
    assert "Others still use what would be dropped: view phone_book uses users.\n" in told
    assert "function dial() names users" in told


def test_a_view_on_the_view_is_named(seed: str) -> None:
    until_step("legacy_tables")
    wait()
    run("CREATE VIEW mailing AS SELECT email FROM customers_view")
    assert "view mailing uses customers_view" in refused("customers_view")


def test_what_is_made_of_the_times_is_named(seed: str) -> None:
    until_step("backups")
    wait()
    run("CREATE VIEW recent AS SELECT id FROM orders WHERE created_at > now() - interval '1 day'")
    run("CREATE INDEX by_day ON orders ((created_at::date))")
    told = refused("timestamps", force="whatever")
    assert "view recent uses orders" in told
    assert "index by_day, which computes with created_at" in told


# --- what it takes --------------------------------------------------------------------------------------------------


def test_nothing_is_dropped_where_there_is_no_pg_dump(seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    until_step("fence")
    wait()
    monkeypatch.setattr(dump, "_places", lambda: iter(()))
    told = refused("users_columns", force="whatever")
    assert "there is no pg_dump of that version or a later one here (found: none)" in told
    assert "or set PG_BIN to the directory that holds pg_dump" in told


def test_a_dump_that_fails_stops_the_step_and_leaves_nothing(
    seed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    until_step("fence")
    wait()
    before = rows(SCHEMA)

    def full(self: dump.Tools, connection: Any, tool: str, *arguments: Any) -> str:
        raise CommandError(f"{tool} failed (exit status 1): No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(dump.Tools, "run", full)
        with pytest.raises(CommandError, match="No space left on device"):
            step("users_columns")
    assert list(tmp_path.iterdir()) == []
    assert rows(SCHEMA) == before
    assert verify(connection).passed
    step("users_columns")


def test_logins_that_nobody_has_decided_on_are_named(seed: str) -> None:
    until_step("timestamps")
    wait()
    first, second = Profile.objects.filter(user__email__isnull=False).order_by("pk")[:2]
    suggestion = MergeSuggestion.objects.create(profile=first, other_profile=second, reason="same_login")
    told = refused("unique_email", force="whatever")
    assert f"suggestion {suggestion.pk}: profiles {first.pk} and {second.pk}" in told
    MergeSuggestion.objects.filter(pk=suggestion.pk).update(status="dismissed")
    run("UPDATE users SET email = upper(%s) WHERE id = %s", first.user.email, second.user_id)
    pair = " and ".join(sorted((str(first.user_id), str(second.user_id))))
    assert f"These active logins share an address: users {pair}." in refused("unique_email", force="whatever")
    run("UPDATE users SET active = false WHERE id = %s", second.user_id)
    step("unique_email")


# --- the way back ---------------------------------------------------------------------------------------------------


def test_there_is_no_way_back_from_within_the_contract(seed: str) -> None:
    until_step("fence")
    with pytest.raises(CommandError, match=r"Take the fence away first \(`manage.py contract_unification --undo`\)"):
        call_command("rollback_unification", interactive=False, verbosity=0, stdout=None)
    with pytest.raises(CommandError, match=r"legacy_customers.0016_contract backwards: table unification_contract"):
        call_command("migrate", "legacy_customers", "0015", verbosity=0)
    wait()
    step("users_columns")
    with pytest.raises(CommandError, match="There is no way back any more"):
        call_command("migrate", "legacy_customers", "zero", verbosity=0)
    assert verify(connection).passed


def test_nothing_is_contracted_where_nothing_was_taken_over(empty_database: str) -> None:
    call_command("migrate", verbosity=0)
    with pytest.raises(CommandError, match="This database was not taken over"):
        contract("--plan")
