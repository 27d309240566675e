"""orders.analytics.rollup: what is kept is what orders say, whoever changes them and however."""

import datetime
import threading
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orders.analytics import facts, rollup, selectors
from orders.analytics.selectors import Scope
from orders.models import Order, Refund
from tests.databases import one, rows, run
from tests.factories import OrderFactory, UserFactory

from . import plain
from .conftest import TODAY, at

EVERY = Scope(every_tenant=True)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("today")]


def kept_days() -> list[str]:
    return [str(day) for (day,) in rows("SELECT day FROM sales_rolled WHERE basis = %s ORDER BY 1", basis())]


def basis() -> str:
    return str(rollup.parameters(TODAY, TODAY)["basis"])


def marks() -> int:
    return int(one("SELECT count(*) FROM sales_dirty"))


def revenue_of(day: str, scope: Scope = EVERY) -> Decimal:
    """What the analytics say of one day, rolled up or not."""
    wanted = datetime.date.fromisoformat(day)
    with selectors._reading() as cursor:
        return selectors._days(cursor, scope, wanted, wanted).get(wanted, selectors.Sums()).revenue


def assert_right() -> None:
    """The answers are those of a plain recomputation, for days and for products; and the roll-up has no difference."""
    with selectors._reading() as cursor:
        found = selectors._days(cursor, EVERY, datetime.date(2000, 1, 1), datetime.date(2099, 1, 1), units=True)
        sold = {
            product.name: (product.units, product.revenue)
            for product in selectors._by_name(selectors._products(cursor, EVERY, facts.FIRST_DAY, facts.LAST_DAY))
        }
    wanted: dict[Any, list[Any]] = {}
    for (day, *_), sums in plain.days().items():
        wanted[day] = [a + b for a, b in zip(wanted.get(day, [0] * 5), sums, strict=True)]
    assert {
        day: [sums.orders, sums.revenue, sums.placed, sums.returned, pytest.approx(sums.units)]
        for day, sums in found.items()
        if sums != selectors.Sums()
    } == wanted
    by_name: dict[str, list[Decimal]] = {}
    for (_, name), (units, revenue) in plain.products().items():
        sums = by_name.setdefault(name, [Decimal(0), Decimal(0)])
        sums[0] += units
        sums[1] += revenue
    assert {name: sums for name, sums in sold.items() if any(sums)} == {
        name: tuple(map(pytest.approx, sums)) for name, sums in by_name.items() if any(sums)
    }
    assert rollup.differences() == []


def test_days_that_are_over_are_kept_and_today_is_not() -> None:
    OrderFactory(created_at=at("2026-10-12"))
    OrderFactory(created_at=at("2026-10-14"))
    assert rollup.roll_up() == 13
    assert kept_days() == [f"2026-10-{day:02}" for day in range(1, 14)]
    assert rows("SELECT day::text, orders, revenue, units, placed FROM sales_days") == [
        ("2026-10-12", 1, Decimal("20.00"), 2, 1)
    ]
    assert rows(
        "SELECT name, units, revenue FROM sales_day_products d JOIN sales_products p ON p.id = d.product_id"
    ) == [("Tea", 2, 20)]
    assert marks() == 0
    assert_right()


def test_rolling_up_again_does_nothing() -> None:
    OrderFactory(created_at=at("2026-10-12"))
    rollup.roll_up()
    before = rows("SELECT ctid::text, * FROM sales_days")
    assert rollup.roll_up() == 0
    assert rows("SELECT ctid::text, * FROM sales_days") == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders SET total_amount = 50",
        "UPDATE orders SET payment_status = 'refunded'",
        "UPDATE orders SET delivery_status = 'cancelled'",
        "UPDATE orders SET order_status = 'parked'",
        "UPDATE orders SET refunded_amount = 5",
        "UPDATE orders SET items = '[]'",
        "UPDATE orders SET created_at = created_at - interval '40 days'",
        "UPDATE orders SET created_at = NULL",
        "UPDATE orders SET tenant_id = gen_random_uuid()",
        "UPDATE orders SET store_code = 'store_001'",
        "DELETE FROM orders",
        "INSERT INTO orders (order_number, total_amount, created_at) VALUES ('X', 3, '2026-10-12 10:00')",
    ],
)
def test_a_change_of_a_kept_day_is_seen_at_once_and_kept_by_the_next_roll_up(change: str) -> None:
    OrderFactory(created_at=at("2026-10-12"))
    rollup.roll_up()
    run(change)
    assert marks() >= 1
    assert_right()
    assert rollup.roll_up() >= 1
    assert marks() == 0
    assert_right()


