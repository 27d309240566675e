"""Before `migrate` runs anything: what of the protected tables its plan would lose, and whether somebody means it.

A migration says that it means it by `Release('why')` among its operations, before those that lose something; whoever runs one
backwards, by `manage.py protection --release 'why' --migrate …`. Statements within RunSQL and RunPython are not read here: those
the database refuses.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.special import SeparateDatabaseAndState
from django.db.migrations.state import ProjectState
from psycopg import sql

from config import protection

Plan = Sequence[tuple[Migration, bool]]
# The migration that brings the protection; a plan that takes it back is judged by the rows that it would lose.
BRINGS_IT = ("orders", "0006_protection")

# Whoever can take everything back without losing a row says here that a plan does so; the protection is theirs to remove.
ways_back: list[Callable[[BaseDatabaseWrapper, Plan], bool]] = []
_reason: str | None = None


class Release(Operation):
    """Let the rest of this migration, one transaction, lose what is protected; it is logged with the reason."""

    reversible = True
    reduces_to_sql = False

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        _release(schema_editor.connection, self.reason)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """What comes before this operation is undone after it; nothing else is."""

    def describe(self) -> str:
        return f"Release the protection: {self.reason}"


def _release(connection: BaseDatabaseWrapper, reason: str) -> None:
    if not connection.in_atomic_block:
        raise CommandError(
            "A release holds for one transaction, and this migration is not atomic: release in each of its own."
        )
    with connection.cursor() as cursor:
        protection.release(cursor, reason)


@contextmanager
def released(reason: str) -> Iterator[None]:
    """Every migration that `migrate` runs meanwhile is released with this reason."""
    global _reason
    before, _reason = _reason, reason
    try:
        yield
    finally:
        _reason = before


def judge(connection: BaseDatabaseWrapper, plan: Plan) -> None:
    """Let `migrate` go on, or refuse. Errors: CommandError with everything that the plan would lose."""
    if not plan or not protection.is_installed(connection) or any(way(connection, plan) for way in ways_back):
        return
    takes_it_back = any(back and (migration.app_label, migration.name) == BRINGS_IT for migration, back in plan)
    if _reason is None and (found := losses(connection, plan)):
        raise CommandError(
            "Refused, and nothing was run. This would lose what is protected:\n  "
            + "\n  ".join(found)
            + "\nIf you mean it, put config.protection_plan.Release('why') before it in its migration, or run"
            " `manage.py protection --release 'why' --migrate APP NAME`; either is logged. To go back from a take-over, run"
            " `manage.py rollback_unification`."
        )
    if takes_it_back:
        # Others that it protects may be taken back before it.
        protection.remove(connection)
    elif _reason is not None:
        for migration, _ in plan:
            for method in ("apply", "unapply"):
                setattr(migration, method, partial(_apply_released, getattr(migration, method), _reason))


def _apply_released(
    original: Callable[..., ProjectState],
    reason: str,
    state: ProjectState,
    editor: BaseDatabaseSchemaEditor,
    *args: Any,
    **options: Any,
) -> ProjectState:
    connection = connections[editor.connection.alias]
    if connection.in_atomic_block:
        _release(connection, reason)
    return original(state, editor, *args, **options)


# --- what a plan would lose -----------------------------------------------------------------------------------------

Shape = dict[str, set[str]]


def losses(connection: BaseDatabaseWrapper, plan: Plan) -> list[str]:
    """A line for each protected table or column that the plan would drop or rename; of one that takes the protection back,
    only those that hold rows."""
    if not protection.is_installed(connection):
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM protected_tables")
        names = {name for (name,) in cursor.fetchall()}
    loader = MigrationLoader(connection)
    goes = any(back and (migration.app_label, migration.name) == BRINGS_IT for migration, back in plan)
    found = []
    for migration, backwards in plan:
        state = loader.project_state((migration.app_label, migration.name), at_end=False)
        for table, what in _lost(migration, state, names, backwards):
            if not (goes and backwards) or _holds_rows(connection, table):
                found.append(f"{migration.app_label}.{migration.name}{' backwards' if backwards else ''}: {what}")
    return found


def _lost(migration: Migration, state: ProjectState, names: set[str], backwards: bool) -> Iterator[tuple[str, str]]:
    released = False
    for operation in migration.operations:
        released |= isinstance(operation, Release)
        parts = operation.database_operations if isinstance(operation, SeparateDatabaseAndState) else [operation]
        for part in parts:
            before, changed = _shape(state, names), state.clone()
            part.state_forwards(migration.app_label, changed)
            after = _shape(changed, names)
            if backwards:
                before, after = after, before
            if backwards or not released:
                yield from _missing(before, after)
            if part is operation:
                state = changed
        if isinstance(operation, SeparateDatabaseAndState):
            operation.state_forwards(migration.app_label, state)


def _missing(before: Shape, after: Shape) -> Iterator[tuple[str, str]]:
    for table, columns in before.items():
        if table not in after:
            yield table, f"table {table}"
        else:
            yield from ((table, f"column {table}.{column}") for column in sorted(columns - after[table]))


def _shape(state: ProjectState, names: set[str]) -> Shape:
    """Protected table -> its columns, as the models have them."""
    found: Shape = {}
    for (label, name), model in state.models.items():
        table = str(model.options.get("db_table") or f"{label}_{name}")
        if table not in names or model.options.get("managed") is False or model.options.get("proxy"):
            continue
        columns = set()
        for field_name, field in model.fields.items():
            if not field.many_to_many:
                bound = field.clone()
                bound.set_attributes_from_name(field_name)
                columns.add(str(bound.column))
        found[table] = columns
    return found


def _holds_rows(connection: BaseDatabaseWrapper, table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table)))
        return bool(cursor.fetchone()[0])
