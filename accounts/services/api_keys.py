"""Keys with which tills and servers log in: issued, shown once, revoked."""

import hashlib
import secrets

from django.core.exceptions import PermissionDenied
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.roles import ranks_below

PREFIX = "upk_"


def digest(key: str | bytes) -> str:
    """What the database keeps of a key."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).hexdigest()


def may_manage(by: User, user: User) -> bool:
    """Keys of one's own, and of who ranks below in the same tenant; a super_admin's hand reaches every tenant."""
    if by.pk == user.pk or by.is_superuser:
        return True
    return by.tenant_id == user.tenant_id and ranks_below(user.role, by.role)


def issue_key(user: User, name: str, *, by: User) -> tuple[ApiKey, str]:
    """A key that speaks in the name of `user`, and its text, which nobody can show again."""
    _check(by, user)
    if not user.is_active:
        raise PermissionDenied(f"{user} is not active, so that a key would not work. Activate the account first.")
    text = PREFIX + secrets.token_urlsafe(32)
    return ApiKey.objects.create(user=user, name=name, prefix=text[:12], digest=digest(text)), text


def revoke(key: ApiKey, *, by: User) -> ApiKey:
    """The key works no more; revoking it again changes nothing."""
    _check(by, key.user)
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    key.refresh_from_db(fields=["revoked_at"])
    return key


def _check(by: User, user: User) -> None:
    if not may_manage(by, user):
        raise PermissionDenied(f"The keys of {user} are not yours to manage: the account ranks no lower than yours.")
