"""The old application goes on writing while its database is taken over: whatever it writes, and wherever the run is."""

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from legacy_customers.sample.persons import row_id
from legacy_customers.sample.stories import load_story
from legacy_customers.unification import capture, catch_up, phases, sync
from legacy_customers.unification.verify import verify
from tests.databases import another_session, one, rows, run

# After each of these the run stops, the old application writes, and the run goes on.
STEPS = (
    ("legacy_customers", "0003"),
    ("legacy_customers", "0004"),
    ("legacy_customers", "0005"),
    ("legacy_customers", "0006"),
    ("legacy_customers", "0007"),
    ("legacy_customers", "0008"),
    ("legacy_customers", "0009"),
    ("profiles", "0006"),
)
LINKED, GUEST = "linked", "guest_of_verified_user"


@pytest.fixture
def shop_not_migrated(empty_database: str) -> None:
    load_story(connection, "shop")


def migrate(*target: str) -> None:
    call_command("migrate", *target, verbosity=0)


def assert_verified() -> None:
    report = verify(connection)
    assert {name: seen.samples for name, seen in report.checks.items() if not seen.passed} == {}


def customer(name: str) -> uuid.UUID:
    return uuid.UUID(str(row_id(name, "customers")))


def person(user_id: uuid.UUID) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM profiles WHERE user_id = %s", [user_id])
        names = [column.name for column in cursor.description]
        found = cursor.fetchall()
    assert len(found) == 1
    return dict(zip(names, found[0], strict=True))


@pytest.fixture(params=STEPS, ids=lambda step: " ".join(step))
def stopped(request: pytest.FixtureRequest, shop_not_migrated: None) -> None:
    """A run that has stopped after one of the steps."""
    migrate(*request.param)


@pytest.mark.usefixtures("stopped")
def test_what_is_written_meanwhile_is_carried_over() -> None:
    linked = one("SELECT user_id FROM customers WHERE id = %s", customer(LINKED))
    points = one("SELECT loyalty_points FROM customers WHERE id = %s", customer(LINKED))
    spent = one("SELECT coalesce(total_spent, 0) FROM customers WHERE id = %s", customer(LINKED))
    # A login's own cells go the old trigger's way too.
    run("UPDATE users SET phone = '+14165559999' WHERE id = %s", linked)
    run(
        "UPDATE customers SET city = 'Elsewhere', loyalty_points = loyalty_points + 7, notes = 'met' WHERE id = %s",
        customer(LINKED),
    )
    run("UPDATE customers SET total_spent = coalesce(total_spent, 0) + 10.50 WHERE id = %s", customer(LINKED))
    run(
        "UPDATE customer_profiles SET preferences = preferences || '{\"since\": 1}', interaction_count = interaction_count + 1"
        " WHERE customer_id = %s",
        str(customer(LINKED)),
    )
    # Somebody registers: the old trigger makes their customers row.
    newcomer = one(
        "INSERT INTO users (email, password_hash, first_name, phone) VALUES ('new.comer@example.com', 'x', 'Nele', '1')"
        " RETURNING id"
    )
    row = one("SELECT id FROM customers WHERE user_id = %s", newcomer)
    assert row is not None
    # A guest comes, buys, and comes again under another row with the same address.
    guest = one(
        "INSERT INTO customers (email, first_name, loyalty_points) VALUES ('late.guest@example.com', 'Gus', 5) RETURNING id"
    )
    again = one("INSERT INTO customers (email, loyalty_points) VALUES ('Late.Guest@example.com', 6) RETURNING id")
    order = one(
        "INSERT INTO orders (order_number, customer_id, total_amount) VALUES ('LATE-1', %s, 12) RETURNING id", guest
    )
    by_user = one(
        "INSERT INTO orders (order_number, user_id, total_amount) VALUES ('LATE-2', %s, 13) RETURNING id", newcomer
    )
    run("INSERT INTO customer_profiles (customer_id, preferences) VALUES (%s, '{\"a\": 1}')", str(guest))
    migrate()
    found = person(linked)
    assert (found["id"], found["phone"], found["city"]) == (customer(LINKED), "+14165559999", "Elsewhere")
    assert (found["loyalty_points"], found["total_spent"]) == ((points or 0) + 7, spent + Decimal("10.50"))
    assert "met" in found["notes"]
    assert '"since": 1' in found["preferences"]
    assert one("SELECT phone FROM customers WHERE id = %s", customer(LINKED)) == "+14165559999"
    assert person(newcomer)["id"] == row
    assert person(newcomer)["first_name"] == "Nele"
    guests = one("SELECT user_id FROM orders WHERE id = %s", order)
    assert guests is not None
    assert (person(guests)["id"], person(guests)["loyalty_points"]) == (guest, 11)
    assert person(guests)["preferences"] == '{"a": 1}'
    assert one("SELECT profile_id FROM profile_aliases WHERE id = %s", again) == guest
    assert one("SELECT user_id FROM orders WHERE id = %s", by_user) == newcomer
    assert_verified()


