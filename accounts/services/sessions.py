"""Sessions of people: an access token for minutes, and a refresh token that works once."""

from dataclasses import dataclass

from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.http import HttpRequest

from accounts import lockout
from accounts.models import User
from accounts.tokens import CHALLENGE, BadToken, ListedRefreshToken, read, use_up, user_of
from config.api.problems import Problem


@dataclass(frozen=True)
class Tokens:
    access: str
    refresh: str


def log_in(request: HttpRequest, *, email: str, password: str) -> Tokens:
    """401 with one text for a wrong password, an unknown address and an inactive account; 429 once locked out.

    The lock-out reads and marks Django's `request`.
    """
    user = authenticate(request, email=email, password=password)
    if not isinstance(user, User):
        raise lockout.refusal(request, email) or Problem(
            "wrong_credentials",
            "No active account has this address and password. Check both, or set a new password: "
            "POST /api/auth/password/reset/.",
            status=401,
            headers={"WWW-Authenticate": CHALLENGE},
        )
    user_logged_in.send(sender=User, request=request, user=user)
    return open_session(user)


def open_session(user: User) -> Tokens:
    refresh = ListedRefreshToken.for_user(user)
    return Tokens(access=str(refresh.access_token), refresh=str(refresh))


def refresh(raw: str) -> Tokens:
    """New tokens for a refresh token, which is used up; sent twice at once, it works for one of the two."""
    token = _read(raw)
    user = user_of(token)
    if user is None:
        raise _not_valid()
    with transaction.atomic():
        if not use_up(token):
            raise _not_valid()
        return open_session(user)


def log_out(raw: str) -> None:
    """The refresh token is used up; its access token ends by itself in a few minutes."""
    use_up(_read(raw))


def _read(raw: str) -> ListedRefreshToken:
    try:
        return read(ListedRefreshToken, raw)
    except BadToken as error:
        raise _not_valid() from error


def _not_valid() -> Problem:
    return Problem(
        "token_not_valid",
        "This refresh token is used up, too old or none of ours. Log in again: POST /api/auth/token/.",
        status=401,
        headers={"WWW-Authenticate": CHALLENGE},
    )
