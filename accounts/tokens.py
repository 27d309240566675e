"""JSON web tokens: how they are made, listed and traced to a user."""

import functools
import uuid
from typing import Any, TypeVar, cast

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, BlacklistMixin, RefreshToken, Token
from rest_framework_simplejwt.utils import aware_utcnow, datetime_from_epoch, get_md5_hash_password

from . import selectors
from .models import User

CHALLENGE = 'Bearer realm="api"'
T = TypeVar("T", bound=Token)


class BadToken(Exception):
    """Too old, used up, of another kind, or not signed by us."""


class ListedRefreshToken(RefreshToken):
    """Its row in the list of tokens does not hold the token: who reads the database cannot log in with it."""

    @classmethod
    def for_user(cls, user: Any) -> "ListedRefreshToken":
        token: ListedRefreshToken = super(BlacklistMixin, cls).for_user(user)
        OutstandingToken.objects.create(
            user=user,
            jti=token[api_settings.JTI_CLAIM],
            token="",
            created_at=token.current_time,
            expires_at=datetime_from_epoch(token["exp"]),
        )
        return token


def read(kind: type[T], raw: str | bytes) -> T:
    """The token that a text is. Errors: BadToken."""
    try:
        return kind(raw)  # type: ignore[arg-type]
    except TokenError as error:
        raise BadToken(str(error)) from error


def read_access(raw: bytes) -> AccessToken:
    """The same for the token that comes with every request: its signature is checked once, its age each time."""
    token = _signed(raw, str(api_settings.SIGNING_KEY))
    try:
        token.check_exp(current_time=aware_utcnow())
    except TokenError as error:
        raise BadToken(str(error)) from error
    return token


@functools.lru_cache(maxsize=4096)
def _signed(raw: bytes, key: str) -> AccessToken:
    return read(AccessToken, raw)


def use_up(token: ListedRefreshToken) -> bool:
    """The token works no more. Whether it did until now: of two callers at once, for one."""
    _, first = cast("tuple[Any, bool]", token.blacklist())
    return first


def user_of(token: Token) -> User | None:
    """Whose token it is, in one query: nobody's where the account is gone, inactive or has another password by now."""
    user_id = claimed(token)
    user = selectors.caller(user_id) if user_id else None
    return user if user is not None and holds(token, user) else None


def claimed(token: Token) -> uuid.UUID | None:
    """Whose it says it is."""
    try:
        return uuid.UUID(str(token.get(api_settings.USER_ID_CLAIM)))
    except ValueError:
        return None


def holds(token: Token, user: User) -> bool:
    """Whether the account is active and has the password that it had."""
    return user.is_active and bool(token.get(api_settings.REVOKE_TOKEN_CLAIM) == get_md5_hash_password(user.password))
