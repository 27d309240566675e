"""Orders in the admin."""

from copy import copy
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from psycopg import sql
from rest_framework.exceptions import ValidationError

from accounts.models import User
from accounts.site import add_page
from accounts.staff_admin import SignedAdmin, viewer
from config.api.problems import Problem
from profiles import parts
from profiles.admin import person
from profiles.admin.filters import OneOf
from profiles.admin.shown import stamp
from profiles.models import Profile
from profiles.widgets import ObjectField, in_words
from profiles.workplace import Tab, add_number, add_tab

from . import dashboard, tables_admin  # noqa: F401  (dashboard adds its panels)
from .models import PAID, UNPAID, Order, PaymentStatus
from .services import orders as service

# What the services alone keep, and what an order that is counted has given to its person: changed by hand, the
# person's points and totals would be untrue.
KEPT = ("refunded_amount", "counted_amount", "counted_points", "content_digest")
COUNTED = ("user", "total_amount")
# A status is changed by a step that may be taken, as by the API. Columns, and what change_status calls them.
STEPS = {"payment_status": "payment_status", "delivery_status": "delivery_status", "order_status": "status"}


class Payment(OneOf):
    """Both words for paid are one: of the one that a shop never uses the whole table would be read."""

    title, parameter_name = "payment", "payment"
    values = (("paid", "Paid"), *((status, PaymentStatus(status).label) for status in UNPAID))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.value()
        if not wanted:
            return queryset
        return queryset.filter(payment_status__in=PAID) if wanted == "paid" else queryset.filter(payment_status=wanted)


class OrderForm(forms.ModelForm):
    """Tries the steps first, so that one that may not be taken is an error of the form."""

    viewer: ClassVar[User]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        steps = self.steps()
        if steps and not self.errors:
            try:
                with transaction.atomic(using=router.db_for_write(Order)):
                    service.change_status(self.instance.pk, by=self.viewer, via="admin", **steps)
                    transaction.set_rollback(True, using=router.db_for_write(Order))
            except Problem as refusal:
                self.add_error(None, refusal.text)
            except ValidationError as refusal:
                self.add_error(None, str(next(iter(refusal.detail.values()))[0]))
        return cleaned

    def steps(self) -> dict[str, str]:
        """The statuses that were changed; one cannot be emptied."""
        changed = {STEPS[name]: self.cleaned_data.get(name) for name in self.changed_data if name in STEPS}
        return {name: value for name, value in changed.items() if value}


@admin.register(Order)
class OrderAdmin(SignedAdmin):
    list_display = ("order_number", "user", "total_amount", "payment_status", "created_at")
    list_select_related = ("user",)
    list_filter = (Payment,)
    search_exact = ("order_number", "receipt_number", "id", "user_id")
    search_help_text = "A whole order or receipt number, or an id: the order's or its user's"
    raw_id_fields = ("user", "cashier")
    form = OrderForm
    # What was sold makes the sums, and how it was paid is the till's: both are read.
    readonly_fields = ("person", "sold", "paid", "created_at", "updated_at", *KEPT)
    fieldsets = (
        (None, {"fields": ("order_number", "person", "order_source", *STEPS)}),
        (
            "What was sold",
            {
                "fields": (
                    *("sold", "subtotal", "discount_amount", "tax_amount", "delivery_fee", "total_amount"),
                    "refunded_amount",
                )
            },
        ),
        ("Payment", {"fields": ("payment_method", "paid")}),
        ("Delivery", {"fields": ("delivery_address", "special_instructions")}),
        ("Till", {"fields": ("receipt_number", "store_code", "cashier", "cashier_code", "customer_code")}),
        (
            "Records",
            {
                "fields": (
                    *("user", "tenant_id", "store_id", "customer_id", "user_profile_id", "cart_session_id"),
                    *("created_at", "updated_at", "counted_amount", "counted_points", "content_digest"),
                )
            },
        ),
    )
    ordering = ("-created_at", "-id")

    @admin.display(description="person")
    def person(self, order: Order) -> str:
        profile = Profile.objects.select_related("user").filter(user=order.user_id).first() if order.user_id else None
        if profile is None:
            return "nobody who is known"
        return format_html('<a class="text-link" href="{}">{}</a>', person.address(profile.pk), person.called(profile))

    @admin.display(description="items")
    def sold(self, order: Order) -> SafeString:
        lines = order.items if isinstance(order.items, list) else [order.items]
        return format_html_join("", "<div>{}</div>", ((in_words(line),) for line in lines))

    @admin.display(description="payment details")
    def paid(self, order: Order) -> str:
        return in_words(order.payment_details)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "delivery_address":
            return ObjectField(label="Delivery address", empty=None)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """The till's staff move an order along by its steps; its columns as such are for managers."""
        return super().has_change_permission(request, obj) and viewer(request).has_perm("orders.edit_order")

    def get_queryset(self, request: HttpRequest) -> Any:
        """As in the API: an order's own tenant, else its customer's."""
        orders: Any = super().get_queryset(request)
        return orders.visible_to(viewer(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """An order comes from the shop or the till, with its history and its sums."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """An order stays: figures and its person's totals are made of it. It can be cancelled."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Order | None = None) -> list[str]:
        counts = obj is not None and obj.counted_amount is not None
        return [*super().get_readonly_fields(request, obj), *(COUNTED if counts else ())]

    def get_form(self, request: HttpRequest, obj: Order | None = None, change: bool = False, **kwargs: Any) -> Any:
        made: Any = super().get_form(request, obj, change=change, **kwargs)
        made.viewer = viewer(request)
        return made

    def save_model(self, request: HttpRequest, obj: Order, form: Any, change: bool) -> None:
        columns = copy(form)
        columns.changed_data = [name for name in form.changed_data if name not in STEPS]
        super().save_model(request, obj, columns, change)
        if steps := form.steps():
            service.change_status(obj.pk, by=viewer(request), via="admin", **steps)


def show(request: HttpRequest, profile: Profile) -> dict[str, Any]:
    """What the person bought, the newest first, as far as the viewer sees it."""
    page = person.page_of(request, profile, parts.orders, parts.ORDERS)
    for row in page["rows"]:
        row |= {"at": stamp(row["created_at"]), "lines": len(row["items"]) if isinstance(row["items"], list) else 0}
    return page


add_tab(Tab("orders", "Orders", "orders.view_order", "orders/person.html", show, place=20))

# Whose order or receipt it is, under the number on the paper.
add_number(
    sql.SQL(
        "p.user_id IN (SELECT o.user_id FROM orders AS o WHERE o.order_number = %(number)s"
        " UNION ALL SELECT o.user_id FROM orders AS o WHERE o.receipt_number = %(number)s)"
    )
)

add_page("tables", tables_admin.show)