def test_a_change_that_no_figure_depends_on_touches_no_day() -> None:
    OrderFactory(created_at=at("2026-10-12"))
    rollup.roll_up()
    run("UPDATE orders SET special_instructions = 'ring twice', delivery_address = '{}', updated_at = now()")
    assert marks() == 0


def test_truncate_opens_every_day() -> None:
    OrderFactory(created_at=at("2026-10-12"))
    rollup.roll_up()
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("SELECT release_protection(%s)", "a test of TRUNCATE")
    run("TRUNCATE orders CASCADE")
    assert_right()
    rollup.roll_up()
    assert rows("SELECT * FROM sales_days") == []
    assert_right()


def test_a_users_orders_move_with_the_user_to_another_tenant() -> None:
    tenant, user = uuid.uuid4(), UserFactory()
    OrderFactory(created_at=at("2026-10-12"), user=user)
    OrderFactory(created_at=at("2026-10-12"), user=user, tenant_id=uuid.uuid4())
    rollup.roll_up()
    assert revenue_of("2026-10-12", Scope(tenant_id=tenant)) == 0
    user.tenant_id = tenant
    user.save()
    for _ in range(2):
        assert revenue_of("2026-10-12", Scope(tenant_id=tenant)) == 20
        assert revenue_of("2026-10-12", Scope()) == 0
        assert revenue_of("2026-10-12") == 40
        assert_right()
        rollup.roll_up()


def test_another_time_zone_opens_every_day(settings: Any) -> None:
    OrderFactory(created_at=at("2026-10-12", "02:00"))
    rollup.roll_up()
    assert revenue_of("2026-10-12") == 20
    settings.TIME_ZONE = "America/Toronto"
    assert (revenue_of("2026-10-11"), revenue_of("2026-10-12")) == (20, 0)
    assert rollup.roll_up() == 13
    assert (revenue_of("2026-10-11"), revenue_of("2026-10-12")) == (20, 0)
    assert_right()


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (at("2026-03-08", "04:59"), "2026-03-07"),  # summer time begins on the 8th
        (at("2026-03-08", "05:00"), "2026-03-08"),
        (at("2026-03-09", "03:59"), "2026-03-08"),
        (at("2026-03-09", "04:00"), "2026-03-09"),
        (at("2025-11-02", "03:59"), "2025-11-01"),  # and ends on the 2nd
        (at("2025-11-02", "04:00"), "2025-11-02"),
        (at("2025-11-03", "04:59"), "2025-11-02"),
        (at("2025-11-03", "05:00"), "2025-11-03"),
    ],
)
def test_a_day_is_the_shops_also_when_summer_time_changes(settings: Any, moment: datetime.datetime, day: str) -> None:
    settings.TIME_ZONE = "America/Toronto"
    OrderFactory(created_at=moment)
    assert revenue_of(day) == 20
    rollup.roll_up()
    assert rows("SELECT day::text FROM sales_days") == [(day,)]
    assert revenue_of(day) == 20
    run("UPDATE orders SET total_amount = 7")
    assert revenue_of(day) == 7
    assert_right()


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC", "12345-06-07", None])
def test_a_time_that_is_on_no_day_is_left_out(moment: str | None) -> None:
    OrderFactory(created_at=at("2026-10-12"))
    run("INSERT INTO orders (order_number, total_amount, created_at) VALUES ('ODD', 3, %s::timestamp)", moment)
    for _ in range(2):
        assert_right()
        rollup.roll_up()
    run("UPDATE orders SET total_amount = 4 WHERE order_number = 'ODD'")
    run("DELETE FROM orders WHERE order_number = 'ODD'")
    assert_right()


@pytest.mark.parametrize("moment", ["0001-02-03", "9999-11-01"])
def test_an_order_of_another_millennium_holds_nothing_up(moment: str) -> None:
    OrderFactory(created_at=at("2026-10-12"))
    run("INSERT INTO orders (order_number, total_amount, created_at) VALUES ('ODD', 3, %s::timestamp)", moment)
    assert rollup.roll_up() in (13, 13 + 28 + 0)
    assert_right_total(23)


