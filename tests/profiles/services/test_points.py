"""Points and purchase totals, the ledger behind them, and what refuses."""

import datetime
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from config.api.problems import Problem
from profiles.loyalty import drift
from profiles.models import LoyaltyEntry, Profile, ProfileHistory
from profiles.services import profile_service
from tests.databases import one, run
from tests.factories import UserFactory, person

pytestmark = pytest.mark.django_db


def entries(profile: Profile) -> list[tuple[Any, ...]]:
    found = LoyaltyEntry.objects.filter(profile=profile).order_by("id")
    return list(found.values_list("delta", "balance", "reason", "source"))


def had(points: int) -> Profile:
    """Somebody who came with points: nothing was written about them."""
    user = UserFactory()
    user.profile.delete()
    profile: Profile = Profile.objects.create(user=user, loyalty_points=points)
    return profile


@contextmanager
def without_triggers(*tables: str, name: str = "USER") -> Iterator[None]:
    run("SET CONSTRAINTS ALL IMMEDIATE")
    for table in tables:
        run(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
    yield
    for table in tables:
        run(f"ALTER TABLE {table} ENABLE TRIGGER {name}")


def test_adjustment_is_an_entry_with_reason_source_and_author() -> None:
    profile, author, order = person(), UserFactory(), uuid.uuid4()
    entry = profile_service.update_loyalty_points(profile.user_id, 30, " gift ", by=author, via="admin", order_id=order)
    assert entry is not None
    assert (entry.delta, entry.balance, entry.reason, entry.source) == (30, 30, "gift", "admin")
    assert (entry.created_by, entry.order_id) == (author.pk, order)
    profile.refresh_from_db()
    assert profile.loyalty_points == 30
    trace = ProfileHistory.objects.get(profile=profile)
    assert (trace.changed_by, trace.via) == (author.pk, "admin")
    assert trace.changes["loyalty_points"] == {"old": 0, "new": 30}


def test_points_that_a_profile_came_with_are_its_opening_entry() -> None:
    profile = had(70)
    profile_service.update_loyalty_points(profile.user_id, -20, "spent")
    assert entries(profile) == [(70, 70, "opening balance", "opening"), (-20, 50, "spent", "service")]
    assert drift() == []


@pytest.mark.parametrize(("points", "delta"), [(10, -11), (0, -1), (-5, -1)])
def test_adjustment_below_zero_is_refused_and_writes_nothing(points: int, delta: int) -> None:
    profile = had(points)
    with pytest.raises(Problem) as caught:
        profile_service.update_loyalty_points(profile.user_id, delta, "spent")
    assert (caught.value.status_code, caught.value.code) == (409, "not_enough_points")
    assert caught.value.text == (
        f"{-delta} points cannot be taken from a balance of {points}: it would end below zero. "
        f"Take at most {max(points, 0)}."
    )
    profile.refresh_from_db()
    assert profile.loyalty_points == points
    assert entries(profile) == []


def test_legacy_negative_balance_is_kept_and_may_rise_below_zero() -> None:
    profile = had(-50)
    profile_service.update_loyalty_points(profile.user_id, 20, "goodwill")
    profile.refresh_from_db()
    assert profile.loyalty_points == -30
    assert entries(profile) == [(-50, -50, "opening balance", "opening"), (20, -30, "goodwill", "service")]


def test_reversal_may_end_below_zero() -> None:
    profile = had(3)
    assert profile_service.update_loyalty_points(profile.user_id, -10, "refund", floor=False) is not None
    profile.refresh_from_db()
    assert profile.loyalty_points == -7


def test_nothing_is_no_entry() -> None:
    profile = person()
    assert profile_service.update_loyalty_points(profile.user_id, 0, "nothing") is None
    assert entries(profile) == []


@pytest.mark.parametrize("reason", ["", "  "])
def test_reason_is_required(reason: str) -> None:
    profile = person()
    with pytest.raises(Problem) as caught:
        profile_service.update_loyalty_points(profile.user_id, 5, reason)
    assert (caught.value.code, caught.value.errors[0]["field"]) == ("invalid", "reason")
    assert entries(profile) == []


def test_nobody_is_not_found() -> None:
    nobody = uuid.uuid4()
    with pytest.raises(Problem, match=f"There is no profile of user {nobody}"):
        profile_service.update_loyalty_points(nobody, 5, "gift")


def test_sale_changes_points_and_totals_in_one_statement(django_assert_num_queries: Any) -> None:
    profile, order = person(), uuid.uuid4()
    at = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
    with transaction.atomic(), django_assert_num_queries(3):  # with the savepoint's two
        profile_service.record_purchase(
            profile.user_id, amount=Decimal("19.99"), points=19, orders=1, at=at, order_id=order, reason="sale", by=None,
            via="till",
        )  # fmt: skip
    profile.refresh_from_db()
    assert (profile.loyalty_points, profile.total_spent, profile.order_count) == (19, Decimal("19.99"), 1)
    assert profile.last_order_date == at
    entry = LoyaltyEntry.objects.get(profile=profile)
    assert (entry.delta, entry.reason, entry.source, entry.order_id) == (19, "sale", "till", order)


def test_reversal_takes_back_exactly_and_keeps_a_later_date() -> None:
    profile, order = person(), uuid.uuid4()
    at = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)

    def record(amount: str, points: int, orders: int, at: datetime.datetime | None) -> None:
        profile_service.record_purchase(
            profile.user_id, amount=Decimal(amount), points=points, orders=orders, at=at, order_id=order, reason="x",
            by=None, via="till",
        )  # fmt: skip

    record("19.99", 19, 1, at)
    record("5.00", 5, 1, at - datetime.timedelta(days=1))
    record("-19.99", -19, -1, at - datetime.timedelta(days=2))
    profile.refresh_from_db()
    assert (profile.loyalty_points, profile.total_spent, profile.order_count) == (5, Decimal("5.00"), 1)
    assert profile.last_order_date == at
    assert drift() == []


