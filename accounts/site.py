"""The admin's own pages, where they write to accounts."""

from typing import Any

from django.contrib.admin import AdminSite
from django.db import router, transaction
from django.http import HttpRequest
from django.template.response import TemplateResponse

from .authorship import sign
from .models import User
from .staff_admin import viewer


class StaffAdminSite(AdminSite):
    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The history names who changed the own password."""
        using = router.db_for_write(User)
        with transaction.atomic(using=using):
            sign(using=using, by=viewer(request).pk, via="admin")
            return super().password_change(request, extra_context)