def assert_right_total(total: int) -> None:
    with selectors._reading() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '5s'")
        statement = selectors.SUMS_BY_DAY.format(
            marked=facts.MARKED,
            clean=facts.CLEAN,
            open=facts.OPEN,
            sold=facts.sold(),
            lines=selectors.sql.SQL(""),
            live_units=selectors.sql.SQL(""),
            sums=facts.SUMS,
            kept=EVERY.kept(),
        )
        cursor.execute(
            selectors.sql.SQL("SELECT sum(sum_1) FROM ({}) AS found (day, n, sum_1)").format(statement),
            rollup.parameters(facts.FIRST_DAY, facts.LAST_DAY),
        )
        assert cursor.fetchone()[0] == total


ODD_ITEMS = [
    "{}",
    '"text"',
    "null",
    "7",
    "[]",
    '[null, 1, "two", [], {}]',
    '[{"product": null, "quantity": null, "price": null}]',
    '[{"product": "Tea", "quantity": "2", "price": "10.50"}]',
    '[{"product": {"name": {"a": 1}, "price": []}, "quantity": {}, "price": "ten"}]',
    '[{"name": "Big", "quantity": 1e300, "price": 1e300}]',
    '[{"name": "Big text", "quantity": "1e300", "price": "99999999999999999999"}]',
    '[{"name": "   ", "quantity": "٣", "price": "\\u00a05"}]',
    '[{"name": "NaN", "quantity": "NaN", "price": "Infinity"}]',
    '[{"name": "Minus", "quantity": -2, "price": -3, "discount": "x", "discount_type": 5}]',
    '[{"name": "%s {} %%", "quantity": true, "price": false, "discount": null}]',
]


@pytest.mark.parametrize("items", ODD_ITEMS)
def test_items_may_hold_anything(items: str) -> None:
    run("INSERT INTO orders (order_number, total_amount, items, created_at) VALUES ('O', 3, %s, '2026-10-12')", items)
    assert revenue_of("2026-10-12") == 3
    assert selectors.products(EVERY, 10, None)["top_products"] is not None
    rollup.roll_up()
    assert revenue_of("2026-10-12") == 3
    assert rollup.differences() == []


def test_sums_that_are_no_numbers_count_as_nothing() -> None:
    run(
        "INSERT INTO orders (order_number, total_amount, tax_amount, created_at) VALUES ('O', 'NaN', 'NaN', '2026-10-12')"
    )
    run("INSERT INTO orders (order_number, total_amount, created_at) VALUES ('P', NULL, '2026-10-12')")
    assert revenue_of("2026-10-12") == 0
    rollup.roll_up()
    assert rows("SELECT orders, revenue, tax FROM sales_days") == [(2, 0, 0)]


def test_a_sale_is_not_lost_when_its_mark_cannot_be_written() -> None:
    """The old application knows nothing of the roll-up."""
    run("ALTER TABLE sales_dirty RENAME TO sales_dirty_away")
    run("INSERT INTO orders (order_number, total_amount, created_at) VALUES ('O', 3, '2026-10-12')")
    assert one("SELECT count(*) FROM orders") == 1


def test_verify_finds_a_changed_row_and_rebuild_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    OrderFactory(created_at=at("2026-10-12"))
    call_command("roll_up_sales")
    call_command("roll_up_sales", "--verify")
    for corruption in (
        "UPDATE sales_days SET revenue = revenue + 1",
        "UPDATE sales_day_products SET units = units + 1",
        "UPDATE sales_month_products SET revenue = 0",
        "DELETE FROM sales_days",
        "INSERT INTO sales_days SELECT * FROM sales_days",
    ):
        run(corruption)
        with pytest.raises(SystemExit) as stopped:
            call_command("roll_up_sales", "--verify")
        assert stopped.value.code == 3
        call_command("roll_up_sales", "--rebuild", "--verify")
    assert "The roll-up is what orders say." in capsys.readouterr().out


def test_a_reader_rolls_up_what_is_over(today: datetime.date) -> None:
    OrderFactory(created_at=at("2026-10-12"))
    OrderFactory(created_at=at("2026-09-12"))
    assert selectors.revenue(EVERY, "90d")["summary"]["total"] == 40
    assert len(kept_days()) == 13
    assert selectors.revenue(EVERY, "90d")["summary"]["total"] == 40
    assert len(kept_days()) == 13 + 30
    assert_right()


