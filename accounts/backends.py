"""How an address and a password become a user."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from .models import User


class AddressBackend(ModelBackend):
    """Logs in by email. The old shop told `Ann@x.com` and `ann@x.com` apart: UserQuerySet.of_login says who is meant."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        address = kwargs.get("email") if username is None else username
        if not address or password is None:
            return None
        user = User.objects.of_login(address)
        try:
            if user is None:
                User().set_password(password)  # as much work as for an address that has an account
                return None
            fits = user.check_password(password)
        except ValueError:  # a text that no password can be, see accounts/hashers.py
            return None
        return user if fits and self.user_can_authenticate(user) else None
