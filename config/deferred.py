"""A migration operation that makes an atomic migration resumable after a kill at any instant."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from config.run_step import RunStep


def run_deferred(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Run the deferred statements (indexes, foreign keys) now."""
    while schema_editor.deferred_sql:
        schema_editor.execute(schema_editor.deferred_sql.pop(0))


class RunDeferred(RunStep):
    """Run the deferred statements now; to be the last operation of its migration.

    Django records a migration within its own transaction only where nothing is deferred. Otherwise the record is a
    transaction of its own, and a kill between the two leaves tables that the next run finds in its way.
    """

    def __init__(self) -> None:
        super().__init__(lambda apps, schema_editor: run_deferred(schema_editor), migrations.RunPython.noop)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return self.__class__.__name__, [], {}
