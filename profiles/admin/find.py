"""Finding a person: one search box, filters, pages that never count, and searches kept as tabs."""

import datetime
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from django import forms
from django.contrib import messages
from django.contrib.admin import ListFilter
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from psycopg import ClientCursor
from unfold.views import ChangeList
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.staff_admin import viewer
from config.api.problems import Problem
from profiles import pages
from profiles.keyset import Cursor
from profiles.models import Profile, SavedFilter
from profiles.services import saved_filters as saved
from profiles.workplace import numbers

CUSTOMER_TYPES = ("regular", "vip", "wholesale", "medical", "recreational")
ANY = ("", "Any")
LIST = "admin:profiles_profile_changelist"


class Choice(forms.TypedChoiceField):
    """A choice that need not be made: None where it is not."""

    def __init__(self, label: str, choices: list[tuple[str, str]], coerce: Any = str) -> None:
        super().__init__(
            label=label,
            choices=[ANY, *choices],
            coerce=coerce,
            required=False,
            empty_value=None,
            widget=UnfoldAdminSelectWidget(),
        )


def either(label: str, yes: str = "Yes", no: str = "No") -> Choice:
    return Choice(label, [("true", yes), ("false", no)], coerce=lambda value: value == "true")


def number(label: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=-(2**63),
        max_value=2**63 - 1,
        widget=UnfoldAdminIntegerFieldWidget(),
    )


def money(label: str) -> forms.DecimalField:
    widget = UnfoldAdminDecimalFieldWidget()
    return forms.DecimalField(label=label, required=False, max_digits=14, decimal_places=2, widget=widget)


def day(label: str) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=UnfoldAdminDateWidget(attrs={"type": "date"}))


class FilterForm(forms.Form):
    """The filters, by their names in pages.FILTERS and, as far as it has them, in the API."""

    customer_type = Choice("Type", [(name, name) for name in CUSTOMER_TYPES])
    is_guest = either("Guest or account", "Guest", "Account")
    marketing_consent = either("Agrees to marketing")
    sms_consent = either("Agrees to text messages")
    is_verified = either("Verified")
    has_conflicts = either("Undecided conflicts")
    created_after = day("Here since, on or after")
    created_before = day("Here since, before")
    tag = forms.CharField(label="Tag", required=False, max_length=200, widget=UnfoldAdminTextInputWidget())
    last_order_after = day("Last order on or after")
    last_order_before = day("Last order before")
    min_spent = money("Spent at least")
    max_spent = money("Spent at most")
    min_points = number("Points at least")
    max_points = number("Points at most")
    tenant_id = forms.UUIDField(label="Tenant", required=False, widget=UnfoldAdminTextInputWidget())

    def __init__(self, data: Mapping[str, Any], request: HttpRequest) -> None:
        super().__init__(data)
        for name, permission in pages.NEEDED.items():
            if name in self.fields and not viewer(request).has_perm(permission):
                del self.fields[name]
        if not viewer(request).is_superuser:  # all others have one tenant
            del self.fields["tenant_id"]

    def asked(self) -> dict[str, Any]:
        """The filters that were set, without those that cannot be read: their fields say so."""
        self.full_clean()
        given = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        for name, value in given.items():
            if isinstance(value, datetime.date):  # a day of the shop's
                given[name] = timezone.make_aware(datetime.datetime.combine(value, datetime.time.min))
        return given


class Filters(ListFilter):
    """All filters at once, as one form."""

    title = "filters"
    template = "unfold/filters/filters_field.html"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        given = {name: params[name][-1] for name in FilterForm.base_fields if params.get(name, [""])[-1]}
        for name in FilterForm.base_fields:
            params.pop(name, None)
        self.form = FilterForm(given, request)
        self.asked = self.form.asked()

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        yield {"form": self.form}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset

    def expected_parameters(self) -> list[str | None]:
        return list(FilterForm.base_fields)


