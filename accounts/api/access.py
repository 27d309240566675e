"""Who may call what: each view declares it, and this one class enforces it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import User

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module by its settings


@dataclass(frozen=True)
class Access:
    """What a call asks of its caller.

    `permission` is what staff need (accounts/roles.py), None: nobody's role is enough. `own`: whoever is logged in may call
    it too, for what is their own; the view's rows must then come from a `visible_to(user)`. `public`: no login.
    """

    permission: str | None = None
    own: bool = False
    public: bool = False


PUBLIC = Access(public=True)
OWN = Access(own=True)  # everybody for themselves, staff included


class RolePermission(BasePermission):
    """Refuses every call that its view has not declared in `access`, a mapping of HTTP methods."""

    message = "Your role may not do this."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        declared: Mapping[str, Access] = getattr(view, "access", {})
        method = "GET" if request.method == "HEAD" else request.method or ""
        wanted = declared.get(method)
        if wanted is None:
            # No such method here: DRF answers 405 to whom it knows.
            return method == "OPTIONS" or not hasattr(view, method.lower())
        if wanted.public:
            return True
        if not request.user or not request.user.is_authenticated:
            return False
        return allows(wanted, request.user)


def allows(wanted: Access, user: User) -> bool:
    """Whether who is logged in may make the call."""
    return wanted.own or (wanted.permission is not None and user.has_perm(wanted.permission))


def caller(request: Request) -> User:
    """Who calls; the permission has seen to it that somebody does."""
    assert isinstance(request.user, User)
    return request.user
