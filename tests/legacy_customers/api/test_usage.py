"""Who still calls the superseded paths: counted right, cheaply, and never in the way of an answer."""

import datetime
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey
from accounts.roles import Role
from legacy_customers.api import usage
from legacy_customers.api.usage import Calls, Counter
from legacy_customers.models import ApiUsage
from tests.api import client_as, client_for
from tests.databases import one, run
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db

DAY = datetime.date(2026, 11, 23)
NOON = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
CALLS = Calls(DAY, "till 3", "", "till/1", "GET", "/api/customers/")


@pytest.fixture(autouse=True)
def nothing_counted(_django_db_helper: None) -> None:
    """A database that is used again may hold what the end of another process wrote."""
    ApiUsage.objects.all().delete()


def counted(*columns: str) -> list[tuple[Any, ...]]:
    return list(ApiUsage.objects.order_by("client", "route", "method", "agent").values_list(*columns))


# --- who and what ---------------------------------------------------------------------------------------------------


def test_a_call_is_counted_by_role_route_and_agent(counter: Counter) -> None:
    staff = client_as(Role.STAFF)
    staff.credentials(HTTP_USER_AGENT="Till/2.1 (Linux; a shop)")
    before = datetime.datetime.now(datetime.UTC)
    for _ in range(3):
        staff.get("/api/customers/8d0c6f0e-0000-4000-8000-000000000001")
    counter.flush()
    [row] = ApiUsage.objects.all()
    assert (row.client, row.caller, row.agent) == ("staff", str(staff.user.pk), "Till/2.1")
    assert (row.method, row.route, row.calls) == ("GET", "/api/customers/{customer_id}/", 3)
    assert before <= row.first_at <= row.last_at <= datetime.datetime.now(datetime.UTC)
    assert row.day == row.first_at.astimezone(datetime.UTC).date()


def test_customers_are_counted_by_role_alone(counter: Counter) -> None:
    for _ in range(2):
        client_as(Role.CUSTOMER).get("/api/customers/")
    counter.flush()
    assert counted("client", "caller", "calls") == [("customer", "", 2)]


@pytest.mark.parametrize(("role", "client"), [(None, "no role"), ("user", "user")])
def test_an_unknown_role_is_counted_as_it_is(role: str | None, client: str, counter: Counter) -> None:
    client_for(UserFactory(role=role)).get("/api/customers/")
    assert counted("client", "caller") == [(client, "")]


def test_a_key_is_counted_by_its_name(counter: Counter) -> None:
    user = UserFactory(role=Role.STAFF)
    key = ApiKey.objects.create(user=user, name="Till 3, Main Street", prefix="upk_x", digest="0" * 64)
    client = client_for(None)
    client.force_authenticate(user, key)
    client.get("/api/customers/")
    assert counted("client", "caller") == [("Till 3, Main Street", str(user.pk))]


def test_who_is_refused_is_still_there(counter: Counter) -> None:
    client_for(None).get("/api/customers/")
    client_for(None).get("/api/customers/", HTTP_AUTHORIZATION="Bearer wrong")
    client_for(None).get("/api/customers/", HTTP_AUTHORIZATION="Bearer wrong", HTTP_ACCEPT="image/png")
    client_as(Role.CUSTOMER).delete("/api/customers/x/")
    counter.flush()
    assert counted("client", "method", "calls") == [("anonymous", "GET", 3), ("customer", "DELETE", 1)]


def test_a_method_that_is_not_possible_is_not_counted(counter: Counter) -> None:
    client_as(Role.STAFF).patch("/api/customers/")
    client_as(Role.STAFF).generic("NONSENSE", "/api/customers/")
    counter.flush()
    assert counted("method") == []


def test_each_route_has_a_name_without_ids(counter: Counter) -> None:
    staff = client_as(Role.STAFF)
    for id_ in ("a", "b"):
        for rest in ("", "/orders", "/stats"):
            staff.get(f"/api/customers/{id_}{rest}")
    counter.flush()
    assert counted("route", "calls") == [
        ("/api/customers/{customer_id}/", 2),
        ("/api/customers/{customer_id}/orders/", 2),
        ("/api/customers/{customer_id}/stats/", 2),
    ]


@pytest.mark.parametrize(
    ("header", "agent"),
    [("", ""), ("curl/8.5.0", "curl/8.5.0"), ("x" * 500, "x" * 64), ("Till\x80 3", "Till"), ("\t", "")],
    ids=["none", "plain", "long", "odd_byte", "blank"],
)
def test_the_agent_is_the_first_word_of_its_header(header: str, agent: str, counter: Counter) -> None:
    client_as(Role.STAFF).get("/api/customers/", HTTP_USER_AGENT=header)
    assert counted("agent") == [(agent,)]


# --- batches --------------------------------------------------------------------------------------------------------


def test_the_first_call_is_written_at_once_and_the_next_ones_later(counter: Counter) -> None:
    counter.count(CALLS, NOON)
    assert counted("calls") == [(1,)]
    with CaptureQueriesContext(connection) as queries:
        for minutes in range(1, 10):
            counter.count(CALLS, NOON + datetime.timedelta(minutes=minutes))
    assert len(queries) == 0
    counter.flush()
    assert counted("calls", "first_at", "last_at") == [(10, NOON, NOON + datetime.timedelta(minutes=9))]


