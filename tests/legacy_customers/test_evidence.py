"""Usage evidence: each reader and writer of an old shape is caught by what can see it, and nobody else is."""

import datetime
from collections.abc import Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from psycopg import sql

from accounts.models import User
from legacy_customers.sample.persons import row_id
from legacy_customers.unification import evidence, sync, usage_counters
from legacy_customers.unification.evidence import LOG, SCANS, SYNC, VIEW
from legacy_customers.unification.verify import verify
from profiles.models import Profile
from tests.databases import another_session, one, rows, run

Session = psycopg.Connection[Any]
LINKED, LINKED_USER = row_id("linked", "customers"), row_id("linked", "users")


@pytest.fixture
def old_application() -> Iterator[Session]:
    """A session of the old application, under a role of its own."""
    run("CREATE ROLE old_shop SUPERUSER LOGIN")
    try:
        yield from session_of("old_shop")
    finally:
        run("REASSIGN OWNED BY old_shop TO CURRENT_USER; DROP OWNED BY old_shop; DROP ROLE old_shop")


def session_of(role: str) -> Iterator[Session]:
    with another_session(autocommit=True) as session:
        session.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
        yield session


def found(*shapes: str) -> list[tuple[str, str, str, int, str]]:
    return [(e.shape, e.kind, e.who, e.count, e.source) for e in evidence.gather(connection) if e.shape in shapes]


def settled(session: Session) -> None:
    """What the session has counted is to be seen by others."""
    session.execute("SELECT pg_stat_force_next_flush()")
    session.execute("SELECT 1")


def test_a_reader_of_the_view_is_caught_with_its_role(seed: str, old_application: Session) -> None:
    evidence.sample(connection)
    before = timezone.now()
    old_application.execute("SELECT * FROM customers_view")
    old_application.execute("SELECT email FROM customers_view WHERE id = %s", [one("SELECT id FROM profiles LIMIT 1")])
    settled(old_application)
    assert found("customers_view") == [("customers_view", "read", "old_shop", 1, VIEW)]
    evidence.sample(connection)
    evidence.sample(connection)
    [kept] = evidence.used_since(connection, before, ["customers_view"])
    assert (kept.who, kept.count) == ("old_shop", 1)
    assert kept.first_at < before < kept.last_at
    assert evidence.used_since(connection, timezone.now()) == []


def test_read_only_and_parallel_readers_count_too(seed: str, old_application: Session) -> None:
    evidence.sample(connection)
    old_application.execute("SET default_transaction_read_only = on; SET min_parallel_table_scan_size = 0")
    old_application.execute("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0")
    plan = [line for (line,) in old_application.execute("EXPLAIN SELECT count(*) FROM customers_view")]
    assert any("Workers Planned" in line for line in plan)
    old_application.execute("SELECT count(*) FROM customers_view")
    settled(old_application)
    [(_, _, who, count, _)] = found("customers_view")
    assert who == "old_shop"
    assert count >= 1


def test_a_reader_without_any_right_of_ours_is_served_and_caught(seed: str) -> None:
    evidence.sample(connection)
    run("CREATE ROLE report LOGIN; GRANT SELECT ON customers_view, profiles, users TO report")
    try:
        evidence.sample(connection)
        for session in session_of("report"):
            session.execute("SET search_path = pg_catalog; SET default_transaction_read_only = on")
            assert session.execute("SELECT count(*) FROM public.customers_view").fetchone() == (10,)
            settled(session)
        assert found("customers_view") == [("customers_view", "read", "report", 1, VIEW)]
    finally:
        run("DROP OWNED BY report; DROP ROLE report")


