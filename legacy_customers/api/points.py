"""The old service's way with points: a till's adjustment is never refused, and never ends below zero."""

import uuid

from django.db import transaction

from accounts.models import User
from profiles.models import Profile
from profiles.services import profile_service


def add(user_id: uuid.UUID, points: int, *, by: User, via: str) -> int:
    """Add points, or take what is there of them; the balance. One that is below zero already is not lowered."""
    with transaction.atomic():
        balance: int = Profile.objects.select_for_update().values_list("loyalty_points", flat=True).get(user_id=user_id)
        delta = max(points, -max(balance, 0))
        if delta == 0:
            return balance
        profile_service.update_loyalty_points(user_id, delta, "adjusted through /api/customers", by=by, via=via)
        return balance + delta
