"""What tests of the contract phase share: time passes in the records, not in the test."""

from io import StringIO
from typing import Any

from django.core.management import call_command
from django.db import connection

from legacy_customers.unification import evidence
from legacy_customers.unification.verify import verify
from tests.databases import run

STEPS = ("fence", "users_columns", "legacy_tables", "customers_view", "backups", "timestamps", "unique_email")


def wait(days: int = 36) -> None:
    """So many days go by: all that was done and seen is older."""
    evidence.sample(connection)
    run("UPDATE unification_phases SET finished_at = finished_at - make_interval(days => %s)", days)
    run("UPDATE unification_contract SET done_at = done_at - make_interval(days => %s)", days)
    run("UPDATE django_migrations SET applied = applied - make_interval(days => %s)", days)
    run(
        "UPDATE legacy_usage SET first_at = first_at - make_interval(days => %s),"
        " last_at = last_at - make_interval(days => %s)",
        days,
        days,
    )
    run(
        "UPDATE legacy_usage_counters SET since = since - make_interval(days => %s),"
        " taken_at = taken_at - make_interval(days => %s)",
        days,
        days,
    )
    run("UPDATE legacy_writes SET last_at = last_at - make_interval(days => %s)", days)
    run("UPDATE legacy_deletions SET deleted_at = deleted_at - make_interval(days => %s)", days)
    run("UPDATE api_usage SET last_at = last_at - make_interval(days => %s)", days)


def contract(*arguments: str, **options: Any) -> str:
    """What the command prints."""
    output = StringIO()
    call_command("contract_unification", *arguments, stdout=output, verbosity=0, **options)
    return output.getvalue()


def step(name: str, **options: Any) -> str:
    return contract("--step", name, **options)


def until_step(name: str) -> None:
    """Do every step up to this one, each in its time."""
    for each in STEPS[: STEPS.index(name) + 1]:
        wait()
        step(each)


def failures() -> dict[str, list[str]]:
    """What the judge finds now: check -> its samples."""
    return {name: seen.samples for name, seen in verify(connection).failed.items()}


def let_go() -> None:
    """The shop's own tables and views of the sample let go of what will be dropped, and its doubles are decided on."""
    run("DROP VIEW active_customers; DROP TABLE reviews, carts")
    run("UPDATE merge_suggestions SET status = 'dismissed', decided_at = now()")
    run(
        "UPDATE users AS u SET active = false WHERE EXISTS (SELECT FROM users AS o"
        " WHERE search_fold(o.email) = search_fold(u.email) AND o.id < u.id AND o.active)"
    )
