"""Who was merged into whom."""

from django.contrib import admin

from profiles.models import ProfileMerge

from .records import ReadOnlyAdmin
from .shown import moment


@admin.register(ProfileMerge)
class ProfileMergeAdmin(ReadOnlyAdmin):
    """Who was merged into whom. What they were before is not shown: it holds what this reader may not see."""

    tenant_path = "survivor__user__tenant_id"
    list_display = ("merged", "other", "survivor", "via", "unmerged")
    list_select_related = ("survivor", "other")
    list_per_page = 50
    search_exact = ("survivor_id", "other_id")
    search_help_text = "A whole id: either profile's"
    ordering = ("-id",)
    fields = ("survivor", "other", "merged", "merged_by", "via", "unmerged", "unmerged_by")
    readonly_fields = ("merged", "unmerged")
    merged = moment("merged_at", "merged")
    unmerged = moment("unmerged_at", "taken back")
