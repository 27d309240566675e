"""Who took or erased what is held on a person."""

from django.contrib import admin

from profiles.models import PrivacyEvent

from .records import ReadOnlyAdmin
from .shown import as_json, moment


@admin.register(PrivacyEvent)
class PrivacyEventAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("happened", "kind", "profile", "by", "via", "reason")
    list_select_related = ("profile",)
    list_per_page = 50
    search_exact = ("profile_id", "by")
    search_help_text = "A whole id: the profile's or the author's"
    ordering = ("-id",)
    fields = ("profile", "kind", "happened", "by", "via", "reason", "what")
    readonly_fields = ("happened", "what")
    happened = moment("at")
    what = as_json("counts", "rows per table")
