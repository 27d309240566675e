"""The old world in the admin: to be read, never written."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from django.contrib import admin
from django.db import ProgrammingError, connection
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from psycopg.errors import UndefinedTable

from accounts.staff_admin import viewer
from orders import tables_admin
from profiles.admin.filters import Stretch
from profiles.admin.records import ReadOnlyAdmin
from profiles.admin.shown import as_text, moment
from profiles.models import Profile
from profiles.selectors import VIEW_MEDICAL
from profiles.workplace import Panel, Tab, add_tab

from . import dashboard, provenance  # noqa: F401  (dashboard adds its panels)
from .models import (
    ApiUsage,
    Attachment,
    ContractStep,
    CustomerIdentity,
    LegacyCustomer,
    LegacyWrite,
    Phase,
    VerificationRun,
)
from .unification import evidence, retention
from .unification.field_map import Table


@contextmanager
def _gone_is_not_found() -> Iterator[None]:
    """The contract phase drops the view before its page goes."""
    try:
        yield
    except ProgrammingError as error:
        if not isinstance(error.__cause__, UndefinedTable):
            raise
        raise Http404("customers_view was dropped by the contract phase.") from error


@admin.register(LegacyCustomer)
class LegacyCustomerAdmin(ReadOnlyAdmin):
    """customers_view, as the old application reads it."""

    tenant_path = "tenant_id"
    list_display = ("id", "email", "first_name", "last_name", "customer_type", "loyalty_points", "active")
    list_per_page = 50
    search_exact = ("id", "user_id")
    search_help_text = "A whole id: the customer's or the user's"
    ordering = ("id",)
    # The columns in the view's order, times and JSON in a readable form.
    fields = (
        "id",
        "user_id",
        "email",
        "first_name",
        "last_name",
        "phone",
        "born",
        "address",
        "city",
        "state",
        "postal_code",
        "country",
        "loyalty_points",
        "total_spent",
        "order_count",
        "last_order",
        "customer_type",
        "preferred_payment_method",
        "marketing_consent",
        "sms_consent",
        "in_tags",
        "notes",
        "is_active",
        "is_verified",
        "created",
        "updated",
        "tenant_id",
    )
    readonly_fields = ("id", "born", "last_order", "in_tags", "created", "updated")
    born = moment("date_of_birth")
    last_order = moment("last_order_date")
    in_tags = as_text("tags")
    created = moment("created_at", "created")
    updated = moment("updated_at", "updated")

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with _gone_is_not_found():
            return super().changelist_view(request, *args, **kwargs)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with _gone_is_not_found():
            return super().changeform_view(request, *args, **kwargs)

    @admin.display(boolean=True)
    def active(self, customer: LegacyCustomer) -> bool | None:
        return customer.is_active


@admin.register(CustomerIdentity)
class CustomerIdentityAdmin(ReadOnlyAdmin):
    list_display = ("customer_id", "user_id", "case", "position", "reason")
    list_filter = ("case",)
    list_per_page = 50
    search_exact = ("customer_id", "user_id")
    search_help_text = "A whole id: the customer's or the user's"
    ordering = ("customer_id",)


class Reason(Stretch):
    title, parameter_name = "reason", "reason"
    values = tuple(Attachment.Reason.choices)


@admin.register(Attachment)
class AttachmentAdmin(ReadOnlyAdmin):
    list_display = ("key", "source", "user_id", "position", "reason")
    list_filter = (Reason,)
    list_per_page = 50
    search_exact = ("user_id",)
    search_help_text = "A whole key, or a user's whole id"

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("reason", "id") if request.GET.get("reason") else ("id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A key has an index together with its table."""
        by_id, _ = super().get_search_results(request, queryset, search_term)
        key = search_term.strip().replace("\0", "")
        tables = (Table.CUSTOMER_PROFILES.value, Table.USER_PROFILES.value)
        return by_id | queryset.filter(source__in=tables, key=key) if key else by_id, False