def test_what_waits_is_written_by_the_call_that_finds_it_due() -> None:
    counter = Counter(seconds=0)
    for _ in range(3):
        counter.count(CALLS, NOON)
    assert counted("calls") == [(3,)]


def test_counts_of_several_processes_add_up() -> None:
    processes = [Counter(seconds=0) for _ in range(3)]
    for hours, counter in enumerate(processes):
        counter.count(CALLS, NOON - datetime.timedelta(hours=hours))
        counter.count(CALLS._replace(agent="other"), NOON)
    assert counted("agent", "calls", "first_at", "last_at") == [
        ("other", 3, NOON, NOON),
        ("till/1", 3, NOON - datetime.timedelta(hours=2), NOON),
    ]


def test_each_day_has_a_row_of_its_own(counter: Counter) -> None:
    counter.count(CALLS, NOON)
    tomorrow = NOON + datetime.timedelta(days=1)
    counter.count(CALLS._replace(day=tomorrow.date()), tomorrow)
    assert sorted(counted("day", "calls")) == [(DAY, 1), (tomorrow.date(), 1)]


def test_a_flood_of_agents_is_one_row(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "CLIENTS", 3)
    for number in range(20):
        counter.count(CALLS._replace(agent=f"agent{number}"), NOON)
    counter.flush()
    assert counted("agent", "calls") == [("(others)", 17), ("agent0", 1), ("agent1", 1), ("agent2", 1)]


def test_counts_of_another_database_are_not_written_into_this_one(counter: Counter) -> None:
    counter.count(CALLS, NOON)
    counter.count(CALLS, NOON)
    counter._database = "another"
    counter.flush()
    assert counted("calls") == [(1,)]


def test_a_batch_of_many_rows_is_two_statements(django_assert_num_queries: Any) -> None:
    batch = [(CALLS._replace(agent=str(number)), usage.Counted(NOON, NOON, 1)) for number in range(100)]
    with django_assert_num_queries(4):  # a savepoint, the lock's timeout, the rows, the savepoint's release
        usage.write(batch)
    assert ApiUsage.objects.count() == 100


# --- never in the way -----------------------------------------------------------------------------------------------


@pytest.fixture
def without_table(db: None) -> Iterator[None]:
    with transaction.atomic():
        run("SELECT release_protection('a test'); ALTER TABLE api_usage RENAME TO api_usage_gone")
        yield
        run("ALTER TABLE api_usage_gone RENAME TO api_usage")


def test_a_failing_count_does_not_break_the_call(
    without_table: None, counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    staff = client_as(Role.STAFF)
    response = staff.get("/api/customers/")
    assert (response.status_code, [found["user_id"] for found in response.json()]) == (200, [str(staff.user.pk)])
    assert one("SELECT 1") == 1  # the transaction of the call is whole
    assert [record.message for record in caplog.records if record.name == usage.__name__] == [
        "Calls of superseded paths could not be written to api_usage"
    ]


def test_a_count_that_failed_is_written_later(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with transaction.atomic():
        run("SELECT release_protection('a test'); ALTER TABLE api_usage RENAME TO api_usage_gone")
        counter.count(CALLS, NOON)
        counter.flush()
        run("ALTER TABLE api_usage_gone RENAME TO api_usage")
    counter.count(CALLS, NOON)
    counter.flush()
    assert counted("calls") == [(2,)]


def test_a_count_that_cannot_be_made_at_all_does_not_break_the_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(usage, "counter", None)
    assert client_as(Role.STAFF).get("/api/customers/").status_code == 200
    assert "could not be counted" in caplog.text


# --- under concurrency ----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_fifty_threads_of_two_processes_lose_nothing() -> None:
    processes = [Counter(seconds=0), Counter(seconds=0.01)]
    together = threading.Barrier(50)
    failed: list[BaseException] = []

    def call(number: int) -> None:
        try:
            together.wait()
            for turn in range(40):
                agent = f"agent{(turn + number) % 5}"
                processes[number % 2].count(CALLS._replace(agent=agent), NOON + datetime.timedelta(seconds=turn))
        except BaseException as error:
            failed.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for counter in processes:
        counter.flush()
    assert failed == []
    assert counted("agent", "calls", "first_at", "last_at") == [
        (f"agent{n}", 400, NOON, NOON + datetime.timedelta(seconds=39)) for n in range(5)
    ]


@pytest.mark.django_db(transaction=True)
def test_a_lock_on_the_table_delays_nobody_for_long(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "LOCK_TIMEOUT", "20ms")
    done = threading.Event()

    def call() -> None:
        counter.count(CALLS, NOON)
        connections["default"].close()
        done.set()

    with transaction.atomic():
        run("LOCK TABLE api_usage IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=call)
        thread.start()
        assert done.wait(30)
        thread.join()
    assert counted("calls") == []
    counter.flush()
    assert counted("calls") == [(1,)]