def test_a_reader_leaves_a_few_late_changes_to_the_command() -> None:
    order = OrderFactory(created_at=at("2026-10-12"))
    rollup.roll_up()
    Order.objects.filter(pk=order.pk).update(total_amount=5)
    assert selectors.revenue(EVERY, "30d")["summary"]["total"] == 5
    assert marks() == 1


def test_lines_given_back_lose_their_part_and_the_rest_is_taken_in_proportion() -> None:
    order = OrderFactory(
        created_at=at("2026-10-12"),
        items=[{"name": "Tea", "quantity": 2, "price": 10}, {"name": "Cup", "quantity": 1, "price": 20}],
        total_amount=40,
        refunded_amount=30,
    )
    Refund.objects.create(order=order, amount=20, lines=[{"index": 1, "id": "x", "quantity": 1}])
    Refund.objects.create(order=order, amount=10)
    found = {product["name"]: product for product in selectors.products(EVERY, 10, None)["top_products"]}
    assert found["Tea"] == {"name": "Tea", "category": "Uncategorized", "units": 2, "revenue": 15.0}
    assert found["Cup"] == {"name": "Cup", "category": "Uncategorized", "units": 0, "revenue": 0.0}
    assert revenue_of("2026-10-12") == 10
    rollup.roll_up()
    assert_right()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_when_writers_and_roll_ups_run_at_once() -> None:
    """Writers of days that are over, a mover of tenants and two roll-ups."""
    users = [UserFactory() for _ in range(3)]
    orders = [OrderFactory(created_at=at(f"2026-{1 + n % 9:02}-{1 + n % 28:02}"), user=users[n % 3]) for n in range(30)]
    errors: list[BaseException] = []
    done = threading.Event()

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    def write(seed: int) -> None:
        for number in range(40):
            order = orders[(number * 7 + seed) % len(orders)]
            with transaction.atomic():
                Order.objects.filter(pk=order.pk).update(total_amount=number + seed)
                if number % 5 == 0:
                    OrderFactory(
                        order_number=f"{seed}-{number}", user=users[0], created_at=at(f"2026-05-{1 + number % 28:02}")
                    )

    def move() -> None:
        for number in range(15):
            user = users[number % 3]
            user.tenant_id = uuid.UUID(int=number)
            user.save()

    def roll() -> None:
        while not done.is_set():
            rollup.roll_up()

    writers = [threading.Thread(target=guarded, args=(lambda seed=seed: write(seed),)) for seed in (1, 2)]
    writers.append(threading.Thread(target=guarded, args=(move,)))
    rollers = [threading.Thread(target=guarded, args=(roll,)) for _ in range(2)]
    for thread in (*writers, *rollers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in rollers:
        thread.join()
    assert errors == []
    assert_right()
    rollup.roll_up()
    assert marks() == 0
    assert_right()
    assert {key[1] for key in plain.days()} == {
        tenant for (tenant,) in rows("SELECT DISTINCT tenant_id FROM sales_days WHERE placed > 0")
    }


@pytest.mark.django_db(transaction=True)
def test_a_mark_that_is_committed_during_a_roll_up_survives_it() -> None:
    """The sale is written before the roll-up begins, and committed after it has ended."""
    first = OrderFactory(created_at=at("2026-10-12"))
    written, rolled = threading.Event(), threading.Event()

    def sell() -> None:
        with transaction.atomic():
            Order.objects.create(
                order_number="LATE", user=first.user, total_amount=5, payment_status="paid", created_at=at("2026-10-12")
            )
            written.set()
            rolled.wait(20)
        connection.close()

    seller = threading.Thread(target=sell)
    seller.start()
    assert written.wait(20)
    rollup.roll_up()
    assert revenue_of("2026-10-12") == 20
    rolled.set()
    seller.join()
    assert revenue_of("2026-10-12") == 25
    assert marks() == 1
    rollup.roll_up()
    assert_right()


STATUSES = st.sampled_from([None, "pending", "paid", "completed", "Refunded", "cancelled", "failed", "parked", "odd"])
LINES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"name": st.sampled_from(["Tea", "Cup"]), "quantity": st.integers(0, 3), "price": st.integers(1, 9)}
        ),
        st.fixed_dictionaries(
            {
                "product": st.fixed_dictionaries({"name": st.sampled_from(["Tea", "Pot"]), "price": st.integers(1, 9)}),
                "quantity": st.sampled_from([1, "2", None]),
                "discount": st.sampled_from([None, 1]),
            }
        ),
        st.sampled_from([None, "x", 3]),
    ),
    max_size=3,
)
ORDERS = st.fixed_dictionaries(
    {
        "created_at": st.datetimes(datetime.datetime(2026, 8, 30), datetime.datetime(2026, 10, 15)).map(
            lambda moment: moment.replace(tzinfo=datetime.UTC)
        ),
        "total_amount": st.one_of(st.none(), st.integers(0, 50).map(Decimal)),
        "refunded_amount": st.sampled_from([Decimal(0), Decimal(0), Decimal(5)]),
        "payment_status": STATUSES,
        "order_status": STATUSES,
        "items": LINES,
        "store_code": st.sampled_from([None, "store_001"]),
        "tenant_id": st.sampled_from([None, uuid.UUID(int=1)]),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), ORDERS),
        st.tuples(st.just("change"), st.tuples(st.integers(0, 9), ORDERS)),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("sql"), st.integers(0, 9)),
        st.tuples(st.just("move"), st.integers(0, 3)),
        st.tuples(st.just("roll"), st.just(0)),
        st.tuples(st.just("zone"), st.sampled_from(["UTC", "America/Toronto", "Asia/Kolkata"])),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_after_any_history_the_answers_are_a_plain_recomputation(steps: list[tuple[str, Any]]) -> None:
    from django.test import override_settings

    zone = "UTC"
    with transaction.atomic():
        user = UserFactory(email=None)
        keys: list[uuid.UUID] = []
        for number, (step, value) in enumerate(steps):
            with override_settings(TIME_ZONE=zone):
                match step:
                    case "add":
                        keys.append(Order.objects.create(order_number=f"H{number}", user=user, **value).pk)
                    case "change" if keys:
                        Order.objects.filter(pk=keys[value[0] % len(keys)]).update(**value[1])
                    case "delete" if keys:
                        Order.objects.filter(pk=keys.pop(value % len(keys))).delete()
                    case "sql":
                        run("UPDATE orders SET total_amount = total_amount + 1 WHERE total_amount > %s", value)
                    case "move":
                        user.tenant_id = uuid.UUID(int=value) if value else None
                        user.save()
                    case "roll":
                        rollup.roll_up(seconds=0)
                    case "zone":
                        zone = value
        with override_settings(TIME_ZONE=zone):
            assert_right()
            rollup.roll_up()
            assert_right()
        transaction.set_rollback(True)