@pytest.mark.usefixtures("stopped")
def test_what_goes_meanwhile_is_kept_with_its_person() -> None:
    gone = one("SELECT user_id FROM customers WHERE id = %s", customer(LINKED))
    email = one("SELECT email FROM users WHERE id = %s", gone)
    run("UPDATE orders SET user_id = NULL WHERE user_id = %s", gone)
    run("DELETE FROM users WHERE id = %s", gone)
    deleted = one("INSERT INTO customers (email) VALUES ('came.and.went@example.com') RETURNING id")
    run("DELETE FROM customers WHERE id = %s", deleted)
    left = customer(GUEST)
    run("DELETE FROM customers WHERE id = %s", left)
    migrate()
    assert rows("SELECT contact_email, user_id = %s FROM profiles WHERE id = %s", gone, customer(LINKED)) == [
        (email, False)
    ]
    assert one("SELECT count(*) FROM profiles WHERE id = %s", deleted) == 0
    assert one("SELECT count(*) FROM legacy_deletions WHERE source = 'customers' AND key = %s", str(left)) == 1
    assert_verified()


@pytest.mark.usefixtures("stopped")
def test_the_same_row_twice_meanwhile_counts_each_change_once() -> None:
    before = one("SELECT loyalty_points FROM profiles WHERE id = %s", customer(LINKED)) if _copied() else None
    points = one("SELECT coalesce(loyalty_points, 0) FROM customers WHERE id = %s", customer(LINKED))
    assert before in (None, points)
    for _ in range(3):
        run("UPDATE customers SET loyalty_points = coalesce(loyalty_points, 0) + 1 WHERE id = %s", customer(LINKED))
    migrate()
    assert one("SELECT loyalty_points FROM profiles WHERE id = %s", customer(LINKED)) == points + 3
    assert_verified()


def _copied() -> bool:
    return bool(one("SELECT count(*) FROM unification_phases WHERE name = 'consolidate' AND finished_at IS NOT NULL"))


# Before guests get their accounts, and after: then the account of a guest has the address already.
@pytest.mark.parametrize("step", ["0003", "0004"])
def test_a_guests_address_is_registered_before_the_guest_gets_an_account(step: str, shop_not_migrated: None) -> None:
    migrate("legacy_customers", step)
    newcomer = one(
        "INSERT INTO users (email, password_hash, email_verified) VALUES ('contact.only@example.com', 'x', true) RETURNING id"
    )
    migrate()
    guest = one("SELECT profile_id FROM merge_suggestions WHERE other_profile_id = %s", person(newcomer)["id"])
    assert guest is not None
    assert rows(
        "SELECT u.email, p.contact_email FROM profiles AS p JOIN users AS u ON u.id = p.user_id WHERE p.id = %s", guest
    ) == [(None, "contact.only@example.com")]
    assert_verified()


