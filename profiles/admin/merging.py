"""Two profiles side by side, and making them one: what that would do, field by field, before it is done."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.staff_admin import viewer
from config.api.problems import Problem
from profiles.models import MergeSuggestion, Profile
from profiles.selectors import VIEW_MEDICAL
from profiles.services import duplicates, merging
from profiles.services.merge_rules import ADDRESS, BOTH, CHOOSABLE, OTHER, SURVIVOR, Decision, Rule, same
from profiles.services.merging import Preview
from profiles.widgets import INPUT, in_words

from . import person

MERGE = "profiles.merge_profile"
TEMPLATE = "profiles/merging/compare.html"
RULES: dict[Rule, str] = {
    Rule.FIRST: "the one that stays, unless it says nothing",
    Rule.BLOCK: "one address as a whole",
    Rule.SUM: "the sum",
    Rule.GREATEST: "the later",
    Rule.LEAST: "the earlier",
    Rule.MERGE: "both, key by key",
    Rule.UNION: "the entries of both",
    Rule.NOTES: "both, the older first",
    Rule.CONSENT: "yes only where both say yes",
    Rule.VERIFIED: "the one that stays",
}
MOVES = {
    "orders": "orders",
    "aliases": "old ids",
    "conflicts": "conflicts",
    "suggestions": "suggestions",
    "merged_profiles": "profiles merged before",
}


def address(survivor_id: uuid.UUID, other_id: uuid.UUID, **query: Any) -> str:
    page = reverse("admin:profiles_profile_merge", args=[survivor_id, other_id])
    return f"{page}?{urlencode(query)}" if query else page


def compare(request: HttpRequest, survivor_id: uuid.UUID, other_id: uuid.UUID) -> HttpResponse:
    """The page, and what its buttons ask for: another preview, the merge that was previewed, or that they are two."""
    if not request.user.has_perm(MERGE):
        raise PermissionDenied
    sides = Profile.objects.known_to(viewer(request)).select_related("user").in_bulk([survivor_id, other_id])
    if len(sides) < len({survivor_id, other_id}):
        raise Http404("There is no such profile.")
    suggestion = _suggestion(request, survivor_id, other_id)
    step = request.POST.get("step")
    if step == "dismiss" and suggestion is not None:
        duplicates.dismiss([suggestion.pk], by=viewer(request))
        messages.success(request, "Dismissed: two people. They are not suggested again.")
        return redirect("admin:profiles_mergesuggestion_changelist")
    choices, confirm = _asked(request)
    if step == "merge":
        try:
            merging.merge(
                survivor_id,
                other_id,
                token=request.POST.get("token", ""),
                choices=choices,
                confirm=confirm,
                by=viewer(request),
                via="admin",
            )
        except Problem as refusal:
            messages.error(request, refusal.text)
        else:
            messages.success(request, "They are one person now. It can be taken back below.")
            return redirect(person.address(survivor_id, "duplicates"))
    planned = merging.preview(survivor_id, other_id, choices=choices, confirm=confirm)
    return _page(request, planned, sides[survivor_id], sides[other_id], suggestion, confirm)


def _asked(request: HttpRequest) -> tuple[dict[str, str], bool]:
    """What was chosen, as far as there is a choice and the viewer sees the values."""
    seen = CHOOSABLE if request.user.has_perm(VIEW_MEDICAL) else CHOOSABLE - {"medical_conditions"}
    given = {name: request.POST.get(f"choice-{name}") for name in seen}
    return {name: side for name, side in given.items() if side in (SURVIVOR, OTHER)}, "confirm" in request.POST


def _suggestion(request: HttpRequest, one: uuid.UUID, other: uuid.UUID) -> MergeSuggestion | None:
    """The pair's, the open one first."""
    return (
        MergeSuggestion.objects.filter(profile__in=[one, other], other_profile__in=[one, other])
        .order_by("-status", "-score")
        .first()
    )


def _page(
    request: HttpRequest,
    planned: Preview,
    survivor: Profile,
    other: Profile,
    suggestion: MergeSuggestion | None,
    confirm: bool,
) -> HttpResponse:
    from .suggestions import evidence_in_words

    medical = request.user.has_perm(VIEW_MEDICAL)
    rows = [_row(found) for found in planned.decisions if medical or found.field != "medical_conditions"]
    context = {
        **admin.site.each_context(request),
        "opts": Profile._meta,
        "title": "Are they one person?",
        "survivor": survivor,
        "other": other,
        "names": (person.called(survivor), person.called(other)),
        "differing": [row for row in rows if row["differs"]],
        "equal": [row for row in rows if not row["differs"]],
        "hidden": len(planned.decisions) - len(rows),
        "moves": [(MOVES[name], planned.moves[name]) for name in MOVES if planned.moves[name]],
        "points": planned.moves["loyalty_points"],
        "spent": planned.moves["total_spent"],
        "blockers": planned.blockers,
        "warnings": planned.warnings,
        "needs_confirmation": confirm or any(found.code == "birth_date" for found in planned.blockers),
        "confirm": confirm,
        "token": planned.token,
        "select": INPUT,
        "swapped": address(planned.other_id, planned.survivor_id),
        "suggestion": suggestion,
        "evidence": evidence_in_words(suggestion.evidence) if suggestion else "",
        "is_open": suggestion is not None and suggestion.status == MergeSuggestion.Status.OPEN,
        "may_dismiss": request.user.has_perm("profiles.change_mergesuggestion"),
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, TEMPLATE, context)


def _row(found: Decision) -> dict[str, Any]:
    """A column of both, what it becomes, and whose that is."""
    whose = {SURVIVOR: "stays", OTHER: "goes over", BOTH: "of both"}[found.source]
    return {
        "name": found.field,
        "label": found.field.replace("_", " "),
        "survivor": in_words(found.survivor),
        "other": in_words(found.other),
        "chosen": "the login" if found.field == "contact_email" and not found.chosen else in_words(found.chosen),
        "differs": not same(found.survivor, found.other),
        "rule": RULES[found.rule],
        "whose": whose,
        "loses": bool(found.lost),
        "choosable": found.field in CHOOSABLE,
        "of_address": found.field in ADDRESS and found.field != "address",
        "choice": found.source if found.by_choice else "",
    }
