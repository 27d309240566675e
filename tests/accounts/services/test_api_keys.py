"""Keys of tills and servers."""

import hashlib
import uuid

import pytest
from django.core.exceptions import PermissionDenied

from accounts.models import ApiKey, User
from accounts.roles import Role
from accounts.services import api_keys
from tests.databases import one

pytestmark = pytest.mark.django_db

TENANT = uuid.UUID(int=1)


def user(role: str | None, tenant: uuid.UUID | None = TENANT) -> User:
    return User.objects.create_user(f"{uuid.uuid4()}@x.com", role=role, tenant_id=tenant)


def test_key_is_shown_once_and_only_its_digest_is_kept() -> None:
    owner = user("staff")
    key, text = api_keys.issue_key(owner, "till 1", by=owner)
    assert len(text) == 47
    assert text.startswith("upk_")
    assert (key.user, key.name, key.prefix, key.revoked_at) == (owner, "till 1", text[:12], None)
    assert key.digest == hashlib.sha256(text.encode()).hexdigest()
    assert text not in one("SELECT to_jsonb(api_keys)::text FROM api_keys")
    assert api_keys.issue_key(owner, "till 1", by=owner)[1] != text


@pytest.mark.parametrize("role", [*Role.values, "user", None])
@pytest.mark.parametrize("by", ["super_admin", "tenant_admin", "store_manager", "staff"])
def test_keys_are_issued_for_oneself_and_for_who_ranks_below(by: str, role: str | None) -> None:
    issuer, owner = user(by), user(role)
    ranks = [*Role.values[:-1]]
    below = by == "super_admin" or role not in ranks or ranks.index(role) > ranks.index(by)
    if below:
        api_keys.issue_key(owner, "till", by=issuer)
    else:
        with pytest.raises(PermissionDenied, match="are not yours to manage"):
            api_keys.issue_key(owner, "till", by=issuer)
    api_keys.issue_key(issuer, "mine", by=issuer)
    assert ApiKey.objects.count() == 1 + below


def test_keys_of_another_tenant_are_a_super_admins_alone() -> None:
    owner = user("staff", uuid.UUID(int=2))
    with pytest.raises(PermissionDenied):
        api_keys.issue_key(owner, "till", by=user("tenant_admin"))
    key, _ = api_keys.issue_key(owner, "till", by=user("super_admin", None))
    with pytest.raises(PermissionDenied):
        api_keys.revoke(key, by=user("tenant_admin"))
    assert ApiKey.objects.get().revoked_at is None


def test_inactive_user_gets_no_key() -> None:
    owner = user("staff")
    owner.active = None
    with pytest.raises(PermissionDenied, match="is not active"):
        api_keys.issue_key(owner, "till", by=user("super_admin"))
    assert not ApiKey.objects.exists()


def test_revoking_again_keeps_the_first_time() -> None:
    owner = user("staff")
    key, _ = api_keys.issue_key(owner, "till", by=owner)
    first = api_keys.revoke(key, by=owner).revoked_at
    assert first is not None
    assert api_keys.revoke(key, by=user("super_admin")).revoked_at == first
