"""`manage.py rollback_unification`: what it shows, when it asks, and what stops it, all reasons at once."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from profiles.models import Profile
from tests.databases import one, rows, run

LEFT = "SELECT (SELECT count(*) FROM profiles), (SELECT count(*) FROM django_migrations), (SELECT count(*) FROM users)"


def roll_back(*arguments: str, **options: Any) -> str:
    output = StringIO()
    call_command("rollback_unification", *arguments, stdout=output, verbosity=0, **options)
    return output.getvalue()


def test_the_plan_counts_and_writes_nothing(seed: str) -> None:
    run("UPDATE profiles SET city = 'Oslo' WHERE user_id = (SELECT min(id::text)::uuid FROM backup_users)")
    before = rows(LEFT)
    shown = [line.split() for line in roll_back("--plan").splitlines()]
    assert ["customers", "10", "1", "0"] in shown
    assert ["orders", "12", "0", "0"] in shown
    assert ["guests'", "accounts", "that", "go", "2"] in shown
    assert ["profiles", "10"] in shown
    assert ["backup_orders", "12"] in shown
    assert " ".join(shown[-1]) == "Nothing stands in its way. Nothing was written."
    assert rows(LEFT) == before


def test_it_asks_and_does_nothing_without_a_yes(seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(LEFT)
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    with pytest.raises(CommandError, match="Nothing was done"):
        roll_back()
    assert rows(LEFT) == before
    monkeypatch.setattr("builtins.input", lambda prompt: "yes")
    assert "The way back is done and proved" in roll_back()
    assert one("SELECT to_regclass('profiles')") is None
    assert roll_back() == "There is nothing to take back: this database has not been taken over.\n"


def test_all_that_stands_in_the_way_is_told_at_once_and_nothing_is_changed(seed: str) -> None:
    profile = Profile.objects.filter(user__email__isnull=False).earliest("id")
    Profile.objects.filter(pk=profile.pk).update(loyalty_points=3_000_000_000)
    order = one("SELECT min(id::text)::uuid FROM orders")
    with transaction.atomic():
        rows("SET LOCAL session_replication_role = replica")
        rows("DELETE FROM orders WHERE id = %s", order)
    run("CREATE VIEW somebodys AS SELECT city FROM profiles; CREATE VIEW tills AS SELECT receipt_number FROM orders")
    run("CREATE TABLE favourites (profile_id uuid REFERENCES profiles (id))")
    before = rows(LEFT)
    with pytest.raises(CommandError) as refusal:
        roll_back(interactive=False)
    for reason in (
        f"Rows that were backed up are gone: orders {order}.",
        f"profiles {profile.pk}: customers.loyalty_points cannot hold 3000000000",
        "view somebodys on profiles; view tills on orders; foreign key favourites_profile_id_fkey of favourites on profiles",
    ):
        assert reason in str(refusal.value)
    assert rows(LEFT) == before
    with pytest.raises(SystemExit) as ended:
        roll_back("--plan")
    assert ended.value.code == 3


def behind_the_triggers(statement: str, *params: Any) -> None:
    with transaction.atomic():
        rows("SET LOCAL session_replication_role = replica")
        rows(statement, *params)


def test_a_row_changed_behind_the_sync_is_named_before_anything_is_changed(seed: str) -> None:
    customer = one("SELECT min(id::text) FROM customers")
    behind_the_triggers("UPDATE customers SET city = 'Nowhere' WHERE id = %s::uuid", customer)
    before = rows(LEFT)
    with pytest.raises(
        CommandError, match=f"Of these rows no book says who wrote them: customers {customer}"
    ) as refusal:
        roll_back(interactive=False)
    assert rows(LEFT) == before
    [accept] = re.findall("CREATE TABLE .*'\\)", str(refusal.value))
    run(accept)
    roll_back(interactive=False)
    assert one("SELECT city FROM customers WHERE id = %s::uuid", customer) == "Nowhere"


@pytest.mark.parametrize(
    ("column", "value"), [("user_id", "(SELECT max(id::text)::uuid FROM users)"), ("total_amount", "99")]
)
def test_an_order_changed_behind_the_sync_is_named_though_the_take_over_repointed_it(
    seed: str, column: str, value: str
) -> None:
    order = one("SELECT o.id::text FROM orders AS o JOIN backup_orders AS b USING (id) WHERE b.user_id IS NULL LIMIT 1")
    behind_the_triggers(f"UPDATE orders SET {column} = {value} WHERE id = %s::uuid", order)
    with pytest.raises(CommandError, match=f"Of these rows no book says who wrote them: orders {order}"):
        roll_back(interactive=False)


def test_a_written_row_that_is_not_as_it_was_last_written_is_named_at_the_end(seed: str) -> None:
    customer = one("SELECT min(id::text) FROM customers")
    run("UPDATE profiles SET city = 'Oslo' WHERE id = %s::uuid", customer)
    call_command("migrate", "legacy_customers", "0010_api_usage", verbosity=0)
    behind_the_triggers("UPDATE customers SET city = 'Nowhere' WHERE id = %s::uuid", customer)
    with pytest.raises(CommandError, match=f"Of these rows no book says who wrote them: customers {customer}"):
        roll_back(interactive=False)
    assert one("SELECT count(*) FROM backup_customers") == 10


@pytest.mark.parametrize("proof", ["written", "full"])
def test_a_row_changed_behind_the_log_is_seen_by_the_full_proof(seed: str, proof: str) -> None:
    customer = one("SELECT min(id::text) FROM customers")
    call_command("migrate", "legacy_customers", "0010_api_usage", verbosity=0)
    behind_the_triggers("UPDATE customers SET city = 'Nowhere' WHERE id = %s::uuid", customer)
    if proof == "written":
        roll_back(interactive=False, proof=proof)
        return
    with pytest.raises(CommandError, match=f"Of these rows no book says who wrote them: customers {customer}"):
        roll_back(interactive=False, proof=proof)
    assert one("SELECT count(*) FROM backup_customers") == 10