def test_purchase_stats_add_up_and_round_to_cents() -> None:
    profile = person()
    profile_service.update_purchase_stats(profile.user_id, 10.005)
    after = profile_service.update_purchase_stats(profile.user_id, Decimal("2.50"), orders=2)
    assert (after.total_spent, after.order_count, after.loyalty_points) == (Decimal("12.51"), 3, 0)
    assert after.last_order_date is not None


@pytest.mark.parametrize("total", [float("nan"), float("inf"), Decimal("1e12")])
def test_purchase_stats_refuse_what_is_no_money(total: Any) -> None:
    profile = person()
    with pytest.raises(Problem, match="no sum of money"):
        profile_service.update_purchase_stats(profile.user_id, total)
    profile.refresh_from_db()
    assert (profile.total_spent, profile.order_count) == (0, 0)


def test_sums_of_a_merged_profile_go_to_who_it_was_merged_into() -> None:
    survivor, shell = person(), person()
    Profile.objects.filter(pk=shell.pk).update(merged_into=survivor)
    profile_service.update_loyalty_points(shell.user_id, 5, "gift")
    profile_service.update_purchase_stats(shell.user_id, 2)
    survivor.refresh_from_db()
    assert (survivor.loyalty_points, survivor.total_spent) == (5, 2)
    assert entries(shell) == []


# The ledger, whatever writes.


def by_orm(profile: Profile) -> None:
    profile.loyalty_points += 7
    profile.save()


def by_queryset(profile: Profile) -> None:
    Profile.objects.filter(pk=profile.pk).update(loyalty_points=F("loyalty_points") + 7)


def by_bulk_update(profile: Profile) -> None:
    profile.loyalty_points += 7
    Profile.objects.bulk_update([profile], ["loyalty_points"])


def by_sql(profile: Profile) -> None:
    run("UPDATE profiles SET loyalty_points = loyalty_points + 7 WHERE id = %s", profile.pk)


def by_view(profile: Profile) -> None:
    run("UPDATE customers_view SET loyalty_points = loyalty_points + 7 WHERE id = %s", profile.pk)


def by_upsert(profile: Profile) -> None:
    run(
        "INSERT INTO profiles (id, user_id) VALUES (%s, %s)"
        " ON CONFLICT (id) DO UPDATE SET loyalty_points = profiles.loyalty_points + 7",
        profile.pk,
        profile.user_id,
    )


def by_another_trigger(profile: Profile) -> None:
    """A statement that names no points at all."""
    run(
        "CREATE FUNCTION seven() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.loyalty_points := NEW.loyalty_points + 7; RETURN NEW; END'"
    )
    run("CREATE TRIGGER seven BEFORE UPDATE ON profiles FOR EACH ROW EXECUTE FUNCTION seven()")
    run("UPDATE profiles SET notes = 'x' WHERE id = %s", profile.pk)
    run("DROP TRIGGER seven ON profiles")


WRITERS = [by_orm, by_queryset, by_bulk_update, by_sql, by_view, by_upsert, by_another_trigger]


@pytest.mark.parametrize("write", WRITERS)
def test_whoever_writes_points_leaves_an_entry(write: Callable[[Profile], None]) -> None:
    profile = had(10)
    write(profile)
    assert entries(profile) == [(10, 10, "opening balance", "opening"), (7, 17, "changed directly", "sql")]
    assert drift() == []


def test_other_columns_leave_no_entry() -> None:
    profile = had(10)
    Profile.objects.filter(pk=profile.pk).update(notes="x", loyalty_points=10)
    assert entries(profile) == []


