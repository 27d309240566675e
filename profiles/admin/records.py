"""What the admins of records have in common."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import User
from accounts.staff_admin import OwnTenantAdmin, viewer

from . import person


class ReadOnlyAdmin(OwnTenantAdmin):
    """Rows to be looked at: nobody adds, changes or deletes them here. `author` is the column with the user who did it."""

    author: ClassVar[str] = ""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if not self.author:
            return rows
        return rows.annotate(author=Subquery(User.objects.filter(pk=OuterRef(self.author)).values("email")))

    @admin.display(description="by")
    def who(self, obj: Any) -> str:
        """By address; by id where they have none any more."""
        return str(obj.author or getattr(obj, self.author) or "–")


class OfPersonAdmin(ReadOnlyAdmin):
    """Records of one person, who is called as everywhere."""

    tenant_path = "profile__user__tenant_id"
    list_select_related = ("profile__user",)
    list_per_page = 50

    @admin.display(description="person")
    def whose(self, obj: Any) -> SafeString:
        address = person.address(obj.profile_id)
        return format_html('<a class="text-link" href="{}">{}</a>', address, person.called(obj.profile))


class OwnDoingsAdmin(ReadOnlyAdmin):
    """What users did, who are named in `by`: one's own, and everybody's for a super_admin."""

    author = "by"
    list_per_page = 50
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows, asking = super().get_queryset(request), viewer(request)
        return rows if asking.is_superuser else rows.filter(by=asking.pk)
