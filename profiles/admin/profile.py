"""Profiles: finding a person, and the person's own columns."""

from functools import partial
from typing import Any, ClassVar

from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminExpandableTextareaWidget

from accounts.staff_admin import OwnTenantAdmin, viewer
from profiles.forms import ProfileForm, TextField, json_field
from profiles.models import Profile
from profiles.selectors import JSON_COLUMNS, VIEW_MEDICAL
from profiles.workplace import tabs

from . import exports, find, merging, person
from .shown import as_text, moment

# As the filters call them.
LABELS = {
    "marketing_consent": "Agrees to marketing",
    "sms_consent": "Agrees to text messages",
    "is_verified": "Verified",
}


@admin.register(Profile)
class ProfileAdmin(OwnTenantAdmin):
    tenant_path = "user__tenant_id"
    form = ProfileForm
    list_display = ("who", "phone", "kind", "loyalty_points", "total_spent", "last_order", "standing")
    list_filter = (find.Filters,)
    list_filter_submit = True
    list_per_page = 50
    list_before_template = "profiles/find/before.html"
    search_fields = ("search_text",)  # that there is a search: what it looks at is in find.py
    search_help_text = "Name, email, phone, id, order or receipt number"
    sortable_by = ()
    # Whose it is stays; sums change with a sale, points by an entry in the ledger.
    readonly_fields = (
        "id",
        "login",
        "loyalty_points",
        "total_spent",
        "order_count",
        "last_order",
        "created",
        "updated",
    )
    warn_unsaved_form = True
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        models.CharField: {"form_class": TextField},
        models.TextField: {"form_class": TextField, "widget": UnfoldAdminExpandableTextareaWidget},
    }
    fieldsets = (
        ("Basic information", {"fields": ("first_name", "last_name", "phone", "date_of_birth", "contact_email")}),
        ("Address", {"fields": ("address", "city", "state", "postal_code", "country")}),
        (
            "Business",
            {
                "fields": (
                    *("customer_type", "preferred_payment_method", "loyalty_points", "total_spent", "order_count"),
                    "last_order",
                )
            },
        ),
        (
            "Preferences",
            {
                "fields": (
                    *("preferences", "needs", "experience_level", "medical_conditions", "preferred_categories"),
                    *("preferred_effects", "price_range", "purchase_history", "interaction_count"),
                    *("language", "timezone"),
                )
            },
        ),
        ("Marketing", {"fields": ("marketing_consent", "sms_consent")}),
        (
            "Metadata",
            {"fields": ("tags", "notes", "is_verified", "is_active", "id", "login", "created", "updated", "seen")},
        ),
    )
    actions_list = ("export_csv",)
    last_order = moment("last_order_date", "last order")
    created = moment("created_at", "created")
    updated = moment("updated_at", "updated")

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
        wrap = self.admin_site.admin_view
        views += [
            path("<uuid:survivor_id>/merge/<uuid:other_id>/", wrap(merging.compare), name="profiles_profile_merge"),
            path("save-filter/", wrap(require_POST(find.save_filter)), name="profiles_save_filter"),
            path(
                "remove-filter/<int:filter_id>/", wrap(require_POST(find.remove_filter)), name="profiles_remove_filter"
            ),
        ]
        return [*views, *super().get_urls()]

    @action(description="Export as CSV", icon="download", url_path="csv", permissions=["export"])
    def export_csv(self, request: HttpRequest) -> HttpResponseBase:
        return exports.as_csv(self, request)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return viewer(request).has_perm("profiles.export_profiles")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """What is done with the list is done with the list that is seen: its filters go along."""
        answer: Any = super().changelist_view(request, extra_context)
        for button in getattr(answer, "context_data", {}).get("actions_list", ()):
            button["path"] += f"?{request.GET.urlencode()}"
        return answer

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        context |= {"title": person.name_of(kwargs["obj"]), "subtitle": None, "show_save_and_continue": False}
        shown = kwargs["obj"]
        if request.method == "POST":  # as they are: what a refused form typed is in its object
            shown = self.get_object(request, str(shown.pk)) or shown
        context |= person.head(request, shown)
        return super().render_change_form(request, context, *args, **kwargs)

    @display(description="person", header=True)
    def who(self, profile: Profile) -> list[str]:
        """By name and address: where to write, else the login."""
        return [person.name_of(profile), profile.contact_email or profile.user.email or "no address"]

    @display(description="login")
    def login(self, profile: Profile) -> str:
        return str(profile.user)

    @display(description="type", label={"vip": "primary", "wholesale": "info", "medical": "success"})
    def kind(self, profile: Profile) -> str:
        return profile.customer_type

    @display(description="standing", label=person.STANDING)
    def standing(self, profile: Profile) -> str:
        return person.standing(profile.user)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[find.People]:
        return find.People

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A profile comes with its user."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Profile | None = None) -> bool:
        """Its id is on receipts and in other systems, and keeps resolving for ever."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Profile | None = None) -> bool:
        """A shell leads to whom it was merged into: they are changed there."""
        return super().has_change_permission(request, obj) and (obj is None or obj.merged_into_id is None)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, models.JSONField):
            return json_field(db_field)
        if db_field.name in LABELS:
            kwargs["label"] = LABELS[db_field.name]
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Profile | None = None, change: bool = False, **kwargs: Any) -> Any:
        made: Any = super().get_form(request, obj, change=change, **kwargs)
        made.viewer = viewer(request)
        return made

    def save_model(self, request: HttpRequest, obj: Profile, form: Any, change: bool) -> None:
        form.write()

    def response_post_save_change(self, request: HttpRequest, obj: Profile) -> HttpResponse:
        """Whoever corrected somebody goes on with them."""
        return redirect(person.address(obj.pk))

    def get_fieldsets(self, request: HttpRequest, obj: Profile | None = None) -> Any:
        """Without what the viewer may not see or change: what is not shown is not accepted."""
        asking = viewer(request)
        hidden = set() if asking.has_perm(VIEW_MEDICAL) else {"medical_conditions"}
        if not asking.has_perm("profiles.deactivate_profile") or not self.has_change_permission(request, obj):
            hidden |= {"is_active"}
        if not self.has_change_permission(request, obj):
            hidden |= {"seen"}
        read = {} if self.has_change_permission(request, obj) else READ
        return [
            (title, {**options, "fields": [read.get(name, name) for name in options["fields"] if name not in hidden]})
            for title, options in super().get_fieldsets(request, obj)
        ]


# JSON columns as they are shown to who does not change them.
READ = {column.name: f"{column.name}_read" for column in Profile._meta.concrete_fields if column.name in JSON_COLUMNS}
for column, attribute in READ.items():
    setattr(ProfileAdmin, attribute, as_text(column))
