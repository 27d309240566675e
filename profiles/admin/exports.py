"""Lists of people as files: taking one, and who took which."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from accounts.staff_admin import viewer
from profiles.models import ListExport
from profiles.sheets.export import export

from .records import OwnDoingsAdmin
from .shown import moment

SEARCH = "q"
PLACE = {"p", "o", "all", "_changelist_filters"}  # where in the list one is


def as_csv(model_admin: Any, request: HttpRequest) -> HttpResponseBase:
    """Everybody whom the list shows on any of its pages, with its filters and its search."""
    people = model_admin.get_changelist_instance(request).queryset
    filters: dict[str, Any] = {name: text for name, text in request.GET.items() if text and name not in PLACE}
    if SEARCH in filters:
        filters[SEARCH] = True  # that something was searched for: a name is nobody's business later
    return StreamingHttpResponse(
        export(people, filters=filters, by=viewer(request)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="people-{timezone.localdate():%Y-%m-%d}.csv"'},
    )


@admin.register(ListExport)
class ListExportAdmin(OwnDoingsAdmin):
    list_display = ("when", "who", "rows", "which", "finished")
    fields = ("when", "who", "rows", "finished", "which", "which_columns")
    readonly_fields = fields
    when = moment("at", "when")
    finished = moment("finished_at", "finished")

    @admin.display(description="which list")
    def which(self, taken: ListExport) -> str:
        told = [f"{name} {text}" for name, text in taken.filters.items() if name != SEARCH]
        return ", ".join([*told, *(["a search"] if SEARCH in taken.filters else [])]) or "everybody"

    @admin.display(description="columns")
    def which_columns(self, taken: ListExport) -> str:
        return ", ".join(taken.columns)
