"""What is held on a person: to be read, taken along as a file, or erased; and who did so."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from accounts.models import User
from accounts.roles import STAFF_ROLES
from accounts.staff_admin import viewer
from config.api.problems import Problem
from profiles.models import PrivacyEvent, Profile
from profiles.services import privacy
from profiles.workplace import Context, Tab, add_tab

from . import person
from .readable import readable
from .records import OfPersonAdmin
from .shown import as_text, moment

NAME = "privacy"
ERASE = "profiles.erase_profile"
RECORDS = 20  # of one person, on their page
# The sections of an export, as staff call them.
TITLES = {
    "accounts": "Login",
    "profiles": "Profile",
    "aliases": "Old ids",
    "orders": "Orders",
    "order_events": "Steps of orders",
    "refunds": "Refunds",
    "loyalty": "Points",
    "history": "History",
    "conflicts": "Values that lost",
    "suggestions": "Possible duplicates",
    "merges": "Merges",
    "privacy_events": "Exports before this one",
    "corrections": "Corrections that nobody has decided yet",
    "kept_answers": "Answers kept for repeated requests",
    "sessions": "Sessions",
    "api_keys": "API keys",
    "logins": "Attempts to log in",
}


class EraseForm(forms.Form):
    reason = forms.CharField(
        max_length=1000,
        widget=UnfoldAdminTextInputWidget,
        help_text="It stays in the record. Name nobody: “asked for it by letter” is enough.",
    )
    confirm = forms.BooleanField(
        label="I know that this cannot be taken back",
        widget=UnfoldBooleanWidget,
        error_messages={"required": "An erasure cannot be taken back. Tick this if you mean it."},
    )


def show(request: HttpRequest, profile: Profile) -> Context | HttpResponse:
    """The tab; with ?show=all everything that is held, with ?show=json the same as a file. A POST erases."""
    by, wanted = viewer(request), request.GET.get("show")
    if wanted == "json":
        return HttpResponse(
            privacy.export(profile.pk, by=by, via="admin"),
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="profile-{profile.pk}.json"'},
        )
    if wanted == "all":
        return {"sections": _sections(json.loads(privacy.export(profile.pk, by=by, via="admin")))}
    may_erase = by.has_perm(ERASE)
    form = EraseForm(request.POST if request.method == "POST" and may_erase else None)
    if form.is_valid():
        try:
            done = privacy.erase(profile.pk, reason=form.cleaned_data["reason"], by=by, via="admin")
        except Problem as refusal:
            form.add_error(None, refusal.text)
        else:
            messages.success(request, f"Erased: {_rows(done)}.")
            return HttpResponseRedirect(person.address(profile.pk, NAME))
    return {
        "may_erase": may_erase,
        "refusal": _refusal(profile),
        "form": form,
        "events": [(event, _rows(event)) for event in _events(profile)],
    }


def _sections(held: dict[str, Any]) -> list[dict[str, Any]]:
    """Each with its rows for reading; what is empty is left out."""
    legacy = held.pop("legacy", {})
    found = [(TITLES.get(name, name), rows) for name, rows in held.items() if isinstance(rows, list)]
    found += [
        (f"Old table {name}" if name != "deleted" else "Deleted in the old tables", rows)
        for name, rows in legacy.items()
    ]
    return [
        {"title": title, "count": len(rows), "rows": [readable(row) for row in rows]} for title, rows in found if rows
    ]


def _refusal(profile: Profile) -> str:
    """Why nobody erases this person, as far as that shows beforehand."""
    if profile.merged_into_id is not None:
        return f"They were merged into {profile.merged_into_id}. Erase that one: it is both."
    if profile.user.role in STAFF_ROLES:
        return f"The account is a {profile.user.role}'s. Make it a customer's first."
    return ""


def _events(profile: Profile) -> list[PrivacyEvent]:
    """The newest, with the author's address."""
    author = User.objects.filter(pk=OuterRef("by")).values("email")
    return list(profile.privacy_events.annotate(author=Subquery(author)).order_by("-id")[:RECORDS])


def _rows(event: PrivacyEvent) -> str:
    return ", ".join(f"{count:,} of {table}" for table, count in event.counts.items()) or "nothing was there"


add_tab(Tab(NAME, "Privacy", "profiles.export_profile", "profiles/privacy/tab.html", show, place=90))


@admin.register(PrivacyEvent)
class PrivacyEventAdmin(OfPersonAdmin):
    author = "by"
    list_display = ("happened", "kind", "whose", "who", "via", "reason")
    search_exact = ("profile_id", "by")
    search_help_text = "A whole id: the profile's or the author's"
    ordering = ("-id",)
    fields = ("whose", "kind", "happened", "who", "via", "reason", "what")
    readonly_fields = ("happened", "what")
    happened = moment("at")
    what = as_text("counts", "rows per table")
