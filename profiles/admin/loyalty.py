"""The ledger of points."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from accounts.staff_admin import viewer
from config.api.problems import Problem
from profiles import changes, parts
from profiles.models import LoyaltyEntry, Profile
from profiles.services import profile_service
from profiles.services.points import MOST_POINTS
from profiles.workplace import Tab, add_tab

from . import person
from .records import OfPersonAdmin
from .shown import moment, stamp


@admin.register(LoyaltyEntry)
class LoyaltyEntryAdmin(OfPersonAdmin):
    author = "created_by"
    list_display = ("created", "whose", "delta", "balance", "reason", "source", "who")
    search_exact = ("profile_id",)
    search_help_text = "The profile's whole id"
    ordering = ("-id",)
    fields = ("whose", "delta", "balance", "reason", "source", "order_id", "created", "who")
    readonly_fields = ("created",)
    created = moment("created_at", "created")


class PointsForm(forms.Form):
    """A change of the balance, with its reason."""

    points = forms.IntegerField(
        label="Points to add",
        min_value=-MOST_POINTS,
        max_value=MOST_POINTS,
        help_text="Negative ones are taken, never below zero.",
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    reason = forms.CharField(
        label="Reason",
        max_length=1000,
        help_text="Kept in the ledger with the change.",
        widget=UnfoldAdminTextInputWidget(),
        error_messages={"required": "A change of points needs a reason. Say why."},
    )


def show(request: HttpRequest, profile: Profile) -> dict[str, Any] | HttpResponse:
    """The ledger, newest first, and the form that adds to it."""
    may_adjust = viewer(request).has_perm("profiles.adjust_points") and profile.merged_into_id is None
    form = PointsForm(request.POST or None)
    if request.method == "POST":
        if not may_adjust:
            raise PermissionDenied
        if form.is_valid():
            points, reason = form.cleaned_data["points"], form.cleaned_data["reason"]
            try:
                profile_service.update_loyalty_points(profile.user_id, points, reason, by=viewer(request), via="admin")
            except Problem as refusal:
                form.add_error("points", refusal.text)
            else:
                messages.success(request, f"{points:+,} points: {reason}")
                return redirect(request.path)
    page = person.page_of(request, profile, parts.ledger, parts.LEDGER)
    names = changes.authors(row["created_by"] for row in page["rows"])
    for row in page["rows"]:
        row |= {"at": stamp(row["created_at"]), "who": names.get(row["created_by"], "")}
    return {**page, "form": form if may_adjust else None}


add_tab(Tab("loyalty", "Points", "profiles.view_profile", "profiles/person/loyalty.html", show, place=30))
