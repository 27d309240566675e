"""A migration operation for code that asks the database itself."""

from typing import Any

from django.db import migrations


class RunStep(migrations.RunPython):
    """RunPython for code that needs no historical models and is given none.

    Django makes every model of every app anew for each RunPython, once a migration before it has changed a field.
    """

    code: Any
    reverse_code: Any

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self.code(None, schema_editor)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self.reverse_code(None, schema_editor)
