"""What the admins of records have in common."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from accounts.models import User
from accounts.staff_admin import OwnTenantAdmin, viewer


class ReadOnlyAdmin(OwnTenantAdmin):
    """Rows to be looked at: nobody adds, changes or deletes them here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OwnDoingsAdmin(ReadOnlyAdmin):
    """What users did, who are named in `by`: one's own, and everybody's for a super_admin."""

    list_per_page = 50
    ordering = ("-id",)

    @admin.display(description="by")
    def who(self, obj: Any) -> str:
        """By address; by id where they have none any more."""
        return str(obj.author or obj.by)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        author = User.objects.filter(pk=OuterRef("by")).values("email")
        rows = super().get_queryset(request).annotate(author=Subquery(author))
        asking = viewer(request)
        return rows if asking.is_superuser else rows.filter(by=asking.pk)
