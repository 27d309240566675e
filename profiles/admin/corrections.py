"""Corrections by a file: hand it in, see every difference, apply all of them or none."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminFileFieldWidget

from accounts.models import User
from accounts.staff_admin import viewer
from config.api.problems import Problem
from profiles.models import Correction, Profile
from profiles.services import corrections
from profiles.sheets import columns, upload
from profiles.sheets.cells import cell

from . import person
from .records import OwnDoingsAdmin
from .shown import moment

IMPORT = "profiles.import_profiles"
PER_PAGE = 100  # lines


class FileForm(forms.Form):
    file = forms.FileField(
        label="CSV file",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,text/csv"}),
        help_text=f"At most {upload.MOST_LINES:,} lines, {upload.MOST_BYTES:,} bytes and "
        f"{corrections.MOST_PEOPLE:,} people who change.",
    )

    def dry_run(self, by: User) -> Correction | None:
        """None where the form says what is wrong."""
        if not self.is_valid():
            return None
        file: UploadedFile = self.cleaned_data["file"]
        try:
            # A byte more than may be: what is too large shows, and is not read.
            return corrections.dry_run(file.read(upload.MOST_BYTES + 1), file_name=file.name or "", by=by)
        except Problem as problem:
            self.add_error("file", problem.text)
            return None


@admin.register(Correction)
class CorrectionAdmin(OwnDoingsAdmin):
    list_display = ("when", "file_name", "who", "status", "people", "refused", "decided")
    actions_list: ClassVar[tuple[str, ...]] = ("hand_in",)
    when = moment("uploaded_at", "when")
    decided = moment("decided_at", "decided")

    @action(
        description="Hand in a file",
        icon="upload",
        url_path="hand-in",
        permissions=["import"],
        variant=ActionVariant.PRIMARY,
    )
    def hand_in(self, request: HttpRequest) -> HttpResponse:
        form = FileForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and (found := form.dry_run(viewer(request))):
            return HttpResponseRedirect(reverse("admin:profiles_correction_change", args=[found.pk]))
        context = {"title": "Hand in a file of corrections", "form": form, "correctable": self._correctable(request)}
        return self._page(request, "profiles/corrections/hand_in.html", context)

    def has_import_permission(self, request: HttpRequest) -> bool:
        return viewer(request).has_perm(IMPORT)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What a file would change, or did; lines are for who handed it in."""
        found: Correction | None = self.get_object(request, object_id)
        if found is None:
            raise Http404(f"There is no correction {object_id}.")
        if not self.has_view_permission(request, found):
            raise PermissionDenied
        if request.method == "POST":
            return self._decide(request, found)
        context = {"title": found.file_name, "correction": found, **self._lines(request, found)}
        return self._page(request, "profiles/corrections/correction.html", context)

    def _decide(self, request: HttpRequest, found: Correction) -> HttpResponse:
        by = viewer(request)
        if not self.has_import_permission(request):
            raise PermissionDenied
        try:
            if "apply" in request.POST:
                done = corrections.apply(found.pk, by=by)
                messages.success(request, f"{done.people:,} people were corrected.")
            else:
                corrections.discard(found.pk, by=by)
                messages.success(request, "Nobody was changed; what the file would have changed is forgotten.")
        except Problem as problem:
            messages.error(request, problem.text)
        return HttpResponseRedirect(request.path)

    def _lines(self, request: HttpRequest, found: Correction) -> dict[str, Any]:
        """A page of differences, by keyset, and every problem; both only of columns that the viewer sees."""
        by = viewer(request)
        if found.by != by.pk or found.status != Correction.Status.OPEN:
            return {}
        seen = columns.for_viewer(by)
        after = request.GET.get("after", "")
        lines = list(
            found.lines.exclude(after={})
            .filter(problems=[], line__gt=int(after) if after.isdecimal() and len(after) < 9 else 0)
            .order_by("line")[: PER_PAGE + 1]
        )
        people = Profile.objects.select_related("user").in_bulk([line.profile_id for line in lines if line.profile_id])
        return {
            "problems": [
                {"line": line.line, "problems": line.problems}
                for line in found.lines.exclude(problems=[]).order_by("line")
            ],
            "differences": [
                {
                    "line": line.line,
                    "name": person.called(people[line.profile_id]),
                    "address": person.address(line.profile_id),
                    "cells": [
                        (name, cell(name, line.before[name]), cell(name, value))
                        for name, value in line.after.items()
                        if name in seen
                    ],
                }
                for line in lines[:PER_PAGE]
                if line.profile_id
            ],
            "next": lines[PER_PAGE - 1].line if len(lines) > PER_PAGE else None,
            "may_apply": bool(found.people and not found.refused and not found.problems)
            and self.has_import_permission(request),
        }

    def _correctable(self, request: HttpRequest) -> list[str]:
        seen = columns.for_viewer(viewer(request))
        return [name for name in columns.CORRECTABLE if name in seen]

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request, template, {**self.admin_site.each_context(request), "opts": self.opts, **context}
        )