# An older installation has no foreign key that would refuse it, or take the user off the orders.
@pytest.mark.parametrize("step", ["0003", "0005", "0006", "0007", "0008"])
def test_a_login_goes_meanwhile_whose_orders_nothing_guards(step: str, empty_database: str) -> None:
    load_story(connection, "shop", older=True)
    gone = one("SELECT user_id FROM customers WHERE id = %s", customer(LINKED))
    run("ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_user_id_fkey")
    order = one("INSERT INTO orders (order_number, user_id, total_amount) VALUES ('THEIRS', %s, 12) RETURNING id", gone)
    both = one(
        "INSERT INTO orders (order_number, user_id, customer_id, total_amount) VALUES ('BOTH', %s, %s, 13) RETURNING id",
        *(gone, customer(LINKED)),
    )
    migrate("legacy_customers", step)
    with transaction.atomic():
        if step == "0008":  # our key is there by now
            run("UPDATE orders SET user_id = NULL WHERE user_id = %s", gone)
        run("DELETE FROM users WHERE id = %s", gone)
    migrate()
    login = one("SELECT user_id FROM profiles WHERE id = %s", customer(LINKED))
    assert login not in (None, gone)
    assert one("SELECT user_id FROM orders WHERE id = %s", both) == login
    assert one("SELECT user_id FROM orders WHERE id = %s", order) == (None if step == "0008" else login)
    assert_verified()


def test_a_write_behind_the_triggers_meanwhile_is_found(shop_not_migrated: None) -> None:
    migrate("legacy_customers", "0006")
    with transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        run("UPDATE customers SET city = 'Nowhere' WHERE id = %s", customer(LINKED))
    migrate()
    report = verify(connection)
    assert not report.passed
    assert any(str(customer(LINKED)) in sample for seen in report.checks.values() for sample in seen.samples)


def test_what_is_written_on_the_way_back_stays_and_is_taken_over_anew(shop: str) -> None:
    points = one("SELECT loyalty_points FROM profiles WHERE id = %s", customer(LINKED))
    run("UPDATE customers SET loyalty_points = loyalty_points + 1 WHERE id = %s", customer(LINKED))
    early = one("INSERT INTO customers (email) VALUES ('early.guest@example.com') RETURNING id")
    migrate("legacy_customers", "0010")
    run("UPDATE customers SET loyalty_points = loyalty_points + 2, city = 'Between' WHERE id = %s", customer(LINKED))
    run("UPDATE customers SET loyalty_points = 4 WHERE id = %s", early)
    late = one("INSERT INTO users (email, password_hash) VALUES ('between@example.com', 'x') RETURNING id")
    with pytest.raises(CommandError, match="The way back has begun"):
        migrate()
    migrate("legacy_customers", "zero")
    migrate()
    assert rows("SELECT loyalty_points, city FROM profiles WHERE id = %s", customer(LINKED)) == [
        (points + 3, "Between")
    ]
    assert one("SELECT loyalty_points FROM profiles WHERE id = %s", early) == 4
    assert person(late)["id"] == one("SELECT id FROM customers WHERE user_id = %s", late)
    assert_verified()


