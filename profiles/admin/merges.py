"""Who was merged into whom; a person's merges and suggestions, and taking a merge back."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.staff_admin import viewer
from config.api.problems import Problem
from profiles import changes
from profiles.models import MergeSuggestion, Profile, ProfileMerge
from profiles.services import unmerging
from profiles.workplace import Tab, add_tab

from . import merging, person
from .records import ReadOnlyAdmin
from .shown import moment, shown_moment
from .suggestions import evidence_in_words

MOST = 25


@admin.register(ProfileMerge)
class ProfileMergeAdmin(ReadOnlyAdmin):
    """Who was merged into whom. What they were before is not shown: it holds what this reader may not see."""

    tenant_path = "survivor__user__tenant_id"
    list_display = ("merged", "who", "into", "via", "unmerged")
    list_select_related = ("survivor__user", "other__user")
    list_per_page = 50
    search_exact = ("survivor_id", "other_id")
    search_help_text = "A whole id: either profile's"
    ordering = ("-id",)
    fields = ("survivor", "other", "merged", "merged_by", "via", "unmerged", "unmerged_by")
    readonly_fields = ("merged", "unmerged")
    merged = moment("merged_at", "merged")
    unmerged = moment("unmerged_at", "taken back")

    @admin.display(description="who")
    def who(self, merge: ProfileMerge) -> str:
        return person.called(merge.other)

    @admin.display(description="into")
    def into(self, merge: ProfileMerge) -> str:
        return person.called(merge.survivor)


class WithWhomForm(forms.Form):
    """Any id that leads to somebody."""

    other = forms.UUIDField(
        label="Compare with", help_text="An id, also an old one.", widget=UnfoldAdminTextInputWidget()
    )


def show(request: HttpRequest, profile: Profile) -> dict[str, Any] | HttpResponse:
    """Who may be the same person, who was merged into this one, and what can be taken back."""
    may_merge = request.user.has_perm(merging.MERGE)
    form = WithWhomForm(request.POST if "other" in request.POST else None)
    if request.method == "POST":
        if not may_merge:
            raise PermissionDenied
        if "unmerge" in request.POST:
            return _unmerge(request, profile)
        if form.is_valid():
            people = Profile.objects.visible_to(viewer(request))
            other = people.by_customer_id(form.cleaned_data["other"]).first()
            if other is not None:
                return redirect(merging.address(profile.pk, other.pk))
            form.add_error("other", f"Nobody has the id {form.cleaned_data['other']}.")
    return {
        "suggestions": _suggestions(profile),
        "merges": _merges(profile),
        "form": form if may_merge and profile.merged_into_id is None else None,
        "may_merge": may_merge,
    }


def _suggestions(profile: Profile) -> list[dict[str, Any]]:
    about = Q(profile=profile) | Q(other_profile=profile)
    rows = MergeSuggestion.objects.filter(about).select_related("profile__user", "other_profile__user")
    found = []
    for one in rows.order_by("-score", "-pk")[:MOST]:
        other = one.other_profile if one.profile_id == profile.pk else one.profile
        found.append(
            {
                "who": person.called(other),
                "address": merging.address(one.other_profile_id, one.profile_id),
                "score": one.score if one.evidence else "–",
                "reason": one.get_reason_display(),
                "evidence": evidence_in_words(one.evidence),
                "status": one.get_status_display().lower(),
            }
        )
    return found


def _merges(profile: Profile) -> list[dict[str, Any]]:
    """The newest first. Of those that stand, the last one can be taken back."""
    about = Q(survivor=profile) | Q(other=profile)
    rows = list(
        ProfileMerge.objects.filter(about).select_related("survivor__user", "other__user").order_by("-pk")[:MOST]
    )
    names = changes.authors(str(one.merged_by) for one in rows if one.merged_by)
    standing = [one for one in rows if one.unmerged_at is None and one.survivor_id == profile.pk]
    found = []
    for one in rows:
        stands = one in standing
        found.append(
            {
                "id": one.pk,
                "other": one.other,
                "survivor": one.survivor,
                "names": (person.called(one.other), person.called(one.survivor)),
                "at": shown_moment(one.merged_at),
                "who": names.get(str(one.merged_by), ""),
                "via": one.via,
                "taken_back": shown_moment(one.unmerged_at) if one.unmerged_at else "",
                "can_be": stands and one == standing[0] and profile.merged_into_id is None and not profile.erased_at,
                "orders": len(one.moved.get("orders", ())),
            }
        )
    return found


def _unmerge(request: HttpRequest, profile: Profile) -> HttpResponse:
    number = request.POST["unmerge"]
    own = ProfileMerge.objects.filter(pk=int(number) if number.isdigit() else 0, survivor=profile)
    if not own.exists():
        messages.error(request, "This person has no such merge.")
        return redirect(request.path)
    try:
        done = unmerging.unmerge(own.get().pk, by=viewer(request), via="admin")
    except Problem as refusal:
        messages.error(request, refusal.text)
    else:
        messages.success(request, f"They are two again: {person.called(done.other)} has back what went over.")
    return redirect(request.path)


add_tab(
    Tab("duplicates", "Duplicates", "profiles.view_mergesuggestion", "profiles/person/duplicates.html", show, place=60)
)
