"""What every admin of ours has in common: staff see their own tenant, and what they write bears their name."""

from typing import Any, ClassVar

from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from .authorship import sign
from .models import User


def viewer(request: HttpRequest) -> User:
    """Who asks; the admin's views let nobody in who is not logged in."""
    assert isinstance(request.user, User)
    return request.user


class OwnTenantAdmin(ModelAdmin):
    """Rows of the viewer's tenant; a super_admin sees all. `tenant_path` leads from a row to its tenant_id, if any."""

    tenant_path: ClassVar[str | None] = None

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
