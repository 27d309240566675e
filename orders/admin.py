"""Orders in the admin."""

from django.contrib import admin

from accounts.staff_admin import SignedAdmin

from .models import Order


@admin.register(Order)
class OrderAdmin(SignedAdmin):
    tenant_path = "user__tenant_id"
    list_display = ("order_number", "user", "total_amount", "payment_status", "created_at")
    list_select_related = ("user",)
    # Not order_source: without choices of its own, its filter would read the whole table for them.
    list_filter = ("payment_status",)
    search_fields = ("order_number", "receipt_number")
    raw_id_fields = ("user", "cashier")
    readonly_fields = ("created_at", "updated_at")
    ordering = ("-created_at", "-id")
    show_full_result_count = False
