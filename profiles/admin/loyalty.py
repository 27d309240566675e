"""The ledger of points."""

from django.contrib import admin

from profiles.models import LoyaltyEntry

from .records import ReadOnlyAdmin
from .shown import moment


@admin.register(LoyaltyEntry)
class LoyaltyEntryAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("created", "profile", "delta", "balance", "reason", "source")
    list_select_related = ("profile",)
    list_per_page = 50
    search_exact = ("profile_id", "order_id")
    search_help_text = "A whole id: the profile's or the order's"
    ordering = ("-id",)
    fields = ("profile", "delta", "balance", "reason", "source", "order_id", "created", "created_by")
    readonly_fields = ("created",)
    created = moment("created_at", "created")
