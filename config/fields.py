"""Model fields for columns whose type is not the one Django would choose."""

import datetime
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone


class UTCNow(models.Func):
    """Now as UTC wall-clock, whatever the session's time zone: the default of a UTCTimestampField."""

    template = "timezone('UTC', now())"

    def __init__(self) -> None:
        super().__init__(output_field=models.DateTimeField())


class UTCTimestampField(models.DateTimeField):
    """A `timestamp without time zone` that holds UTC wall-clock; aware UTC on the Python side.

    Values are sent as text with the offset +00. PostgreSQL ignores an offset when it reads a `timestamp`
    and heeds it when it reads a `timestamptz`: writes and comparisons are right in any session, and stay
    right when the column becomes timestamptz. Date parts (`__date`, `__year`, Trunc) want a session in UTC,
    as Django opens it; in other zones than UTC they want the backend's operations to cast to timestamptz
    first.
    """

    description = "Date and time, UTC wall-clock in the database"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "timestamp without time zone"

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Dates beyond Python's (infinity, BC) are a subclass that survives replace and astimezone."""
        if isinstance(value, datetime.datetime) and timezone.is_naive(value):
            return value.replace(tzinfo=datetime.UTC)
        return value

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if not prepared:
            value = self.get_prep_value(value)
        if isinstance(value, datetime.datetime):
            return value.astimezone(datetime.UTC).isoformat(sep=" ")
        return value