@admin.register(Phase)
class PhaseAdmin(ReadOnlyAdmin):
    list_display = ("name", "started", "finished", "rows")
    ordering = ("started_at", "name")
    fields = ("name", "started", "finished", "rows", "noted")
    readonly_fields = ("started", "finished", "noted")
    started = moment("started_at", "started")
    finished = moment("finished_at", "finished")
    noted = as_text("detail")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Phase]:
        """A list does not need the details, which can be long."""
        phases = super().get_queryset(request)
        match = getattr(request, "resolver_match", None)
        return phases.defer("detail") if match and match.url_name.endswith("_changelist") else phases


@admin.register(VerificationRun)
class VerificationRunAdmin(ReadOnlyAdmin):
    list_display = ("taken", "passed")
    list_filter = ("passed",)
    ordering = ("-taken_at", "-id")
    fields = ("taken", "passed", "evidence")
    readonly_fields = ("taken", "evidence")
    taken = moment("taken_at", "taken")
    evidence = as_text("report")

    def get_queryset(self, request: HttpRequest) -> QuerySet[VerificationRun]:
        runs: QuerySet[Any] = super().get_queryset(request)
        match = getattr(request, "resolver_match", None)
        return runs.defer("report") if match and match.url_name.endswith("_changelist") else runs


@admin.register(ContractStep)
class ContractStepAdmin(ReadOnlyAdmin):
    """What the contract phase has done, also what was undone since."""

    list_display = ("name", "done", "undone", "by", "forced", "dump")
    ordering = ("-id",)
    fields = ("name", "begun", "done", "undone", "by", "forced", "dump", "sha256", "noted")
    readonly_fields = ("begun", "done", "undone", "noted")
    begun = moment("begun_at", "begun")
    done = moment("done_at", "done")
    undone = moment("undone_at", "undone")
    noted = as_text("detail")


@admin.register(ApiUsage)
class ApiUsageAdmin(ReadOnlyAdmin):
    """Who still calls the old API, the latest first."""

    list_display = ("day", "client", "caller", "agent", "method", "route", "calls", "first", "last")
    list_filter = ("method", "client")
    list_per_page = 50
    search_fields = ("=caller", "client", "agent", "route")
    search_help_text = "A user's whole id, or part of a client, an agent or a path"
    ordering = ("-day", "-last_at", "id")
    first = moment("first_at", "first")
    last = moment("last_at", "last")


@admin.register(LegacyWrite)
class LegacyWriteAdmin(ReadOnlyAdmin):
    """Rows of the old tables that were written since the sync came on, and how often by the old application."""

    list_display = ("source", "key", "writes", "last", "last_by")
    list_per_page = 50
    ordering = ("-id",)
    fields = list_display
    readonly_fields = ("last",)
    last = moment("last_at", "last")


# A person's row and logins, with those of whoever was merged into them, and what was changed of them since.
_PERSON = """
SELECT to_jsonb(p)::text, (SELECT array_agg(s.user_id) FROM profiles AS s WHERE s.id = p.id OR s.merged_into_id = p.id),
    ARRAY(SELECT DISTINCT k.key FROM profile_history AS h, jsonb_object_keys(h.changes) AS k (key) WHERE h.profile_id = p.id)
FROM profiles AS p WHERE p.id = %s
"""


def show_origins(request: HttpRequest, profile: Profile) -> dict[str, Any]:
    """Where each value came from: table, row and rule."""
    with connection.cursor() as cursor:
        cursor.execute(_PERSON, [profile.pk])
        row, user_ids, changed = cursor.fetchone()
    hidden = () if viewer(request).has_perm(VIEW_MEDICAL) else ("medical_conditions",)
    return {"origins": provenance.origins(user_ids, orjson.loads(row), changed, hidden), "most": provenance.MOST}


add_tab(
    Tab(
        "origins",
        "Where from",
        "profiles.view_fieldconflict",
        "legacy_customers/person/origins.html",
        show_origins,
        place=60,
    )
)


def show_usage(request: HttpRequest) -> dict[str, Any]:
    """Who still uses the old shapes, what looks, and until when the backups are kept."""
    return {
        "used": evidence.gather(connection),
        "watches": evidence.watches(connection),
        "retention": retention.find(connection),
    }


tables_admin.parts.append(
    Panel("usage", "The old world", tables_admin.NEEDS, "legacy_customers/tables/usage.html", show_usage)
)
