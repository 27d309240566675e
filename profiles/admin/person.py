"""The person's page: a head that stays, and a tab for each thing that is known."""

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.models import User
from accounts.staff_admin import viewer
from config.api.problems import Problem
from profiles.keyset import Cursor, Page
from profiles.models import Profile
from profiles.parts import Part
from profiles.selectors import Person
from profiles.workplace import Tab, tabs_for

from . import find
from .shown import shown_moment

ROWS = 25
TEMPLATE = "profiles/person/tab.html"


def address(profile_id: uuid.UUID | str, tab: str = "change") -> str:
    return reverse(f"admin:profiles_profile_{tab}", args=[quote(profile_id)])


def name_of(profile: Profile) -> str:
    """A name that can be seen: some consist of characters without a look."""
    full = " ".join(filter(None, (profile.first_name, profile.last_name))).strip()
    return full if any(letter.isprintable() and not letter.isspace() for letter in full) else "(no name)"


def called(profile: Profile) -> str:
    """The same, or where to write where there is no name."""
    name = name_of(profile)
    return name if name != "(no name)" else profile.contact_email or profile.user.email or profile.phone or name


# How an account stands, and the colour of its label.
STANDING = {"Account": "success", "Guest": "info", "Shut out": "danger"}


def standing(user: User) -> str:
    """Whether somebody can log in with it. A guest's account has no address, or a password that nobody can type."""
    if user.active is False:
        return "Shut out"
    return "Account" if user.email is not None and user.has_usable_password() else "Guest"


def head(request: HttpRequest, profile: Profile) -> dict[str, Any]:
    """What stands above the tabs: who it is, how they stand, and what they come to."""
    badges = [(standing(profile.user), STANDING[standing(profile.user)]), (profile.customer_type, "primary")]
    badges += [
        (text, kind)
        for text, kind, holds in (
            ("Verified", "success", profile.is_verified),
            ("Marketing", "default", profile.marketing_consent),
            ("Text messages", "default", profile.sms_consent),
            ("Erased", "danger", profile.erased_at is not None),
        )
        if holds
    ]
    return {
        "person": profile,
        "person_name": name_of(profile),
        "badges": badges,
        "stats": [
            ("Points", f"{profile.loyalty_points:,}"),
            ("Spent", f"{profile.total_spent:,.2f}"),
            ("Orders", f"{profile.order_count:,}"),
            ("Last order", shown_moment(profile.last_order_date)),
        ],
        "survivor": profile.merged_into,
        "survivor_name": profile.merged_into and called(profile.merged_into),
    }


def page_of(
    request: HttpRequest, profile: Profile, read: Callable[..., Page], part: Part, **asked: Any
) -> dict[str, Any]:
    """A page of what hangs on a person, as `read` of profiles/parts.py gives it, and the addresses of those around it."""
    cursor = None
    if at := request.GET.get("cursor"):
        with suppress(Problem):  # of another list: begin again
            cursor = Cursor.read(at, part.listing, part.ordering)
    someone = Person(profile.pk, profile.user_id, profile.loyalty_points, profile.date_of_birth)
    try:
        page = read(someone, viewer(request), limit=ROWS, cursor=cursor, **asked)
    except Problem:
        page = read(someone, viewer(request), limit=ROWS, cursor=None, **asked)
    return {
        "rows": [orjson.loads(row) for row in page.rows],
        "newer": page.previous and f"?cursor={page.previous}",
        "older": page.next and f"?cursor={page.next}",
    }


def tab_view(model_admin: Any, tab: Tab, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
    """A tab of one person, as far as the viewer sees that one."""
    profile = model_admin.get_object(request, str(object_id))
    if profile is None:
        raise Http404(f"There is no profile {object_id}.")
    if not viewer(request).has_perm(tab.needs) or not model_admin.has_view_permission(request, profile):
        raise PermissionDenied
    shown = tab.show(request, profile)
    if isinstance(shown, HttpResponse):
        return shown
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": name_of(profile),
        "original": profile,
        "tab": tab,
        **head(request, profile),
        **shown,
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, TEMPLATE, context)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The tabs as unfold takes them, on a person's pages and above the list."""
    if above_list := find.navigation(request):
        return above_list
    match = request.resolver_match
    if match is None or not (match.url_name or "").startswith("profiles_profile_") or "object_id" not in match.kwargs:
        return []
    profile_id = match.kwargs["object_id"]
    items: list[Mapping[str, Any]] = [{"title": "Details", "tab": "change"}]
    items += [{"title": tab.title, "tab": tab.name} for tab in tabs_for(viewer(request))]
    return [
        {
            "models": [{"name": "profiles.profile", "detail": True}],
            "items": [
                {
                    "title": item["title"],
                    "link": address(profile_id, item["tab"]),
                    "active": match.url_name == f"profiles_profile_{item['tab']}",
                }
                for item in items
            ],
        }
    ]
