"""The queue of conflicts: what stands and what lost side by side, decided one by one or by rule, and undone."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from accounts.staff_admin import Counted, viewer
from config.api.problems import Problem
from profiles import parts
from profiles.models import ConflictDecision, FieldConflict, Profile
from profiles.selectors import VIEW_MEDICAL, as_uuid
from profiles.services import conflicts
from profiles.services.conflicts import KEEP, MOST, NEWER, TAKE, Outcome, Which
from profiles.services.merge_rules import FIELDS
from profiles.sources import Key, Written, written
from profiles.widgets import in_words
from profiles.workplace import Tab, add_tab

from . import person
from .filters import OneOf, Stretch
from .records import ReadOnlyAdmin
from .shown import as_text, moment, shown_moment

DECIDE = "profiles.change_fieldconflict"
LIST = "admin:profiles_fieldconflict_changelist"
# What a source is called where staff read it.
SOURCE_NAMES = {
    "customers": "customer row",
    "users": "login",
    "customer_profiles": "recommender",
    "user_profiles": "visit",
    "profiles": "profile",
    "profile_merges": "profile before a merge",
    "orders": "order",
}

OTHER_FIELDS = {"users.active": "whether the login is active", "orders.user_id": "whose an order is"}


class State(OneOf):
    """Open ones, unless something else is asked for."""

    title, parameter_name = "state", "state"
    values = (("decided", "Decided"), ("all", "All"))

    def choices(self, changelist: Any) -> Any:
        first, *rest = super().choices(changelist)
        return [{**first, "display": "Open"}, *rest]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() == "all" else queryset.filter(resolved_at__isnull=self.value() != "decided")


class Field(Stretch):
    title, parameter_name = "field", "field"
    values = (*((name, name.replace("_", " ")) for name in FIELDS), *OTHER_FIELDS.items())


class Rule(Stretch):
    title, parameter_name = "rule", "rule"
    values = tuple(FieldConflict.Rule.choices)


class Source(Stretch):
    title, parameter_name = "source of what lost", "other_table"
    values = tuple(SOURCE_NAMES.items())


class Conflicts(Counted):
    """A page with what is known of the rows that its values came from: one query for all of them."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = with_sources(list(self.result_list))
        self.last_batch = last_batch(request)


def with_sources(found: list[FieldConflict]) -> list[FieldConflict]:
    known = written([key for one in found for key in keys_of(one)])
    for one in found:
        one.sources = known  # type: ignore[attr-defined]
    return found


def called(field: str) -> str:
    """The column, as staff call it."""
    return OTHER_FIELDS.get(field, field.replace("_", " "))


def what(one: FieldConflict) -> str:
    """The column, and the part of it."""
    return f"{called(one.field)}: {one.path[1:] or '(no name)'}" if one.path else called(one.field)


def said(value: Any) -> str:
    return in_words(value) or "(empty)"


def keys_of(one: FieldConflict) -> tuple[Key, Key]:
    return (one.chosen_table or "", one.chosen_row or ""), (one.other_table, one.other_row)


def source_in_words(key: Key, known: dict[Key, Written]) -> str:
    """Where a value came from, and when that was written."""
    table, _ = key
    if not table:
        return "more than one row"
    name = SOURCE_NAMES.get(table, table)
    found = known.get(key)
    return f"{name}, {shown_moment(found.at)}" if found and found.at else name


def last_batch(request: HttpRequest) -> dict[str, Any] | None:
    """What the viewer decided last, and could undo."""
    mine = ConflictDecision.objects.filter(decided_by=viewer(request).pk, undone_at=None).order_by("-pk")
    found = mine.first()
    if found is None or not request.user.has_perm(DECIDE):
        return None
    batch = ConflictDecision.objects.filter(batch=found.batch)
    return {"id": found.batch, "at": shown_moment(found.decided_at), "count": batch.filter(undone_at=None).count()}


