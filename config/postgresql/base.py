"""Django's PostgreSQL backend, with the embedded server, dates that Python cannot hold, and a budget for locks."""

import sys
from typing import TYPE_CHECKING, Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, operations

from config.postgresql import prepared
from config.postgresql.odd_dates import adapters_template
from config.postgresql.schema import DatabaseSchemaEditor

if TYPE_CHECKING:
    from config.embedded import EmbeddedPostgres


class DatabaseOperations(operations.DatabaseOperations):
    """Date lookups that read columns without time zone as the UTC that they hold."""

    def _convert_sql_to_tz(self, sql: str, params: Any, tzname: str) -> Any:
        return super()._convert_sql_to_tz(f"({sql})::timestamptz", params, tzname)  # type: ignore[misc]


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL: DATABASE_URL's or, with EMBEDDED in the settings, our own, started when first needed."""

    ops_class = DatabaseOperations
    SchemaEditorClass = DatabaseSchemaEditor

    def __init__(self, settings_dict: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(settings_dict, *args, **kwargs)
        # Tests put other names into the settings; a database of theirs that is missing must stay missing.
        self._configured_name = settings_dict["NAME"]

    def get_connection_params(self) -> dict[str, Any]:
        """Django's parameters; for the embedded server its address, once it runs and has the database.

        ImproperlyConfigured when the embedded server cannot run here, or DEBUG is off.
        """
        params: dict[str, Any] = super().get_connection_params()
        params["context"] = adapters_template(settings.USE_TZ, self.timezone)
        # Django turns preparing off. Its own cursors bind on our side and never prepare; prepared.py's do.
        params["prepare_threshold"] = prepared.THRESHOLD
        if self.settings_dict.get("EMBEDDED"):
            server = _embedded()
            params = {**server.join(), **params} if self.settings_dict.get("USER") else {**params, **server.join()}
            if params["dbname"] == self._configured_name:
                server.provide_database(params["dbname"])
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            return super().get_new_connection(conn_params)
        except psycopg.OperationalError:
            if not self.settings_dict.get("EMBEDDED"):
                raise
            # Killed, or in recovery after that. Anything else fails again.
            _embedded().recover()
            return super().get_new_connection(self.get_connection_params())


def _embedded() -> "EmbeddedPostgres":
    if sys.platform == "win32":
        raise ImproperlyConfigured(
            "The embedded PostgreSQL needs Linux or macOS. "
            "Set DATABASE_URL to a PostgreSQL 14 or later (postgres://user:password@host:port/name)."
        )
    # Imported late: with a DATABASE_URL nothing of it is needed.
    from config.embedded import configured

    return configured()
