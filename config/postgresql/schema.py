"""Django's schema editor, every statement of which is under the lock budget of config/locks.py."""

from contextlib import ExitStack
from types import TracebackType
from typing import Any

from django.db.backends.postgresql import schema

from config import locks


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """No statement within it waits for a lock without a limit, whoever sends it over the editor's connection."""

    def __enter__(self) -> "DatabaseSchemaEditor":
        super().__enter__()
        self._limits = ExitStack()
        if self.collect_sql:
            return self
        if self.atomic_migration:
            locks.set_lock_timeout(self.connection, local=True)
        else:
            self._limits.enter_context(locks.limited(self.connection))
            self._limits.enter_context(self.connection.execute_wrapper(locks.concurrently))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        with self._limits:
            return super().__exit__(kind, error, traceback)
