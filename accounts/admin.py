"""Accounts in the admin. All but super_admin change only accounts of their tenant that rank below them."""

import uuid
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import User
from .roles import Role, ranks_below
from .staff_admin import SignedAdmin, viewer

# Rights follow from the role alone: groups would do nothing.
admin.site.unregister(Group)


class AccountCreationForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email", "role")


class AccountChangeForm(UserChangeForm):
    class Meta:
        model = User
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        role: Any = self.fields.get("role")
        current = self.instance.role
        if role is not None and current and current not in Role.values:
            # A role of an older installation stays until somebody gives another.
            role.choices = [*role.choices, (current, current)]

    def _get_validation_exclusions(self) -> set[str]:
        """The form's choices have checked the role; the model's would refuse an older one."""
        return {*super()._get_validation_exclusions(), "role"}  # type: ignore[misc]


@admin.register(User)
class UserAdmin(SignedAdmin, DjangoUserAdmin):
    tenant_path = "tenant_id"
    form = AccountChangeForm
    add_form = AccountCreationForm
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Rights", {"fields": ("role", "active", "tenant_id")}),
        ("Known", {"fields": ("email_verified", "phone_verified", "age_verified", "terms_accepted")}),
        ("Times", {"fields": ("last_login", "created_at", "updated_at")}),
    )
    add_fieldsets = (
        (
            None,
            {"fields": ("email", "role", "usable_password", "password1", "password2"), "classes": ("wide",)},
        ),
    )
    readonly_fields = ("last_login", "created_at", "updated_at")
    list_display = ("email", "role", "active", "email_verified", "created_at")
    list_filter = ("role", "active", "email_verified")
    search_fields = ("email",)
    search_help_text = "Part of an email, or a whole id"
    ordering = ("email",)
    filter_horizontal = ()
    show_full_result_count = False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        try:
            return queryset.filter(pk=uuid.UUID(search_term.strip())), False
        except ValueError:
            return super().get_search_results(request, queryset, search_term)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        asking = viewer(request)
        return obj is None or asking.is_superuser or ranks_below(obj.role, asking.role)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Another tenant's account cannot be made, nor one handed over."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if viewer(request).is_superuser else (*fields, "tenant_id")

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_choice_field(db_field, request, **kwargs)
        asking = viewer(request)
        if db_field.name == "role" and not asking.is_superuser:
            field.choices = [choice for choice in field.choices if ranks_below(choice[0], asking.role)]
        return field