class People(ChangeList):
    """The list's pages by keyset. What it calls its queryset is everybody who fits, for actions; the page does not ask it."""

    found: pages.Found
    most_read = pages.MOST_READ

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Profile]:
        self.filter_specs, self.has_filters, rest, _, _ = self.get_filters(request)
        self.has_active_filters = bool(self.filter_specs[0].form.data)
        self.clear_all_filters_qs = self.get_query_string(new_params=rest, remove=self.get_filters_params())
        self.asked: dict[str, Any] = {
            "viewer": viewer(request),
            "text": self.query.replace("\0", "")[:200],
            "filters": self.filter_specs[0].asked,
            "numbers": numbers,
        }
        statement, params = pages.everybody(**self.asked)
        with connection.cursor() as cursor:
            text = ClientCursor(cursor.connection).mogrify(statement, params)
        return self.root_queryset.filter(pk__in=RawSQL(text.replace("%", "%%"), ()))

    def get_results(self, request: HttpRequest) -> None:
        place = None
        if at := request.GET.get("p"):
            with suppress(Problem):  # of another list: begin again
                place = Cursor.read(at, pages.LISTING, pages.NEWEST)
        try:
            self.found = pages.find(**self.asked, cursor=place, limit=self.list_per_page)
        except Problem:
            self.found = pages.find(**self.asked, limit=self.list_per_page)
        self.result_list = self.found.people
        self.result_count = len(self.result_list)
        self.full_result_count = self.result_count  # nothing is counted, and the head says nothing of it
        self.show_admin_actions = bool(self.result_list)
        self.can_show_all, self.multi_page, self.paginator = False, False, None
        self.saved = next((one for one in saved_filters(request) if parse_qs(one.query) == asked_here(request)), None)
        self.may_remove = self.saved is not None and saved.may_remove(self.saved, viewer(request))

    def older(self) -> str | None:
        return self.get_query_string({"p": str(self.found.older)}) if self.found.older else None

    def newer(self) -> str | None:
        return self.get_query_string({"p": str(self.found.newer)}) if self.found.newer else None

    def search(self) -> str:
        """What is searched, as in the address."""
        return self.get_query_string()[1:]


# Tabs that everybody has: title, address and the permission that it asks for.
STANDING = (
    ("Everybody", "", "profiles.view_profile"),
    ("Guests", "is_guest=true", "profiles.view_profile"),
    ("With conflicts", "has_conflicts=true", "profiles.view_fieldconflict"),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The searches that have a name, as unfold's tabs above the list."""
    match = request.resolver_match
    if match is None or match.url_name != "profiles_profile_changelist":
        return []
    asking = viewer(request)
    kept = [(title, query) for title, query, needs in STANDING if asking.has_perm(needs)]
    kept += [(saved.name, saved.query) for saved in saved_filters(request)]
    here = asked_here(request)
    base = reverse(LIST)
    items = [
        {"title": title, "link": f"{base}?{query}" if query else base, "active": parse_qs(query) == here}
        for title, query in kept
    ]
    return [{"models": ["profiles.profile"], "items": items}]


def saved_filters(request: HttpRequest) -> list[SavedFilter]:
    """The viewer's, read once a request."""
    if not hasattr(request, "saved_filters"):
        request.saved_filters = list(SavedFilter.objects.seen_by(viewer(request)))  # type: ignore[attr-defined]
    return request.saved_filters  # type: ignore[attr-defined]


def asked_here(request: HttpRequest) -> dict[str, list[str]]:
    """What the address searches for, without its place in the list."""
    return {name: values for name, values in request.GET.lists() if name not in saved.PLACE and values != [""]}


def save_filter(request: HttpRequest) -> HttpResponse:
    query = saved.kept(request.POST.get("query", ""))
    try:
        made = saved.save(
            request.POST.get("name", ""), query, shared=request.POST.get("shared") == "on", by=viewer(request)
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"The tab {made.name!r} is above the list.")
    return redirect(f"{reverse(LIST)}?{query}")


def remove_filter(request: HttpRequest, filter_id: int) -> HttpResponse:
    try:
        saved.remove(filter_id, by=viewer(request))
    except Problem as refusal:
        raise (Http404(refusal.text) if refusal.status_code == 404 else PermissionDenied(refusal.text)) from refusal
    messages.success(request, "The tab is gone; everybody whom it showed is still there.")
    return redirect(reverse(LIST))