def test_a_session_that_becomes_somebody_else_is_known_as_the_first_until_the_next_sample(
    seed: str, old_application: Session
) -> None:
    """So it never hides that somebody is there."""
    [us] = rows("SELECT session_user::text")[0]
    evidence.sample(connection)
    read = "SELECT count(*) FROM customers_view"
    old_application.execute(read)
    old_application.execute("RESET SESSION AUTHORIZATION")
    old_application.execute(read)
    settled(old_application)
    assert [who for _, _, who, count, _ in found("customers_view") if count] == ["old_shop"]
    evidence.sample(connection)
    old_application.execute(read)
    settled(old_application)
    assert {(who, count) for _, _, who, count, _ in found("customers_view")} == {("old_shop", 1), (us, 1)}


@pytest.mark.parametrize("statement", ["EXECUTE look (gen_random_uuid())", "SELECT count(*) FROM customers_view"])
def test_a_session_counts_once_between_two_samples(seed: str, old_application: Session, statement: str) -> None:
    """Also by what it has prepared, of which it has the plan."""
    evidence.sample(connection)
    old_application.execute("SET plan_cache_mode = force_generic_plan")
    old_application.execute("PREPARE look AS SELECT count(*) FROM customers_view WHERE id = $1")
    for counted in (1, 2, 3):
        for _ in range(3):
            old_application.execute(statement)
        settled(old_application)
        assert found("customers_view") == [("customers_view", "read", "old_shop", counted, VIEW)]
        evidence.sample(connection)


def test_being_watched_changes_no_plan_of_the_view(seed: str) -> None:
    statement = "EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM customers_view ORDER BY id LIMIT 50"
    watched = rows(statement)
    evidence.remove(connection)
    assert rows(statement) == watched


def bare_view(where: str = "") -> None:
    """customers_view as its definition is, and no domain of ours in it."""
    definition, options, *_ = rows(usage_counters.VIEW_IS)[0]
    run(
        sql.SQL("CREATE OR REPLACE VIEW customers_view WITH ({}) AS {}{}").format(
            sql.SQL(options), sql.SQL(definition.rpartition("WHERE")[0]), sql.SQL(where)
        )
    )


def test_a_view_that_called_a_function_with_every_plan_counts_by_its_domain_from_the_next_sample_on(
    seed: str, old_application: Session
) -> None:
    """As databases have it that were taken over by an earlier version."""
    bare_view(" WHERE unification_view_read()")
    run("DROP DOMAIN unification_view_use")
    run("CREATE FUNCTION unification_view_reader() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END'")
    evidence.sample(connection)
    old_application.execute("SELECT 1 FROM customers_view")
    settled(old_application)
    assert [line[2:4] for line in found("customers_view")] == [("old_shop", 1)]
    assert "unification_view_read" not in one("SELECT pg_get_viewdef('customers_view'::regclass)")
    assert one("SELECT to_regproc('unification_view_reader')") is None


def test_who_does_not_own_the_view_leaves_its_readers_to_the_next_sample(seed: str, old_application: Session) -> None:
    evidence.sample(connection)
    run("CREATE ROLE onlooker LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO onlooker")
    run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO onlooker")
    try:
        old_application.execute("SELECT 1 FROM customers_view")
        settled(old_application)
        run("SET SESSION AUTHORIZATION onlooker")
        evidence.sample(connection)
        run("RESET SESSION AUTHORIZATION")
        assert rows("SELECT count(*) FROM legacy_usage") == [(0,)]
        assert found("customers_view") == [("customers_view", "read", "old_shop", 1, VIEW)]
    finally:
        run("RESET SESSION AUTHORIZATION; DROP OWNED BY onlooker; DROP ROLE onlooker")


def test_what_we_read_ourselves_is_nobodys_use(seed: str) -> None:
    evidence.sample(connection)
    assert verify(connection).passed
    call_command("unification_status", stdout=StringIO())
    run("SELECT pg_stat_force_next_flush()")
    run("SELECT 1")
    assert found(*evidence.SHAPES) == []


