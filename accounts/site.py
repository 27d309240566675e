"""The admin's own pages, where they write to accounts."""

from typing import Any

from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from unfold.sites import UnfoldAdminSite

from .authorship import sign
from .models import User
from .staff_admin import viewer


class StaffAdminSite(UnfoldAdminSite):
    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The history names who changed the own password."""
        using = router.db_for_write(User)
        with transaction.atomic(using=using):
            sign(using=using, by=viewer(request).pk, via="admin")
            return super().password_change(request, extra_context)
