"""CreateModel for tables that a legacy database may have already: those are adopted, never recreated."""

from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.utils import CursorWrapper
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from psycopg import sql

LEDGER = sql.Identifier("adopted_tables")


class AdoptionError(CommandError):
    """A table cannot be adopted or given back; the message says why and what to do."""


@dataclass(frozen=True)
class _Entry:
    """What the ledger says was done to a table."""

    action: str
    added: list[str]
    relaxed: list[str]


class AdoptModel(migrations.CreateModel):
    """Create the model's table or, where it exists, adopt it: add what it lacks and touch nothing else.

    Adopting is one ALTER TABLE that rewrites no row: missing columns come with their database default (it
    must be a constant, or stable as now() is), and NOT NULL goes where the model allows null. Types,
    defaults, keys and extra columns stay as they are. Neither indexes nor foreign keys of the model are
    made: on a live table they need CONCURRENTLY and NOT VALID, which is the work of the app that knows the
    legacy database. `adopted_tables` records what was done. Backwards drops a created table; an adopted one
    is given back without the added columns and as strict as it was, never dropped.

    Locks: ACCESS EXCLUSIVE on the one table, for an instant.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        model = to_state.apps.get_model(app_label, self.name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        table = model._meta.db_table
        with schema_editor.connection.cursor() as cursor:
            columns = _columns(cursor, table)
        if columns is None:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            entry = _Entry("created", [], [])
        else:
            entry = _adopt(schema_editor, model, columns)
        if not schema_editor.collect_sql:
            _record(schema_editor, table, entry)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        model = from_state.apps.get_model(app_label, self.name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        table = model._meta.db_table
        entry = _recorded(schema_editor, table)
        if entry.action == "created":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            _give_back(schema_editor, table, entry)
        if not schema_editor.collect_sql:
            _forget(schema_editor, table)

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        """Never merged with its neighbours: the result would be a plain CreateModel."""
        return Operation.reduce(self, operation, app_label)

    def describe(self) -> str:
        return f"Create model {self.name}, or adopt its table"


def _adopt(schema_editor: BaseDatabaseSchemaEditor, model: type[models.Model], columns: dict[str, bool]) -> _Entry:
    """Add the model's missing columns and drop NOT NULL where it allows null."""
    table = model._meta.db_table
    changes: list[sql.Composable] = []
    added, relaxed = [], []
    for field in model._meta.local_concrete_fields:
        column = str(field.column)
        if column not in columns:
            if field.primary_key or not (field.null or field.has_db_default()):
                raise AdoptionError(
                    f"The existing table {table!r} has no column {column!r}, which no row can do without. "
                    "Add and fill it or, if that table is another one of the same name, rename the table. "
                    "Then run migrate again."
                )
            changes.append(sql.SQL("ADD COLUMN {} {}").format(_name(column), _definition(schema_editor, field)))
            added.append(column)
        elif field.null and columns[column]:
            changes.append(sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(_name(column)))
            relaxed.append(column)
    _alter(schema_editor, table, changes)
    return _Entry("adopted", added, relaxed)


def _give_back(schema_editor: BaseDatabaseSchemaEditor, table: str, entry: _Entry) -> None:
    """Undo `_adopt`; what is gone already stays gone."""
    with schema_editor.connection.cursor() as cursor:
        columns = _columns(cursor, table)
        if columns is None:
            return
        strict = [column for column in entry.relaxed if columns.get(column) is False]
        for column in strict:
            query = sql.SQL("SELECT count(*) FROM {} WHERE {} IS NULL").format(_name(table), _name(column))
            cursor.execute(query)
            if nulls := cursor.fetchone()[0]:
                raise AdoptionError(
                    f"{table}.{column} was NOT NULL before adoption, and {nulls} rows have no value now. "
                    "Run rollback_unification, which takes such rows back, or give them one, and try again."
                )
    changes: list[sql.Composable] = [
        sql.SQL("DROP COLUMN {}").format(_name(column)) for column in entry.added if column in columns
    ]
    changes += [sql.SQL("ALTER COLUMN {} SET NOT NULL").format(_name(column)) for column in strict]
    _alter(schema_editor, table, changes)


def _alter(schema_editor: BaseDatabaseSchemaEditor, table: str, changes: list[sql.Composable]) -> None:
    """All changes in one ALTER TABLE."""
    if not changes:
        return
    statement = sql.SQL("ALTER TABLE {} {}").format(_name(table), sql.SQL(", ").join(changes))
    schema_editor.execute(_render(schema_editor, statement), None)


def _columns(cursor: CursorWrapper, table: str) -> dict[str, bool] | None:
    """Column → whether it is NOT NULL; None where no such relation is in reach."""
    cursor.execute("SELECT oid, relkind FROM pg_class WHERE oid = to_regclass(quote_ident(%s))", [table])
    found = cursor.fetchone()
    if found is None:
        return None
    oid, kind = found
    if kind not in ("r", "p"):
        raise AdoptionError(
            f"{table!r} exists but is not a table (pg_class.relkind is {kind!r}), so it cannot be adopted. "
            "Rename it, or put the table of that name first in the search_path. Then run migrate again."
        )
    cursor.execute(
        "SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped",
        [oid],
    )
    return dict(cursor.fetchall())


def _definition(schema_editor: BaseDatabaseSchemaEditor, field: "models.Field[Any, Any]") -> sql.SQL:
    """Type, default and nullability as Django would write them."""
    definition, params = schema_editor.column_sql(field.model, field)
    operations: Any = schema_editor.connection.ops
    return sql.SQL(operations.compose_sql(definition, params))


def _name(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def _render(schema_editor: BaseDatabaseSchemaEditor, statement: sql.Composable) -> str:
    with schema_editor.connection.cursor() as cursor:
        return statement.as_string(cursor.connection)


def _record(schema_editor: BaseDatabaseSchemaEditor, table: str, entry: _Entry) -> None:
    with schema_editor.connection.cursor() as cursor:
        # The ledger is no model: it describes how the models' tables came to be.
        cursor.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (table_name text PRIMARY KEY, action text NOT NULL,"
                " added_columns text[] NOT NULL, relaxed_columns text[] NOT NULL,"
                " adopted_at timestamptz NOT NULL DEFAULT now())"
            ).format(LEDGER)
        )
        cursor.execute(
            sql.SQL(
                "INSERT INTO {} (table_name, action, added_columns, relaxed_columns) VALUES (%s, %s, %s, %s)"
            ).format(LEDGER),
            [table, entry.action, entry.added, entry.relaxed],
        )


def _recorded(schema_editor: BaseDatabaseSchemaEditor, table: str) -> _Entry:
    with schema_editor.connection.cursor() as cursor:
        row = None
        if _columns(cursor, "adopted_tables") is not None:
            cursor.execute(
                sql.SQL("SELECT action, added_columns, relaxed_columns FROM {} WHERE table_name = %s").format(LEDGER),
                [table],
            )
            row = cursor.fetchone()
    if row is None:
        raise AdoptionError(
            f"adopted_tables has no row for {table!r}: was the table created or adopted? A legacy table "
            "is never dropped. Restore the row (action 'created' or 'adopted') and try again."
        )
    return _Entry(*row)


def _forget(schema_editor: BaseDatabaseSchemaEditor, table: str) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(sql.SQL("DELETE FROM {} WHERE table_name = %s").format(LEDGER), [table])
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(LEDGER))
        if not cursor.fetchone()[0]:
            cursor.execute(sql.SQL("DROP TABLE {}").format(LEDGER))
