"""How values look in lists and on pages that are read."""

import datetime
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.postgresql.odd_dates import OddDate, OddTimestamp

from .readable import EMPTY, readable


def shown_moment(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, OddDate | OddTimestamp):
        return str(value)
    if isinstance(value, datetime.datetime):
        value = timezone.localtime(value)
    return str(formats.localize(value))


def stamp(text: str | None) -> str:
    """A time as PostgreSQL writes it into JSON."""
    if text is None:
        return "–"
    with suppress(ValueError):
        return shown_moment(datetime.datetime.fromisoformat(text))
    return text  # beyond Python's


def moment(name: str, description: str | None = None) -> Callable[[Any, Any], str]:
    """A date or time for reading; one that Python cannot hold as PostgreSQL writes it."""

    @admin.display(description=description or name.replace("_", " "), ordering=name)
    def show(self: Any, obj: Any) -> str:
        return shown_moment(getattr(obj, name))

    return show


def as_text(name: str, description: str | None = None) -> Callable[[Any, Any], SafeString]:
    """A JSON value for reading: its names and values one below the other."""

    @admin.display(description=description or name.replace("_", " "))
    def show(self: Any, obj: Any) -> SafeString:
        value = getattr(obj, name)
        return format_html("<div>{}</div>", "nothing" if value in EMPTY else readable(value))

    return show