class Killed(Exception):
    """Stands for a crash."""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (sync, "install_functions"),
        (catch_up, "catch_up"),
        (catch_up, "carry_over"),
        (capture, "stop"),
        (sync, "install_triggers"),
    ],
)
def test_a_crash_on_the_way_over_loses_nothing(
    module: Any, name: str, shop_not_migrated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate("legacy_customers", "0006")
    points = one("SELECT coalesce(loyalty_points, 0) FROM customers WHERE id = %s", customer(LINKED))
    run("UPDATE customers SET loyalty_points = coalesce(loyalty_points, 0) + 1 WHERE id = %s", customer(LINKED))
    whole: Callable[..., Any] = getattr(module, name)

    def half(*args: Any) -> Any:
        whole(*args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, name, half)
        with pytest.raises(Killed):
            migrate()
    run("UPDATE customers SET loyalty_points = loyalty_points + 1 WHERE id = %s", customer(LINKED))
    migrate()
    assert one("SELECT loyalty_points FROM profiles WHERE id = %s", customer(LINKED)) == points + 2
    assert one("SELECT to_regclass('unification_changes') IS NULL AND to_regclass('unification_known') IS NULL")
    assert_verified()


def test_a_shop_that_never_stops_ordering_does_not_keep_the_run_from_going_on(shop_not_migrated: None) -> None:
    """Whoever looks for orders without a user finds another one each time: those that are logged are the catch-up's."""
    migrate("legacy_customers", "0007")
    made: list[str] = []

    def ordering(execute: Any, statement: Any, params: Any, many: bool, context: Any) -> Any:
        text = statement if isinstance(statement, str) else statement.as_string(context["connection"].connection)
        if text.startswith('CREATE TEMP TABLE "left_over"'):
            made.append(f"MEANWHILE-{len(made)}")
            assert len(made) < 5
            with another_session(autocommit=True) as shop:
                shop.execute(
                    "INSERT INTO orders (order_number, customer_id, total_amount) VALUES (%s, %s, 12)",
                    [made[-1], customer("guest_alone")],
                )
        return execute(statement, params, many, context)

    with connection.execute_wrapper(ordering):
        migrate("legacy_customers", "0008")
    waiting = "SELECT count(*) FROM orders WHERE order_number LIKE 'MEANWHILE%%' AND user_id IS %s NULL"
    assert one(waiting % "") == len(made)
    migrate()
    assert one(waiting % "NOT") == len(made)
    assert_verified()


def test_what_the_new_application_changes_meanwhile_is_on_both_sides(
    shop_not_migrated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the sync comes on, and after the log has begun to be carried over."""
    migrate("legacy_customers", "0008")
    points = one("SELECT loyalty_points FROM customers WHERE id = %s", customer(LINKED)) or 0
    run("UPDATE profiles SET state = 'BC' WHERE id = %s", customer(LINKED))  # on the profile's side alone
    carry_over = catch_up.catch_up

    def meanwhile(*args: Any) -> int:
        found = carry_over(*args)
        with another_session(autocommit=True) as staff:
            staff.execute(
                "UPDATE profiles SET city = 'Between', loyalty_points = loyalty_points + 3, tags = tags || '[\"new\"]'"
                " WHERE id = %s",
                [customer(LINKED)],
            )
            staff.execute("UPDATE customers SET loyalty_points = %s WHERE id = %s", [points + 4, customer(LINKED)])
        return found

    monkeypatch.setattr(catch_up, "catch_up", meanwhile)
    migrate()
    for table in ("profiles", "customers"):
        found = f"SELECT city, loyalty_points, tags::text LIKE '%%new%%' FROM {table} WHERE id = %s"
        assert rows(found, customer(LINKED)) == [("Between", points + 7, True)]
    assert one("SELECT count(*) FROM legacy_handovers") == 0
    assert_verified()
    call_command("rollback_unification", "--no-input", verbosity=0)
    assert rows("SELECT city, state, loyalty_points FROM customers WHERE id = %s", customer(LINKED)) == [
        ("Between", "BC", points + 7)
    ]


def test_what_an_earlier_sync_left_behind_when_it_came_on_is_still_written_back(shop: str) -> None:
    with transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        run("UPDATE profiles SET city = 'Left behind' WHERE id = %s", customer(LINKED))
        left = one(
            "INSERT INTO profile_history (profile_id, via, changes)"
            " SELECT id, 'sql', jsonb_build_object('city', jsonb_build_object('old', 'Toronto', 'new', city))"
            " FROM profiles WHERE id = %s RETURNING id",
            customer(LINKED),
        )
    phases.note(connection, sync.PHASE, on_at=left)
    call_command("rollback_unification", "--no-input", verbosity=0)
    assert one("SELECT city FROM customers WHERE id = %s", customer(LINKED)) == "Left behind"


def test_the_log_is_carried_over_in_short_transactions(
    shop_not_migrated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate("legacy_customers", "0008")
    run("UPDATE customers SET notes = 'all of them'")
    monkeypatch.setattr(catch_up, "FIRST", 7)
    monkeypatch.setattr(catch_up, "MOST", 7)
    monkeypatch.setattr(catch_up, "FEW", 3)
    taken: list[int | None] = []
    carry_over = catch_up.carry_over

    def counted(cursor: Any, most: int | None = None) -> int:
        found = carry_over(cursor, most)
        taken.append(found)
        return found

    monkeypatch.setattr(catch_up, "carry_over", counted)
    migrate()
    customers = one("SELECT count(*) FROM customers")
    assert sum(filter(None, taken)) >= customers
    assert max(filter(None, taken)) <= 7
    assert_verified()
