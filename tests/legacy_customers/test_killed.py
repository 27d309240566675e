"""There and back, killed after every commit that is made: the next run goes on from there, and the end is the same."""

import os
import signal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from legacy_customers import apps
from legacy_customers.sample.stories import load_story
from legacy_customers.unification.sources import LEGACY_TABLES
from tests.databases import rows, run, temporary_database, until
from tests.legacy_customers.test_migrate import Result, _undisturbed, assert_same
from tests.legacy_customers.test_rollback import schema

ALONE = (
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
)
READS = ("SELECT", "SHOW", "SET", "DECLARE", "FETCH", "CLOSE", "SAVEPOINT", "RELEASE")


@pytest.fixture
def undisturbed(seed_template: str, empty_database: str) -> Result:
    result = _undisturbed(seed_template)
    load_story(connection, "seed")
    return result


def killed_after(commits: set[str], *command: str) -> str | None:
    """A command in a process that is killed after its first commit that is not among `commits`: gives that commit's name.

    A commit is named by its writing statements. None: it came to its end.
    """
    connection.close()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_and_die(commits, writing, *command)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        name = pipe.read().decode()
    _, ended = os.waitpid(child, 0)
    until(ALONE)
    if os.WIFSIGNALED(ended):
        assert os.WTERMSIG(ended) == signal.SIGKILL
        return name
    assert os.waitstatus_to_exitcode(ended) == 0, name
    return None


def _run_and_die(commits: set[str], writing: int, *command: str) -> None:
    """In the child, which never returns."""
    written: list[str] = []

    def ended() -> None:
        name = "; ".join(written)
        written.clear()
        if name and name not in commits:
            os.write(writing, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapper(execute: Any, statement: Any, params: Any, many: bool, context: Any) -> Any:
        result = execute(statement, params, many, context)
        text = statement if isinstance(statement, str) else statement.as_string(context["connection"].connection)
        if not text.strip().startswith(READS):
            written.append(" ".join(text.split())[:60])
        if not context["connection"].in_atomic_block:
            ended()
        return result

    real = BaseDatabaseWrapper._commit

    def committing(self: BaseDatabaseWrapper) -> None:
        real(self)
        ended()

    try:
        BaseDatabaseWrapper._commit = committing  # type: ignore[method-assign]
        apps.SECONDS_BETWEEN_TRIES = 0.01
        with connection.execute_wrapper(wrapper):
            call_command(*command, verbosity=0)
    except BaseException as error:
        os.write(writing, repr(error).encode())
        os._exit(1)
    os._exit(0)


def test_killed_after_every_commit_it_ends_as_undisturbed(undisturbed: Result) -> None:
    commits: set[str] = set()
    while (name := killed_after(commits, "migrate")) is not None:
        commits.add(name)
    assert len(commits) > 60
    assert_same(undisturbed)


# Rows that the way back itself dates are not dated twice alike.
GIVEN_BACK = {
    table: f"SELECT (to_jsonb(t) - 'updated_at')::text FROM {table} AS t ORDER BY 1" for table in LEGACY_TABLES
}


def write_through_both_shapes() -> None:
    """A row of each kind for each step of the way back: written, new, deleted, a guest's account in use, an order of one."""
    [(account, guest), *_] = rows(
        "SELECT user_id, customer_id FROM legacy_identities WHERE \"case\" = 'new_user' ORDER BY customer_id"
    )
    run("UPDATE users SET password_hash = '$2b$claimed' WHERE id = %s", account)
    run("UPDATE customers SET city = 'Oslo' WHERE id = %s", guest)
    run("UPDATE profiles SET notes = 'Since.', needs = '[\"sleep\"]' WHERE id = %s", guest)
    run("INSERT INTO orders (order_number, user_id, total_amount) VALUES ('SINCE-1', %s, 5)", account)
    run("INSERT INTO customers (email, first_name) VALUES ('since@example.com', 'Gus')")
    run("INSERT INTO orders (order_number, customer_id) SELECT 'SINCE-2', id FROM customers WHERE first_name = 'Gus'")
    run("DELETE FROM customer_profiles")


def test_the_way_back_killed_after_every_commit_ends_as_undisturbed(seed: str) -> None:
    write_through_both_shapes()
    connection.close()
    with temporary_database(seed):
        call_command("rollback_unification", interactive=False, verbosity=0)
        undisturbed = {table: rows(query) for table, query in GIVEN_BACK.items()}
        shape = schema()
    commits: set[str] = set()
    while (name := killed_after(commits, "rollback_unification", "--no-input")) is not None:
        commits.add(name)
    assert len(commits) > 60
    assert {table: rows(query) for table, query in GIVEN_BACK.items()} == undisturbed
    assert schema() == shape
