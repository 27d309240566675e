"""What was changed of a person since somebody looked, from the history that triggers write."""

import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import formats, timezone

from accounts.models import User

from .models import Profile, ProfileHistory
from .widgets import in_words


@dataclass(frozen=True)
class Change:
    """A column before and after, as Python has it, and who changed it last."""

    column: str
    before: Any
    after: Any
    text: str


def last(profile_id: uuid.UUID) -> int:
    """The number of the newest change; 0 where there is none."""
    found = ProfileHistory.objects.filter(profile_id=profile_id).aggregate(last=models.Max("id"))["last"]
    return int(found or 0)


def since(profile_id: uuid.UUID, seen: int) -> dict[str, Change]:
    """The profile's columns, and is_active, that differ from what they were after change `seen`."""
    entries = list(ProfileHistory.objects.filter(profile_id=profile_id, id__gt=seen).order_by("id")[:500])
    if not entries:
        return {}
    names = authors(entry.changed_by for entry in entries)
    before: dict[str, Any] = {}
    after: dict[str, tuple[Any, ProfileHistory]] = {}
    for entry in entries:
        for key, values in entry.changes.items():
            column = "is_active" if key == "users.active" else key
            before.setdefault(column, values.get("old"))
            after[column] = (values.get("new"), entry)
    return {
        column: _change(column, before[column], value, entry, names)
        for column, (value, entry) in after.items()
        if before[column] != value
    }


def authors(ids: Iterable[uuid.UUID | str | None]) -> dict[uuid.UUID | str | None, str]:
    """Users by their ids, uuids or texts as they were given, in one query."""
    wanted = {user_id for user_id in ids if user_id is not None}
    found = {str(user.pk): str(user) for user in User.objects.filter(pk__in=wanted)} if wanted else {}
    return {user_id: found[str(user_id)] for user_id in wanted if str(user_id) in found}


def _change(
    column: str, before: Any, after: Any, entry: ProfileHistory, names: Mapping[uuid.UUID | str | None, str]
) -> Change:
    who = names.get(entry.changed_by, "Somebody")
    when = formats.time_format(timezone.localtime(entry.changed_at), "H:i")
    text = f"{who} changed it by {entry.via} at {when}, from “{in_words(before)}” to “{in_words(after)}”."
    return Change(column, _python(column, before), _python(column, after), text)


def _python(column: str, value: Any) -> Any:
    """JSON of the history as the column's field gives it; a date beyond Python's stays a text."""
    if value is None or column not in _COLUMNS or isinstance(_COLUMNS[column], models.JSONField):
        return value
    with suppress(ValidationError):
        return _COLUMNS[column].to_python(value)
    return value


_COLUMNS: dict[str, Any] = {field.name: field for field in Profile._meta.concrete_fields}
