"""JSON for people: names in words, lists as lists, times in the shop's time zone."""

import datetime
import re
from typing import Any

from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+\d\d:\d\d|Z)")
EMPTY: tuple[Any, ...] = (None, "", [], {})


def readable(value: Any) -> SafeString:
    """Names and values of an object, nested; what is empty is left out."""
    if isinstance(value, dict):
        told = [(name.replace("_", " "), readable(part)) for name, part in value.items() if part not in EMPTY]
        return format_html('<dl class="held">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", told))
    if isinstance(value, list):
        return format_html(
            '<ul class="held">{}</ul>', format_html_join("", "<li>{}</li>", ((readable(part),) for part in value))
        )
    return format_html("{}", _text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and MOMENT.fullmatch(value):
        return str(formats.localize(timezone.localtime(datetime.datetime.fromisoformat(value))))
    return str(value)
