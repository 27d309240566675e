"""The whole life on a real server: traffic, take-over, way back, take-over, fence and back, and every step of the contract."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import NotSupportedError, connection

from accounts.models import User
from legacy_customers.sample.stories import load_story
from legacy_customers.unification import fingerprint
from orders.models import Order
from profiles import selectors
from profiles.models import MergeSuggestion, Profile
from profiles.services.profile_service import profile_service
from tests.databases import another_session, one, rows, run
from tests.legacy_customers.contract import STEPS, contract, failures, step, wait
from tests.legacy_customers.test_contract_refusals import refused

CUSTOMER = "customer@example.com"


class Shop:
    """Traffic of both applications, and what must be where because of it."""

    def __init__(self) -> None:
        self.round = 0
        self.points: int = one("SELECT loyalty_points FROM customers WHERE email = %s", CUSTOMER)
        self.guests: list[uuid.UUID] = []
        self.orders: list[uuid.UUID] = []

    def old_traffic(self) -> None:
        """The old application: a phone, points, a guest with an order, what the recommender knows."""
        self.round += 1
        run("UPDATE users SET phone = %s WHERE email = %s", f"555-{self.round}", CUSTOMER)
        run("UPDATE customers SET loyalty_points = loyalty_points + 5 WHERE email = %s", CUSTOMER)
        self.points += 5
        guest, order = uuid.uuid4(), uuid.uuid4()
        run(
            "INSERT INTO customers (id, email, first_name) VALUES (%s, %s, 'Gus')",
            guest,
            f"guest{self.round}@example.com",
        )
        run(
            "INSERT INTO orders (id, order_number, customer_id, total_amount) VALUES (%s, %s, %s, 12.5)",
            order,
            f"OLD-{self.round}",
            guest,
        )
        run('INSERT INTO customer_profiles (customer_id, preferences) VALUES (%s, \'{"theme": "light"}\')', str(guest))
        self.guests.append(guest)
        self.orders.append(order)

    def new_traffic(self) -> None:
        """The new application: a name, points, an order, a new account."""
        self.round += 1
        person = Profile.objects.get(user__email=CUSTOMER)
        profile_service.update_profile(person.user_id, {"first_name": f"Cora {self.round}"})
        Profile.objects.filter(pk=person.pk).update(loyalty_points=person.loyalty_points + 1)
        self.points += 1
        order = Order.objects.create(order_number=f"NEW-{self.round}", user_id=person.user_id, total_amount=7)
        self.orders.append(order.pk)
        User.objects.create_user(f"new{self.round}@example.com", "a password of mine")

    def view_traffic(self) -> None:
        """Code that is half ported."""
        self.round += 1
        run("UPDATE customers_view SET city = %s WHERE email = %s", f"City {self.round}", CUSTOMER)

    def check(self) -> None:
        """Nothing that anybody wrote is lost, and the judge passes."""
        assert failures() == {}
        person = Profile.objects.get(user__email=CUSTOMER)
        assert person.loyalty_points == self.points
        for guest in self.guests:
            assert selectors.person(guest) is not None
        assert Order.objects.filter(pk__in=self.orders, user__isnull=False).count() == len(self.orders)

    def check_old_world(self, taken: fingerprint.Fingerprint) -> None:
        """After the way back: the schema as it was, with all that either application wrote."""
        assert fingerprint.take(connection) == taken
        assert one("SELECT loyalty_points FROM customers WHERE email = %s", CUSTOMER) == self.points
        assert one("SELECT count(*) FROM customers WHERE id = ANY(%s)", self.guests) == len(self.guests)
        assert one("SELECT count(*) FROM orders WHERE id = ANY(%s)", self.orders) == len(self.orders)
        assert one("SELECT count(*) FROM users WHERE email LIKE 'new%%@example.com'") == 1
        assert one("SELECT to_regclass('profiles')") is None


def provoke_writer() -> Callable[[], None]:
    run("UPDATE customers SET state = 'NO' WHERE email = %s", CUSTOMER)
    return wait


def provoke_view() -> Callable[[], None]:
    run("CREATE VIEW phone_book AS SELECT phone FROM users")
    return lambda: run("DROP VIEW phone_book")


def provoke_key() -> Callable[[], None]:
    run("CREATE TABLE favourites (customer_id uuid REFERENCES customers (id))")
    return lambda: run("DROP TABLE favourites")


def provoke_reader() -> Callable[[], None]:
    with another_session(autocommit=True) as cron:
        cron.execute("SELECT count(*) FROM customers_view")
        cron.execute("SELECT pg_stat_force_next_flush()")
    return wait


def provoke_caller() -> Callable[[], None]:
    run(
        "INSERT INTO api_usage (day, client, method, route, first_at, last_at, calls)"
        " VALUES (current_date, 'till 3', 'GET', '/api/customers/', now(), now(), 1)"
    )
    return wait


def provoke_judge() -> Callable[[], None]:
    run("INSERT INTO users (email, password_hash) VALUES ('nobody@example.com', 'x')")
    return lambda: run("DELETE FROM users WHERE email = 'nobody@example.com'")


def provoke_suggestion() -> Callable[[], None]:
    first, second = Profile.objects.order_by("pk")[:2]
    made = MergeSuggestion.objects.create(profile=first, other_profile=second, reason="same_login")
    return lambda: run("UPDATE merge_suggestions SET status = 'dismissed' WHERE id = %s", made.pk)


# What speaks against each step: who provokes it, what is told of it.
PROVOKED: dict[str, tuple[Callable[[], Callable[[], None]], str]] = {
    "fence": (provoke_writer, "wrote customers"),
    "users_columns": (provoke_view, "view phone_book uses users"),
    "legacy_tables": (provoke_key, "foreign key favourites_customer_id_fkey of favourites uses customers"),
    "customers_view": (provoke_reader, "read customers_view"),
    "backups": (provoke_caller, "till 3 read old API"),
    "timestamps": (provoke_judge, "users_without_profile (1 differences"),
    "unique_email": (provoke_suggestion, "Nobody has decided yet whether these logins are one person's"),
}


def test_the_whole_life_from_take_over_to_contract(empty_database: str, settings: Any, tmp_path: Path) -> None:
    settings.UNIFICATION_DUMP_DIR = str(tmp_path)
    load_story(connection, "seed")
    taken = fingerprint.take(connection)
    shop = Shop()
    shop.old_traffic()

    call_command("migrate", verbosity=0)
    shop.check()
    for traffic in (shop.old_traffic, shop.new_traffic, shop.view_traffic, shop.old_traffic):
        traffic()
    shop.check()

    call_command("rollback_unification", interactive=False, verbosity=0)
    shop.check_old_world(taken)
    shop.old_traffic()

    call_command("migrate", verbosity=0)
    shop.check()
    for traffic in (shop.new_traffic, shop.old_traffic, shop.view_traffic):
        traffic()
    shop.check()

    wait()
    step("fence")
    with pytest.raises(NotSupportedError, match="refused: the old tables are fenced"):
        run("UPDATE customers SET city = 'Oslo'")
    shop.new_traffic()
    shop.check()
    assert contract("--undo") == "fence is undone.\n"
    shop.old_traffic()
    shop.check()

    for name in STEPS:
        wait()
        provoke, told = PROVOKED[name]
        let_go = provoke()
        assert told in refused(name)
        let_go()
        assert f"{name} is done." in step(name)
        shop.new_traffic()
        if one("SELECT to_regclass('customers_view')"):
            shop.view_traffic()
            wait()
        shop.check()
    assert "All steps are done." in contract("--plan")
    assert rows("SELECT relname FROM pg_class WHERE relname LIKE 'backup\\_%' OR relname = 'customers'") == []
