"""What may be asked of orders as a set."""

from typing import Any

from django.db import models

from accounts.models import User


class OrderQuerySet(models.QuerySet[Any]):
    """Orders; a legacy order's tenant is that of whom it belongs to."""

    def visible_to(self, user: User) -> "OrderQuerySet":
        """Staff see their tenant's orders, a super_admin all, anybody else their own."""
        if user.is_superuser:
            return self
        if not user.has_perm("orders.view_order"):
            return self.filter(user=user)
        if user.tenant_id is None:
            return self.filter(tenant_id=None, user__tenant_id=None)
        # Each side has an index; a coalesce() of both would have none.
        return self.filter(
            models.Q(tenant_id=user.tenant_id) | models.Q(tenant_id=None, user__tenant_id=user.tenant_id)
        )
