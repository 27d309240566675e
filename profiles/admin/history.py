"""Who changed what."""

from typing import Any

from django.contrib import admin
from django.db.models import Case, F, Func, JSONField, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from profiles import changes, parts
from profiles.models import Profile, ProfileHistory
from profiles.selectors import VIEW_MEDICAL
from profiles.widgets import in_words
from profiles.workplace import Tab, add_tab

from . import person
from .records import OfPersonAdmin
from .shown import moment, stamp

# What changed, with no value of the medical conditions.
WITHOUT_MEDICAL = Case(
    When(
        changes__has_key="medical_conditions",
        then=Func(
            F("changes"),
            Value({"medical_conditions": {}}, JSONField()),
            template="(%(expressions)s)",
            arg_joiner=" || ",
            output_field=JSONField(),
        ),
    ),
    default=F("changes"),
)


@admin.register(ProfileHistory)
class ProfileHistoryAdmin(OfPersonAdmin):
    author = "changed_by"
    list_display = ("changed", "whose", "columns", "via", "who")
    search_exact = ("profile_id",)
    search_help_text = "The profile's whole id"
    ordering = ("-id",)
    fields = ("whose", "changed", "who", "via", "what")
    readonly_fields = ("changed", "what")
    changed = moment("changed_at", "changed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """As in the API: a change of the medical conditions has no values for who may not see them."""
        entries = super().get_queryset(request).defer("changes")
        return entries.annotate(seen=F("changes") if request.user.has_perm(VIEW_MEDICAL) else WITHOUT_MEDICAL)

    @admin.display(description="changes")
    def what(self, entry: Any) -> SafeString:
        return format_html_join("", "<div>{}: {} → {}</div>", _told(entry.seen))

    @admin.display(description="columns")
    def columns(self, entry: Any) -> str:
        return ", ".join(column for column, _, _ in _told(entry.seen))


# What wrote a change, as staff call it.
WAYS = {"admin": "the admin", "api": "the API", "sql": "SQL", "sync": "the old application", "merge": "a merge"}


def show(request: HttpRequest, profile: Profile) -> dict[str, Any]:
    """Who changed what, from what to what, and by which way; the newest first."""
    page = person.page_of(request, profile, parts.history, parts.HISTORY)
    names = changes.authors(row["changed_by"] for row in page["rows"])
    for row in page["rows"]:
        row |= {
            "at": stamp(row["changed_at"]),
            "who": names.get(row["changed_by"], "Nobody who signed"),
            "way": WAYS.get(row["via"], row["via"]),
            "columns": _told(row["changes"]),
        }
    page["rows"] = [row for row in page["rows"] if row["columns"]]
    return page


def _told(seen: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each column with what it was and what it became."""
    return [
        (column.removeprefix("users.").replace("_", " "), _shown(values, "old"), _shown(values, "new"))
        for column, values in seen.items()
        if column != "updated_at"
    ]


def _shown(values: dict[str, Any], side: str) -> str:
    return in_words(values[side]) if side in values else "not shown"


add_tab(Tab("history", "History", "profiles.view_profilehistory", "profiles/person/history.html", show, place=40))
