"""Pairs that may be one person."""

from django.contrib import admin

from profiles.models import MergeSuggestion

from .records import ReadOnlyAdmin
from .shown import moment, person


@admin.register(MergeSuggestion)
class MergeSuggestionAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("id", "first", "second", "reason", "status", "created")
    list_filter = ("status", "reason")
    list_select_related = ("profile", "other_profile")
    list_per_page = 50
    search_fields = ("profile__last_name", "other_profile__last_name")
    ordering = ("-id",)
    fields = ("profile", "other_profile", "reason", "status", "created", "decided_by", "decided")
    readonly_fields = ("created", "decided")
    first = person("profile", "profile")
    second = person("other_profile", "may be")
    created = moment("created_at", "created")
    decided = moment("decided_at", "decided")
