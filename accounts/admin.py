"""Accounts in the admin. All but super_admin change only accounts of their tenant that rank below them."""

import uuid
from contextlib import suppress
from typing import Any

from axes.admin import AccessAttemptAdmin as AxesAttemptAdmin
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import router, transaction
from django.db.models import QuerySet, Value
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from .models import ApiKey, Folded, User
from .roles import Role, ranks_below
from .services import api_keys
from .staff_admin import CappedPaginator, OwnTenantAdmin, SignedAdmin, viewer

# Rights follow from the role alone: groups would do nothing. Sessions are nobody's to look at.
admin.site.unregister((Group, OutstandingToken, BlacklistedToken, AccessAttempt))
# Nothing is written to them.
admin.site.unregister((AccessLog, AccessFailureLog))


@admin.register(AccessAttempt)
class AttemptAdmin(ModelAdmin, AxesAttemptAdmin):
    """Who is locked out after wrong passwords; whose attempt is deleted may try again."""


class AccountCreationForm(UserCreationForm):
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
        return {*super()._get_validation_exclusions(), "role"}


@admin.register(User)
class UserAdmin(SignedAdmin, DjangoUserAdmin):  # type: ignore[misc]
    tenant_path = "tenant_id"
    form = AccountChangeForm
    add_form = AccountCreationForm
    change_password_form = AdminPasswordChangeForm
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

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        """By the index of logins, which folds their case. Of a part that many have, as many as the list counts."""
        term = search_term.strip().replace("\0", "")
        with suppress(ValueError):
            return queryset.filter(pk=uuid.UUID(term)), False
        found = User.objects.order_by().alias(address=Folded("email"))
        for word in term.split():
            found = found.filter(address__contains=Folded(Value(word)))
        return queryset.filter(pk__in=found.values("pk")[: CappedPaginator.MOST]), False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        asking = viewer(request)
        return obj is None or asking.is_superuser or ranks_below(obj.role, asking.role)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Another address is not verified yet, unless who gives it says so."""
        if change and "email" in form.changed_data and "email_verified" not in form.changed_data:
            obj.email_verified = False
            form.changed_data.append("email_verified")
        super().save_model(request, obj, form, change)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Signed, as every other write."""
        with transaction.atomic(using=router.db_for_write(User)):
            self._sign(request)
            return super().user_change_password(request, id, form_url)

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


class ApiKeyForm(forms.ModelForm):
    asking: User

    class Meta:
        model = ApiKey
        fields = ("user", "name")

    def clean_user(self) -> User:
        user: User = self.cleaned_data["user"]
        if not api_keys.may_manage(self.asking, user):
            raise forms.ValidationError("Choose yourself or somebody of your tenant who ranks below you.")
        if not user.is_active:
            raise forms.ValidationError("This account is not active: its key would not work.")
        return user


@admin.register(ApiKey)
class ApiKeyAdmin(OwnTenantAdmin):
    """Keys are issued and revoked, never changed or deleted: the list says which were in use, and until when."""

    tenant_path = "user__tenant_id"
    form = ApiKeyForm
    raw_id_fields = ("user",)
    list_display = ("name", "prefix", "user", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix", "user__email")
    search_help_text = "Part of a name or of an email, or how the key begins"
    readonly_fields = ("prefix", "created_at", "last_used_at", "revoked_at")
    ordering = ("-created_at",)
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("user", "name") if obj is None else ("user", "name", *self.readonly_fields)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.asking = viewer(request)
        return form

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        issued, request.issued_key = api_keys.issue_key(obj.user, obj.name, by=viewer(request))  # type: ignore[attr-defined]
        obj.pk, obj.prefix, obj.created_at = issued.pk, issued.prefix, issued.created_at

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The key's text is in this page and nowhere else: no redirect, so in no cookie and no session either."""
        text = request.issued_key  # type: ignore[attr-defined]
        messages.warning(request, f"Copy the key now, it is not shown again: {text}")
        context = {**self.admin_site.each_context(request), "title": "API key issued", "opts": self.opts, "key": obj}
        return TemplateResponse(request, "admin/accounts/apikey/issued.html", context)

    @admin.action(description="Revoke selected API keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        asking = viewer(request)
        mine = [key for key in queryset.select_related("user") if api_keys.may_manage(asking, key.user)]
        for key in mine:
            api_keys.revoke(key, by=asking)
            self.log_change(request, key, "Revoked.")
        messages.success(request, f"Revoked: {len(mine)}.")
        if refused := queryset.count() - len(mine):
            messages.error(request, f"Not yours to revoke: {refused}. Their accounts rank no lower than yours.")

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False
