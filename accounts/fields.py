"""Columns of the legacy users table that Django has no field for."""

import re
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Col
from django.db.models.lookups import StartsWith

RAW_BCRYPT = re.compile(r"\$2[abxy]?\$")
PREFIX = "legacy_bcrypt"


class PasswordHashField(models.CharField):
    """Raw bcrypt (`$2b$10$…`) in the database, `legacy_bcrypt$2b$10$…` for Django; other formats as they are.

    Django finds a hasher by the text before the first `$`; the old application wants the raw hash.
    """

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        if isinstance(value, str) and RAW_BCRYPT.match(value):
            return PREFIX + value
        return value

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if isinstance(value, str) and value.startswith(PREFIX + "$"):
            return value.removeprefix(PREFIX)
        return value


@PasswordHashField.register_lookup
class _PasswordHashStartsWith(StartsWith):
    """Fields do not prepare patterns: the beginning that Django sees becomes the one in the database."""

    def get_prep_lookup(self) -> Any:
        value = super().get_prep_lookup()
        if value == PREFIX:
            return "$2"
        return value.removeprefix(PREFIX) if str(value).startswith(PREFIX + "$") else value


class TextCol(Col):
    """A column read as text, so that an enum is compared with any text, searched and ordered like one."""

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, tuple[str | int, ...]]:
        column, params = super().as_sql(compiler, connection)
        return f"{column}::text", tuple(params)


class RoleField(models.CharField):
    """A role in a varchar or in an enum column: adopted tables have either."""

    def get_col(self, alias: Any, output_field: Any = None) -> Col:
        return TextCol(alias, self, output_field)

    @property
    def cached_col(self) -> Col:
        return TextCol(self.model._meta.db_table, self)

    def get_placeholder(self, value: Any, compiler: Any, connection: BaseDatabaseWrapper) -> str:
        """A bare literal takes the column's type by itself; an expression (bulk_update, F()) needs help.

        It has a type of its own, and an enum accepts no other. A row's field that is populated from JSON
        converts the text to the field's type, whichever that is. (That this method exists also keeps bulk
        inserts from casting their values to varchar.)
        """
        if not hasattr(value, "as_sql"):
            return "%s"
        table = connection.ops.quote_name(self.model._meta.db_table)
        column = connection.ops.quote_name(str(self.column))
        return f"(jsonb_populate_record(NULL::{table}, jsonb_build_object('{self.column}', %s))).{column}"
