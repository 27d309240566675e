"""What may be asked of profiles as a set."""

import uuid
from typing import Any

from django.db import models
from django.db.models.functions import Coalesce

from accounts.models import User


class ProfileQuerySet(models.QuerySet[Any]):
    """Profiles, found by any id that a client may hold."""

    def by_customer_id(self, customer_id: uuid.UUID) -> "ProfileQuerySet":
        """The profile whose id or alias `customer_id` is, or into which that one was merged: one row or none."""
        own = self.model._base_manager.filter(id=customer_id).values(
            leads_to=Coalesce("merged_into_id", "id", output_field=models.UUIDField())
        )
        alias = self.model._meta.get_field("aliases").related_model._base_manager.filter(id=customer_id)
        return self.filter(id=Coalesce(models.Subquery(own), models.Subquery(alias.values("profile_id"))))

    def of_people(self) -> "ProfileQuerySet":
        """One profile per person: without the shells that merges leave."""
        return self.filter(merged_into=None)

    def visible_to(self, user: User) -> "ProfileQuerySet":
        """Staff see their tenant's people, a super_admin all, anybody else themselves; nobody sees a merged shell."""
        people = self.of_people()
        if user.is_superuser:
            return people
        if user.has_perm("profiles.view_profile"):
            return people.filter(user__tenant_id=user.tenant_id)
        return people.filter(user=user)

    def known_to(self, user: User) -> "ProfileQuerySet":
        """Those, and the shells that were merged into them."""
        if user.is_superuser:
            return self.all()
        staff = user.has_perm("profiles.view_profile")
        theirs = {"user__tenant_id": user.tenant_id} if staff else {"user": user}
        into = {f"merged_into__{path}": value for path, value in theirs.items()}
        # By joins: a subquery of all whom they see would read the whole table.
        return self.filter(models.Q(**theirs, merged_into=None) | models.Q(**into, merged_into__isnull=False))


class SavedFilterQuerySet(models.QuerySet[Any]):
    def seen_by(self, viewer: User) -> "SavedFilterQuerySet":
        """The own ones, and the shared ones of the tenant, by name."""
        shared = models.Q(shared=True, tenant_id=viewer.tenant_id)
        return self.filter(models.Q(made_by=viewer) | shared).order_by("name")