def test_a_writer_without_any_right_on_the_roll_up_marks_its_days_too() -> None:
    run("CREATE ROLE old_application")
    run("GRANT INSERT, SELECT ON orders TO old_application")
    run("SET LOCAL ROLE old_application")
    run("SET LOCAL search_path = pg_catalog")
    run("INSERT INTO public.orders (order_number, total_amount, created_at) VALUES ('O', 3, '2026-10-12')")
    run("RESET ROLE")
    run("RESET search_path")
    assert marks() == 1
    assert revenue_of("2026-10-12") == 3


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns"])
def test_a_mark_is_right_whatever_the_writers_time_zone(zone: str) -> None:
    OrderFactory(created_at=at("2026-10-12", "23:10"))
    rollup.roll_up()
    run("SELECT set_config('TimeZone', %s, true)", zone)
    run("UPDATE orders SET total_amount = 7")
    run("SET LOCAL TimeZone = 'UTC'")
    assert revenue_of("2026-10-12") == 7


def test_an_hour_in_which_a_day_ends_opens_both_days(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Kolkata"
    before, after = (OrderFactory(created_at=at("2026-10-10", time)) for time in ("18:29", "18:30"))
    rollup.roll_up()
    assert (revenue_of("2026-10-10"), revenue_of("2026-10-11")) == (20, 20)
    Order.objects.filter(pk=before.pk).update(total_amount=1)
    Order.objects.filter(pk=after.pk).update(total_amount=2)
    assert (revenue_of("2026-10-10"), revenue_of("2026-10-11")) == (1, 2)
    rollup.roll_up()
    Order.objects.filter(pk=after.pk).update(total_amount=3)
    assert (revenue_of("2026-10-10"), revenue_of("2026-10-11")) == (1, 3)


def test_a_year_without_a_sale_between_two_is_asked_for_and_empty() -> None:
    OrderFactory(created_at=at("2024-05-05"))
    OrderFactory(created_at=at("2026-05-05"))
    rollup.roll_up()
    assert len(kept_days()) == 62
    assert_right()