def tell(request: HttpRequest, outcome: Outcome) -> None:
    """What came of a decision, or of undoing some."""
    done = [
        f"{count:,} {what}"
        for count, what in ((outcome.kept, "kept"), (outcome.taken, "taken"), (outcome.undone, "undone"))
        if count
    ]
    if done:
        messages.success(request, f"{', '.join(done)}.")
    for reason, count in outcome.refused.items():
        messages.warning(request, f"{count:,} left as they were: {reason}")
    if outcome.left:
        messages.warning(request, f"More fit than the {MOST:,} that are decided in one go. Repeat it for the rest.")
    if not done and not outcome.refused:
        messages.warning(request, "Nothing was left to decide.")


def deciding(verdict: str, description: str) -> Callable[..., None]:
    """An action on those that were selected, or on all that the filters leave."""

    @admin.action(description=description, permissions=["decide"])
    def decide(self: Any, request: HttpRequest, queryset: QuerySet[FieldConflict]) -> None:
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
        try:
            tell(request, conflicts.decide(Which(ids=ids), verdict, by=viewer(request), via="admin"))
        except Problem as refusal:
            messages.error(request, refusal.text)

    decide.__name__ = f"decide_{verdict}"
    return decide


@admin.action(description="Undo the decision", permissions=["decide"])
def undo(self: Any, request: HttpRequest, queryset: QuerySet[FieldConflict]) -> None:
    decisions = queryset.exclude(decision=None).values_list("decision_id", flat=True)[:MOST]
    try:
        tell(request, conflicts.undo(set(decisions), by=viewer(request), via="admin"))
    except Problem as refusal:
        messages.error(request, refusal.text)


@require_POST
def undo_batch(request: HttpRequest) -> HttpResponse:
    """Undo what was decided at once."""
    if not request.user.has_perm(DECIDE):
        raise PermissionDenied
    mine = ConflictDecision.objects.filter(decided_by=viewer(request).pk)
    batch = mine.filter(batch=request.POST.get("batch", "")) if _is_uuid(request.POST.get("batch", "")) else mine.none()
    try:
        tell(request, conflicts.undo(batch.values_list("pk", flat=True), by=viewer(request), via="admin"))
    except Problem as refusal:
        messages.error(request, refusal.text)
    return redirect(LIST)


def _is_uuid(text: str) -> bool:
    return as_uuid(text) is not None


