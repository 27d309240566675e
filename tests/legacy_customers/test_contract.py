"""`manage.py contract_unification`: each step does what it says, the judge passes after each, and what can be undone is."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import NotSupportedError, connection
from django.test import Client

from accounts.models import User
from legacy_customers.models import ContractStep
from legacy_customers.sample.logins import LOGINS
from legacy_customers.unification import fingerprint, status
from legacy_customers.unification.contract import dump, tables
from legacy_customers.unification.contract import times as contract_times
from legacy_customers.unification.status import State
from legacy_customers.unification.verify import verify
from orders.models import Order
from profiles import selectors
from profiles.models import Profile
from tests.databases import another_session, one, rows, run, temporary_database
from tests.legacy_customers.contract import STEPS, contract, failures, let_go, step, until_step, wait

OLD_SHAPES = ("customers", "customer_profiles", "user_profiles")


@pytest.fixture(autouse=True)
def dumps(settings: Any, tmp_path: Path) -> Path:
    settings.UNIFICATION_DUMP_DIR = str(tmp_path / "dumps")
    return tmp_path / "dumps"


def contents(*tables: str) -> dict[str, list[str]]:
    return {table: [row for (row,) in rows(f"SELECT t::text FROM {table} AS t ORDER BY 1")] for table in tables}


ROLES = "CREATE TYPE user_role_simple AS ENUM ('super_admin', 'tenant_admin', 'store_manager', 'staff', 'customer')"


def restored(name: str, look: Callable[[], Any]) -> Any:
    """What `look` finds in a database into which the dump of the step was restored, and nothing else."""
    path = Path(ContractStep.objects.get(name=name, undone_at=None).dump)
    with temporary_database():
        run(ROLES)
        dump.find_tools(connection).run(
            connection, "pg_restore", "--no-owner", "--section=pre-data", "--section=data",
            f"--dbname={connection.settings_dict['NAME']}", path,
        )  # fmt: skip
        return look()


def test_every_step_is_done_in_its_turn_and_the_judge_passes_after_each(seed: str) -> None:
    for name in STEPS:
        wait()
        assert f"{name} is done." in step(name)
        assert failures() == {}
        seen = status.read(connection)
        assert (seen.state, seen.is_faulty) == (State.DONE, False)
    assert "All steps are done. Set LEGACY=false" in contract("--plan")
    with pytest.raises(CommandError, match=r"fence was done on .* by "):
        step("fence")


def test_the_status_tells_what_was_done_what_is_next_and_what_speaks_against_it(seed: str) -> None:
    first = status.read(connection).contract
    assert [(one.name, one.state) for one in first[:2]] == [("fence", "next"), ("users_columns", "later")]
    assert first[0].against[0] == "Nothing was verified yet."
    assert "The step before, the take-over, was done on " in first[0].against[1]
    until_step("fence")
    wait()
    step("users_columns", force="nobody will be there tomorrow")
    output = StringIO()
    call_command("unification_status", stdout=output, no_color=True)
    fence, users_columns, legacy_tables, *later = [
        line.strip() for line in output.getvalue().splitlines() if line.startswith("  contract, ")
    ]
    record = ContractStep.objects.get(name="users_columns")
    assert fence.startswith("contract, fence          done, ")
    assert users_columns.endswith(f", by {record.by}, dump {record.dump}")
    assert legacy_tables == "contract, legacy_tables  next"
    assert [line.split()[-1] for line in later] == ["later"] * 4
    assert "    refused: The step before, users_columns, was done on " in output.getvalue()
    output = StringIO()
    call_command("unification_status", "--json", stdout=output)
    told = json.loads(output.getvalue())["contract"]
    assert [one["state"] for one in told] == ["done", "done", "next", "later", "later", "later", "later"]
    assert "Nobody has watched for 35 days" in " ".join(told[2]["against"])


# --- fence ----------------------------------------------------------------------------------------------------------

REFUSED = (
    ("INSERT INTO customers (email) VALUES ('late@example.com')", "INSERT of customers"),
    ("UPDATE customers SET city = 'Oslo'", "UPDATE of customers"),
    ("DELETE FROM customers", "DELETE of customers"),
    ("INSERT INTO customer_profiles (customer_id) VALUES ('chat-1')", "INSERT of customer_profiles"),
    ("DELETE FROM user_profiles", "DELETE of user_profiles"),
    (
        "INSERT INTO users (email, password_hash, first_name) VALUES ('late@example.com', 'x', 'Lee')",
        "INSERT of users with first_name, last_name, phone, date_of_birth, marketing_consent",
    ),
    (
        "INSERT INTO users (email, password_hash, marketing_consent) VALUES ('late@example.com', 'x', true)",
        "INSERT of users with",
    ),
    ("UPDATE users SET phone = '555'", "UPDATE of users with"),
    (
        "INSERT INTO orders (order_number, customer_id) SELECT 'late', id FROM customers LIMIT 1",
        "INSERT of orders with customer_id",
    ),
    (
        "UPDATE orders SET customer_id = (SELECT min(id::text)::uuid FROM customers)",
        "UPDATE of orders with customer_id",
    ),
)


def test_the_fence_refuses_every_write_of_the_old_shape_and_names_the_way_out(seed: str) -> None:
    until_step("fence")
    before = contents("customers", "customer_profiles", "users", "orders")
    for statement, what in REFUSED:
        with pytest.raises(NotSupportedError) as refusal:
            run(statement)
        assert f"{what}" in str(refusal.value), statement
        assert "refused: the old tables are fenced, and will be dropped" in str(refusal.value)
        assert "Or take the fence away: manage.py contract_unification --undo." in str(refusal.value)
    assert contents("customers", "customer_profiles", "users", "orders") == before


def test_behind_the_fence_the_shop_goes_on_and_late_readers_see_what_is_current(seed: str) -> None:
    until_step("fence")
    profile = Profile.objects.filter(user__email="customer@example.com").get()
    Profile.objects.filter(pk=profile.pk).update(city="Oslo", first_name="Cara")
    run("UPDATE users SET last_login = now() AT TIME ZONE 'UTC', active = true WHERE id = %s", profile.user_id)
    run("UPDATE customers_view SET phone = '555-1' WHERE id = %s", profile.pk)
    order = Order.objects.create(order_number="new", user_id=profile.user_id)
    new = User.objects.create_user("new@example.com", "a password of mine")
    assert rows("SELECT city, first_name, phone FROM customers WHERE id = %s", profile.pk) == [
        ("Oslo", "Cara", "555-1")
    ]
    assert one("SELECT first_name FROM users WHERE id = %s", profile.user_id) == "Cara"
    assert one("SELECT customer_id FROM orders WHERE id = %s", order.pk) == profile.pk
    assert one("SELECT count(*) FROM customers WHERE user_id = %s", new.pk) == 1
    assert failures() == {}


def test_a_fence_is_undone_at_once_and_the_old_application_goes_on(seed: str) -> None:
    taken = fingerprint.take(connection)
    until_step("fence")
    Profile.objects.filter(user__email="customer@example.com").update(city="Oslo")
    assert contract("--undo") == "fence is undone.\n"
    run("UPDATE customers SET state = 'NO' WHERE city = 'Oslo'")
    assert rows("SELECT city, state FROM profiles WHERE city = 'Oslo'") == [("Oslo", "NO")]
    assert fingerprint.take(connection) == taken
    assert failures() == {}
    assert ContractStep.objects.get().undone_at is not None
    with pytest.raises(CommandError, match="Nothing was contracted"):
        contract("--undo")
    wait()
    step("fence")
    assert [str(record) for record in ContractStep.objects.order_by("id")] == ["fence undone", "fence done"]


def test_a_disabled_fence_is_a_difference(seed: str) -> None:
    until_step("fence")
    run("ALTER TABLE customers DISABLE TRIGGER unification_fence")
    assert failures() == {"fence_in_force": ["trigger unification_fence on customers is missing or disabled"]}


# --- what is dropped ------------------------------------------------------------------------------------------------


def test_the_copies_in_users_go_with_the_sync_and_their_dump_can_be_restored(seed: str, dumps: Path) -> None:
    copies = "id, first_name, last_name, phone, date_of_birth, marketing_consent"
    before = rows(f"SELECT {copies} FROM users ORDER BY id")
    until_step("users_columns")
    assert {"first_name", "phone", "marketing_consent"}.isdisjoint(
        name for (name,) in rows("SELECT column_name FROM information_schema.columns WHERE table_name = 'users'")
    )
    assert one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'unification\\_sync%'") == 2
    Profile.objects.filter(user__email="customer@example.com").update(city="Oslo")
    assert failures() == {}
    record = ContractStep.objects.get(name="users_columns")
    assert dump.digest(Path(record.dump)) == record.sha256
    assert Path(record.dump).stat().st_mode & 0o777 == 0o600
    assert restored("users_columns", lambda: rows(f"SELECT {copies} FROM users ORDER BY id")) == before
    with pytest.raises(CommandError, match=f"users_columns cannot be undone: .*{record.dump}; pg_restore reads it"):
        contract("--undo")


def test_the_old_tables_go_and_come_back_from_their_dump(seed: str) -> None:
    until_step("users_columns")
    before = contents(*OLD_SHAPES)
    wait()
    step("legacy_tables")
    assert [one("SELECT to_regclass(%s)", table) for table in OLD_SHAPES] == [None, None, None]
    assert one("SELECT to_regproc('create_customer_for_user')") is None
    assert restored("legacy_tables", lambda: contents(*OLD_SHAPES)) == before
    assert contract("--undo") == "legacy_tables is undone.\n"
    assert contents(*OLD_SHAPES) == before
    assert failures() == {}
    with pytest.raises(NotSupportedError, match="UPDATE of customers refused: the old tables are fenced"):
        run("UPDATE customers SET city = 'Oslo'")
    with pytest.raises(Exception, match="refused, for it is protected: table customers"):
        run("DROP TABLE customers")
    wait()
    step("legacy_tables")
    assert failures() == {}


def test_a_dump_that_was_touched_is_not_restored(seed: str) -> None:
    until_step("legacy_tables")
    path = Path(ContractStep.objects.get(name="legacy_tables").dump)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CommandError, match="is not as it was written"):
        contract("--undo")
    path.unlink()
    with pytest.raises(CommandError, match="is not there any more"):
        contract("--undo")
    assert one("SELECT to_regclass('customers')") is None


def test_columns_that_nobody_knows_are_named_and_move_to_their_person(shop: str) -> None:
    let_go()
    run("UPDATE customers SET loyalty_tier = 'gold' WHERE id IN (SELECT id FROM customers ORDER BY id LIMIT 3)")
    told = rows("SELECT id::text, loyalty_tier FROM customers WHERE loyalty_tier IS NOT NULL")
    assert len(told) >= 3
    until_step("users_columns")
    wait()
    assert "Nobody here knows customers.loyalty_tier: to profiles.legacy_extra" in contract("--plan")
    step("legacy_tables")
    moved = rows(
        "SELECT r.key, r.value ->> 'loyalty_tier' FROM profiles AS p"
        " CROSS JOIN LATERAL jsonb_each(p.legacy_extra -> 'customers') AS r"
        " JOIN legacy_identities AS i ON i.customer_id = r.key::uuid AND i.user_id = p.user_id"
    )
    assert sorted(moved) == sorted(told)
    detail = ContractStep.objects.get(name="legacy_tables").detail
    assert detail["extra"] == {"customers": {"moved": len(told), "of_nobody": 0}}
    assert failures() == {}


def test_the_view_goes_and_comes_back_and_old_ids_go_on_resolving(shop: str, client: Client) -> None:
    let_go()
    old_ids = rows("SELECT i.customer_id, p.id FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id")
    until_step("customers_view")
    assert one("SELECT to_regclass('customers_view')") is None
    client.force_login(User.objects.get(email=LOGINS[0].email))
    pages = [client.get(f"/admin/legacy_customers/{page}").status_code for page in ("legacycustomer/", "contractstep/")]
    assert pages == [404, 200]
    assert contract("--undo") == "customers_view is undone.\n"
    assert one("SELECT count(*) FROM customers_view") == Profile.objects.count()
    run("UPDATE customers_view SET city = 'Oslo' WHERE id = %s", old_ids[0][1])
    assert Profile.objects.get(pk=old_ids[0][1]).city == "Oslo"
    assert failures() == {}
    for name in STEPS[3:5]:
        wait()
        step(name)
    assert failures() == {}
    assert len(old_ids) > Profile.objects.filter(aliases__isnull=False).count() > 0
    for old, profile in old_ids:
        found = selectors.person(old)
        assert found is not None
        assert found.id == profile


def test_the_backups_go_last_with_all_that_the_old_world_left_of_persons(seed: str) -> None:
    run("DELETE FROM customer_profiles")
    before = contents("backup_customers", "backup_users")
    until_step("backups")
    assert rows("SELECT relname FROM pg_class WHERE relname LIKE 'backup\\_%'") == []
    assert rows("SELECT proname FROM pg_proc WHERE proname LIKE 'unification\\_%'") == []
    assert rows("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'unification%'") == []
    assert one("SELECT count(*) FROM legacy_deletions") == 0
    held = restored(
        "backups", lambda: (contents("backup_customers", "backup_users"), one("SELECT count(*) FROM legacy_deletions"))
    )
    assert held == (before, 1)
    report = verify(connection)
    assert report.passed
    assert report.checks["values_as_ruled"].not_applicable.endswith("when the contract step backups was done")
    with pytest.raises(CommandError, match="backups cannot be undone"):
        contract("--undo")


@pytest.mark.parametrize(
    ("name", "part"),
    [("legacy_tables", "_drop_tables"), ("backups", "_drop_backups"), ("users_columns", "_drop_columns")],
)
def test_a_drop_that_was_killed_half_way_goes_on(
    seed: str, monkeypatch: pytest.MonkeyPatch, name: str, part: str
) -> None:
    until_step(STEPS[STEPS.index(name) - 1])
    wait()

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(tables, part, killed)
        with pytest.raises(KeyboardInterrupt):
            step(name)
    assert failures() == {}
    with pytest.raises(CommandError, match=f"{name} was begun, and dropped nothing yet"):
        contract("--undo")
    assert f"{name} is done." in step(name)
    assert failures() == {}


# --- what changes ---------------------------------------------------------------------------------------------------

PLACES = "SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relname IN ('users', 'orders') ORDER BY 1"
INDEXES = "SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index WHERE indrelid = 'orders'::regclass ORDER BY 1"
TYPES = (
    "SELECT DISTINCT data_type FROM information_schema.columns WHERE table_name IN ('users', 'orders')"
    " AND column_name IN ('created_at', 'updated_at', 'last_login')"
)


def times() -> list[Any]:
    return [
        *User.objects.order_by("pk").values_list("created_at", "updated_at", "last_login"),
        *Order.objects.order_by("pk").values_list("created_at", "updated_at"),
    ]


def test_times_get_a_zone_without_a_rewrite_and_read_the_same(seed: str) -> None:
    until_step("backups")
    run("UPDATE users SET last_login = '2026-03-29 01:30:00' WHERE email = 'customer@example.com'")
    run("ALTER TABLE orders ALTER COLUMN created_at SET DEFAULT timezone('utc', now())")
    customer = Profile.objects.get(user__email="customer@example.com")
    before, places, indexes = times(), rows(PLACES), rows(INDEXES)
    stats = selectors.customer_stats(customer.pk), selectors.customer_orders(customer.pk)
    wait()
    step("timestamps")
    assert rows(TYPES) == [("timestamp with time zone",)]
    assert (times(), rows(PLACES), rows(INDEXES)) == (before, places, indexes)
    assert (selectors.customer_stats(customer.pk), selectors.customer_orders(customer.pk)) == stats
    with another_session(autocommit=True, options="-c TimeZone=Asia/Tokyo") as session:
        session.execute("INSERT INTO orders (order_number) VALUES ('from Tokyo')")
    order = Order.objects.get(order_number="from Tokyo")
    assert abs((order.created_at - one("SELECT now()")).total_seconds()) < 600
    order.delete()
    assert contract("--undo") == "timestamps is undone.\n"
    assert rows(TYPES) == [("timestamp without time zone",)]
    assert (times(), rows(PLACES), rows(INDEXES)) == (before, places, indexes)
    assert failures() == {}


def test_a_change_of_times_that_was_killed_goes_on_where_it_was(seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    until_step("backups")
    indexes = rows(INDEXES)
    wait()
    real, told = contract_times._build, []

    def killed(*arguments: Any) -> None:
        told.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(contract_times, "_build", killed)
    with pytest.raises(KeyboardInterrupt):
        step("timestamps")
    assert len(told) == 1
    assert rows(INDEXES) != indexes
    monkeypatch.setattr(contract_times, "_build", real)
    assert "timestamps is done." in step("timestamps")
    assert rows(INDEXES) == indexes
    assert failures() == {}


def test_no_two_active_logins_share_an_address_any_more(seed: str) -> None:
    until_step("unique_email")
    with pytest.raises(Exception, match="users_one_per_address"):
        User.objects.create_user("CUSTOMER@example.com", "a password of mine")
    assert contract("--undo") == "unique_email is undone.\n"
    User.objects.create_user("CUSTOMER@example.com", "a password of mine")