@pytest.mark.parametrize("name", ["unified.order", "unified.actor"])
@pytest.mark.parametrize("value", ["nonsense", "123", "'; DROP TABLE users", "é" * 300])
def test_bad_signature_does_not_stop_a_write(name: str, value: str) -> None:
    profile = had(10)
    run("SELECT set_config(%s, %s, true)", name, value)
    by_sql(profile)
    entry = LoyaltyEntry.objects.filter(profile=profile).latest("id")
    assert (entry.delta, entry.order_id, entry.created_by) == (7, None, None)


def test_long_source_is_cut() -> None:
    profile = had(10)
    run("SELECT set_config('unified.via', repeat('x', 100), true)")
    by_sql(profile)
    assert ProfileHistory.objects.filter(profile=profile).latest("id").via == "x" * 63
    assert LoyaltyEntry.objects.filter(profile=profile).latest("id").source == "x" * 63


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE loyalty_entries SET balance = balance + 1",
        "UPDATE loyalty_entries SET delta = 0",
        "DELETE FROM loyalty_entries",
        "INSERT INTO loyalty_entries (profile_id, delta, balance, reason, source)"
        " SELECT profile_id, 5, balance + 5, 'x', 'x' FROM loyalty_entries",
    ],
)
def test_entries_are_not_written_by_hand(statement: str) -> None:
    profile = person()
    profile_service.update_loyalty_points(profile.user_id, 5, "gift")
    with pytest.raises(Exception, match="are not written by hand"), transaction.atomic():
        run(statement)
    assert entries(profile) == [(5, 5, "gift", "service")]


def test_words_of_an_entry_may_be_erased() -> None:
    profile = person()
    profile_service.update_loyalty_points(profile.user_id, 5, "for Ann's birthday")
    LoyaltyEntry.objects.filter(profile=profile).update(reason="erased", created_by=None)
    assert entries(profile) == [(5, 5, "erased", "service")]


@pytest.mark.parametrize(
    "bypass",
    [
        "UPDATE profiles SET loyalty_points = loyalty_points + 1 WHERE id = %s",
        "UPDATE loyalty_entries SET balance = balance + 1 WHERE profile_id = %s AND reason = 'first'",
        "UPDATE loyalty_entries SET delta = delta + 1 WHERE profile_id = %s AND reason = 'first'",
        "DELETE FROM loyalty_entries WHERE profile_id = %s AND reason = 'first'",
        "DELETE FROM loyalty_entries WHERE profile_id = %s AND reason = 'second'",
    ],
)
def test_drift_finds_what_bypassed_the_triggers(bypass: str) -> None:
    profile, other = person(), person()
    for reason in ("first", "second"):
        profile_service.update_loyalty_points(profile.user_id, 5, reason)
        profile_service.update_loyalty_points(other.user_id, 5, reason)
    assert drift() == []
    with without_triggers("profiles", "loyalty_entries"):
        run(bypass, profile.pk)
    assert drift() == [profile.pk]
    assert drift(limit=1) == [profile.pk]


def test_shell_cannot_hold_points() -> None:
    survivor, shell = person(), person()
    Profile.objects.filter(pk=shell.pk).update(merged_into=survivor)
    with pytest.raises(IntegrityError), transaction.atomic():
        by_sql(shell)
    assert one("SELECT loyalty_points FROM profiles WHERE id = %s", shell.pk) == 0


@pytest.mark.django_db(transaction=True)
def test_threads_adjusting_one_person_agree_with_the_ledger() -> None:
    """Twelve threads give 5 and take 7, ten times each: never below zero, and nothing is lost."""
    profile = person(loyalty_points=20)
    start, refused = threading.Barrier(12), []

    def work(number: int) -> None:
        try:
            start.wait()
            for turn in range(10):
                try:
                    profile_service.update_loyalty_points(profile.user_id, 5 if (number + turn) % 2 else -7, "turn")
                except Problem as problem:
                    refused.append(problem.code)
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    profile.refresh_from_db()
    found = list(LoyaltyEntry.objects.filter(profile=profile).order_by("id").values_list("delta", "balance"))
    assert set(refused) <= {"not_enough_points"}
    assert len(found) == 1 + 120 - len(refused)
    assert sum(delta for delta, _ in found) == found[-1][1] == profile.loyalty_points
    assert profile.loyalty_points == 20 + 60 * 5 - 7 * (60 - len(refused))
    assert min(balance for _, balance in found) >= 0
    assert drift() == []


@pytest.mark.django_db(transaction=True)
def test_sale_that_waited_for_a_merge_goes_to_the_survivor() -> None:
    survivor, shell = person(), person()
    user_id = shell.user_id

    def sell() -> None:
        try:
            profile_service.update_loyalty_points(user_id, 5, "sale")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Profile.objects.filter(pk=shell.pk).update(merged_into=survivor)
            sale = pool.submit(sell)
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            while not one(waits) and not sale.done():
                run("SELECT pg_stat_clear_snapshot()")
        sale.result()
    survivor.refresh_from_db()
    assert survivor.loyalty_points == 5
    assert drift() == []
