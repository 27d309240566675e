"""What every admin of ours has in common: staff see their own tenant, and what they write bears their name."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import router
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from .authorship import sign
from .models import User


def viewer(request: HttpRequest) -> User:
    """Who asks; the admin's views let nobody in who is not logged in."""
    assert isinstance(request.user, User)
    return request.user


class CappedPaginator(Paginator):
    """Counts MOST rows and no more: further back one searches or filters."""

    MOST = 500
    in_order = True  # counted in the list's order, by its index; where others' rows lie between, in any
    template_name = "accounts/pagination.html"

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted = rows if self.in_order else rows.order_by()
        return int(counted.values("pk")[: self.MOST].count())


class Counted(ChangeList):
    """What the head of a list says of its length stands at its foot."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count


class OwnTenantAdmin(ModelAdmin):
    """Rows of the viewer's tenant; a super_admin sees all. `tenant_path` leads from a row to its tenant_id, if any.

    A search is for a whole value of one of the columns `search_exact`, each of which has an index; `search_fields` are
    for tables that stay small.
    """

    tenant_path: ClassVar[str | None] = None
    search_exact: ClassVar[tuple[str, ...]] = ()
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    nothing = "There is nothing here yet"
    sortable_by = ()  # any other order than the list's own would read the whole table

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Counted

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        made: Any = super().get_paginator(request, *args, **kwargs)
        made.in_order = self.tenant_path is None or viewer(request).is_superuser
        return made

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        return [*super().get_search_fields(request), *self.search_exact]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term or not self.search_exact:
            return super().get_search_results(request, queryset, search_term)
        found = Q(pk__in=())
        for path in self.search_exact:
            column = get_fields_from_path(self.model, path)[-1]
            with suppress(ValidationError, ValueError):
                found |= Q(**{path: column.to_python(term.replace("\0", ""))})
        return queryset.filter(found), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        asking = viewer(request)
        if self.tenant_path is None or asking.is_superuser:
            return rows
        return rows.filter(**{self.tenant_path: asking.tenant_id})


class SignedAdmin(OwnTenantAdmin):
    """Every write is signed with who is logged in; the admin's views are transactions."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Only the columns that the form changed are written: others may say more than Python can hold."""
        self._sign(request)
        if not change:
            obj.save()
        elif changed := [name for name in form.changed_data if name in {f.name for f in obj._meta.concrete_fields}]:
            touched = [field.name for field in obj._meta.concrete_fields if getattr(field, "auto_now", False)]
            obj.save(update_fields=[*changed, *touched])

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._sign(request)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._sign(request)
        super().delete_queryset(request, queryset)

    def _sign(self, request: HttpRequest) -> None:
        sign(using=router.db_for_write(self.model), by=viewer(request).pk, via="admin")
