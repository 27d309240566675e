"""A profile's columns: checked as the columns and the API want them, written only where they change."""

import datetime
import json
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models, transaction
from django.db.models.expressions import RawSQL
from django.utils import timezone

from accounts.authorship import sign
from accounts.models import User
from accounts.roles import ranks_below
from config.api.problems import Problem, not_found
from profiles.models import Profile
from profiles.selectors import LISTS, OBJECTS, version

# Sums that only their own methods change, and how.
SUMS = {
    "loyalty_points": "update_loyalty_points, with a reason",
    "total_spent": "update_purchase_stats",
    "order_count": "update_purchase_stats",
    "last_order_date": "update_purchase_stats",
}
NEVER = frozenset(
    {"id", "user", "search_text", "legacy_extra", "created_at", "updated_at", "merged_into", "erased_at", *SUMS}
)
# `is_active` is the login's; whoever deactivates a person means both.
WRITABLE = frozenset(field.name for field in Profile._meta.concrete_fields) - NEVER | {"is_active"}

DEEPEST = 64


def locked(user_id: uuid.UUID | str) -> Profile:
    """The user's person with login and `version`, locked to the end of the transaction. Problem 404.

    Of a profile that was merged, the one that it was merged into; also where that happens while this waits.
    """
    profiles = Profile.objects.select_for_update(of=("self",), no_key=True).select_related("user")
    seen = RawSQL(version("profiles", "users").as_string(None), (), output_field=models.TextField())
    found: Profile | None = profiles.annotate(version=seen).filter(user_id=user_id).first()
    if found is not None and found.merged_into_id is not None:
        found = profiles.annotate(version=seen).get(pk=found.merged_into_id)
    if found is None:
        raise not_found("profile of user", user_id)
    return found


def get_or_create(user_id: uuid.UUID | str, defaults: Mapping[str, Any]) -> tuple[Profile, bool]:
    columns = checked(defaults)
    columns.pop("is_active", None)
    with transaction.atomic():
        found = Profile.objects.select_related("user").filter(user_id=user_id).first()
        if found is not None:
            return found, False
        # The foreign key is checked only at the commit: ask now, and keep the user until then.
        if not User.objects.select_for_update(no_key=True).filter(pk=user_id).exists():
            raise not_found("user", user_id)
        profile, created = Profile.objects.get_or_create(user_id=user_id, defaults=columns)
        return profile, created


def update(
    user_id: uuid.UUID | str,
    changes: Mapping[str, Any],
    *,
    by: User | None,
    via: str,
    expected: str | Collection[str] | None,
) -> Profile:
    columns = checked(changes)
    with transaction.atomic():
        profile = locked(user_id)
        current: str = profile.version  # type: ignore[attr-defined]
        versions = (expected,) if isinstance(expected, str) else expected
        if versions is not None and current not in versions:
            raise Problem(
                "precondition_failed",
                f"Profile {profile.pk} is at version {current}, not {', '.join(versions)[:200]}: somebody changed it. "
                "Get it again, and repeat the change on that.",
                status=412,
            )
        write(profile, columns, by=by, via=via)
    return profile


def write(profile: Profile, columns: Mapping[str, Any], *, by: User | None, via: str) -> bool:
    """Write what differs of a locked profile, signed; whether anything did."""
    changed = [name for name in columns if name != "is_active" and _differs(profile, name, columns[name])]
    active = columns.get("is_active", profile.user.active)
    if not changed and active == profile.user.active:
        return False
    sign(using="default", by=by.pk if by else None, via=via)
    if changed:
        for name in changed:
            setattr(profile, name, columns[name])
        profile.save(update_fields=[*changed, "updated_at"])
    if active != profile.user.active:
        set_active(profile.user, active, by=by)
    return True


def set_active(user: User, active: bool, *, by: User | None) -> None:
    """Let a login in or shut it out. Nobody does it to themselves, or to who ranks as high as they do."""
    if by is not None and not by.is_superuser and not ranks_below(user.role, by.role):
        raise Problem(
            "permission_denied",
            f"A {by.role or 'caller without a role'} cannot {'activate' if active else 'deactivate'} "
            f"a {user.role or 'user without a role'}. Ask somebody who ranks above both.",
            status=403,
        )
    user.active = active
    user.save(update_fields=["active", "updated_at"])


def checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as their columns hold them. Errors: ValidationError with every column that cannot take its value."""
    columns: dict[str, Any] = {}
    errors: dict[str, list[ValidationError]] = {}
    for name, value in changes.items():
        try:
            columns[name] = _checked(name, value)
        except ValidationError as error:
            errors[name] = error.error_list
    if errors:
        raise ValidationError(errors)
    return columns


def refuse_slips(name: str, value: Any) -> None:
    """What a column can hold, as the old tables do, and nobody means who types it. Errors: ValidationError."""
    if name == "contact_email" and value:
        try:
            validate_email(value)
        except ValidationError as error:
            raise ValidationError("Enter an address like ann@example.com, or leave it empty.", "invalid") from error
    if name == "date_of_birth" and isinstance(value, datetime.date) and value > timezone.localdate():
        raise ValidationError(f"{value} is yet to come. Give the date of birth.", "future")
    if name == "interaction_count" and value < 0:
        raise ValidationError("Nobody came less than never. Give 0 or more.", "invalid")


def _checked(name: str, value: Any) -> Any:
    if name in SUMS:
        raise ValidationError(f"{name} is a sum and cannot be set. Use {SUMS[name]}.", "not_writable")
    if name == "is_active":
        if not isinstance(value, bool):
            raise ValidationError("is_active is true or false.", "invalid")
        return value
    if name not in WRITABLE:
        raise ValidationError(f"A profile has no {name!r} that can be written.", "unknown_field")
    if name in LISTS and not isinstance(value, list):
        raise ValidationError(f"{name} is a list, not {type(value).__name__}.", "invalid")
    if name in OBJECTS and not isinstance(value, dict):
        raise ValidationError(f"{name} is an object, not {type(value).__name__}.", "invalid")
    if name == "price_range" and not isinstance(value, dict | None):
        raise ValidationError(f"price_range is an object or null, not {type(value).__name__}.", "invalid")
    field = Profile._meta.get_field(name)
    if isinstance(field, models.JSONField) and _is_deep(value):
        raise ValidationError(f"{name} is nested more than {DEEPEST} levels deep. Send it flatter.", "invalid")
    if isinstance(value, str) and "\0" in value:
        raise ValidationError(f"{name} holds a NUL character. Leave it out.", "invalid")
    if isinstance(field, models.BigIntegerField) and isinstance(value, bool):
        raise ValidationError(f"{name} is a whole number.", "invalid")
    return field.clean(value, None)  # type: ignore[union-attr]


def _is_deep(value: Any) -> bool:
    """Whether JSON is nested deeper than its writers follow."""
    layer = [value]
    for _ in range(DEEPEST + 1):
        layer = [
            part
            for entry in layer
            if isinstance(entry, dict | list)
            for part in (entry.values() if isinstance(entry, dict) else entry)
        ]
        if not layer:
            return False
    return True


def _differs(profile: Profile, name: str, value: Any) -> bool:
    """Whether the database would hold something else: in JSON 1 is not true, which Python takes for equal."""
    before = getattr(profile, name)
    if isinstance(Profile._meta.get_field(name), models.JSONField):
        return json.dumps(before, sort_keys=True) != json.dumps(value, sort_keys=True)
    return bool(before != value)
