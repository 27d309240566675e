"""The queue of pairs that may be one person, the likeliest first, with what speaks for it."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action

from accounts.staff_admin import viewer
from config.api.problems import Problem
from profiles.matching import IN_WORDS
from profiles.models import MergeSuggestion, Profile
from profiles.services import duplicates

from . import merging, person
from .filters import OneOf
from .records import ReadOnlyAdmin
from .shown import moment

DECIDE = "profiles.change_mergesuggestion"
LIST = "admin:profiles_mergesuggestion_changelist"
SECONDS = 10  # of a request; the command takes as long as it needs


class Status(OneOf):
    """Open ones, unless something else is asked for."""

    title, parameter_name = "status", "status"
    values = (("dismissed", "Dismissed"), ("merged", "Merged"), ("all", "All"))

    def choices(self, changelist: Any) -> Any:
        first, *rest = super().choices(changelist)
        return [{**first, "display": "Open"}, *rest]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() == "all" else queryset.filter(status=self.value() or "open")


class Reason(OneOf):
    title, parameter_name = "found by", "reason"
    values = tuple(MergeSuggestion.Reason.choices)


def evidence_in_words(evidence: dict[str, int]) -> SafeString:
    """Each reason with its weight, what speaks for it first."""
    weighed = sorted(evidence.items(), key=lambda entry: -entry[1])
    return format_html_join(
        "", "<li>{} {}</li>", ((f"{weight:+}", IN_WORDS.get(name, name)) for name, weight in weighed)
    )


@admin.register(MergeSuggestion)
class MergeSuggestionAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("pair", "one", "other", "likely", "why", "state")
    list_display_links = ("pair",)
    list_filter = (Status, Reason)
    list_select_related = ("profile__user", "other_profile__user", "decided_by")
    list_per_page = 25
    search_exact = ("profile_id", "other_profile_id")
    search_help_text = "A whole id: either profile's"
    sortable_by = ()
    ordering = ("-score", "-id")
    nothing = "Every pair is decided; “Look for duplicates” finds more"
    actions: ClassVar[list[Any]] = ["dismiss", "reopen"]
    actions_list: ClassVar[list[Any]] = ["look"]
    created = moment("created_at", "created")

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(DECIDE)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """A pair is looked at side by side."""
        found = self.get_object(request, object_id)
        if found is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return redirect(merging.address(found.other_profile_id, found.profile_id, suggestion=found.pk))

    @admin.display(description="pair")
    def pair(self, found: MergeSuggestion) -> str:
        return f"Compare {found.pk}"

    @admin.display(description="person")
    def one(self, found: MergeSuggestion) -> SafeString:
        return _who(found.profile)

    @admin.display(description="may be")
    def other(self, found: MergeSuggestion) -> SafeString:
        return _who(found.other_profile)

    @admin.display(description="score")
    def likely(self, found: MergeSuggestion) -> str:
        return str(found.score) if found.evidence else "–"

    @admin.display(description="why")
    def why(self, found: MergeSuggestion) -> SafeString:
        return format_html("<div>{}<ul>{}</ul></div>", found.get_reason_display(), evidence_in_words(found.evidence))

    @admin.display(description="status")
    def state(self, found: MergeSuggestion) -> str:
        who = f" by {found.decided_by.email}" if found.decided_by and found.decided_by.email else ""
        return f"{found.get_status_display()}{who}".lower()

    @admin.action(description="Dismiss: two people each", permissions=["decide"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[MergeSuggestion]) -> None:
        count = duplicates.dismiss(queryset.values_list("pk", flat=True), by=viewer(request))
        messages.success(request, f"{count:,} dismissed: they are not suggested again.")

    @admin.action(description="Open again", permissions=["decide"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[MergeSuggestion]) -> None:
        count = duplicates.reopen(queryset.values_list("pk", flat=True), by=viewer(request))
        messages.success(request, f"{count:,} open again.")

    @action(description="Look for duplicates", permissions=["decide"], url_path="look")
    def look(self, request: HttpRequest) -> HttpResponse:
        """The profiles that were written since the last search."""
        try:
            found = duplicates.find(seconds=SECONDS)
        except Problem as refusal:
            messages.error(request, refusal.text)
            return redirect(LIST)
        messages.success(request, f"{found.looked_at:,} profiles looked at, {found.suggested:,} pairs suggested.")
        if found.left:
            messages.warning(request, "There are more to look at: do it again, or let find_duplicates do it.")
        return redirect(LIST)


def _who(profile: Profile) -> SafeString:
    return format_html(
        '<div><a class="text-link" href="{}">{}</a><br><small>{}</small></div>',
        person.address(profile.pk),
        person.called(profile),
        " · ".join(filter(None, (profile.contact_email or profile.user.email, profile.phone, profile.city))),
    )
