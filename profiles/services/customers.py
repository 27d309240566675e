"""The customer of the old clients: their two ways to write one, on top of profile and login."""

import datetime
import re
import uuid
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, transaction

from accounts.authorship import sign
from accounts.models import User
from accounts.roles import Role
from profiles import selectors
from profiles.models import MergeSuggestion, Profile

from . import details, points

# What an address block may be called in JSON, and the column it goes to.
ADDRESS = {
    "street": "address",
    "address": "address",
    "city": "city",
    "province": "state",
    "state": "state",
    "postal_code": "postal_code",
    "country": "country",
}
# What is told of a customer and not taken back: clients send the whole object.
READ_ONLY = frozenset(
    {"id", "user_id", "total_spent", "order_count", "last_order_date", "created_at", "updated_at", "tenant_id"}
)
COLUMNS = frozenset(selectors.CUSTOMER) - READ_ONLY - {"name", "birth_date", "email", "loyalty_points"}
USABLE = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def create(data: Mapping[str, Any], *, by: User | None, via: str) -> dict[str, Any]:
    columns = details.checked(_columns(data, None))
    email = (data.get("email") or "").strip() or None
    if email:
        details.checked({"contact_email": email})
    start = _points(data)
    with transaction.atomic():
        sign(using="default", by=by.pk if by else None, via=via)
        accounts = _accounts(email)
        login = email if email and not accounts and usable(email) else None
        user: User = User.objects.create_user(
            login, role=Role.CUSTOMER, tenant_id=_tenant(data, by), active=columns.pop("is_active", True)
        )
        profile = details.locked(user.pk)
        details.write(profile, {**columns, "contact_email": None if login else email}, by=by, via=via)
        if start:
            points.adjust(user.pk, start, "opening balance", by=by, via=via)
        seen = _seen(accounts, by)
        MergeSuggestion.objects.bulk_create(
            MergeSuggestion(profile=profile, other_profile_id=other, reason=_reason(seen, verified))
            for other, verified in seen
        )
    found = selectors.customer(profile.pk)
    assert found is not None
    return found


def update(
    customer_id: uuid.UUID | str, data: Mapping[str, Any], *, by: User | None, via: str
) -> dict[str, Any] | None:
    with transaction.atomic():
        user_id = selectors.user_id_of(customer_id)
        if user_id is None:
            return None
        profile = details.locked(user_id)
        columns = _columns(data, profile)
        if columns.get("is_active", True) is None:
            del columns["is_active"]
        if "email" in data:
            columns["contact_email"] = _contact(data["email"], profile)
        details.write(profile, details.checked(columns), by=by, via=via)
        wanted = _points(data)
        if wanted is not None and wanted != profile.loyalty_points:
            points.adjust(user_id, wanted - profile.loyalty_points, "set to a new balance", by=by, via=via)
    return selectors.customer(profile.pk)


def deactivate(customer_id: uuid.UUID | str, *, by: User | None, via: str) -> bool:
    with transaction.atomic():
        user_id = selectors.user_id_of(customer_id)
        if user_id is None:
            return False
        details.write(details.locked(user_id), {"is_active": False}, by=by, via=via)
        return True


def usable(email: str) -> bool:
    """Whether a text looks like an address, in any script: the rule of the unification."""
    return len(email) <= 254 and USABLE.fullmatch(email) is not None


def _columns(data: Mapping[str, Any], profile: Profile | None) -> dict[str, Any]:
    """The profile's columns that `data` means. `name` and `birth_date` count where the columns themselves say nothing new."""
    columns = {name: value for name, value in data.items() if name in COLUMNS}
    block = columns.get("address")
    if isinstance(block, Mapping):
        del columns["address"]
        columns |= {ADDRESS[name]: value for name, value in block.items() if name in ADDRESS}
    if "tags" in columns and columns["tags"] is None:
        columns["tags"] = []
    first, last = (getattr(profile, name, None) for name in ("first_name", "last_name"))
    if "name" in data and data["name"] != " ".join(filter(None, (first, last))).strip():
        said = (columns.get("first_name", first), columns.get("last_name", last))
        if said == (first, last):
            columns["first_name"], columns["last_name"] = split_name(data["name"])
    known = getattr(profile, "date_of_birth", None)
    if "birth_date" in data and _date(columns.get("date_of_birth", known), known) == known:
        columns["date_of_birth"] = data["birth_date"]
    if "date_of_birth" in columns:
        columns["date_of_birth"] = _date(columns["date_of_birth"], known)
    if profile is None:
        return columns
    # What is echoed as it is stored needs no check: old rows hold what no new one may.
    return {name: value for name, value in columns.items() if name == "is_active" or value != getattr(profile, name)}


def split_name(name: str | None) -> tuple[str | None, str | None]:
    """The first word, and the rest."""
    first, _, last = (name or "").strip().partition(" ")
    return first or None, last.strip() or None


def _date(value: Any, known: datetime.date | None) -> datetime.date | None:
    """A date out of what clients send: '' is none; a time's day; what is echoed stays, also beyond Python's dates."""
    if known is not None and str(value) == str(known):
        return known
    if value is None or value == "":
        return None
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise ValidationError(
            {"birth_date": ValidationError(f"{str(value)[:40]!r} is no date. Write it as 1990-12-31.", "invalid")}
        ) from error


def _points(data: Mapping[str, Any]) -> int | None:
    wanted = data.get("loyalty_points")
    if wanted is None:
        return None
    if isinstance(wanted, bool) or not isinstance(wanted, int) or abs(wanted) >= 2**63:
        raise ValidationError({"loyalty_points": ValidationError("loyalty_points is a whole number.", "invalid")})
    return wanted


def _contact(email: str | None, profile: Profile) -> str | None:
    """Where to write: nothing of its own where it is the login."""
    if email == (profile.contact_email if profile.contact_email is not None else profile.user.email):
        return profile.contact_email
    return None if email == profile.user.email else email


def _tenant(data: Mapping[str, Any], by: User | None) -> uuid.UUID | None:
    """The tenant of whoever makes a customer; who may write for all may name one."""
    if by is None or by.is_superuser:
        named = selectors.as_uuid(data.get("tenant_id") or "")
        return named or (by.tenant_id if by else None)
    return by.tenant_id


def _accounts(email: str | None) -> list[tuple[uuid.UUID, bool | None]]:
    """The profiles whose login is this address in any case, and whether it is verified.

    The lock is the one that customers_view takes: one of two equal guests comes first, and the other is suggested.
    """
    if not email or not usable(email):
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(search_fold(%s), 0))", [email])
    return selectors.profiles_with_login(email)


def _seen(accounts: list[tuple[uuid.UUID, bool | None]], by: User | None) -> list[tuple[uuid.UUID, bool | None]]:
    """Those whom `by` may see: that another tenant knows the address is nobody's business here."""
    if by is None or not accounts:
        return accounts
    people = Profile.objects.visible_to(by).filter(pk__in=[profile_id for profile_id, _ in accounts])
    ids = set(people.values_list("pk", flat=True))
    return [account for account in accounts if account[0] in ids]


def _reason(accounts: list[tuple[uuid.UUID, bool | None]], verified: bool | None) -> str:
    if len(accounts) > 1:
        return MergeSuggestion.Reason.SHARED_ADDRESS
    return MergeSuggestion.Reason.VERIFIED_ADDRESS if verified else MergeSuggestion.Reason.UNVERIFIED_ADDRESS
