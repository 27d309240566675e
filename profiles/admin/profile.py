"""Profiles: finding a person, and the person's own columns."""

import uuid
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path

from accounts.staff_admin import OwnTenantAdmin, viewer
from profiles.forms import ProfileForm, TextField
from profiles.models import Profile, ProfileAlias
from profiles.selectors import VIEW_MEDICAL
from profiles.services import profile_service
from profiles.workplace import tabs

from . import person
from .records import STYLE
from .shown import moment

CUSTOMER_TYPES = ("regular", "vip", "wholesale", "medical", "recreational")


class CustomerTypeFilter(admin.SimpleListFilter):
    """The known types. To list all that occur would read the whole table for each page."""

    title = "customer type"
    parameter_name = "customer_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((name, name) for name in CUSTOMER_TYPES), ("other", "another")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "other":
            return queryset.exclude(customer_type__in=CUSTOMER_TYPES)
        return queryset.filter(customer_type=self.value()) if self.value() else queryset


@admin.register(Profile)
class ProfileAdmin(OwnTenantAdmin):
    tenant_path = "user__tenant_id"
    form = ProfileForm
    list_display = (
        "name",
        "phone",
        "contact_email",
        "customer_type",
        "loyalty_points",
        "total_spent",
        "id",
    )
    list_filter = (CustomerTypeFilter, "marketing_consent", "sms_consent")
    list_select_related = ("user",)
    list_per_page = 50
    search_fields = ("first_name", "last_name", "phone", "contact_email", "user__email")
    search_help_text = (
        "Part of a name, phone or address, or a whole id: the profile's, an old customer's or the login's"
    )
    ordering = ("-created_at", "-id")
    # Whose it is stays; sums change with a sale, points by an entry in the ledger.
    readonly_fields = (
        *("id", "user", "loyalty_points", "total_spent", "order_count", "last_order", "created", "updated"),
    )
    show_full_result_count = False
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        models.CharField: {"form_class": TextField},
        models.TextField: {"form_class": TextField, "widget": forms.Textarea(attrs={"rows": 3, "cols": 70})},
        models.JSONField: {"widget": forms.Textarea(attrs={"rows": 3, "cols": 70})},
    }
    fieldsets = (
        (None, {"fields": ("id", "user", "contact_email")}),
        ("Basic information", {"fields": (("first_name", "last_name"), "phone", "date_of_birth")}),
        ("Address", {"fields": ("address", ("city", "state"), ("postal_code", "country"))}),
        (
            "Business",
            {
                "fields": (
                    ("customer_type", "preferred_payment_method"),
                    ("loyalty_points", "total_spent", "order_count"),
                    "last_order",
                )
            },
        ),
        ("Points", {"fields": (("points", "points_reason"),)}),
        (
            "Preferences",
            {
                "fields": (
                    "preferences",
                    "needs",
                    "experience_level",
                    "medical_conditions",
                    "preferred_categories",
                    "preferred_effects",
                    "price_range",
                    "purchase_history",
                    "interaction_count",
                    ("language", "timezone"),
                )
            },
        ),
        ("Marketing", {"fields": (("marketing_consent", "sms_consent"),)}),
        ("Metadata", {"fields": ("tags", "notes", "is_verified", ("created", "updated"))}),
    )
    last_order = moment("last_order_date", "last order")
    created = moment("created_at", "created")
    updated = moment("updated_at", "updated")

    class Media:
        css = STYLE

    def get_urls(self) -> list[URLPattern]:
        """The tabs' addresses come first: one of them is called as Django's own history is."""
        views = [
            path(
                f"<uuid:object_id>/{tab.name}/",
                self.admin_site.admin_view(partial(person.tab_view, self, tab)),
                name=f"profiles_profile_{tab.name}",
            )
            for tab in tabs.values()
        ]
        return [*views, *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        context |= {"title": str(kwargs["obj"]), "subtitle": None, **person.head(kwargs["obj"])}
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(ordering="last_name")
    def name(self, profile: Profile) -> str:
        """Who it is: by name, else by login."""
        full = " ".join(filter(None, (profile.first_name, profile.last_name)))
        return full.strip() or profile.user.email or "(no name)"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A profile comes with its user."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Profile | None = None) -> bool:
        """Its id is on receipts and in other systems, and keeps resolving for ever."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Profile | None = None) -> bool:
        """A shell leads to whom it was merged into: they are changed there."""
        return super().has_change_permission(request, obj) and (obj is None or obj.merged_into_id is None)

    def get_form(self, request: HttpRequest, obj: Profile | None = None, change: bool = False, **kwargs: Any) -> Any:
        made: Any = super().get_form(request, obj, change=change, **kwargs)
        made.viewer = viewer(request)
        return made

    def save_model(self, request: HttpRequest, obj: Profile, form: Any, change: bool) -> None:
        profile_service.update_profile(obj.user_id, form.changes(), by=viewer(request), via="admin")
        form.adjust_points()

    def get_fieldsets(self, request: HttpRequest, obj: Profile | None = None) -> Any:
        """Without the medical conditions for who may not see them; what is not shown is not accepted."""
        fieldsets = super().get_fieldsets(request, obj)
        if not self.has_change_permission(request, obj):
            fieldsets = [(title, options) for title, options in fieldsets if title != "Points"]
        if request.user.has_perm(VIEW_MEDICAL):
            return fieldsets
        return [
            (
                title,
                {**options, "fields": [name for name in options["fields"] if name != "medical_conditions"]},
            )
            for title, options in fieldsets
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Profile], search_term: str
    ) -> tuple[QuerySet[Profile], bool]:
        try:
            wanted = uuid.UUID(search_term.strip())
        except ValueError:
            return super().get_search_results(request, queryset, search_term)
        found = models.Q(id=wanted) | models.Q(user_id=wanted)
        found |= models.Q(id__in=ProfileAlias.objects.filter(id=wanted).values("profile_id"))
        return queryset.filter(found), False
