"""Who changed what."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from profiles.models import ProfileHistory
from profiles.selectors import VIEW_MEDICAL

from .records import ReadOnlyAdmin
from .shown import as_json, moment


@admin.register(ProfileHistory)
class ProfileHistoryAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("changed", "profile", "columns", "via", "changed_by")
    list_select_related = ("profile",)
    list_per_page = 50
    search_fields = ("=profile__id", "=changed_by")
    search_help_text = "A whole id: the profile's or the author's"
    ordering = ("-id",)
    fields = ("profile", "changed", "changed_by", "via", "what")
    readonly_fields = ("changed", "what")
    changed = moment("changed_at", "changed")
    what = as_json("changes")

    @admin.display(description="columns")
    def columns(self, entry: ProfileHistory) -> str:
        return ", ".join(entry.changes)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A change holds both values, medical conditions too."""
        return super().has_view_permission(request, obj) and request.user.has_perm(VIEW_MEDICAL)
