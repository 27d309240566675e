"""How values look in lists and on pages that are read."""

import datetime
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.postgresql.odd_dates import OddDate, OddTimestamp


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


def as_json(name: str, description: str | None = None) -> Callable[[Any, Any], SafeString]:
    """A JSON value for reading."""

    @admin.display(description=description or name.replace("_", " "))
    def show(self: Any, obj: Any) -> SafeString:
        return format_html(
            '<pre class="value">{}</pre>',
            json.dumps(getattr(obj, name), indent=2, ensure_ascii=False),
        )

    return show


def person(name: str, description: str | None = None) -> Callable[[Any, Any], str]:
    """The name of a related profile, which the list has selected."""

    @admin.display(description=description or name.replace("_", " "))
    def show(self: Any, obj: Any) -> str:
        return str(getattr(obj, name))

    return show


def value(name: str, description: str) -> Callable[[Any, Any], str]:
    """A JSON value in a list: its beginning."""

    @admin.display(description=description)
    def show(self: Any, obj: Any) -> str:
        text = json.dumps(getattr(obj, name), ensure_ascii=False)
        return text if len(text) <= 80 else text[:79] + "…"

    return show