@admin.register(FieldConflict)
class FieldConflictAdmin(ReadOnlyAdmin):
    tenant_path = "profile__user__tenant_id"
    list_display = ("what", "whose", "stands", "lost", "rule", "decided")
    list_filter = (State, Field, Rule, Source)
    list_select_related = ("profile__user", "decision")
    list_before_template = "profiles/conflicts/before.html"
    list_per_page = 25
    search_exact = ("profile_id", "other_row")
    search_help_text = "A whole id: the profile's, or the key of an old row"
    sortable_by = ()
    ordering = ("-id",)
    nothing = "Every conflict is decided"
    actions: ClassVar[list[Any]] = [
        deciding(KEEP, "Keep what stands"),
        deciding(TAKE, "Take what lost"),
        deciding(NEWER, "Take what was written last"),
        undo,
    ]
    fields = (
        "whose",
        ("field", "path"),
        "rule",
        "chosen",
        ("chosen_table", "chosen_row"),
        "other",
        ("other_table", "other_row"),
        "created",
        "resolved_by",
        "resolved",
    )
    readonly_fields = ("chosen", "other", "created", "resolved")
    chosen = as_text("chosen_value", "chosen value")
    other = as_text("other_value", "value that lost")
    created = moment("created_at", "created")
    resolved = moment("resolved_at", "resolved")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """The newest first; by the column that is filtered before that, for its index."""
        by = next((name for name in ("field", "rule", "other_table") if request.GET.get(name)), None)
        return (f"-{by}", "-id") if by else ("-id",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(undo_batch)
        return [path("undo/", view, name="profiles_fieldconflict_undo"), *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Conflicts]:
        return Conflicts

    def get_queryset(self, request: HttpRequest) -> QuerySet[FieldConflict]:
        """Without medical conditions for who may not see them."""
        found = super().get_queryset(request)
        return found if request.user.has_perm(VIEW_MEDICAL) else found.exclude(field="medical_conditions")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(DECIDE)

    @admin.display(description="what")
    def what(self, one: FieldConflict) -> str:
        return what(one)

    @admin.display(description="person")
    def whose(self, one: FieldConflict) -> SafeString:
        return format_html(
            '<a class="text-link" href="{}">{}</a>',
            person.address(one.profile_id, "conflicts"),
            person.called(one.profile),
        )

    @admin.display(description="stands")
    def stands(self, one: FieldConflict) -> SafeString:
        return _cell(one.chosen_value, source_in_words(keys_of(one)[0], one.sources))  # type: ignore[attr-defined]

    @admin.display(description="lost")
    def lost(self, one: FieldConflict) -> SafeString:
        return _cell(one.other_value, source_in_words(keys_of(one)[1], one.sources))  # type: ignore[attr-defined]

    @admin.display(description="decided")
    def decided(self, one: FieldConflict) -> str:
        return decided_in_words(one)


def decided_in_words(one: FieldConflict) -> str:
    if one.resolved_at is None:
        return "open"
    verdict = one.decision.get_verdict_display() if one.decision else "at a merge"
    return f"{verdict}, {shown_moment(one.resolved_at)}"


def _cell(value: Any, source: str) -> SafeString:
    return format_html("<div>{}<br><small>{}</small></div>", said(value), source)


# --- the person's tab ---------------------------------------------------------------------------------------------


def show(request: HttpRequest, profile: Profile) -> dict[str, Any] | HttpResponse:
    """What lost when the person's rows were made one, decided or not, and the buttons to decide it."""
    may_decide = request.user.has_perm(DECIDE) and profile.merged_into_id is None
    if request.method == "POST":
        if not may_decide:
            raise PermissionDenied
        _decided(request, profile)
        return redirect(request.get_full_path())
    page = person.page_of(request, profile, parts.conflicts, parts.CONFLICTS, resolved=None)
    ids = [row["id"] for row in page["rows"]]
    found = {one.pk: one for one in FieldConflict.objects.filter(pk__in=ids).select_related("decision")}
    known = written([key for one in found.values() for key in keys_of(one)])
    rules = dict(FieldConflict.Rule.choices)
    for row in page["rows"]:
        one = found[row["id"]]
        chosen, other = keys_of(one)
        row |= {
            "what": what(one),
            "chosen": said(row["chosen_value"]),
            "other": said(row["other_value"]),
            "chosen_source": source_in_words(chosen, known),
            "other_source": source_in_words(other, known),
            "rule": rules.get(row["rule"], row["rule"]),
            "decided": decided_in_words(one),
            "is_open": one.resolved_at is None,
            "untakeable": conflicts.untakeable(one.rule, one.field),
            "decision_id": one.decision_id,
        }
    return {**page, "may_decide": may_decide, "list_address": reverse(LIST)}


def _decided(request: HttpRequest, profile: Profile) -> None:
    """One conflict of the person, by the button that was pressed: keep-<id>, take-<id> or undo-<decision>."""
    verdict, _, number = request.POST.get("do", "").partition("-")
    if not number.isdigit():
        return
    try:
        if verdict == "undo":
            own = ConflictDecision.objects.filter(pk=int(number), profile=profile.pk)
            tell(request, conflicts.undo(own.values_list("pk", flat=True), by=viewer(request), via="admin"))
        elif verdict in (KEEP, TAKE):
            which = Which(ids=[int(number)], profile_id=profile.pk)
            tell(request, conflicts.decide(which, verdict, by=viewer(request), via="admin"))
    except Problem as refusal:
        messages.error(request, refusal.text)


add_tab(Tab("conflicts", "Conflicts", "profiles.view_fieldconflict", "profiles/person/conflicts.html", show, place=50))
