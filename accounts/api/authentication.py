"""Bearer tokens: a person's JWT, or the key of a till or a server."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.tokens import AccessToken

from accounts import selectors
from accounts.models import ApiKey, User
from accounts.services import api_keys
from accounts.tokens import CHALLENGE, BadToken, claimed, holds, read_access, user_of

# Once a minute is enough to know whether a key is in use.
NOTED_EVERY = timedelta(minutes=1)


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer …` with either. Nobody where the header is missing; 401 where it is wrong. One query."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey | AccessToken] | None:
        return bearer(get_authorization_header(request))

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def bearer(authorization: bytes) -> tuple[User, ApiKey | AccessToken] | None:
    """Whom the header names, and by what; None for another scheme. Errors: AuthenticationFailed."""
    scheme, _, token = authorization.strip().partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    token = token.strip()
    if not token or len(token.split()) != 1:
        raise AuthenticationFailed("The Authorization header reads: Bearer, a blank, the token.", "bad_token")
    if token.startswith(api_keys.PREFIX.encode()):
        return _by_key(token)
    return _by_token(token)


def person_with(
    authorization: str, read: Callable[[User], tuple[str, dict[str, Any]]]
) -> tuple[User, tuple[Any, ...]] | None:
    """Whose valid token the header carries, and the row that `read` gives for them, in one query as a rule.

    None in every other case, which is then for BearerAuthentication to tell apart.
    """
    scheme, _, raw = authorization.partition(" ")
    if scheme.lower() != "bearer" or raw.startswith(api_keys.PREFIX):
        return None
    try:
        token = read_access(raw.encode("latin-1"))
    except (BadToken, UnicodeEncodeError):
        return None
    user_id = claimed(token)
    found = selectors.caller_with(user_id, read) if user_id else None
    return found if found and holds(token, found[0]) else None


def _by_token(raw: bytes) -> tuple[User, AccessToken]:
    try:
        token = read_access(raw)
        user = user_of(token)
    except BadToken:
        user = None
    if user is None:
        raise AuthenticationFailed(
            "This token is too old, ended by a new password or none of ours. Get another: POST /api/auth/token/refresh/ "
            "or /api/auth/token/.",
            "token_not_valid",
        )
    return user, token


def _by_key(text: bytes) -> tuple[User, ApiKey]:
    key = selectors.key_of(api_keys.digest(text))
    if key is None or not key.user.is_active:
        raise AuthenticationFailed("This API key is unknown or revoked. Ask an administrator.", "bad_key")
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > NOTED_EVERY:
        unnoted = Q(last_used_at=None) | Q(last_used_at__lt=now - NOTED_EVERY)
        ApiKey.objects.filter(unnoted, pk=key.pk).update(last_used_at=now)
    return key.user, key
