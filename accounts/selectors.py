"""What is read of accounts."""

import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.db import connection

from config.postgresql.prepared import fetch_one

from .models import ApiKey, User

# What every request asks of its caller, in the model's order. The times, which none asks for, are read when somebody does.
ASKED = (
    "id",
    "email",
    "password",
    "role",
    "active",
    "email_verified",
    "phone_verified",
    "age_verified",
    "terms_accepted",
    "tenant_id",
)
COLUMNS = (
    "u.id, u.email, u.password_hash, u.role::text, u.active, u.email_verified, u.phone_verified, u.age_verified,"
    " u.terms_accepted, u.tenant_id"
)
BY_ID = f"SELECT {COLUMNS} FROM users AS u WHERE u.id = %s"  # noqa: S608
BY_KEY = f"""
SELECT k.id, k.user_id, k.name, k.prefix, k.digest, k.created_at, k.last_used_at, k.revoked_at, {COLUMNS}
FROM api_keys AS k JOIN users AS u ON u.id = k.user_id WHERE k.digest = %s AND k.revoked_at IS NULL
"""  # noqa: S608
KEY = ("id", "user_id", "name", "prefix", "digest", "created_at", "last_used_at", "revoked_at")
_PASSWORD: Any = User._meta.get_field("password")


def caller(user_id: uuid.UUID) -> User | None:
    """The account of that id, by one statement that is planned once."""
    row = fetch_one(BY_ID, [user_id])
    return _user(row) if row else None


def key_of(digest: str) -> ApiKey | None:
    """The unrevoked key of that digest, with its user; by one statement that is planned once."""
    row = fetch_one(BY_KEY, [digest])
    if row is None:
        return None
    key = ApiKey.from_db("default", KEY, row[: len(KEY)])
    key.user = _user(row[len(KEY) :])
    return key


# Who called lately, as they were then: what a statement is written for, never what is believed.
_hints: dict[uuid.UUID, User] = {}
HINTS = 10_000


def caller_with(
    user_id: uuid.UUID, read: Callable[[User], tuple[str, dict[str, Any]]]
) -> tuple[User, tuple[Any, ...]] | None:
    """The account of that id, and the row that `read` gives for whoever it is; None where either is not there.

    Most come again with the role and tenant that they had: then it is one statement.
    """
    hint = _hints.get(user_id)
    if hint is not None:
        statement, params = read(hint)
        row = fetch_one(_with_caller(statement), {**params, "caller_id": user_id})
        if row is None:
            return None
        user: User | None
        user, found = _user(row[: len(ASKED)]), row[len(ASKED) :]
        if (user.role, user.tenant_id) == (hint.role, hint.tenant_id):
            return (user, found) if found[-1] is not None else None
    else:
        user = caller(user_id)
    if user is None:
        return None
    if len(_hints) >= HINTS:
        _hints.clear()
    _hints[user_id] = user
    other = fetch_one(*read(user))
    return (user, other) if other else None


@lru_cache
def _with_caller(statement: str) -> str:
    return f"SELECT {COLUMNS}, found.* FROM users AS u LEFT JOIN LATERAL ({statement}) AS found ON true WHERE u.id = %(caller_id)s"  # noqa: S608


def _user(row: tuple[Any, ...]) -> User:
    values = list(row)
    values[2] = _PASSWORD.from_db_value(values[2], None, connection)
    return User.from_db("default", ASKED, values)


def describe(user: User) -> dict[str, Any]:
    """An account as its owner sees it. What is unknown of a flag is false; without a profile the names are unknown."""
    profile = getattr(user, "profile", None)
    return {
        "id": user.pk,
        "email": user.email,
        "role": user.role,
        "tenant_id": user.tenant_id,
        "email_verified": user.email_verified is True,
        "phone_verified": user.phone_verified is True,
        "age_verified": user.age_verified is True,
        "terms_accepted": user.terms_accepted is True,
        "profile_id": profile and profile.pk,
        "first_name": profile and profile.first_name,
        "last_name": profile and profile.last_name,
    }