def test_a_counter_that_is_reset_loses_nothing_that_was_sampled(seed: str, old_application: Session) -> None:
    evidence.sample(connection)
    for reset in ("SELECT 1", "SELECT 1", "SELECT pg_stat_reset()"):
        run(reset)
        old_application.execute("SELECT 1 FROM customers_view")
        settled(old_application)
        evidence.sample(connection)
    assert found("customers_view") == [("customers_view", "read", "old_shop", 3, VIEW)]


def test_a_role_that_comes_later_is_told_apart_from_its_first_sample_on(seed: str) -> None:
    evidence.sample(connection)
    run("CREATE ROLE late_reader SUPERUSER LOGIN")
    try:
        for session in session_of("late_reader"):
            session.execute("SELECT 1 FROM customers_view")
            settled(session)
            assert [one[2:4] for one in found("customers_view")] == [("(another role)", 1)]
            evidence.sample(connection)
            session.execute("SELECT 1 FROM customers_view")
            settled(session)
        assert sorted(one[2:4] for one in found("customers_view")) == [("(another role)", 1), ("late_reader", 1)]
    finally:
        run("DROP ROLE late_reader")


WRITES = {
    "UPDATE customers_view SET city = 'Bonn' WHERE id = %(customer)s": ("customers_view", LOG),
    "UPDATE customers_view SET city = 'Bonn' WHERE false": ("customers_view", LOG),
    "INSERT INTO customers_view (email) VALUES ('new@example.com')": ("customers_view", LOG),
    "UPDATE users SET phone = '+49 30 1' WHERE id = %(user)s": ("users", LOG),
    "INSERT INTO users (email, password_hash, first_name) VALUES ('u@example.com', 'x', 'U')": ("users", LOG),
    "INSERT INTO orders (order_number, customer_id) VALUES ('A-9', %(customer)s)": ("orders", LOG),
    "UPDATE customers SET city = 'Bonn' WHERE id = %(customer)s": ("customers", SYNC),
    "DELETE FROM customer_profiles WHERE customer_id = %(attached)s": ("customer_profiles", SYNC),
}


@pytest.mark.parametrize("statement", WRITES)
def test_a_writer_is_caught_with_its_role(shop: str, old_application: Session, statement: str) -> None:
    shape, source = WRITES[statement]
    attached = one("SELECT customer_id FROM customer_profiles ORDER BY 1 LIMIT 1")
    before = found(*evidence.SHAPES)
    old_application.execute(statement, {"customer": LINKED, "user": LINKED_USER, "attached": attached})
    written = [line for line in found(*evidence.SHAPES) if line[1] == "write" and line not in before]
    assert written == [(shape, "write", "old_shop", 1, source)]
    evidence.sample(connection)
    assert [line for line in found(*evidence.SHAPES) if line[1] == "write" and line not in before] == written


def test_the_new_application_is_no_user_of_the_old_shapes(shop: str) -> None:
    user = User.objects.create_user("new@example.com", "a-password-1")
    user.active = False
    user.save()
    profile = Profile.objects.get(user=user)
    profile.phone = "+49 30 1"
    profile.save()
    run("INSERT INTO orders (order_number, user_id) VALUES ('A-9', %s)", user.pk)
    assert one("SELECT customer_id IS NOT NULL FROM orders WHERE order_number = 'A-9'")  # the sync's
    assert [line for line in found(*evidence.SHAPES) if line[1] == "write"] == []


