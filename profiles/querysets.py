"""What may be asked of profiles as a set."""

import uuid
from typing import Any

from django.db import models


class ProfileQuerySet(models.QuerySet[Any]):
    """Profiles, found by any id that a client may hold."""

    def by_customer_id(self, customer_id: uuid.UUID) -> "ProfileQuerySet":
        """The profile whose id or alias `customer_id` is: one row or none."""
        return self.filter(models.Q(id=customer_id) | models.Q(aliases__id=customer_id)).distinct()
