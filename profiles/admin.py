"""Profiles in the admin, and, to be read, what the unification could not decide alone."""

import datetime
import json
import uuid
from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.staff_admin import OwnTenantAdmin, viewer
from config.postgresql.odd_dates import OddDate, OddTimestamp

from .forms import ProfileForm, TextField
from .models import (
    FieldConflict,
    LoyaltyEntry,
    MergeSuggestion,
    PrivacyEvent,
    Profile,
    ProfileAlias,
    ProfileHistory,
    ProfileMerge,
)
from .services import profile_service

MEDICAL = "medical_conditions"
VIEW_MEDICAL = "profiles.view_medical_conditions"
STYLE = {"all": ("profiles/admin.css",)}
CUSTOMER_TYPES = ("regular", "vip", "wholesale", "medical", "recreational")


def moment(name: str, description: str | None = None) -> Callable[[Any, Any], str]:
    """A date or time for reading; one that Python cannot hold as PostgreSQL writes it."""

    @admin.display(description=description or name.replace("_", " "), ordering=name)
    def show(self: Any, obj: Any) -> str:
        value = getattr(obj, name)
        if value is None:
            return "–"
        if isinstance(value, OddDate | OddTimestamp):
            return str(value)
        if isinstance(value, datetime.datetime):
            value = timezone.localtime(value)
        return str(formats.localize(value))

    return show


def as_json(name: str, description: str | None = None) -> Callable[[Any, Any], SafeString]:
    """A JSON value for reading."""

    @admin.display(description=description or name.replace("_", " "))
    def show(self: Any, obj: Any) -> SafeString:
        return format_html(
            '<pre class="value">{}</pre>',
            json.dumps(getattr(obj, name), indent=2, ensure_ascii=False),
        )

    return show


class ReadOnlyAdmin(OwnTenantAdmin):
    """Rows to be looked at: nobody adds, changes or deletes them here."""

    show_full_result_count = False

    class Media:
        css = STYLE

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


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


def person(name: str, description: str | None = None) -> Callable[[Any, Any], str]:
    """The name of a related profile, which the list has selected."""

    @admin.display(description=description or name.replace("_", " "))
    def show(self: Any, obj: Any) -> str:
        return str(getattr(obj, name))

    return show


def value(name: str, description: str) -> Callable[[Any, Any], str]:
    """A JSON value in a list: its beginning."""

    @admin.display(description=description)
    def show(self: Any, obj: Any) -> str:
        text = json.dumps(getattr(obj, name), ensure_ascii=False)
        return text if len(text) <= 80 else text[:79] + "…"

    return show


@admin.register(FieldConflict)
class FieldConflictAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("field", "path", "rule", "chosen", "other", "profile")
    list_filter = ("rule", ("resolved_at", admin.EmptyFieldListFilter))
    list_select_related = ("profile",)
    list_per_page = 50
    search_fields = ("=field", "=other_row", "profile__last_name")
    search_help_text = "A field, the key of a legacy row, or part of a last name"
    ordering = ("-id",)
    fields = (
        "profile",
        ("field", "path"),
        "rule",
        "chosen_json",
        ("chosen_table", "chosen_row"),
        "other_json",
        ("other_table", "other_row"),
        "created",
        "resolved_by",
        "resolved",
    )
    readonly_fields = ("chosen_json", "other_json", "created", "resolved")
    chosen = value("chosen_value", "chosen")
    other = value("other_value", "lost")
    chosen_json = as_json("chosen_value", "chosen value")
    other_json = as_json("other_value", "value that lost")
    created = moment("created_at", "created")
    resolved = moment("resolved_at", "resolved")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FieldConflict]:
        """Without medical conditions for who may not see them."""
        conflicts = super().get_queryset(request)
        if request.user.has_perm(VIEW_MEDICAL):
            return conflicts
        return conflicts.exclude(field=MEDICAL)


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


@admin.register(ProfileAlias)
class ProfileAliasAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("id", "profile")
    list_select_related = ("profile",)
    list_per_page = 50
    search_fields = ("=id", "=profile__id")
    search_help_text = "A whole id: the old customer's or the profile's"
    ordering = ("id",)


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


@admin.register(LoyaltyEntry)
class LoyaltyEntryAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("created", "profile", "delta", "balance", "reason", "source")
    list_select_related = ("profile",)
    list_per_page = 50
    search_fields = ("=profile__id", "=order_id")
    search_help_text = "A whole id: the profile's or the order's"
    ordering = ("-id",)
    fields = ("profile", "delta", "balance", "reason", "source", "order_id", "created", "created_by")
    readonly_fields = ("created",)
    created = moment("created_at", "created")


@admin.register(ProfileMerge)
class ProfileMergeAdmin(ReadOnlyAdmin):
    """Who was merged into whom. What they were before is not shown: it holds what this reader may not see."""

    tenant_path = "survivor__user__tenant_id"
    list_display = ("merged", "other", "survivor", "via", "unmerged")
    list_select_related = ("survivor", "other")
    list_per_page = 50
    search_fields = ("=survivor__id", "=other__id")
    search_help_text = "A whole id: either profile's"
    ordering = ("-id",)
    fields = ("survivor", "other", "merged", "merged_by", "via", "unmerged", "unmerged_by")
    readonly_fields = ("merged", "unmerged")
    merged = moment("merged_at", "merged")
    unmerged = moment("unmerged_at", "taken back")


@admin.register(PrivacyEvent)
class PrivacyEventAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("happened", "kind", "profile", "by", "via", "reason")
    list_select_related = ("profile",)
    list_per_page = 50
    search_fields = ("=profile__id", "=by")
    search_help_text = "A whole id: the profile's or the author's"
    ordering = ("-id",)
    fields = ("profile", "kind", "happened", "by", "via", "reason", "what")
    readonly_fields = ("happened", "what")
    happened = moment("at")
    what = as_json("counts", "rows per table")