def test_scans_of_the_old_tables_are_seen_once_the_sync_is_off(seed: str, old_application: Session) -> None:
    evidence.sample(connection)
    old_application.execute("SELECT * FROM customers")
    settled(old_application)
    assert found("customers") == []
    [hidden] = [watch for watch in evidence.watches(connection) if (watch.shape, watch.kind) == ("customers", "read")]
    assert (hidden.since, hidden.why) == (None, evidence.HIDDEN)
    with connection.cursor() as cursor:
        sync.drop_triggers(cursor)
    evidence.sample(connection)
    with evidence.own_reads(connection):
        run("SELECT * FROM customers")
        run("SELECT pg_stat_force_next_flush()")
    assert found("customers", "user_profiles") == []
    # A dump reads each table, and its backup, once.
    old_application.execute("COPY (SELECT * FROM customers) TO PROGRAM 'cat >/dev/null'")
    old_application.execute("COPY (SELECT * FROM backup_customers) TO PROGRAM 'cat >/dev/null'")
    settled(old_application)
    assert found("customers") == []
    old_application.execute("SELECT * FROM customers")
    settled(old_application)
    assert found("customers") == [("customers", "read", "(role unknown)", 1, SCANS)]


def test_who_does_not_look_or_not_long_enough_is_named(seed: str) -> None:
    now = timezone.now()
    run("UPDATE legacy_usage_counters SET since = %s", now - datetime.timedelta(days=30))
    run("UPDATE unification_phases SET finished_at = %s WHERE name = 'sync'", now - datetime.timedelta(days=3))
    week = now - datetime.timedelta(days=7)
    assert [
        (w.shape, w.kind, w.source) for w in evidence.unwatched(connection, week, ["customers", "customers_view"])
    ] == [
        ("customers", "write", SYNC),
        ("customers", "read", SCANS),
    ]


def test_a_view_that_was_made_anew_counts_again(seed: str, old_application: Session) -> None:
    bare_view()
    [blind] = [watch for watch in evidence.watches(connection) if watch.source == VIEW]
    assert (blind.since, blind.why) == (None, evidence.NO_VIEW)
    evidence.sample(connection)
    old_application.execute("SELECT 1 FROM customers_view")
    settled(old_application)
    assert [line[2:4] for line in found("customers_view")] == [("old_shop", 1)]


def test_the_way_back_takes_it_all_away(seed: str) -> None:
    call_command("migrate", "legacy_customers", "zero", verbosity=0)
    assert rows("SELECT proname FROM pg_proc WHERE proname LIKE 'unification%%' OR proname LIKE 'protection%%'") == []
    assert rows("SELECT typname FROM pg_type WHERE typtype = 'd' AND typname LIKE 'unification%%'") == []
    assert rows("SELECT evtname FROM pg_event_trigger") == []
    assert one("SELECT to_regclass('unification_uses') IS NULL")


def test_a_busy_writer_is_logged_once_a_second_and_counted_whole(seed: str, old_application: Session) -> None:
    for n in range(300):
        old_application.execute("UPDATE users SET phone = %s WHERE false", [str(n)])
    assert one("SELECT count(*) FROM unification_uses") < 300
    # As if it were the next second.
    waiting = "(SELECT substring(current_setting('unification.log_users') FROM '[0-9]+$'))"
    old_application.execute(f"SELECT set_config('unification.log_users', 'old_shop 1 ' || {waiting}, false)")
    old_application.execute("UPDATE users SET phone = 'last' WHERE false")
    assert found("users") == [("users", "write", "old_shop", 301, LOG)]


def test_new_orders_are_told_once_a_minute_and_for_each_role_of_a_session(seed: str, old_application: Session) -> None:
    old_application.execute("SET unification.log_order = 'old_shop 1'")  # a minute of long ago
    with old_application.transaction():
        for n in range(3):
            old_application.execute(
                "INSERT INTO orders (order_number, customer_id) VALUES (%s, (SELECT min(id::text)::uuid FROM customers))",
                [f"A-{n}"],
            )
    assert found("orders") == [("orders", "write", "old_shop", 1, LOG)]
    old_application.execute("RESET SESSION AUTHORIZATION")
    old_application.execute(
        "INSERT INTO orders (order_number, customer_id) VALUES ('A-9', (SELECT min(id::text)::uuid FROM customers))"
    )
    assert sorted(line[2] for line in found("orders")) == ["old_shop", one("SELECT session_user")]
