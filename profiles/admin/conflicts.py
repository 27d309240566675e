"""What lost when rows were made one profile."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from profiles import parts
from profiles.models import FieldConflict, Profile
from profiles.selectors import VIEW_MEDICAL
from profiles.widgets import in_words
from profiles.workplace import Tab, add_tab

from . import person
from .records import ReadOnlyAdmin
from .shown import as_json, moment, value


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
        return conflicts.exclude(field="medical_conditions")


def show(request: HttpRequest, profile: Profile) -> dict[str, Any]:
    """What lost when the person's rows were made one, decided or not."""
    page = person.page_of(request, profile, parts.conflicts, parts.CONFLICTS, resolved=None)
    rules = dict(FieldConflict.Rule.choices)
    for row in page["rows"]:
        row |= {
            "chosen": in_words(row["chosen_value"]),
            "other": in_words(row["other_value"]),
            "rule": rules.get(row["rule"], row["rule"]),
        }
    return page


add_tab(Tab("conflicts", "Conflicts", "profiles.view_fieldconflict", "profiles/person/conflicts.html", show, place=50))
